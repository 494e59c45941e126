"""Methods section with citations, from the settings and sidecars of the outputs."""

from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files

from brainfm import __version__
from brainfm.files import read_json

_PACKAGES = {
    "T1w": ("antspyx", "nibabel", "nilearn"),
    "bold": ("antspyx", "nibabel", "nilearn", "scipy"),
    "eeg": ("mne", "mne-bids", "mne-icalabel", "pybv"),
    "model": ("torch", "scikit-learn", "numpy", "nipype"),
}
_BASELINES = {
    "eeg": ("log band power, and covariances of four frequency bands projected to the tangent "
            "space at their log-Euclidean mean", ("sabbagh2020",)),
    "bold": ("Pearson correlations between parcels, and covariances projected to the tangent "
             "space at their log-Euclidean mean", ("dadi2019",)),
}  # fmt: skip
_HEADS = {
    "classification": "class-balanced logistic regression", "regression": "ridge regression",
}  # fmt: skip
_PENALTIES = {
    "classification": "with a fixed penalty of C = 1",
    "regression": "with a penalty chosen by leave-one-out cross-validation",
}


def participant_methods(outputs):
    """Describe how the outputs of one participant were made.

    Parameters
    ----------
    outputs : brainfm.stages.report.collect.ParticipantOutputs

    Returns
    -------
    paragraphs : list of list of (str, tuple of str)
        Sentences, or parts of them, with the keys of their citations.
    """
    paragraphs = [[
        (f"Results were obtained with brainfm {__version__} from a dataset in the Brain Imaging "
         "Data Structure (BIDS),", ("gorgolewski2016",)),
        ("using Nipype workflows.", ("gorgolewski2011",)),
    ]]  # fmt: skip
    if outputs.of("bold"):
        paragraphs.append(_bold(outputs))
    if outputs.of("eeg"):
        paragraphs += _eeg(outputs)
    if any(recording.embeddings for recording in outputs.recordings):
        paragraphs.append(_embedding(outputs))
    return paragraphs


def evaluation_methods(evaluation):
    """Describe how an evaluation was made.

    Parameters
    ----------
    evaluation : dict
        Content of ``evaluation.json``.

    Returns
    -------
    paragraphs : list of list of (str, tuple of str)
        As in :func:`participant_methods`.
    """
    folds, question = evaluation["folds"], evaluation["question"]
    baselines, citations = _BASELINES[question["modality"]]
    units = {"block": "blocks of time", "recording": "recordings"}
    return [
        [
            (_split(folds), ()),
            *_pretrained(evaluation),
            (f"The baselines were {baselines}.", citations),
            (f"All methods used the same head, {_HEADS[question['task']]}; its scaling and its "
             "penalty (chosen by nested cross-validation) were fitted on the training rows only.",
             ("pedregosa2011",)),
            ("Confidence intervals are percentiles of 1000 bootstrap samples of "
             f"{units.get(folds['kind'], 'participants')}, the same samples for all methods.", ()),
            *_permutations(evaluation),
            *_secondary_analyses(evaluation),
        ]
    ]  # fmt: skip


def _split(folds):
    """Sentence on training and test sets."""
    if folds["kind"] == "site":
        return (
            f"Each of the {folds['n_splits']} values of {folds['groups']} was left out in turn. "
            "Scores compare participants of the same value only; they are averaged with weights "
            "of the number of participants minus one."
        )
    if folds["kind"] == "participant":
        return f"Cross-validation used {folds['n_splits']} folds split by participant" + (
            f", repeated with {folds['n_repeats']} different splits."
            if folds["n_repeats"] > 1
            else "."
        )
    cut = f"Recordings were cut into windows of {folds['window_s']:g} s. "
    if folds["kind"] == "recording":
        return (
            f"{cut}Each of {folds['n_splits']} folds tested whole recordings, some of each "
            "condition of every participant."
        )
    return (
        f"{cut}Each of {folds['n_splits']} folds tested one contiguous block of every recording; "
        f"training windows within {folds['gap_s']:g} s of it were excluded."
    )


