"""Files of parcel series, of brainfm and of other programs, by their names."""

from collections import defaultdict

from brainfm.errors import DataError
from brainfm.storage.bids.names import entities_of
from brainfm.storage.derivatives.names import run_entities

#: Folders of series below that of a participant or a session; HALFpipe has one for each task.
_FOLDERS = ("func/*", "func/*/*", "*")
#: What programs write beside or instead of series, and what it is.
_OTHERS = {
    "_relmat.tsv": "connectivity matrices",
    "_conmat.tsv": "connectivity matrices",
    "_connectome.tsv": "connectivity matrices",
    "_matrix.tsv": "connectivity matrices",
    "_timeseries.ptseries.nii": "CIFTI series of parcels",
    "_timeseries.h5": "HDF5 files",
    ".h5": "HDF5 files",
}


def series_in(folder):
    """Find the parcel series of a participant or a session.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    paths : list of Path
        Sorted. Hidden files, confounds and other tables of no parcellation are left out.
    """
    found = [path for pattern in _FOLDERS for path in folder.glob(f"{pattern}_timeseries.tsv")]
    return sorted(path for path in found if _is_series(path))


def parcellation_of(path):
    """Return the label of the parcellation of a series.

    Parameters
    ----------
    path : path
        ``atlas-<label>``, or ``seg-<label>`` as XCP-D and giga_connectome name it.

    Returns
    -------
    label : str or None
    """
    entities = entities_of(path)
    return entities.get("atlas") or entities.get("seg")


def check_one_series_per_run(paths):
    """Refuse several series of one run, such as of two parcellations.

    Parameters
    ----------
    paths : iterable of Path

    Raises
    ------
    DataError
        If two files have the same run in their names and lie in one folder.
    """
    of_run = defaultdict(list)
    for path in paths:
        of_run[path.parent, path.suffix, tuple(sorted(run_entities(path).items()))].append(path)
    several = [own for own in of_run.values() if len(own) > 1]
    if not several:
        return
    names = ", ".join(path.name for path in several[0][:4])
    labels = sorted({parcellation_of(path) or "none" for own in several for path in own})
    raise DataError(
        f"{len(several)} runs have several series, such as {names}; expected one for each run. "
        f"Select a parcellation, such as atlas={labels[0]!r} (there are {', '.join(labels)}), or "
        "another entity in which they differ with a filter file."
    )


def other_outputs(root):
    """Describe files of other programs that brainfm does not read.

    Parameters
    ----------
    root : Path

    Returns
    -------
    hint : str
        A sentence; empty if there are none.
    """
    for path in sorted(root.glob("**/sub-*")):
        for end, what in _OTHERS.items():
            if path.name.endswith(end):
                return (
                    f" It holds {what}, such as {path.name}, which cannot replace the series that "
                    "brainfm reads: give the *_timeseries.tsv of the same program."
                )
    return ""


def _is_series(path):
    entities = entities_of(path)
    if path.name.startswith(".") or "confounds" in entities.get("desc", ""):
        return False
    return bool(parcellation_of(path)) or ("desc" not in entities and "recording" not in entities)
