"""Names of BIDS files: entities, suffix and extension."""

import re
from pathlib import Path

#: Short names of entities, as in file names, by their long names, as in PyBIDS.
ENTITY_OF = {
    "subject": "sub", "session": "ses", "acquisition": "acq", "ceagent": "ce",
    "reconstruction": "rec", "direction": "dir", "inversion": "inv", "mt": "mt",
    "recording": "recording", "space": "space", "split": "split", "sample": "sample",
    "task": "task", "run": "run", "echo": "echo", "flip": "flip", "part": "part",
    "proc": "proc", "chunk": "chunk",
}  # fmt: skip

#: Queries of raw data: (folder, suffix, extensions).
QUERIES = {
    "t1w": ("anat", "T1w", (".nii.gz", ".nii")),
    "bold": ("func", "bold", (".nii.gz", ".nii")),
    "eeg": ("eeg", "eeg", (".edf", ".vhdr", ".bdf", ".set")),
}
#: A label, as of a participant or a task.
LABEL = re.compile(r"[0-9a-zA-Z+]+")
#: A character that no label holds.
NOT_LABEL = re.compile(r"[^0-9a-zA-Z+]")
_ENTITY = re.compile(r"([a-zA-Z]+)-([0-9a-zA-Z+]+)")


def extension_of(path):
    """Return the extension of a file name, ``.nii.gz`` as a whole.

    Parameters
    ----------
    path : path

    Returns
    -------
    extension : str
        From the first dot on; empty without one.
    """
    return "".join(Path(path).name.partition(".")[1:])


def stem_of(path):
    """Return the entities of a BIDS name as one string, without suffix and extension.

    Parameters
    ----------
    path : path

    Returns
    -------
    stem : str
        Such as ``sub-01_task-rest_run-1``.
    """
    return Path(path).name.partition(".")[0].rpartition("_")[0]


def unpadded(label):
    """Return a label for comparison: run-01 is run 1.

    Parameters
    ----------
    label : str

    Returns
    -------
    label : str
        Without leading zeros if it is a number.
    """
    return str(int(label)) if label.isdecimal() else label


def entities_of(path):
    """Return the entities of a BIDS name.

    Parameters
    ----------
    path : path

    Returns
    -------
    entities : dict of str to str
        Labels by the short names of the entities, in the order of the name.
    """
    pairs = [_ENTITY.fullmatch(part) for part in stem_of(path).split("_")]
    return {match[1]: match[2] for match in pairs if match}


def malformed_parts(path):
    """Return the parts of a BIDS name, before its suffix, that are no entity with a label.

    Parameters
    ----------
    path : path

    Returns
    -------
    parts : list of str
        Such as ``task-rest-open``, whose label holds a hyphen.
    """
    return [part for part in stem_of(path).split("_") if part and not _ENTITY.fullmatch(part)]


def malformed_name(path):
    """Say which part of a BIDS name is no entity with a label.

    Parameters
    ----------
    path : path

    Returns
    -------
    sentence : str or None
        Without the name of the file; None for a well-formed name.
    """
    part = next(iter(malformed_parts(path)), None)
    if part is None:
        return None
    entity, hyphen, label = part.partition("-")
    if not hyphen or not entity.isalpha():
        return (
            f"has {part!r} in its name; expected entities with labels, as in task-rest: rename it."
        )
    better = f"{entity}-{NOT_LABEL.sub('', label) or '<label>'}"
    return (
        f"has {part!r} in its name; expected letters and digits after {entity}-: rename it, such "
        f"as to {better}."
    )
