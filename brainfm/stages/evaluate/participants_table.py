"""Columns of ``participants.tsv`` by participant and by recording."""

import logging

import numpy as np
import pandas as pd

from brainfm.errors import DataError
from brainfm.stages.evaluate.refusals import check_column

_MISSING_ELSEWHERE = ("NA", "N/A", "NaN", "nan", "null", "NULL")
_log = logging.getLogger("brainfm")


def column_values(participants, column):
    """Return the values of a column by participant.

    Parameters
    ----------
    participants : DataFrame or None
        With ``participant_id``; ``n/a`` or empty where a value is missing.
    column : str

    Returns
    -------
    values : Series
        Indexed by participant without ``sub-``; missing values are dropped. Numeric if all
        values are.

    Raises
    ------
    UsageError
        If there is no such column.
    DataError
        If there is no column ``participant_id``, or a participant is listed twice with different
        values.
    """
    if participants is not None and "participant_id" not in participants:
        raise DataError(
            f"participants.tsv has no column participant_id; it has {', '.join(participants)}: add "
            "it, or give another table."
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
    """Convert a column to numbers if all its values are, but for markers such as NA."""
    numbers, written = pd.to_numeric(values, errors="coerce"), values.astype(str)
    foreign = written.isin(_MISSING_ELSEWHERE) & values.notna()
    if numbers.notna().any() and (numbers.notna() | values.isna() | foreign).all():
        return numbers
    if foreign.any():
        _log.warning(
            "participants.tsv: %s is %s for %d participants, and counts as a class; write n/a "
            "where a value is missing",
            values.name, written[foreign].iloc[0], foreign.sum(),
        )  # fmt: skip
    return values


def phenotypes_by_row(table, participants, columns):
    """Return columns of ``participants.tsv`` by row of a table of recordings.

    Parameters
    ----------
    table : RecordingTable of n_rows rows
    participants : DataFrame or None
        See :func:`column_values`.
    columns : sequence of str

    Returns
    -------
    phenotypes : DataFrame of n_rows rows
        NaN where missing.

    Raises
    ------
    UsageError
        See :func:`column_values`.
    DataError
        See :func:`column_values` and :func:`check_datasets`.
    """
    people = [row[0].participant for row in table]
    if columns:
        check_datasets(table, participants)
    found = {column: column_values(participants, column).reindex(people) for column in columns}
    return pd.DataFrame({name: values.to_numpy() for name, values in found.items()})


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
    listed = set()
    if participants is not None and "participant_id" in participants:
        listed = set(participants["participant_id"].astype(str).str.removeprefix("sub-"))
    dataset_of = {}
    for row in table:
        dataset, _, label = row[0].group.rpartition("/")
        if dataset_of.setdefault(label, dataset) != dataset and label in listed:
            raise DataError(
                f"sub-{label} is in {dataset_of[label]} and in {dataset}, and participants.tsv "
                "does not state to which one it refers: use different labels in different datasets."
            )
