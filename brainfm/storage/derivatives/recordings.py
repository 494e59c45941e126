"""Standardised recordings of a derivative dataset: parcel series and clean EEG."""

from pathlib import Path

from brainfm.errors import DataError, MissingInput, SignalError
from brainfm.files import read_json
from brainfm.storage.bids.names import entities_of
from brainfm.storage.derivatives.names import run_entities
from brainfm.storage.derivatives.read_eeg import read_eeg
from brainfm.storage.derivatives.read_timeseries import read_timeseries


def find_recordings(root, *, modality=None, positions=None, **labels):
    """Find the standardised recordings of a derivative dataset.

    Parameters
    ----------
    root : path
        Folder with ``sub-*`` folders: an output folder of brainfm, or another dataset of
        parcel series named ``*_atlas-<label>[_...]_timeseries.tsv``.
    modality : {"bold", "eeg"}, optional
    positions : path, optional
        Table of the atlas (columns name, x, y, z in MNI millimetres) for series whose sidecar
        names no positions and whose dataset has no ``atlas-<label>_dseg.tsv``.
    **labels
        ``participant``, ``session``, ``task``, ``run``: one label or several, with or without
        the prefix (``sub-``, ``ses-``); ``atlas``: the label of the parcellation.

    Returns
    -------
    recordings : list of Recording, by path

    Raises
    ------
    MissingInput
        If the folder does not exist, or a recording has no positions.
    DataError
        If a file is not what its name says, or two names differ only in the order of entities.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingInput(f"{root} is not a folder; expected the root of a derivative dataset.")
    wanted = {key: _as_labels(key, value) for key, value in labels.items() if value is not None}
    found, paths = [], list(_standardised_files(root, wanted.get("participant")))
    _check_names(paths)
    for path in paths:
        kind = "eeg" if path.suffix == ".vhdr" else "bold"
        if modality in (None, kind) and _matches(path, wanted):
            try:
                found.append(read_eeg(path) if kind == "eeg" else read_timeseries(path, positions))
            except SignalError as error:
                raise SignalError(f"{path}: {error}") from error
    return found


def mean_fd_of(recording):
    """Read the mean framewise displacement of a BOLD run that brainfm preprocessed.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    mean_fd_mm : float
        NaN for EEG and for runs without ``*_desc-bold_qc.json``.
    """
    if recording.modality != "bold" or not recording.source:
        return float("nan")
    path = Path(recording.source)
    run = "_".join(f"{key}-{label}" for key, label in run_entities(path).items())
    quality = path.with_name(f"{run}_desc-bold_qc.json")
    found = read_json(quality).get("fd_mean_mm") if quality.is_file() else None
    return float("nan") if found is None else float(found)


def tasks_of(root):
    """Return the tasks of the standardised recordings of a dataset, from their file names.

    Parameters
    ----------
    root : path

    Returns
    -------
    tasks : set of str
    """
    tasks = {entities_of(path).get("task") for path in _standardised_files(Path(root), None)}
    return tasks - {None}


def _as_labels(key, value):
    values = [value] if isinstance(value, str) else list(value)
    prefix = {"participant": "sub-", "session": "ses-"}.get(key, f"{key}-")
    return {str(item).removeprefix(prefix) for item in values}


def _standardised_files(root, participants):
    for folder in sorted(root.glob("sub-*")):
        if participants is not None and folder.name.removeprefix("sub-") not in participants:
            continue
        for pattern in ("func/*_timeseries.tsv", "eeg/*_desc-preproc_eeg.vhdr"):
            for path in [*sorted(folder.glob(pattern)), *sorted(folder.glob(f"ses-*/{pattern}"))]:
                if path.suffix == ".vhdr" or "atlas" in entities_of(path):
                    yield path


def _check_names(paths):
    """Refuse two names with the same entities, which would be one recording twice."""
    names = {}
    for path in paths:
        key = path.parent, path.name.rpartition("_")[2], frozenset(entities_of(path).items())
        if key in names:
            raise DataError(
                f"{names[key]} and {path.name} have the same entities in a different order; "
                "expected one file for each recording: remove the older one."
            )
        names[key] = path.name


def _matches(path, wanted):
    entities = entities_of(path)
    short = {"participant": "sub", "session": "ses"}
    return all(entities.get(short.get(key, key)) in values for key, values in wanted.items()
               if key != "atlas" or path.suffix != ".vhdr")  # fmt: skip
