"""Whole files: written under a temporary name, then renamed; and readers of JSON and TSV.

Nothing else in brainfm writes files (a test checks it), so that a killed process leaves the former
file, the new one, or a ``.partial-*`` folder that the next call removes; never half a file.
"""

import codecs
import json
import logging
import math
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd

from brainfm.errors import (
    CannotCreateOutput,
    DataError,
    MissingInput,
    ReadWriteFailed,
    is_disk_error,
)

_ABANDONED_AFTER_S = 3600.0
_log = logging.getLogger("brainfm")


@contextmanager
def atomic(path, *, sync=False):
    """Yield a temporary path beside ``path``; move it to ``path`` when the block succeeds.

    The temporary name keeps the extension, since writers choose their format by it.

    Parameters
    ----------
    path : path
    sync : bool
        Flush the file to the disk before it is moved, so that it also survives a power failure.

    Yields
    ------
    partial : Path

    Raises
    ------
    CannotCreateOutput
        If the folder or the file cannot be created.
    ReadWriteFailed
        If the disk is full, read-only or broken; the former file stays.
    """
    path = Path(path)
    with _partial_folder(path.parent, path) as folder:
        partial = folder / path.name
        yield partial
        if sync:
            with partial.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(partial, path)


@contextmanager
def atomic_files(folder, *, last):
    """Yield an empty folder; move its files to ``folder`` when the block succeeds.

    Parameters
    ----------
    folder : path
    last : str
        Extension of the file that is moved last: readers that find it find all others.

    Yields
    ------
    partial : Path

    Raises
    ------
    CannotCreateOutput, ReadWriteFailed
        See :func:`atomic`.
    """
    folder = Path(folder)
    with _partial_folder(folder, folder) as partial:
        yield partial
        for path in sorted(partial.iterdir(), key=lambda path: path.suffix == last):
            os.replace(path, folder / path.name)


@contextmanager
def atomic_folder(folder):
    """Yield an empty folder; when the block succeeds, it replaces ``folder``.

    When the process is killed between the two renames of a replacement, the former folder is
    found under :func:`former_folder`.

    Parameters
    ----------
    folder : path

    Yields
    ------
    partial : Path

    Raises
    ------
    CannotCreateOutput, ReadWriteFailed
        See :func:`atomic`.
    """
    folder = Path(folder).absolute()
    former = former_folder(folder)
    with _partial_folder(folder.parent, folder) as partial:
        yield partial
        partial.chmod(0o755)  # mkdtemp makes folders that only their owner can read
        if folder.exists():
            shutil.rmtree(former, ignore_errors=True)
            os.replace(folder, former)
        os.replace(partial, folder)
        shutil.rmtree(former, ignore_errors=True)


def former_folder(folder):
    """Return where :func:`atomic_folder` moves the former ``folder`` while it is replaced.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    former : Path
    """
    return folder.parent / f".{folder.name}.before"


@contextmanager
def _partial_folder(parent, target):
    try:
        parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
    except OSError as error:
        text = f"cannot be written ({error.strerror}): choose a folder you may write to."
        raise _refusal(parent, error, text) from error
    try:
        yield partial
    except OSError as error:
        text = f"could not be written ({error}). The former file is unchanged."
        raise _refusal(target, error, text) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refusal(path, error, text):
    if not is_disk_error(error):
        return CannotCreateOutput(f"{path} {text}")
    return ReadWriteFailed(
        f"{path} could not be written ({error.strerror}): is the disk full? The former file is "
        "unchanged; free disk space and run the same command again."
    )


def remove_partial(folder):
    """Remove the partial files of a killed process under ``folder``; the caller holds its lock.

    Parameters
    ----------
    folder : path
    """
    for left in Path(folder).rglob(".partial-*"):
        shutil.rmtree(left, ignore_errors=True)


def remove_old_partial(folder):
    """Remove partial files older than an hour directly in a folder that several calls share.

    Nothing written there, such as a report, takes so long.

    Parameters
    ----------
    folder : path
    """
    for left in Path(folder).glob(".partial-*"):
        with suppress(FileNotFoundError):  # another call may clear, or finish, at the same time
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(left, ignore_errors=True)


def write_bytes(path, data):
    """Write bytes; see :func:`atomic`.

    Parameters
    ----------
    path : path
    data : bytes

    Returns
    -------
    path : Path
    """
    with atomic(path) as partial:
        partial.write_bytes(data)
    return Path(path)


def write_text(path, text):
    """Write text as UTF-8; see :func:`atomic`.

    Parameters
    ----------
    path : path
    text : str

    Returns
    -------
    path : Path
    """
    return write_bytes(path, text.encode("utf8"))


