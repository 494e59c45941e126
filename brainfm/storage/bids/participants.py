"""Tables of participants: ``participants.tsv``, ``phenotype/*.tsv`` and ``*_sessions.tsv``.

Values stay text, as they are written; :mod:`brainfm.stages.evaluate.column_values` decides what
they mean.
"""

import re
from collections import Counter
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from brainfm.errors import DataError
from brainfm.files import decode_table, read_json

#: Names of the columns that identify a row.
IDENTIFIERS = ("participant_id", "session_id")
_SESSION_COLUMNS = ("session_id", "session", "ses", "visit_id", "visit", "timepoint")


def find_tables(folder):
    """Find the tables of participants of a dataset, and the JSON files that describe them.

    Parameters
    ----------
    folder : path
        Root of a dataset.

    Returns
    -------
    paths : list of Path
        ``participants``, ``sessions``, ``phenotype/*`` and ``sub-*/*_sessions``, with the
        extensions ``.tsv`` and ``.json``; links to missing content are among them.
    """
    patterns = ("participants.*", "sessions.*", "phenotype/*.*", "sub-*/sub-*_sessions.*")
    return [
        path
        for pattern in patterns
        for path in sorted(Path(folder).glob(pattern))
        if path.suffix in (".tsv", ".json") and not path.name.startswith(".")
    ]


def read_participants(tables):
    """Read tables of participants, one below the other.

    Parameters
    ----------
    tables : sequence of path
        As :func:`find_tables` returns them; a JSON file describes the table beside it.

    Returns
    -------
    participants : DataFrame of str, or None
        ``participant_id``, ``session_id`` where a table has one, and the columns of all tables;
        NaN where a table has no such column, and an empty text where a cell is empty. The index
        holds the name of the table of each row. ``attrs["sidecars"]`` holds the descriptions of
        each column by table, and ``attrs["notes"]`` what is unusual about the files. None without
        a table.

    Raises
    ------
    MissingInput
        If ``participants.tsv`` cannot be read.
    DataError
        If a table is not text in columns separated by tabs, or has no column ``participant_id``.
    """
    paths = [Path(path) for path in tables if Path(path).suffix == ".tsv"]
    names, frames, sidecars, notes = _short_names(paths), [], {}, []
    for path in paths:
        if path.is_symlink() and not path.exists() and path.name != "participants.tsv":
            notes.append(f"{names[path]} was not read: it is a link to missing content")
            continue
        frame = _read_table(path, names[path], notes)
        frames.append(frame.set_axis([names[path]] * len(frame)))
        for column, description in _sidecar(path).items():
            sidecars.setdefault(column, {})[names[path]] = description
    if not frames:
        return None
    joined = pd.concat(frames)
    joined.attrs = {"sidecars": sidecars, "notes": notes}
    return joined


def available_columns(participants):
    """List the columns of tables, and ``table.column`` where several tables have a column.

    Parameters
    ----------
    participants : DataFrame or None
        See :func:`read_participants`, or any table.

    Returns
    -------
    columns : list of str
        Such as ``participants.age`` and ``demographics.age``, after the columns alone.
    """
    if participants is None:
        return []
    columns = [name for name in participants if name not in IDENTIFIERS]
    stems = dict.fromkeys(table_stem(name) for name in participants.index if isinstance(name, str))
    has = {stem: participants[rows_of_table(participants, stem)].notna().any() for stem in stems}
    n_tables = Counter(column for stem in stems for column in columns if has[stem][column])
    return columns + [
        f"{stem}.{column}"
        for stem in stems
        for column in columns
        if has[stem][column] and n_tables[column] > 1
    ]


def rows_of_table(participants, stem):
    """Return which rows are from the tables of a name.

    Parameters
    ----------
    participants : DataFrame
        See :func:`read_participants`.
    stem : str
        Such as ``participants``; ``sessions`` for those of all participants.

    Returns
    -------
    is_of_table : ndarray of bool
    """
    return np.array([table_stem(name) == stem for name in participants.index], dtype=bool)


def table_stem(name):
    """Return the name of a table without folder and extension.

    Parameters
    ----------
    name : str
        Such as ``phenotype/ace.tsv`` or ``sub-01/sub-01_sessions.tsv``.

    Returns
    -------
    stem : str
        Such as ``ace`` or ``sessions``.
    """
    stem = PurePosixPath(str(name)).stem
    return "sessions" if stem.endswith("_sessions") else stem


def _short_names(paths):
    """Names for messages: relative to the dataset, with its folder if there are several."""
    roots = {path: path.parent.parent if _is_nested(path) else path.parent for path in paths}
    several = len(set(roots.values())) > 1
    return {
        path: path.relative_to(root.parent if several else root).as_posix()
        for path, root in roots.items()
    }


def _is_nested(path):
    return path.parent.name == "phenotype" or path.name.endswith("_sessions.tsv")


def _read_table(path, name, notes):
    text, encoding = decode_table(path)
    if encoding != "UTF-8":
        notes.append(f"{name} is not UTF-8: read as {encoding}")
    header, *rows = _cells(text) or [[]]
    header = _unique_names([column.strip() for column in header], name, notes)
    for number, row in enumerate(rows, start=2):
        if any(cell.strip() for cell in row[len(header) :]):
            raise DataError(
                f"{name} has {len(row)} values in row {number} and {len(header)} columns: expected "
                "one value for each column, separated by tabs."
            )
        row[:] = [*row, *[""] * len(header)][: len(header)]
    frame = pd.DataFrame(rows, columns=header, dtype=object)
    return _with_identifiers(frame, path, name)


def _cells(text):
    """Cells of each line that is not empty, without quotation marks around them."""
    lines = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    return [[_unquoted(cell) for cell in line.split("\t")] for line in lines]


def _unquoted(cell):
    bare = cell.strip()
    is_quoted = len(bare) > 1 and bare[0] == bare[-1] == '"'
    return bare[1:-1].replace('""', '"') if is_quoted else cell


def _unique_names(header, name, notes):
    """Number columns of the same name, so that neither is taken for the other."""
    twice = [column for column, count in Counter(header).items() if count > 1 and column]
    for column in twice:
        notes.append(f"{name} has several columns {column}; they are numbered")
    return [
        f"{column or 'column'} ({number})" if column in twice or not column else column
        for number, column in enumerate(header, start=1)
    ]


def _with_identifiers(frame, path, name):
    """Name the columns of participant and session as BIDS does."""
    if path.name.startswith("sub-") and path.name.endswith("_sessions.tsv"):
        frame = frame.drop(columns="participant_id", errors="ignore")
        frame.insert(0, "participant_id", path.name.partition("_")[0])
    lower = {column.lower(): column for column in reversed(frame.columns)}
    if "participant_id" not in lower:
        found = ", ".join(frame) or "no columns"
        separated = " Its columns are not separated by tabs." if re.search("[,;]", found) else ""
        raise DataError(
            f"{name} has no column participant_id; it has {found}: add it, or give another table."
            f"{separated if len(frame.columns) == 1 else ''}"
        )
    session = next((lower[column] for column in _SESSION_COLUMNS if column in lower), None)
    return frame.rename(columns={lower["participant_id"]: "participant_id", session: "session_id"})


def _sidecar(path):
    """Descriptions of the columns of a table, from the JSON file beside it."""
    sidecar = path.with_suffix(".json")
    content = read_json(sidecar) if sidecar.is_file() else {}
    content = content if isinstance(content, dict) else {}
    return {name: value for name, value in content.items() if isinstance(value, dict)}
