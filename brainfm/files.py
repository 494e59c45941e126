"""Files that are either whole or not there: written under a temporary name, then renamed."""

import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.errors import CannotCreateOutput, DataError, MissingInput, ReadWriteFailed

_ABANDONED_AFTER_S = 3600.0


@contextmanager
def atomic(path):
    """Yield a temporary path beside ``path``; move it to ``path`` when the block succeeds.

    The temporary name keeps the extension, since writers choose their format by it.

    Raises
    ------
    CannotCreateOutput
        If the folder cannot be made or is not writable.
    ReadWriteFailed
        If writing stops half-way; what stood at ``path`` before stays.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.mkdtemp(prefix=".partial-", dir=path.parent)
    except OSError as error:
        raise CannotCreateOutput(
            f"{path.parent} cannot be written ({error.strerror}): choose a folder you may write to."
        ) from error
    partial = Path(folder) / path.name
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise ReadWriteFailed(
            f"{path} could not be written ({error.strerror or error}): is the disk full? "
            "What stood there before is untouched."
        ) from error
    finally:
        for left in Path(folder).iterdir():
            left.unlink()
        os.rmdir(folder)


def remove_partial(folder):
    """Remove what a killed process left half-written under ``folder``; hold its lock."""
    for left in Path(folder).rglob(".partial-*"):
        shutil.rmtree(left, ignore_errors=True)


def remove_old_partial(folder):
    """Remove what lies half-written for an hour directly in a folder that several calls share.

    Nothing written there, such as a report, takes so long.
    """
    for left in Path(folder).glob(".partial-*"):
        with suppress(FileNotFoundError):  # another call may clear, or finish, at the same time
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)


def write_text(path, text):
    """Write UTF-8 text and return its path."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf8")
    return Path(path)


def write_json(path, data):
    """Write ``data`` as indented JSON (NaN becomes null) and return its path."""
    return write_text(path, json.dumps(_plain(data), indent=2, ensure_ascii=False) + "\n")


def read_json(path):
    """Read a JSON file.

    Raises
    ------
    MissingInput
        If there is no such file.
    DataError
        If it is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf8"))
    except OSError as error:
        raise MissingInput(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}): mend or remove it.") from error


def read_tsv(path, **options):
    """Read a table of a dataset; ``options`` go to :func:`pandas.read_csv`.

    Raises
    ------
    MissingInput
        If it cannot be opened.
    DataError
        If it is no table of tab-separated values in UTF-8.
    """
    try:
        return pd.read_csv(path, sep="\t", **options)
    except OSError as error:
        raise MissingInput(f"{Path(path).name} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{Path(path).name} is no table of tab-separated values in UTF-8 ({reason}): mend it."
        ) from error


def read_participants(tables):
    """Read ``participants.tsv`` files.

    Parameters
    ----------
    tables : sequence of path

    Returns
    -------
    participants : DataFrame or None
        All rows, one table after the other; NaN only where a table says ``n/a`` or nothing (a
        class may be called None). None without a table.

    Raises
    ------
    MissingInput, DataError
        See :func:`read_tsv`.
    """
    options = {"dtype": {"participant_id": str}, "na_values": ["n/a", ""]}
    frames = [read_tsv(path, keep_default_na=False, **options) for path in tables]
    return pd.concat(frames, ignore_index=True) if frames else None


def write_tsv(path, frame):
    """Write a DataFrame as BIDS TSV (tabs, header, ``n/a`` for missing) and return its path."""
    with atomic(path) as partial:
        frame.to_csv(partial, sep="\t", index=False, na_rep="n/a", float_format="%.6g")
    return Path(path)


def write_npy(path, array):
    """Write an array as ``.npy`` without pickle and return its path."""
    with atomic(path) as partial:
        np.save(partial, array, allow_pickle=False)
    return Path(path)


def _plain(value):
    """Turn NumPy scalars, arrays, paths and tuples into what JSON knows."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value
