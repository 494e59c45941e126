"""Columns of tables of participants by recording: rows are matched, values are interpreted."""

import logging

import pandas as pd

from brainfm.errors import DataError
from brainfm.stages.evaluate.column_values import interpret_column
from brainfm.stages.evaluate.describe_column import describe_column
from brainfm.stages.evaluate.match_labels import match_labels
from brainfm.stages.evaluate.refusals import find_column
from brainfm.stages.evaluate.session_values import values_of_sessions
from brainfm.storage.bids.participants import available_columns, rows_of_table

#: Of several recordings of a participant, the first of these counts.
_STATUSES = ("read", "capped", "sentinel", "missing", "without_row")
_log = logging.getLogger("brainfm")


def read_columns(recordings, participants, names):
    """Return columns of the tables of participants by recording, and what was decided about them.

    Parameters
    ----------
    recordings : list of Recording
    participants : DataFrame or None
        See :func:`brainfm.storage.bids.participants.read_participants`; any table with
        ``participant_id``, and ``session_id`` where values differ between sessions.
    names : sequence of str
        Columns, in any case, or ``table.column`` where several tables have the column.

    Returns
    -------
    columns : DataFrame of len(recordings) rows
        Floats, or text for classes; NaN where missing.
    decisions : list of dict
        For each column, ``column``, ``source`` (tables), ``kind``, ``why``, ``unit``, ``notes``,
        and numbers of participants: ``n_read``, ``n_capped`` (those read that are known to be at
        least the value), ``n_missing``, ``n_sentinel``, ``n_without_row``.

    Raises
    ------
    UsageError
        If there is no such column.
    DataError
        If there is no column ``participant_id``, labels are ambiguous, a participant has several
        values, or the values cannot be interpreted.
    """
    if not names:
        return pd.DataFrame(index=range(len(recordings))), []
    match = match_people(recordings, participants)
    found = {name: _read_column(recordings, participants, match, name) for name in names}
    columns = pd.DataFrame({name: values for name, (values, _) in found.items()})
    return columns, [decision for _, decision in found.values()]


def phenotypes_by_row(table, participants, columns):
    """Return columns of the tables of participants by row of a table of recordings.

    Parameters
    ----------
    table : RecordingTable of n_rows rows
    participants : DataFrame or None
        See :func:`read_columns`.
    columns : sequence of str

    Returns
    -------
    phenotypes : DataFrame of n_rows rows
        NaN where missing. What was decided about unusual values is logged.

    Raises
    ------
    UsageError
        See :func:`read_columns`.
    DataError
        See :func:`read_columns` and :func:`check_datasets`.
    """
    if columns:
        check_datasets(table, participants)
    phenotypes, decisions = read_columns([row[0] for row in table], participants, columns)
    log_notes(decisions)
    return phenotypes


def log_notes(decisions):
    """Log what was decided about unusual values, each once.

    Parameters
    ----------
    decisions : list of dict
        See :func:`read_columns`.
    """
    for note in dict.fromkeys(note for one in decisions for note in one["notes"]):
        _log.warning("%s", note)


def match_people(recordings, participants):
    """Match the labels of a table to those of recordings.

    Parameters
    ----------
    recordings : list of Recording
    participants : DataFrame or None

    Returns
    -------
    label_of : dict of str to str
        Label of the recordings by ``participant_id``.

    Raises
    ------
    DataError
        If there is no column ``participant_id``, or labels are ambiguous.
    """
    if participants is None:
        return {}
    if "participant_id" not in participants:
        raise DataError(
            f"participants.tsv has no column participant_id; it has {', '.join(participants)}: add "
            "it, or give another table."
        )
    written = participants["participant_id"].dropna().astype(str).str.strip()
    return match_labels(written, {one.participant for one in recordings}, "sub")