def _pretrained(evaluation):
    """Sentence on the encoder, if there is one."""
    model = evaluation.get("model")
    if not model:
        return []
    return [
        (f"Recordings were embedded by the pretrained encoder {model['name']} with frozen weights "
         f"(SHA-256 {model['sha256'][:12]}…).", ())
    ]  # fmt: skip


def _permutations(evaluation):
    """Sentence on p values, if there are any."""
    if not evaluation["n_permutations"]:
        return []
    units = {"block": "blocks", "recording": "recordings"}
    unit = units.get(evaluation["folds"]["kind"], "participants or recordings")
    penalty = _PENALTIES[evaluation["question"]["task"]]
    return [
        (f"p values are from {evaluation['n_permutations']} permutations of the labels of whole "
         f"{unit}, restricted to permutations that keep the folds balanced, {penalty}, on the "
         "first split.", ("ojala2010",))
    ]  # fmt: skip


def _secondary_analyses(evaluation):
    """Sentences on the comparison of methods, few-shot curves and the confound audit."""
    sentences = []
    if evaluation["comparison"].get("t_test"):
        sentences.append(
            ("Methods were compared by a t test over folds with a variance corrected for "
             "overlapping training sets.", ("nadeau2003",))
        )  # fmt: skip
    if evaluation["curves"]:
        n_draws = len(evaluation["curves"][0]["scores"])
        sentences.append(
            (f"Few-shot learning curves are means over {n_draws} random draws of training "
             "participants, the same draws for all methods, "
             f"{_PENALTIES[evaluation['question']['task']]}.", ())
        )  # fmt: skip
    if any(method["kind"] == "covariates" for method in evaluation["methods"]):
        sentences.append(("A model of the confounds alone was tested on the same folds.", ()))
    if evaluation["audit"]:
        sentences.append(
            ("Confounds were regressed out of the features with coefficients estimated on the "
             "training rows.", ("snoek2019",))
        )  # fmt: skip
    return sentences


def number_citations(paragraphs):
    """Number citations in order of their first use.

    Parameters
    ----------
    paragraphs : list of list of (str, tuple of str)
        As in :func:`participant_methods`.

    Returns
    -------
    paragraphs : list of list of (str, list of int)
    references : list of (str, str or None)
        Text and DOI.
    """
    known = read_json(files("brainfm.data") / "reports" / "citations.json")
    cited = [key for paragraph in paragraphs for _, keys in paragraph for key in keys]
    number = {key: index for index, key in enumerate(dict.fromkeys(cited), start=1)}
    numbered = [[(text, [number[key] for key in keys]) for text, keys in p] for p in paragraphs]
    return numbered, [tuple(known[key]) for key in number]


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
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def fmri_engine(outputs):
    """Return the engine that preprocessed the fMRI.

    Parameters
    ----------
    outputs : brainfm.stages.report.collect.ParticipantOutputs

    Returns
    -------
    engine : str or None
        From the outputs, or else from the settings of the last call.
    """
    for recording in outputs.of("bold"):
        engine = recording.sidecar.get("Engine") or recording.quality.get("engine")
        if engine:
            return str(engine)
    return outputs.settings.get("bold", {}).get("fmri_engine")


def _bold(outputs):
    section = outputs.settings.get("bold", {})
    sidecar = next((r.sidecar for r in outputs.of("bold") if r.sidecar), {})
    high, low = (_cutoff_hz(sidecar, section, key) for key in ("high_pass_hz", "low_pass_hz"))
    band = f"band-passed from {high:g} to {low:g} Hz" if high and low else "filtered"
    return [
        *_fmri_preprocessing(fmri_engine(outputs)),
        ("Head motion is reported as framewise displacement.", ("power2012",)),
        (f"Parcel time series were detrended and {band};", ()),
        ("in the same regression,", ("lindquist2019",)),
        ("24 motion parameters", ("friston1996",)),
        (f"and {_n_compcor(sidecar, section)} aCompCor components", ("behzadi2007",)),
        ("were removed.", ()),
        *_reduced_confounds(sidecar),
        ("Parcels are from the Schaefer atlas unless another atlas was given;", ("schaefer2018",)),
        ("images were processed with nilearn.", ("abraham2014",)),
    ]


