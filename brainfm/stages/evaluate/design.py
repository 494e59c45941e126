"""What is asked, of whom, and how it will be tested: all that can be refused before any work."""

import logging
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from brainfm.config import EvaluateConfig
from brainfm.errors import DataError, NothingSelected, UsageError
from brainfm.evaluation.folds import participant_folds
from brainfm.evaluation.folds_by_site import check_classes_at_sites, site_folds
from brainfm.evaluation.folds_within_participant import block_folds, cut_windows, recording_folds
from brainfm.models.targets import check_target
from brainfm.recording import RecordingTable
from brainfm.stages.evaluate.importance_networks import check_networks
from brainfm.stages.evaluate.participants_table import check_datasets, column_values, phenotypes_of
from brainfm.stages.evaluate.refusals import check_choice
from brainfm.stages.evaluate.target import (
    Question,
    contrast_question,
    of_one_design,
    target_question,
    without_synthetic,
)
from brainfm.storage.derivatives.recordings import mean_fd_of

#: Windows of a contrast within few people, and what is left out beside the test block: the slow
#: drifts of BOLD reach further than the filter tails of EEG.
WINDOW_S = {"eeg": 5.0, "bold": 60.0}
_GAP_S = {"eeg": 5.0, "bold": 20.0}
#: With fewer blocks labels of two recordings can be exchanged in too few ways for a small p.
_FEWEST_BLOCKS = 8
_MOST_NAMES = 24
_log = logging.getLogger("brainfm")


@dataclass(frozen=True, kw_only=True)
class EvaluationDesign:
    """A question with its rows and folds.

    Parameters
    ----------
    question : Question
    table : RecordingTable
        One recording, or window of one, in each row.
    y : ndarray, shape (n_rows,)
        Classes or values.
    where : DataFrame, one row a row
        ``group``, ``dataset``, ``participant``, ``session``, ``task``, ``run``, ``start_s``.
    folds : Folds
    confounds : DataFrame, one row a row
        Columns to be audited; none where rows are windows.
    known : DataFrame, one row a row
        Columns of ``participants.tsv`` that vary, and are numbers or have few values.
    excluded : list of dict
        ``participant`` and ``why``.
    """

    question: Question
    table: RecordingTable
    y: np.ndarray
    where: pd.DataFrame
    folds: object
    confounds: pd.DataFrame
    known: pd.DataFrame
    excluded: list


def build_design(config, recordings, *, participants=None, learned=MappingProxyType({}), seed=0):
    """Make the question of the settings, or say why it cannot be asked; reads no signal.

    Parameters
    ----------
    config : brainfm.config.EvaluateConfig
    recordings : list of Recording
    participants : DataFrame, optional
        ``participants.tsv``, needed for a target; a ``kind`` column marks synthetic people.
    learned : dict of str to str
        ``dataset/participant`` of people whose labels the model has learned, and which labels;
        they are left out.
    seed : int

    Returns
    -------
    asked : EvaluationDesign

    Raises
    ------
    UsageError
        If neither or both of target and contrast are set, or a column does not exist.
    NothingSelected
        If no real recording is left.
    DataError
        If the target cannot be learned, with the reason; see :mod:`brainfm.evaluation.folds`.
    """
    check_choice(config)
    real, excluded = without_synthetic(recordings, participants)
    real, known = _without(real, learned)
    excluded += known
    if config.contrast:
        question, chosen, y = contrast_question(real, config.contrast)
        chosen, y, others = of_one_design(chosen, y, n_splits=config.n_splits)
        excluded += others
    else:
        question, chosen, y, missing = target_question(real, config.target, participants)
        excluded += missing
    excluded += _silent(real, chosen, excluded, question)
    if config.groups:
        chosen, y, homeless = _with_value(chosen, y, participants, config.groups)
        excluded += homeless
    table = RecordingTable([(recording,) for recording in chosen])
    check_datasets(table, participants)
    check_target(y, question.task)
    check_networks(config.networks, question, y)
    table, y, where, folds = _folds(
        table, y, question, config, participants=participants, seed=seed
    )
    confounds = pd.DataFrame(index=range(len(table)))
    if not folds.is_within_people:
        confounds = _confounds(table, participants, question, config)
        if question.task == "classification" and "site" in confounds:
            check_classes_at_sites(y, table.groups, confounds["site"].to_numpy())
    return EvaluationDesign(
        question=question, table=table, y=y, where=where, folds=folds,
        confounds=confounds, known=_known(table, participants, question), excluded=excluded,
    )  # fmt: skip


def _without(recordings, learned):
    """Leave out people whose labels the model has learned: they are nobody new to it."""
    kept = [one for one in recordings if f"{one.dataset}/{one.participant}" not in learned]
    people = sorted({one.participant for one in recordings} - {one.participant for one in kept})
    if not people:
        return kept, []
    why = f"the model was pretrained on the {next(iter(learned.values()))} of this participant"
    said = f"{len(people)} of {len({one.participant for one in recordings})} participants"
    if not kept:
        raise NothingSelected(
            f"{said} are left out: {why}; add people it was not trained on, or train without "
            "labels."
        )
    _log.warning("%s are left out: %s", said, why)
    return kept, [{"participant": person, "why": why} for person in people]


