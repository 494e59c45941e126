"""Files and folders of a raw dataset that look like runs or participants but are not named so."""

import re

from brainfm.storage.bids.names import LABEL, NOT_LABEL, QUERIES, entities_of, extension_of

#: Images in func/ that are no runs.
_OTHER_IMAGES = {"sbref", "cbv", "phase", "noRF", "boldref", "mask", "dseg", "probseg", "T2star"}
_IMAGE = re.compile(r"(.+?)\.(nii|nii\.gz|img|mgz)", re.IGNORECASE)
_EEG = re.compile(r"(.+?)\.(edf|bdf|vhdr|set|cnt|gdf|mff|fif|mat)", re.IGNORECASE)
#: Folders of BIDS that are not searched for runs in a wrong place, or are searched as their own.
_FOLDERS = {
    "anat", "func", "eeg", "fmap", "dwi", "perf", "meg", "ieeg", "beh", "pet", "micr", "nirs",
    "motion", "mrs", "emg", "figures", "xfm",
}  # fmt: skip
_T1W = re.compile(r"t1w?\d*|mprage")
_PARTICIPANT = re.compile(r"sub[-_ ].*|sub\d.*", re.IGNORECASE)
_NAME_OF = {"t1w": "T1w image", "bold": "BOLD run", "eeg": "recording of EEG"}


def files_of(participant, sidecars):
    """Find the files of a participant that are runs, or look like runs under wrong names.

    Parameters
    ----------
    participant : str
    sidecars : brainfm.storage.bids.sidecars.Sidecars

    Yields
    ------
    path : Path
    modality : {"t1w", "bold", "eeg"}
    is_named_so : bool
        True if folder, suffix and extension are those of a run.
    """
    root = sidecars.bids_dir / f"sub-{participant}"
    sessions = [name for name in sidecars.names_in(root) if name.startswith("ses-")]
    for folder in [root, *(root / name for name in sessions)]:
        names = sidecars.names_in(folder)
        yield from _files_in(folder, "", names)
        for datatype, _, _ in QUERIES.values():
            if datatype in names:
                yield from _files_below(folder / datatype, datatype, sidecars, depth=2)
        for name in names:
            if "." not in name and name not in (*_FOLDERS, *sessions):
                yield from _files_below(folder / name, "", sidecars, depth=3)


def _files_below(folder, datatype, sidecars, depth):
    """Search a folder, and those in it that BIDS does not know, such as ``func/old``."""
    names = sidecars.names_in(folder)
    yield from _files_in(folder, datatype, names)
    for name in names if depth > 1 else ():
        if "." not in name:
            yield from _files_below(folder / name, "", sidecars, depth - 1)


def _files_in(folder, datatype, names):
    for name in names:
        for modality, (own, suffix, extensions) in QUERIES.items():
            end = f"_{suffix}{extension_of(name)}"
            if own == datatype and extension_of(name) in extensions and name.endswith(end):
                yield folder / name, modality, True
                break
        else:
            modality = _looks_like(name, datatype)
            if modality:
                yield folder / name, modality, False


def name_expected(modality):
    """Say how a file has to be named.

    Parameters
    ----------
    modality : {"t1w", "bold", "eeg"}

    Returns
    -------
    sentence : str
    """
    folder, suffix, extensions = QUERIES[modality]
    task = "" if modality == "t1w" else "_task-<label>"
    return (
        f"looks like a {_NAME_OF[modality]} but is not named as one; expected {folder}/sub-<label>"
        f"[_ses-<label>]{task}_{suffix} with {' or '.join(extensions)}, in exactly these letters: "
        "rename, move or convert it."
    )


def stray_runs(names):
    """Find files in the root of a dataset that look like runs.

    Parameters
    ----------
    names : iterable of str

    Returns
    -------
    problems : dict of str to str
        A sentence for each label of a participant in their names.
    """
    modalities = {name: _looks_like(name, "") for name in sorted(names)}
    return {
        entities_of(name).get("sub", name): f"{name} lies in the root of the dataset; it "
        f"{name_expected(modality)}"
        for name, modality in modalities.items()
        if modality
    }


def misnamed_folders(folders):
    """Find folders that look like those of participants.

    Parameters
    ----------
    folders : iterable of str

    Returns
    -------
    problems : dict of str to str
        A sentence for each label (the folder's name without ``sub-``).
    """
    wrong = [name for name in folders if _PARTICIPANT.fullmatch(name)
             and not (name.startswith("sub-") and LABEL.fullmatch(name[4:]))]  # fmt: skip
    return {
        name.removeprefix("sub-"): f"the folder {name} is not named as one of a participant; "
        "expected sub- and a label of letters and digits: rename it and the files in it, such as "
        f"sub-{_cleaned(name)}."
        for name in sorted(wrong)
    }


def _cleaned(name):
    return NOT_LABEL.sub("", name[3:]) or "01"


def _looks_like(name, datatype):
    image, eeg = _IMAGE.fullmatch(name), _EEG.fullmatch(name)
    suffix = (image or eeg or [""])[0].partition(".")[0].rpartition("_")[2] if image or eeg else ""
    word = suffix.lower()
    if eeg:
        return "eeg" if datatype == "eeg" or word == "eeg" else None
    if not image:
        return None
    if word == "t1w" or (datatype in ("anat", "func") and _T1W.fullmatch(word)):
        return "t1w"
    if word == "bold" or (datatype == "func" and suffix not in _OTHER_IMAGES):
        return "bold"
    return None
