"""Labels of standardised recordings: participant, run, dataset and site."""

from functools import lru_cache
from pathlib import Path

from brainfm.files import read_tsv
from brainfm.recording import RUN_LABELS
from brainfm.storage.bids.names import ENTITY_OF, entities_of
from brainfm.storage.derivatives.study import study_of


def labels_of(path):
    """Return the labels of a standardised recording, from its name and its dataset.

    Parameters
    ----------
    path : path

    Returns
    -------
    labels : dict of str to str
        Arguments of :class:`brainfm.recording.Recording`: participant, labels of the run,
        dataset, doi, site and source.
    """
    entities, root = entities_of(path), dataset_root(path)
    participant, study = entities.get("sub", "unknown"), study_of(str(root))
    return {
        "participant": participant,
        **{name: entities.get(ENTITY_OF[name]) for name in RUN_LABELS},
        "dataset": study.name,
        "doi": study.doi,
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


def raw_uri(path):
    """Return the BIDS URI of a file of the raw dataset.

    Parameters
    ----------
    path : path

    Returns
    -------
    uri : str
        For example ``bids:raw:sub-01/anat/sub-01_T1w.nii.gz``.
    """
    return f"bids:raw:{Path(path).absolute().relative_to(dataset_root(path)).as_posix()}"


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
