"""What ``participants.tsv`` says of the people: values of its columns by participant."""

import logging

import numpy as np
import pandas as pd

from brainfm.errors import DataError
from brainfm.stages.evaluate.refusals import check_column

_MISSING_ELSEWHERE = ("NA", "N/A", "NaN", "nan", "null", "NULL")
_log = logging.getLogger("brainfm")


def column_values(participants, column):
    """Return what a column says of each participant.

    Parameters
    ----------
    participants : DataFrame or None
        With ``participant_id``; ``n/a`` or empty where a value is missing.
    column : str

    Returns
    -------
    values : Series
        Indexed by participant without ``sub-``, of those who have one. Numbers where all are.

    Raises
    ------
    UsageError
        If there is no such column.
    DataError
        If a participant is listed twice with different values.
    """
    if participants is not None and "participant_id" not in participants:
        raise DataError(
            f"participants.tsv has no column participant_id; it has {', '.join(participants)}: is "
            "it a table of another kind?"
        )
    check_column(column, () if participants is None else participants.columns)
    participants = participants[["participant_id", column]].replace({"n/a": np.nan, "": np.nan})
    participants[column] = _typed(participants[column])
    participants = participants.dropna().drop_duplicates()
    labels = participants["participant_id"].astype(str).str.removeprefix("sub-")
    if labels.duplicated().any():
        raise DataError(
            f"participants.tsv lists sub-{labels[labels.duplicated()].iloc[0]} more than once, "
            f"with different {column}: use different labels in different datasets."
        )
    return participants[column].set_axis(labels)


def _typed(values):
    """Numbers where all are, but for what other programs write where there is none."""
    numbers, written = pd.to_numeric(values, errors="coerce"), values.astype(str)
    foreign = written.isin(_MISSING_ELSEWHERE) & values.notna()
    if numbers.notna().any() and (numbers.notna() | values.isna() | foreign).all():
        return numbers
    if foreign.any():
        _log.warning(
            "participants.tsv: %s is %s for %d participants, which is taken for a class; write n/a "
            "where a value is missing",
            values.name, written[foreign].iloc[0], foreign.sum(),
        )  # fmt: skip
    return values


def phenotypes_of(table, participants, columns):
    """Return what columns of ``participants.tsv`` say of each row of recordings.

    Parameters
    ----------
    table : RecordingTable
    participants : DataFrame or None
        As for :func:`column_values`.
    columns : sequence of str

    Returns
    -------
    phenotypes : DataFrame, one row a row of ``table``, NaN where not known

    Raises
    ------
    UsageError, DataError
        As :func:`column_values`; if a participant of two datasets has the same label.
    """
    people = [row[0].participant for row in table]
    if columns:
        check_datasets(table, participants)
    found = {column: column_values(participants, column).reindex(people) for column in columns}
    return pd.DataFrame({name: values.to_numpy() for name, values in found.items()})


def check_datasets(table, participants):
    """Refuse a label that two datasets have: ``participants.tsv`` does not say whose it is."""
    told = set()
    if participants is not None and "participant_id" in participants:
        told = set(participants["participant_id"].astype(str).str.removeprefix("sub-"))
    dataset_of = {}
    for row in table:
        label, dataset = row[0].participant, row[0].dataset
        if dataset_of.setdefault(label, dataset) != dataset and label in told:
            raise DataError(
                f"sub-{label} is in {dataset_of[label]} and in {dataset}, and participants.tsv "
                "does not say whose values it holds: use different labels in different datasets."
            )
