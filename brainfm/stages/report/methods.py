"""Facts of the methods section; the text and its citations lie beside the templates."""

from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from brainfm import __version__
from brainfm.stages.report.read import as_dict

_PACKAGES = {
    "T1w": ("antspyx", "nibabel", "nilearn"),
    "bold": ("antspyx", "nibabel", "nilearn", "scipy"),
    "eeg": ("mne", "mne-bids", "mne-icalabel", "pybv"),
    "model": ("torch", "scikit-learn", "numpy", "nipype"),
}

#: Kinds of confounds, with the beginnings of their names.
_KINDS = {
    "motion": ("trans_", "rot_"),
    "aCompCor": ("a_comp_cor_", "c_comp_cor_", "w_comp_cor_"),
    "tissue": ("white_matter", "csf"),
    "global": ("global_signal",),
    "drift": ("cosine",),
}


def participant_methods(outputs):
    """Collect how the outputs of one participant were made.

    Parameters
    ----------
    outputs : brainfm.stages.report.collect.ParticipantOutputs

    Returns
    -------
    methods : dict
        Variables of ``participant_methods.html``: facts from the sidecars of fMRI, or else from
        the settings of the last call, and the sidecars of EEG and of an embedding.
    """
    settings = outputs.settings.get("bold", {})
    bold, eeg = (
        next((one.sidecar for one in outputs.of(kind) if one.sidecar), {})
        for kind in ("bold", "eeg")
    )
    filters, confounds = as_dict(bold.get("SoftwareFilters")), bold.get("Confounds")
    cutoffs_hz = {
        name: as_dict(filters.get(step)).get("CutOff (Hz)", settings.get(name))
        for name, step in (("high_pass_hz", "HighPass"), ("low_pass_hz", "LowPass"))
    }
    return {
        **cutoffs_hz,
        "engine": _fmri_engine(outputs),
        "confounds": _count_confounds(confounds if isinstance(confounds, list) else []),
        "denoising": as_dict(bold.get("Denoising")),
        "n_confounds": bold.get("n_confounds"),
        "n_components": bold.get("n_confound_components"),
        "eeg": eeg,
        "embedding": next(
            (one.embeddings[0].sidecar for one in outputs.recordings if one.embeddings), None
        ),
    }


def _count_confounds(names):
    """Count the confounds of each kind; names as those of fMRIPrep."""
    kinds = [next((kind for kind in _KINDS if str(name).startswith(_KINDS[kind])), "other")
             for name in names]  # fmt: skip
    return {kind: kinds.count(kind) for kind in (*_KINDS, "other")}


def preprocessing_texts(out_dir, outputs):
    """Read the texts for the methods section of a paper that other pipelines wrote.

    Parameters
    ----------
    out_dir : path
        Output folder of brainfm.
    outputs : brainfm.stages.report.collect.ParticipantOutputs

    Returns
    -------
    texts : list of str
        ``logs/CITATION.md`` of fMRIPrep run by brainfm, or else of the derivatives given; none
        for the built-in engine.
    """
    engine, out_dir = _fmri_engine(outputs), Path(out_dir)
    links = as_dict(outputs.dataset.get("DatasetLinks"))
    own = [out_dir / "sourcedata" / "fmriprep" / folder for folder in ("", "fmriprep")]
    given = [out_dir / str(link) for name, link in links.items() if name != "raw"]
    places = {"fmriprep": own, "derivatives": given}.get(engine, [])
    files = dict.fromkeys(folder / "logs" / "CITATION.md" for folder in places)
    return [path.read_text("utf8", errors="replace").strip() for path in files if path.is_file()]


def _fmri_engine(outputs):
    """Engine that preprocessed the fMRI, from the outputs or else from the settings."""
    for recording in outputs.of("bold"):
        engine = recording.sidecar.get("Engine") or recording.quality.get("engine")
        if engine:
            return str(engine)
    return outputs.settings.get("bold", {}).get("fmri_engine")


def software_versions(kinds):
    """Return the versions of the packages that made the outputs.

    Parameters
    ----------
    kinds : sequence of {"T1w", "bold", "eeg"}
        Kinds of recordings in the outputs.

    Returns
    -------
    versions : dict of str to str
        Version of each installed package.
    """
    names = {name for kind in (*kinds, "model") for name in _PACKAGES[kind]}
    versions = {"brainfm": __version__}
    for name in sorted(names):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
