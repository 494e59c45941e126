"""Manifest of a corpus, withdrawn participants and file names of signals."""

import hashlib
from pathlib import Path

import pandas as pd

from brainfm.errors import DataError, MissingInput
from brainfm.files import read_tsv, write_tsv
from brainfm.recording import RUN_LABELS

#: Labels that identify a recording.
KEY = ("dataset", "participant", *RUN_LABELS, "doi", "modality")
COLUMNS = (
    "dataset", "doi", "participant", *RUN_LABELS, "site", "modality", "split", "n_times",
    "n_channels", "sampling_hz", "layout", "masked", "checksum", "source_checksum", "study",
)  # fmt: skip
#: Columns that corpora of earlier versions lack.
_ADDED = {"doi", "study", *RUN_LABELS} - {"session", "task", "run"}
_NUMBERS = {"n_times": int, "n_channels": int, "sampling_hz": float}
_VALIDATION_SHARE = 0.2


def split_of(dataset, participant):
    """Assign a participant to a split by a hash, so that the split never changes.

    Parameters
    ----------
    dataset, participant : str

    Returns
    -------
    split : {"train", "validation"}
    """
    share = int(participant_prefix(dataset, participant), 16) / 2**64
    return "validation" if share < _VALIDATION_SHARE else "train"


def key_of(row):
    """Return the labels :data:`KEY` of a row of the manifest.

    Parameters
    ----------
    row : dict

    Returns
    -------
    key : tuple
    """
    return tuple(row[name] for name in KEY)


def participant_prefix(dataset, participant):
    """Return the hash that the file names of a participant start with.

    Parameters
    ----------
    dataset, participant : str

    Returns
    -------
    prefix : str
    """
    return hashlib.sha256(f"{dataset}/{participant}".encode()).hexdigest()[:16]


def signal_name(row):
    """Return the file name of a signal, without extension.

    Parameters
    ----------
    row : dict
        Row of the manifest.

    Returns
    -------
    name : str
    """
    return f"{participant_prefix(row['dataset'], row['participant'])}-{row['checksum']}"


def signal_path(corpus_dir, row):
    """Return the path of a signal.

    Parameters
    ----------
    corpus_dir : path
    row : dict
        Row of the manifest.

    Returns
    -------
    path : Path
    """
    return Path(corpus_dir) / "recordings" / f"{signal_name(row)}.npy"


def read_manifest(corpus_dir):
    """Read the manifest.

    Parameters
    ----------
    corpus_dir : path

    Returns
    -------
    manifest : DataFrame
        One row per recording; labels are text, missing ones None. ``study`` is None in corpora
        of earlier versions.

    Raises
    ------
    MissingInput
        If there is no corpus.
    DataError
        If a column is missing.
    """
    path = Path(corpus_dir) / "manifest.tsv"
    if not path.exists():
        raise MissingInput(f"{path} does not exist: build the corpus first.")
    frame = read_tsv(path, dtype=str, na_values=["n/a"], keep_default_na=False)
    missing = [name for name in COLUMNS if name not in frame and name not in _ADDED]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}: remove the folder and build the corpus "
            "again."
        )
    frame = frame.reindex(columns=list(COLUMNS)).astype(_NUMBERS)
    return frame.astype(object).where(frame.notna(), None)


def write_manifest(corpus_dir, rows):
    """Write the manifest; the same recordings give the same bytes.

    Parameters
    ----------
    corpus_dir : path
    rows : iterable of dict

    Returns
    -------
    manifest : Path
    """
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    frame = frame.sort_values(list(KEY), na_position="first", kind="stable")
    # repr keeps all digits of the sampling rate.
    frame["sampling_hz"] = [repr(float(value)) for value in frame["sampling_hz"]]
    return write_tsv(Path(corpus_dir) / "manifest.tsv", frame)


def read_withdrawn(corpus_dir):
    """Read the withdrawn participants.

    Parameters
    ----------
    corpus_dir : path

    Returns
    -------
    withdrawn : set of (str, str)
        Dataset and participant.
    """
    path = Path(corpus_dir) / "withdrawn.tsv"
    if not path.exists():
        return set()
    frame = read_tsv(path, dtype=str, keep_default_na=False)
    return set(zip(frame["dataset"], frame["participant"], strict=True))


def write_withdrawn(corpus_dir, withdrawn):
    """Write the withdrawn participants.

    Parameters
    ----------
    corpus_dir : path
    withdrawn : set of (str, str)
        Dataset and participant.
    """
    frame = pd.DataFrame(sorted(withdrawn), columns=["dataset", "participant"])
    write_tsv(Path(corpus_dir) / "withdrawn.tsv", frame)