def write_json(path, data):
    """Write indented JSON, as :func:`nan_to_none` converts it; see :func:`atomic`.

    Parameters
    ----------
    path : path
    data : dict or list

    Returns
    -------
    path : Path
    """
    return write_text(path, json.dumps(nan_to_none(data), indent=2, ensure_ascii=False) + "\n")


def write_tsv(path, frame):
    """Write a table as BIDS TSV (tabs, header, ``n/a`` for missing); see :func:`atomic`.

    Parameters
    ----------
    path : path
    frame : DataFrame

    Returns
    -------
    path : Path
    """
    with atomic(path) as partial:
        frame.to_csv(partial, sep="\t", index=False, na_rep="n/a", float_format="%.6g")
    return Path(path)


def write_npy(path, array):
    """Write an array as ``.npy`` without pickle; see :func:`atomic`.

    Parameters
    ----------
    path : path
    array : ndarray, any shape

    Returns
    -------
    path : Path
    """
    with atomic(path) as partial, partial.open("wb") as file:
        # NumPy's writes to a file drop the error number, which tells that the disk is full.
        stream = SimpleNamespace(write=file.write)
        np.lib.format.write_array(stream, np.asarray(array), allow_pickle=False)
    return Path(path)


def write_npz(path, arrays):
    """Write named arrays as ``.npz``; see :func:`atomic`.

    Parameters
    ----------
    path : path
    arrays : dict of str to ndarray

    Returns
    -------
    path : Path
    """
    with atomic(path) as partial:
        np.savez(partial, **arrays)
    return Path(path)


def read_json(path):
    """Read a JSON file: UTF-8 with or without byte order mark, UTF-16, UTF-32 or Latin-1.

    Parameters
    ----------
    path : path

    Returns
    -------
    data : dict or list

    Raises
    ------
    MissingInput
        If there is no such file.
    DataError
        If it is not JSON.
    """
    try:
        data = Path(path).read_bytes()
        try:
            return json.loads(data)  # finds out which UTF it is
        except UnicodeDecodeError:
            return json.loads(data.decode("latin-1"))
    except OSError as error:
        raise MissingInput(f"{path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise DataError(f"{path} is not valid JSON ({error}): fix or remove it.") from error


def read_tsv(path, **options):
    """Read a table of tab-separated values; one that is not UTF-8 is read with a warning.

    Parameters
    ----------
    path : path
    **options
        Passed to :func:`pandas.read_csv`.

    Returns
    -------
    table : DataFrame

    Raises
    ------
    MissingInput
        If it cannot be opened.
    DataError
        If it is no table of tab-separated values.
    """
    try:
        return pd.read_csv(path, sep="\t", **options)
    except OSError as error:
        raise MissingInput(f"{Path(path).name} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError:
        text, encoding = decode_table(path)
        _log.warning("%s is not UTF-8: read as %s", Path(path).name, encoding)
        return pd.read_csv(StringIO(text), sep="\t", **options)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{Path(path).name} is not a table of tab-separated values in UTF-8 ({reason}): fix it."
        ) from error


def decode_table(path):
    """Read the text of a table in UTF-8, UTF-16 or the code page of Western Windows and Latin-1.

    Parameters
    ----------
    path : path

    Returns
    -------
    text : str
    encoding : str
        Name of the encoding for readers: ``UTF-8``, ``UTF-16`` or ``Windows-1252``.

    Raises
    ------
    MissingInput
        If it cannot be opened.
    DataError
        If it is not text.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingInput(f"{path.name} cannot be read ({error.strerror}).") from error
    for codec, name in _encodings(data):
        with suppress(UnicodeDecodeError):
            text = data.decode(codec)
            if "\0" not in text:
                return text, name
    raise DataError(
        f"{path.name} is not a text file, for example a spreadsheet under another name; expected "
        "tab-separated values in UTF-8: export it again."
    )


def _encodings(data):
    """Codecs to try, with their names: by the byte order mark, else UTF-8 first."""
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return [("utf-16", "UTF-16")]
    if b"\0" in data[:2]:
        return [("utf-16-be" if data[0] == 0 else "utf-16-le", "UTF-16")]
    return [("utf-8-sig", "UTF-8"), ("cp1252", "Windows-1252"), ("latin-1", "Latin-1")]


def nan_to_none(value):
    """Convert a value to what JSON knows.

    Parameters
    ----------
    value : object
        Dictionaries and sequences are converted item by item.

    Returns
    -------
    plain : object
        NumPy values as Python values, paths as text, numbers that are not finite as None.
    """
    if isinstance(value, dict):
        return {str(key): nan_to_none(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set):
        return [nan_to_none(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return nan_to_none(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
