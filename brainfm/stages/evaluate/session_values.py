"""Value of each recording: that of its session, else that of its participant."""

from collections import defaultdict

import numpy as np
import pandas as pd

from brainfm.errors import DataError
from brainfm.stages.evaluate.column_values import class_name
from brainfm.stages.evaluate.match_labels import match_labels

_READ = ("read", "capped")


def values_of_sessions(recordings, rows, label_of, column):
    """Choose the value of each recording.

    Parameters
    ----------
    recordings : list of Recording
    rows : DataFrame
        ``participant_id``, ``value``, ``status`` (see
        :class:`brainfm.stages.evaluate.column_values.ColumnValues`) and, where there are
        sessions, ``session_id``; the index names the table of each row.
    label_of : dict of str to str
        Participant of the recordings by ``participant_id``.
    column : str
        Name, for messages.

    Returns
    -------
    values : ndarray, shape (n_recordings,)
        Of the session of the recording; else of the row without session; else the only value of
        the participant, if it is of a session in which nothing was recorded. NaN where missing.
    status : Series of str
        As in ``rows``; ``without_row`` where a participant is in no row.
    notes : list of str

    Raises
    ------
    DataError
        If a participant has several values for one session.
    """
    sessions = {one.session for one in recordings} - {None}
    entries = _entries(rows, label_of, sessions, column)
    chosen = [_choose(entries[one.participant], one.session, sessions) for one in recordings]
    dtype = float if pd.api.types.is_numeric_dtype(rows["value"]) else object
    values = np.array([entry[0] for entry, _ in chosen], dtype=dtype)
    status = pd.Series([entry[1] for entry, _ in chosen], dtype=object)
    return values, status, _notes(recordings, [how for _, how in chosen], column)


def _entries(rows, label_of, sessions, column):
    """By participant and session: value, status and table."""
    written = rows["session_id"] if "session_id" in rows else pd.Series("", index=rows.index)
    written = written.fillna("").astype(str).str.strip().replace("n/a", "")
    session_of = match_labels(filter(None, written), sessions, "ses")
    entries = defaultdict(dict)
    columns = (rows["participant_id"].astype(str).str.strip(), written, rows["value"],
               rows["status"], rows.index)  # fmt: skip
    for label, session, value, status, table in zip(*columns, strict=True):
        if label not in label_of:
            continue
        of_person = entries[label_of[label]]
        key, entry = session_of.get(session, session), (value, status, table)
        before = of_person.setdefault(key, entry)
        if status in _READ and before[1] not in _READ:
            of_person[key] = entry
        elif status in _READ and value != before[0]:
            raise _several_values(label_of[label], column, before, entry)
    return entries


def _several_values(label, column, one, other):
    first, second = (entry[2] if isinstance(entry[2], str) else "participants.tsv"
                     for entry in (one, other))  # fmt: skip
    if first == second:
        return DataError(
            f"{first} lists sub-{label} more than once, with different {column}: add a column "
            "session_id, use different labels in different datasets, or --exclude the participant."
        )
    return DataError(
        f"{column} of sub-{label} is {class_name(one[0])} in {first} and {class_name(other[0])} in "
        f"{second}: give the table too, as TABLE.{column}, or use different labels in different "
        "datasets."
    )


def _choose(entries, session, sessions):
    """Entry of a session, and how it was found: ``""``, ``"other session"`` or ``"several"``."""
    own = [entries[key] for key in dict.fromkeys((session or "", "")) if key in entries]
    for entry in own:
        if entry[1] in _READ:
            return entry, ""
    others = [
        entry
        for key, entry in entries.items()
        if key and entry[1] in _READ and (session is None or key not in sessions)
    ]
    distinct = {entry[0] for entry in others}
    if len(distinct) == 1:
        return others[0], "other session" if sessions else ""
    status = own[0][1] if own else "missing" if entries else "without_row"
    return (np.nan, status, None), "several" if distinct else ""


def _notes(recordings, how, column):
    people = {
        kind: sorted({one.participant for one, x in zip(recordings, how, strict=True) if x == kind})
        for kind in ("other session", "several")
    }
    notes = []
    if people["other session"]:
        notes.append(
            f"{column}: {len(people['other session'])} participants have one value, of a session "
            "without recording; it is used for their recordings"
        )
    if people["several"]:
        notes.append(
            f"{column}: {len(people['several'])} participants (sub-{people['several'][0]}) have "
            "values of several sessions and recordings of none of these; they are left out"
        )
    return notes