def _silent(recordings, chosen, excluded, question):
    """People whose recordings are none of those asked for, and not left out for a reason told."""
    told = {one["participant"] for one in excluded} | {one.participant for one in chosen}
    what = {"bold": "fMRI", "eeg": "EEG"}[question.modality]
    why = f"no {what} recording" + (" of these tasks" if question.kind == "contrast" else "")
    people = sorted({one.participant for one in recordings} - told)
    return [{"participant": person, "why": why} for person in people]


def _with_value(recordings, y, participants, column):
    """Leave out people without a value in the column of ``--groups``."""
    table = RecordingTable([(recording,) for recording in recordings])
    there = phenotypes_of(table, participants, [column])[column].notna().to_numpy()
    homeless = sorted({recordings[row].participant for row in np.flatnonzero(~there)})
    kept = [one for one, has in zip(recordings, there, strict=True) if has]
    return kept, y[there], [{"participant": one, "why": f"no {column}"} for one in homeless]


def _folds(table, y, question, config, *, participants, seed):
    """Return rows, labels and folds: whole recordings of many people, or windows of few."""
    groups = table.groups
    where = pd.DataFrame({
        "group": groups,
        "dataset": [row[0].dataset for row in table],
        "participant": [row[0].participant for row in table],
        "session": [row[0].session for row in table],
        "task": [row[0].task for row in table],
        "run": [row[0].run for row in table],
        "start_s": 0.0,
    })  # fmt: skip
    if config.groups:
        sites = phenotypes_of(table, participants, [config.groups])[config.groups]
        return table, y, where, site_folds(y, groups, sites.astype(str), task=question.task)
    if question.kind == "target" or len(np.unique(groups)) >= config.n_splits:
        folds = participant_folds(
            y, groups, n_splits=config.n_splits, task=question.task, seed=seed
        )
        return table, y, where, folds
    return _windows(table, y, where, question, config)


def _windows(table, y, where, question, config):
    window_s, gap_s = WINDOW_S[question.modality], _GAP_S[question.modality]
    windows = [cut_windows(row[0], window_s) for row in table]
    source = np.repeat(np.arange(len(table)), [len(cut) for cut in windows])
    where = where.iloc[source].reset_index(drop=True)
    where["start_s"] = np.concatenate([np.arange(len(cut)) * window_s for cut in windows])
    folds = recording_folds(y[source], where["group"], source, n_splits=config.n_splits)
    if folds is None:
        n_blocks = max(config.n_splits, min(_FEWEST_BLOCKS, *(len(cut) for cut in windows)))
        folds = block_folds(
            y[source], where["group"], source, where["start_s"],
            window_s=window_s, n_splits=n_blocks, gap_s=gap_s,
        )  # fmt: skip
    return RecordingTable([(one,) for cut in windows for one in cut]), y[source], where, folds


def _known(table, participants, question):
    """Columns that can colour a map: no text that is another for everybody, such as a remark."""
    people, found = [row[0].participant for row in table], {}
    for name in [] if participants is None else participants:
        if name in ("participant_id", question.name):
            continue
        with suppress(DataError):  # what nobody asked for stops nothing
            values = column_values(participants, name).reindex(people)
            few = pd.api.types.is_numeric_dtype(values) or values.nunique() <= _MOST_NAMES
            if few and values.nunique() > 1:
                found[name] = values.to_numpy()
    return pd.DataFrame(found, index=range(len(table)))


def _as_name(value):
    return value if isinstance(value, str) else f"{value:.15g}"


def _confounds(table, participants, question, config):
    """Columns to audit that are there, vary, and are not the target itself."""
    columns = [] if participants is None else [c for c in participants if c != "participant_id"]
    there = [name for name in config.confounds if name in columns and name != question.name]
    absent = [name for name in config.confounds if name not in [*columns, "mean_fd"]]
    if absent and config.confounds != EvaluateConfig().confounds:
        raise UsageError(
            f"--evaluate-confounds has {', '.join(absent)}, but participants.tsv has "
            f"{', '.join(columns) or 'no columns'}."
        )
    if absent:
        _log.info("not audited, since participants.tsv has no column: %s", ", ".join(absent))
    found = phenotypes_of(table, participants, there)
    found.index = range(len(table))
    if "mean_fd" in config.confounds and "mean_fd" not in found and question.name != "mean_fd":
        found["mean_fd"] = [mean_fd_of(row[0]) for row in table]
    for name in {"site", config.groups} & set(found):  # names, even where they are numbers
        found[name] = found[name].map(_as_name, na_action="ignore").astype(object)
    return found.loc[:, [name for name in found if found[name].nunique() > 1]]
