"""Labels of standardised recordings: participant, session, task, run, dataset and site."""

from functools import lru_cache
from pathlib import Path

from brainfm.files import read_json, read_tsv
from brainfm.storage.bids.names import entities_of


def labels_of(path):
    """Return the labels of a standardised recording, from its name and its dataset.

    Parameters
    ----------
    path : path

    Returns
    -------
    labels : dict of str to str
        Arguments of :class:`brainfm.recording.Recording`: participant, session, task, run,
        dataset, site and source.
    """
    entities, root = entities_of(path), dataset_root(path)
    participant = entities.get("sub", "unknown")
    return {
        "participant": participant,
        "session": entities.get("ses"),
        "task": entities.get("task"),
        "run": entities.get("run"),
        "dataset": _dataset_name(str(root)),
        "site": _sites(str(root)).get(participant),
        "source": str(path),
    }


def dataset_root(path):
    """Return the root of the dataset of a file: the folder above ``sub-*``.

    Parameters
    ----------
    path : path

    Returns
    -------
    root : Path
        Absolute; the folder of the file if no ``sub-*`` folder is above it.
    """
    folders = Path(path).absolute().parents
    return next((one.parent for one in folders if one.name.startswith("sub-")), folders[0])


@lru_cache(maxsize=64)
def _dataset_name(root):
    """Return the name of the raw dataset if a derivative links to it, else its own name."""
    description = _description(root)
    raw = description.get("DatasetLinks", {}).get("raw")
    source = _description(Path(root) / raw) if raw else {}
    return source.get("Name") or description.get("Name") or Path(root).name


def _description(root):
    path = Path(root) / "dataset_description.json"
    return read_json(path) if path.exists() else {}


@lru_cache(maxsize=64)
def _sites(root):
    table = Path(root) / "participants.tsv"
    if not table.exists():
        return {}
    frame = read_tsv(table, dtype=str)
    column = next((name for name in ("site", "site_id") if name in frame), None)
    if column is None or "participant_id" not in frame:
        return {}
    frame = frame.dropna(subset=[column])
    return {
        label.removeprefix("sub-"): site
        for label, site in zip(frame["participant_id"], frame[column], strict=True)
    }
