"""Files of preprocessed BOLD runs in derivatives of fMRIPrep, and of others that use its names.

Names of fMRIPrep 1.0 to 25 are understood. A run is known by its entities. Echoes that were
combined are one run; some versions keep ``echo-1`` or ``part-mag`` in some of its names.
"""

import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from brainfm.errors import MissingInput
from brainfm.storage.bids.names import entities_of, unpadded
from brainfm.storage.derivatives.names import run_entities

_KINDS = {
    "bold": ("_desc-preproc_bold.nii.gz", "_desc-preproc_bold.nii", "_preproc.nii.gz",
             "_preproc.nii"),
    "mask": ("_desc-brain_mask.nii.gz", "_desc-brain_mask.nii", "_brainmask.nii.gz",
             "_brainmask.nii"),
    "confounds": ("_desc-confounds_timeseries.tsv", "_desc-confounds_regressors.tsv",
                  "_bold_confounds.tsv"),
    "aroma": ("_desc-smoothAROMAnonaggr_bold.nii.gz", "_desc-smoothAROMAnonaggr_bold.nii"),
    "surface": ("_bold.dtseries.nii", "_bold.func.gii", ".L.func.gii", ".R.func.gii"),
}  # fmt: skip
#: Entities of files that preprocessing combines to one run.
COMBINED = ("echo", "part")


@dataclass(frozen=True, kw_only=True)
class FmriprepRun:
    """Files of one run that was normalised to an MNI152 space.

    Parameters
    ----------
    entities : dict of str to str
        Those that distinguish runs.
    bold, mask, confounds : Path or None
        None where there is none; the files need not be readable.
    aroma, aroma_mask : Path or None
        Image that ICA-AROMA cleaned, and the mask in its space.
    lost : tuple of str
        What is missing, in words.
    found : tuple of str
        Names of all files of the run.
    """

    entities: dict
    bold: Path | None = None
    mask: Path | None = None
    confounds: Path | None = None
    aroma: Path | None = None
    aroma_mask: Path | None = None
    lost: tuple[str, ...] = ()
    found: tuple[str, ...] = ()

    @property
    def files(self):
        """Paths of image, mask and confounds, by these names."""
        return {"bold": self.bold, "mask": self.mask, "confounds": self.confounds}

    def files_for(self, denoising):
        """Return the files that a denoising strategy works on.

        Parameters
        ----------
        denoising : str
            See :class:`brainfm.config.BoldConfig`.

        Returns
        -------
        files : dict of str to Path
            bold, mask and confounds; for ``ica_aroma``, the image that ICA-AROMA cleaned.

        Raises
        ------
        MissingInput
            If there is no such image, or no mask in its space.
        """
        if denoising != "ica_aroma":
            return self.files
        if not (self.aroma and self.aroma_mask):
            lost = "the brain mask in its space" if self.aroma else "the image"
            raise MissingInput(
                f"--bold-denoising ica_aroma needs desc-smoothAROMAnonaggr_bold.nii.gz, and {lost} "
                f"is missing among the files of {self.bold.name if self.bold else 'this run'}: run "
                "fMRIPrep 23.1 or older with --use-aroma, or choose another strategy."
            )
        return {**self.files, "bold": self.aroma, "mask": self.aroma_mask}


def run_key(entities):
    """Return what the echoes and parts of a run have in common.

    Parameters
    ----------
    entities : dict of str to str

    Returns
    -------
    key : frozenset of (str, str)
        ``run-01`` is run 1.
    """
    return frozenset(
        (name, unpadded(label) if name == "run" else label)
        for name, label in entities.items()
        if name not in COMBINED
    )


def holds_runs(root):
    """Return whether a dataset holds any preprocessed BOLD run, usable or not.

    Parameters
    ----------
    root : path

    Returns
    -------
    holds : bool
    """
    folders = Path(root).glob("sub-*")
    return any(find_runs(root, folder.name.removeprefix("sub-")) for folder in folders)


def find_runs(root, participant):
    """Find the preprocessed runs of a participant.

    Among several spaces the first by name is taken, among resolutions the largest ``res`` index.
    Where a run has no mask of its own, the mask of the anatomical image in the same space is its.

    Parameters
    ----------
    root : path
        Folder of the ``sub-*`` folders.
    participant : str

    Returns
    -------
    runs : list of FmriprepRun
        By name; several of one :func:`run_key` if echoes were not combined.
    """
    base = Path(root) / f"sub-{participant}"
    groups = defaultdict(list)
    for folder in (base / "func", *sorted(base.glob("ses-*/func"))):
        for name in _names_in(folder):
            groups[run_key(run_entities(name))].append(folder / name)
    return [run for paths in groups.values() for run in _runs_of(paths, base)]


def find_fmriprep_run(derivatives_dir, raw_file):
    """Find the preprocessed files of a raw run.

    Parameters
    ----------
    derivatives_dir : path
    raw_file : path
        Raw run; only its name is read.

    Returns
    -------
    FmriprepRun

    Raises
    ------
    MissingInput
        If image, mask or confounds are missing; the message lists the files of the run.
    """
    wanted = run_entities(raw_file)
    found = find_runs(derivatives_dir, wanted["sub"])
    same = [run for run in found if run_key(run.entities) == run_key(wanted)]
    same = [run for run in same if run.entities == wanted] or same
    if len(same) != 1 or same[0].lost:
        run = same[0] if len(same) == 1 else None
        raise MissingInput(lost_files(derivatives_dir, Path(raw_file).name, run))
    return same[0]


