"""Files of a run in derivatives of fMRIPrep, old and new names."""

from dataclasses import dataclass
from pathlib import Path

from brainfm.errors import MissingInput
from brainfm.storage.bids.names import entities_of
from brainfm.storage.derivatives.names import run_entities

_BOLD_TO_MASK = ("_desc-preproc_bold", "_desc-brain_mask")
_CONFOUNDS = ("desc-confounds_timeseries.tsv", "desc-confounds_regressors.tsv")


@dataclass(frozen=True, kw_only=True)
class FmriprepRun:
    """Files of one run that fMRIPrep normalised to an MNI152 space.

    Parameters
    ----------
    bold, mask, confounds : Path
    """

    bold: Path
    mask: Path
    confounds: Path


def find_fmriprep_run(derivatives_dir, raw_file):
    """Find the preprocessed files of a raw run.

    Among several spaces the first by name is taken, among resolutions the largest ``res`` index.

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
    folder = Path(derivatives_dir) / f"sub-{wanted['sub']}"
    folder = (folder / f"ses-{wanted['ses']}" if "ses" in wanted else folder) / "func"
    found = [path for path in sorted(folder.glob("*")) if _matches(path, wanted)]
    images = [path for path in found if _is_bold(path)]
    masks = [path.with_name(path.name.replace(*_BOLD_TO_MASK)) for path in images]
    pairs = [(image, mask) for image, mask in zip(images, masks, strict=True) if mask in found]
    confounds = [path for path in found if path.name.endswith(_CONFOUNDS)]
    lost = [] if images else ["space-MNI152*_desc-preproc_bold.nii.gz"]
    lost += [] if pairs or not images else ["the desc-brain_mask.nii.gz of that image"]
    lost += [] if confounds else ["desc-confounds_timeseries.tsv (or _regressors.tsv)"]
    if lost:
        raise MissingInput(_sentence(folder, raw_file, lost, found))
    image, mask = max(pairs, key=lambda pair: _preference(pair[0]))
    return FmriprepRun(bold=image, mask=mask, confounds=confounds[-1])


def _matches(path, wanted):
    """Match entities; fMRIPrep drops echo and part when it combines them."""
    found = run_entities(path)
    loose = ("echo", "part")
    return {k: v for k, v in found.items() if k not in loose} == {
        k: v for k, v in wanted.items() if k not in loose
    } and all(found[k] == wanted[k] for k in loose if k in found and k in wanted)


def _is_bold(path):
    return entities_of(path).get("space", "").startswith("MNI152") and path.name.endswith(
        ("_desc-preproc_bold.nii.gz", "_desc-preproc_bold.nii")
    )


def _preference(image):
    """Sort key: spaces in reverse alphabetical order, then the ``res`` index."""
    entities = entities_of(image)
    res = entities.get("res", "")
    coarse = int(res) if res.isdigit() else 0
    return [-ord(letter) for letter in entities["space"]], coarse


def _sentence(folder, raw_file, lost, found):
    there = ", ".join(path.name for path in found[:6]) or "no file of this run"
    more = f" and {len(found) - 6} more" if len(found) > 6 else ""
    return (
        f"{folder} lacks {', '.join(lost)} for {Path(raw_file).name}; found {there}{more}. Run "
        "fMRIPrep with --output-spaces MNI152NLin2009cAsym, or give the folder that holds the "
        "sub-* folders of its output."
    )