def summarise_match(recordings, participants):
    """Count participants without row and rows without participant.

    Parameters
    ----------
    recordings : list of Recording
    participants : DataFrame or None

    Returns
    -------
    counts : dict
        ``n_matched``, ``n_without_row``, ``n_rows_without_recording`` (numbers of participants),
        and ``notes``: how labels were matched, and what is unusual about the files.
    """
    people = {one.participant for one in recordings}
    if participants is None or "participant_id" not in participants:
        return {"n_matched": 0, "n_without_row": len(people), "n_rows_without_recording": 0,
                "notes": []}  # fmt: skip
    match = match_people(recordings, participants)
    listed = set(participants["participant_id"].dropna().astype(str).str.strip()) - {""}
    matched = set(match.values())
    other = sorted(text for text, label in match.items() if text.removeprefix("sub-") != label)
    notes = list(participants.attrs.get("notes", ()))
    if other:
        notes.append(
            f"{len(other)} of {len(matched)} participants are written otherwise in the table, such "
            f"as {other[0]} for sub-{match[other[0]]}, and no other can be meant"
        )
    if matched and people - matched:
        shown = ", ".join(f"sub-{label}" for label in sorted(people - matched)[:5])
        notes.append(f"{len(people - matched)} participants have no row in the table: {shown}")
    return {
        "n_matched": len(matched),
        "n_without_row": len(people - matched),
        "n_rows_without_recording": len(listed - set(match)),
        "notes": notes,
    }


def check_datasets(table, participants):
    """Check that no participant label of ``participants.tsv`` is in two datasets.

    Parameters
    ----------
    table : RecordingTable
    participants : DataFrame or None

    Raises
    ------
    DataError
        If two datasets share a label: the table does not state to which one a row refers.
    """
    listed, dataset_of = set(), {}
    if participants is not None and "participant_id" in participants:
        listed = set(match_people([row[0] for row in table], participants).values())
    for row in table:
        dataset, _, label = row[0].group.rpartition("/")
        if dataset_of.setdefault(label, dataset) != dataset and label in listed:
            raise DataError(
                f"sub-{label} is in {dataset_of[label]} and in {dataset}, and participants.tsv "
                "does not state to which one it refers: use different labels in different datasets."
            )


def _read_column(recordings, participants, match, name):
    """Values of one column by recording, and the decision."""
    frame, column = _rows_of(participants, name)
    tables = {str(table) for table in frame.index}
    sidecars = participants.attrs.get("sidecars", {}).get(column, {})
    described = {table: sidecar for table, sidecar in sidecars.items() if table in tables}
    found = interpret_column(
        frame[column].reset_index(drop=True), column, describe_column(described, column)
    )
    rows = frame.assign(value=found.values.to_numpy(), status=found.status.to_numpy())
    values, status, notes = values_of_sessions(recordings, rows, match, column)
    rank = status.map(_STATUSES.index).groupby([one.participant for one in recordings]).min()
    counts = {f"n_{kind}": int((rank == number).sum()) for number, kind in enumerate(_STATUSES)}
    counts["n_read"] += counts["n_capped"]
    return values, {
        "column": name,
        "source": _source(frame.index),
        "kind": found.kind,
        "why": found.why,
        "unit": found.unit,
        **counts,
        "notes": [*found.notes, *notes],
    }


def _rows_of(participants, name):
    """Rows of the tables that have a column, and its name there."""
    is_there = participants is not None and name in participants
    column = name if is_there else find_column(name, available_columns(participants))
    if column in participants:
        is_file = len(participants) and isinstance(participants.index[0], str)
        # A table that was read has no NaN: those are rows of other tables, without the column.
        return participants[participants[column].notna()] if is_file else participants, column
    table, _, column = column.partition(".")
    return participants[rows_of_table(participants, table)], column


def _source(index):
    """Names of the tables, where there are sessions of many participants as one."""
    tables = dict.fromkeys(name for name in index if isinstance(name, str))
    return ", ".join(dict.fromkeys(
        "sub-*/sub-*_sessions.tsv" if name.endswith("_sessions.tsv") else name for name in tables
    )) or "participants.tsv"  # fmt: skip