def lost_files(root, name, run=None):
    """Describe what a run lacks.

    Parameters
    ----------
    root : path
        Dataset.
    name : str
        The run, in words.
    run : FmriprepRun, optional
        None if the dataset has nothing of it.

    Returns
    -------
    sentence : str
    """
    lost = run.lost if run else (_LOST_IMAGE, _LOST_CONFOUNDS)
    names = run.found if run else ()
    there = ", ".join(names[:6]) or "no file of this run"
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    surfaces = any(kind_of(one) == "surface" for one in names) and _LOST_IMAGE in lost
    why = " Surfaces cannot be averaged by the atlas, which is a volume." if surfaces else ""
    return (
        f"{root} lacks {' and '.join(lost)} for {name}; found {there}{more}.{why} Run fMRIPrep "
        "with --output-spaces MNI152NLin2009cAsym, or leave the run out of the selection."
    )


def kind_of(name):
    """Return what a file of a run is.

    Parameters
    ----------
    name : str

    Returns
    -------
    kind : {"bold", "mask", "confounds", "aroma", "surface"} or None
    """
    kind = next((kind for kind, ends in _KINDS.items() if name.endswith(ends)), None)
    is_cleaned = kind == "surface" and entities_of(name).get("desc", "preproc") != "preproc"
    return None if is_cleaned else kind


_LOST_IMAGE = "space-MNI152*_desc-preproc_bold.nii.gz"
_LOST_MASK = "the desc-brain_mask.nii.gz of its image"
_LOST_CONFOUNDS = "desc-confounds_timeseries.tsv (or _regressors.tsv)"


def _names_in(folder):
    try:
        return sorted(name for name in os.listdir(folder) if name.startswith("sub-"))
    except OSError:
        return []


def _runs_of(paths, base):
    """Return the runs that files of one key make: one, or one for each echo not combined."""
    kinds = {path: kind_of(path.name) for path in paths}
    if not {"bold", "surface", "confounds"} & set(kinds.values()):
        return []
    images = [path for path in paths if kinds[path] == "bold" and _in_mni152(path)]
    variants = {_combined(path): run_entities(path) for path in images}
    if any("echo" not in labels for labels in variants.values()):
        variants = {key: labels for key, labels in variants.items() if "echo" not in labels}
    common = {key: label for key, label in run_entities(paths[0]).items() if key not in COMBINED}
    return [_make_run(labels, kinds, base) for labels in variants.values() or [common]]


def _make_run(labels, kinds, base):
    fitting = [path for path in kinds if _fits(path, labels)]
    of_kind = {kind: [path for path in fitting if kinds[path] == kind] for kind in _KINDS}
    images = [path for path in of_kind["bold"] if _in_mni152(path)]
    masks = {image: _mask_of(image, of_kind["mask"], base) for image in images}
    image = max(images, key=lambda path: (bool(masks[path]), *_preference(path)), default=None)
    aroma = next(iter(of_kind["aroma"]), None)
    lost = [] if images else [_LOST_IMAGE]
    lost += [_LOST_MASK] if image and not masks[image] else []
    lost += [] if of_kind["confounds"] else [_LOST_CONFOUNDS]
    alike = [path for path in images if _preference(path) == _preference(image)]
    lost += [f"one image instead of {' and '.join(p.name for p in alike)}"] if alike[1:] else []
    return FmriprepRun(
        entities=labels,
        bold=image,
        mask=masks.get(image),
        confounds=of_kind["confounds"][-1] if of_kind["confounds"] else None,
        aroma=aroma,
        aroma_mask=_mask_of(aroma, of_kind["mask"], base) if aroma else None,
        lost=tuple(lost),
        found=tuple(path.name for path in kinds),
    )


def _combined(path):
    """Return the labels of echo and part in a name."""
    labels = run_entities(path)
    return tuple(labels.get(key) for key in COMBINED)


def _fits(path, labels):
    """Return whether the echo and part of a file, if it names them, are those of the run."""
    own = run_entities(path)
    return all(key not in own or own[key] == labels.get(key) for key in COMBINED)


def _in_mni152(path):
    return entities_of(path).get("space", "").startswith("MNI152")


def _mask_of(image, masks, base):
    """Return the mask in the space and grid of an image, else that of the anatomical image."""
    space, grid = _space(image), entities_of(image).get("res")
    own = [path for path in masks if _space(path) == space]
    same = [path for path in own if entities_of(path).get("res") == grid]
    if same:
        return same[-1]
    session = entities_of(image).get("ses")
    folders = [base / "anat", *([base / f"ses-{session}" / "anat"] if session else [])]
    anatomical = [
        folder / name
        for folder in folders
        for name in _names_in(folder)
        if kind_of(name) == "mask" and _space(name) == space
    ]
    same = [path for path in anatomical if entities_of(path).get("res") == grid]
    return next(reversed([*anatomical, *same]), None)


def _space(path):
    entities = entities_of(path)
    return entities.get("space"), entities.get("cohort")


def _preference(image):
    """Sort key: spaces in reverse alphabetical order, then the ``res`` index."""
    entities = entities_of(image)
    res = entities.get("res", "")
    return [-ord(letter) for letter in entities["space"]], int(res) if res.isdecimal() else 0
