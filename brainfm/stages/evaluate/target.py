"""Target of an evaluation: a column of participants.tsv, or a contrast of tasks."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainfm.errors import NothingSelected
from brainfm.stages.evaluate.column_values import class_name, is_continuous
from brainfm.stages.evaluate.participants_table import match_people, read_columns
from brainfm.stages.evaluate.refusals import check_contrast

_PLURAL = {"task": "tasks", "class": "classes"}


@dataclass(frozen=True, kw_only=True)
class EvaluationTarget:
    """Target of an evaluation.

    Parameters
    ----------
    kind : {"contrast", "target"}
        A contrast of tasks, or a column of ``participants.tsv``.
    name : str
        Name of the column, or of the tasks.
    task : {"classification", "regression"}
    modality : {"bold", "eeg"}
    """

    kind: str
    name: str
    task: str
    modality: str


def exclude_synthetic(recordings, participants=None):
    """Exclude synthetic participants.

    Parameters
    ----------
    recordings : list of Recording
    participants : DataFrame, optional
        A participant is synthetic if "synthetic" is in the label or in the column ``kind``.

    Returns
    -------
    real : list of Recording
    excluded : list of dict
        ``participant`` and ``why`` it was excluded.
    """
    kinds = {}
    if participants is not None and {"kind", "participant_id"} <= set(participants):
        labels = participants["participant_id"].map(match_people(recordings, participants))
        kinds = participants["kind"].fillna("").astype(str).groupby(labels.to_numpy())
        kinds = kinds.agg(" ".join).to_dict()
    synthetic = {
        recording.participant
        for recording in recordings
        if "synthetic" in f"{recording.participant} {kinds.get(recording.participant)}".lower()
    }
    real = [recording for recording in recordings if recording.participant not in synthetic]
    why = "synthetic recordings cannot be evaluated"
    return real, [{"participant": label, "why": why} for label in sorted(synthetic)]


def contrast_target(recordings, tasks):
    """Make the target of a contrast: the task of each recording.

    Parameters
    ----------
    recordings : list of Recording
    tasks : sequence of str
        Two or more.

    Returns
    -------
    target : EvaluationTarget
    chosen : list of Recording
        Of these tasks, of the modality that most of them have.
    y : ndarray of str, shape (n_chosen,)
        Task of each.

    Raises
    ------
    UsageError
        If there are fewer than two different tasks.
    NothingSelected
        If a task has no recording.
    """
    check_contrast(tasks, {one.task for one in recordings if one.task})
    chosen = [recording for recording in recordings if recording.task in tasks]
    modality, chosen = _one_modality(chosen)
    y = np.array([recording.task for recording in chosen])
    name = " against ".join(tasks)
    target = EvaluationTarget(kind="contrast", name=name, task="classification", modality=modality)
    return target, chosen, y


def select_one_design(chosen, y, *, n_splits, what="task"):
    """Select a between- or a within-participant design where participants mix the two.

    Labels of participants with several tasks can only be permuted within participants, labels of
    the others only between participants; a mixture leaves few permutations. Where fewer than half
    of the participants have several tasks, those with one task are selected if each task has
    ``n_splits`` of them, and otherwise those with several.

    Parameters
    ----------
    chosen : list of Recording
    y : ndarray of str, shape (n_chosen,)
        Task of each, or its class in a column that differs between sessions.
    n_splits : int
        Number of folds; with fewer participants, no recording is excluded.
    what : {"task", "class"}
        What is contrasted, for the reasons.

    Returns
    -------
    selected : list of Recording
    y : ndarray of str, shape (n_selected,)
    excluded : list of dict
        ``participant`` and ``why`` it was excluded.
    """
    people = np.array([one.group for one in chosen])
    both = [person for person in np.unique(people) if len(np.unique(y[people == person])) > 1]
    n_people = len(np.unique(people))
    if not both or n_people < n_splits or 2 * len(both) >= n_people:
        return chosen, y, []
    has_both = np.isin(people, both)
    enough = [len(np.unique(people[(y == task) & ~has_both])) >= n_splits for task in np.unique(y)]
    if all(enough):
        selected, why = ~has_both, f"has both {_PLURAL[what]}, where most participants have one"
    elif len(both) >= n_splits:
        selected, why = has_both, f"has one {what}, where others have both"
    else:
        return chosen, y, []
    names = sorted({person.rpartition("/")[2] for person in people[~selected]})
    excluded = [{"participant": name, "why": why} for name in names]
    return [chosen[row] for row in np.flatnonzero(selected)], y[selected], excluded


def column_target(recordings, column, participants):
    """Make the target of a column of the tables of participants.

    Parameters
    ----------
    recordings : list of Recording
    column : str
    participants : DataFrame
        See :func:`brainfm.stages.evaluate.participants_table.read_columns`.

    Returns
    -------
    target : EvaluationTarget
    chosen : list of Recording
        Those with a value, of the modality that most of them have.
    y : ndarray of str or float, shape (n_chosen,)
        Value of each; class names are text.
    excluded : list of dict
        ``participant`` and ``why`` it was excluded.
    decision : dict
        What was decided about the column.

    Raises
    ------
    UsageError
        If there is no such column.
    DataError
        If a participant has several values, or they cannot be interpreted.
    NothingSelected
        If no recording remains.
    """
    columns, (decision,) = read_columns(recordings, participants, [column])
    values = columns[column]
    is_number = decision["kind"] == "numbers" and is_continuous(_by_person(values, recordings))
    if decision["kind"] == "numbers" and not is_number:
        values = values.map(class_name, na_action="ignore").astype(object)
        decision |= {"kind": "classes", "why": f"{values.nunique()} different numbers only"}
    known = [one for one, has_value in zip(recordings, values.notna(), strict=True) if has_value]
    _check_any(known, recordings, participants, decision)
    modality, chosen = _one_modality(known)
    value_of = dict(zip(map(id, recordings), values, strict=True))
    y = np.array([value_of[id(recording)] for recording in chosen])
    task = "regression" if is_number else "classification"
    target = EvaluationTarget(kind="target", name=column, task=task, modality=modality)
    missing = sorted({r.participant for r in recordings} - {r.participant for r in known})
    return target, chosen, y, [{"participant": x, "why": f"no {column}"} for x in missing], decision


def _by_person(values, recordings):
    """One value for each participant and session."""
    people = [(one.dataset, one.participant, one.session) for one in recordings]
    return values[~pd.Series(people).duplicated().to_numpy()]


def _check_any(known, recordings, participants, decision):
    """Refuse a table whose labels are of other people."""
    if known or not recordings or decision["n_without_row"] == 0:
        return
    if decision["n_missing"] + decision["n_sentinel"] == 0:
        table, ours = (", ".join(sorted({str(label) for label in labels})[:3]) for labels in (
            participants["participant_id"], [f"sub-{one.participant}" for one in recordings]
        ))  # fmt: skip
        raise NothingSelected(
            f"no participant of the recordings ({ours}) is in {decision['source']} ({table}): "
            "write the labels of the recordings in the table."
        )


def _one_modality(recordings):
    """Select the modality that most recordings have; BOLD on a tie."""
    if not recordings:
        raise NothingSelected(
            "no recording remains to evaluate: all are synthetic or lack the target; add real "
            "recordings, or fill in the column."
        )
    modalities = [recording.modality for recording in recordings]
    modality = max(sorted(set(modalities)), key=modalities.count)
    return modality, [recording for recording in recordings if recording.modality == modality]