def _fmri_preprocessing(engine):
    if engine == "fmriprep":
        return [("The fMRI was preprocessed with fMRIPrep.", ("esteban2019",))]
    if engine == "derivatives":
        return [("The preprocessed fMRI was read from the given derivatives.", ())]
    if engine != "builtin":
        return [("The outputs do not name the engine that preprocessed the fMRI.", ())]
    return [
        ("The built-in engine corrected the bias field of the T1w image with N4,",
         ("tustison2010",)),
        ("extracted the brain, and registered it to the MNI152 template by an affine and a "
         "diffeomorphic transform with ANTs.", ("avants2008", "tustison2021", "fonov2009")),
        ("BOLD volumes were realigned by rigid transforms and aligned to the T1w image; all "
         "transforms were applied in one interpolation.", ()),
    ]  # fmt: skip


def _n_compcor(sidecar, section):
    names = sidecar.get("Confounds")
    if isinstance(names, list):
        return sum(str(name).startswith("a_comp_cor") for name in names)
    return section.get("n_acompcor", "some")


def _reduced_confounds(sidecar):
    before, after = sidecar.get("n_confounds"), sidecar.get("n_confound_components")
    if before and after and after < before:
        return [(f"Because the run is short, the {before} confounds were reduced to their {after} "
                 "largest principal components.", ())]  # fmt: skip
    return []


def _cutoff_hz(sidecar, section, key):
    """Cut-off of the band-pass filter, from the sidecar or else from the settings."""
    step = {"high_pass_hz": "HighPass", "low_pass_hz": "LowPass"}[key]
    filters = sidecar.get("SoftwareFilters")
    found = filters.get(step) if isinstance(filters, dict) else None
    return found.get("CutOff (Hz)") if isinstance(found, dict) else section.get(key)


def _eeg(outputs):
    sidecar = next((one.sidecar for one in outputs.of("eeg") if one.sidecar), None)
    if sidecar is None:
        return []
    filters = sidecar.get("SoftwareFilters") or {}
    band = filters.get("BandPass") or {}
    notches = (filters.get("Notch") or {}).get("FrequenciesHz") or []
    sentences = [("The EEG was read with MNE-BIDS", ("pernet2019", "appelhoff2019")),
                 ("and preprocessed with MNE-Python.", ("gramfort2013",))]  # fmt: skip
    if notches:
        words = " and ".join(f"{hz:g} Hz" for hz in notches)
        sentences.append((f"Line noise was removed by zero-phase notch filters at {words}.", ()))
    if band:
        sentences.append(
            (f"The signal was band-passed from {band.get('HighPassHz'):g} to "
             f"{band.get('LowPassHz'):g} Hz (zero-phase FIR filter). Bad channels were detected by "
             "their amplitude, noise and correlation with other channels, and interpolated.", ())
        )  # fmt: skip
    sentences += _artefact_removal(sidecar.get("ArtefactRemoval") or {})
    rate = sidecar.get("SamplingFrequency")
    if rate:
        reference = sidecar.get("EEGReference", "average")
        sentences.append((f"The reference is {reference}, the sampling rate {rate:g} Hz.", ()))
    return [sentences]


def _artefact_removal(removal):
    if not removal or removal.get("Method") == "none":
        reason = removal.get("Reason")
        return [(f"No independent components were removed ({reason}).", ())] if reason else []
    return [
        ("Independent components were computed with Picard", ("ablin2018",)),
        ("and labelled by ICLabel.", ("pion2019", "li2022")),
        ("Components labelled as eye, muscle, heart, line noise or channel noise with a "
         f"probability above {removal.get('ProbabilityThreshold', 0.8):g} were removed (random "
         f"seed {removal.get('RandomSeed', 0)}).", ()),
    ]  # fmt: skip


def _embedding(outputs):
    sidecar = next(r.embeddings[0].sidecar for r in outputs.recordings if r.embeddings)
    name = sidecar.get("ModelName", "the model")
    checksum = str(sidecar.get("ModelSHA256") or "")[:12]
    with_checksum = f" (SHA-256 {checksum}…)" if checksum else ""
    return [
        (f"Each recording was embedded as one vector by the pretrained encoder {name}"
         f"{with_checksum}, run with PyTorch.", ("paszke2019",)),
    ]  # fmt: skip
