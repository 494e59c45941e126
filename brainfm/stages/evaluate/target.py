"""What is asked of the recordings: a column of participants.tsv, or one task against another."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainfm.errors import NothingSelected
from brainfm.stages.evaluate.participants_table import column_values
from brainfm.stages.evaluate.refusals import check_contrast

#: A numeric column with more values than this is predicted as a number.
_MOST_CLASSES = 10


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of the recordings.

    ``kind`` is ``contrast`` (of two tasks) or ``target`` (a column); ``task`` is
    ``classification`` or ``regression``.
    """

    kind: str
    name: str
    task: str
    modality: str


def without_synthetic(recordings, participants=None):
    """Leave synthetic participants out.

    They are known by the word in their label or in the ``kind`` column of ``participants``.

    Returns
    -------
    real : list of Recording
    excluded : list of dict
        ``participant`` and ``why``.
    """
    kinds = {}
    if participants is not None and "kind" in participants:
        labels = participants["participant_id"].astype(str).str.removeprefix("sub-")
        kinds = participants["kind"].fillna("").astype(str).groupby(labels).agg(" ".join).to_dict()
    synthetic = {
        recording.participant
        for recording in recordings
        if "synthetic" in f"{recording.participant} {kinds.get(recording.participant)}".lower()
    }
    real = [recording for recording in recordings if recording.participant not in synthetic]
    why = "synthetic: shows that the path works, never how well"
    return real, [{"participant": label, "why": why} for label in sorted(synthetic)]


def contrast_question(recordings, tasks):
    """Ask whether tasks can be told apart.

    Parameters
    ----------
    recordings : list of Recording
    tasks : sequence of str

    Returns
    -------
    question : Question
    chosen : list of Recording
    y : ndarray of str, shape (n_chosen,)

    Raises
    ------
    UsageError
        If there are not two different tasks.
    NothingSelected
        If a task has no recording.
    """
    check_contrast(tasks, {one.task for one in recordings if one.task})
    chosen = [recording for recording in recordings if recording.task in tasks]
    modality, chosen = _one_modality(chosen)
    y = np.array([recording.task for recording in chosen])
    name = " against ".join(tasks)
    question = Question(kind="contrast", name=name, task="classification", modality=modality)
    return question, chosen, y


def of_one_design(chosen, y, *, n_splits):
    """Where few people have both tasks, keep those with one, or else those with both.

    Labels of people with both can only be exchanged within them, those of the others only between
    them; a few of the one among many of the other would leave hardly any way to exchange. Those
    with one are kept if each task has as many as there are folds.

    Parameters
    ----------
    chosen : list of Recording
    y : ndarray of str, shape (n_chosen,)
        Task of each.
    n_splits : int
        With fewer people than folds nobody is left out.

    Returns
    -------
    chosen, y
        Without them.
    excluded : list of dict
        ``participant`` and ``why``.
    """
    people = np.array([f"{one.dataset}/{one.participant}" for one in chosen])
    both = [person for person in np.unique(people) if len(np.unique(y[people == person])) > 1]
    n_people = len(np.unique(people))
    if not both or n_people < n_splits or 2 * len(both) >= n_people:
        return chosen, y, []
    has_both = np.isin(people, both)
    enough = [len(np.unique(people[(y == task) & ~has_both])) >= n_splits for task in np.unique(y)]
    if all(enough):
        kept, why = ~has_both, "has both tasks, where most people have one"
    elif len(both) >= n_splits:
        kept, why = has_both, "has one task, where others have both"
    else:
        return chosen, y, []
    names = sorted({person.rpartition("/")[2] for person in people[~kept]})
    excluded = [{"participant": name, "why": why} for name in names]
    return [chosen[row] for row in np.flatnonzero(kept)], y[kept], excluded


def target_question(recordings, column, participants):
    """Ask for a column of ``participants.tsv``.

    Parameters
    ----------
    recordings : list of Recording
    column : str
    participants : DataFrame
        With ``participant_id``; ``n/a`` or empty where a value is missing.

    Returns
    -------
    question : Question
        A regression when the column holds more than ten different numbers, or more than two
        and than half as many as people.
    chosen : list of Recording
        Of participants whose value is known.
    y : ndarray, shape (n_chosen,)
    excluded : list of dict
        ``participant`` and ``why``.

    Raises
    ------
    UsageError
        If there is no such column.
    DataError
        If a participant is listed twice.
    NothingSelected
        If no recording is left.
    """
    values = column_values(participants, column)
    n_values = values.nunique()
    is_number = pd.api.types.is_numeric_dtype(values) and (
        n_values > _MOST_CLASSES or (n_values > 2 and 2 * n_values > len(values))
    )
    values = values if is_number else values.map(_class_name, na_action="ignore")
    value_of = values.to_dict()
    known = {label for label, value in value_of.items() if pd.notna(value)}
    modality, chosen = _one_modality([r for r in recordings if r.participant in known])
    missing = sorted({r.participant for r in recordings} - known)
    y = np.array([value_of[recording.participant] for recording in chosen])
    task = "regression" if is_number else "classification"
    question = Question(kind="target", name=column, task=task, modality=modality)
    return question, chosen, y, [{"participant": x, "why": f"no {column}"} for x in missing]


def _class_name(value):
    """1.0 and "1" name one class; pandas reads a column of numbers with a gap as floats."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _one_modality(recordings):
    """Keep the modality that most recordings have; the first of the two on a tie."""
    if not recordings:
        raise NothingSelected(
            "no real recording is left to evaluate: every one is synthetic or lacks the target."
        )
    modalities = [recording.modality for recording in recordings]
    modality = max(sorted(set(modalities)), key=modalities.count)
    return modality, [recording for recording in recordings if recording.modality == modality]
