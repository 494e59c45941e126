"""Exclusion lists: recordings to leave out, with a reason each."""

from collections import Counter
from dataclasses import dataclass

from brainfm.errors import DataError
from brainfm.files import read_tsv
from brainfm.recording import RUN_LABELS
from brainfm.storage.bids.names import ENTITY_OF, unpadded

_PREFIXES = {"participant": "sub-"} | {name: f"{ENTITY_OF[name]}-" for name in RUN_LABELS}
#: Names of the columns of a list by the labels they hold.
_COLUMNS = {
    "participant_id": "participant",
    "session_id": "session",
    "dataset": "dataset",
    "modality": "modality",
    **{name: name for name in RUN_LABELS},
    **{ENTITY_OF[name]: name for name in RUN_LABELS},
}


@dataclass(frozen=True)
class Exclusion:
    """One row of an exclusion list.

    Parameters
    ----------
    labels : dict of str to str
        Labels of the recordings that are left out: ``participant`` and, if only some of its
        recordings are, labels of a run, ``dataset`` or ``modality``.
    reason : str
    """

    labels: dict
    reason: str

    def matches(self, labels):
        """Return whether a recording has all labels of the row.

        Parameters
        ----------
        labels : dict of str to str
            Labels of the recording.

        Returns
        -------
        matches : bool
        """
        return all(
            _same(labels.get(name), label, name in RUN_LABELS)
            for name, label in self.labels.items()
        )

    def __str__(self):
        return " ".join(f"{_PREFIXES.get(name, '')}{label}" for name, label in self.labels.items())


def read_exclusions(path):
    """Read an exclusion list.

    Parameters
    ----------
    path : path
        TSV with ``participant_id`` and any of ``session_id``, ``task``, ``run``, the other
        entities of a run by their short or long name, ``dataset``, ``modality`` and ``reason``.
        A row leaves out all recordings that have its labels; ``n/a`` stands for any label.

    Returns
    -------
    exclusions : tuple of Exclusion

    Raises
    ------
    MissingInput
        If the file does not exist.
    DataError
        If it is no such table: a column is unknown, or a row names no participant.
    """
    frame = read_tsv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    unknown = [name for name in frame if name not in (*_COLUMNS, "reason")]
    if "participant_id" not in frame or unknown:
        wrong = f"has a column {unknown[0]!r}" if unknown else "has no column participant_id"
        raise DataError(
            f"{path} {wrong}; expected participant_id, if needed session_id, task, run and other "
            "entities, and reason, separated by tabs."
        )
    exclusions = tuple(_exclusion(row) for row in frame.to_dict("records"))
    for number, one in enumerate(exclusions, start=2):
        if "participant" not in one.labels:
            raise DataError(
                f"{path}, line {number}, names no participant: expected a label such as sub-01."
            )
    return exclusions


def count_reasons(reasons):
    """Count reasons, most frequent first.

    Parameters
    ----------
    reasons : iterable of str

    Returns
    -------
    text : str
        Such as ``motion (8), duplicate (1)``.
    """
    return ", ".join(f"{reason} ({count})" for reason, count in Counter(reasons).most_common())


def _exclusion(row):
    labels = {}
    for column, name in _COLUMNS.items():
        value = row.get(column, "").strip()
        if value not in ("", "n/a"):
            labels[name] = value.removeprefix(_PREFIXES.get(name, ""))
    reason = row.get("reason", "").strip()
    return Exclusion(labels, reason if reason not in ("", "n/a") else "no reason given")


def _same(found, label, is_of_run):
    if found is None:
        return False
    return unpadded(found) == unpadded(label) if is_of_run else found == label
