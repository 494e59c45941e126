"""Design of an evaluation: target, rows and folds, checked before any signal is read."""

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
from brainfm.recording import RUN_LABELS, RecordingTable
from brainfm.stages.evaluate.column_values import class_name
from brainfm.stages.evaluate.importance_networks import check_networks
from brainfm.stages.evaluate.participants_table import (
    check_datasets,
    log_notes,
    read_columns,
    summarise_match,
)
from brainfm.stages.evaluate.refusals import check_choice
from brainfm.stages.evaluate.target import (
    EvaluationTarget,
    column_target,
    contrast_target,
    exclude_synthetic,
    select_one_design,
)
from brainfm.storage.bids.participants import IDENTIFIERS, available_columns, rows_of_table
from brainfm.storage.derivatives.recordings import mean_fd_of

#: Length of the windows of a contrast within few participants, and gap on either side of a test
#: block: slow drifts of BOLD last longer than the filter tails of EEG.
WINDOW_S = {"eeg": 5.0, "bold": 60.0}
_GAP_S = {"eeg": 5.0, "bold": 20.0}
#: With fewer blocks the labels of two recordings have too few permutations for a small p.
_MIN_BLOCKS = 8
#: Text columns with more distinct values are not used to colour the map.
_MAX_TEXT_VALUES = 24
_log = logging.getLogger("brainfm")


@dataclass(frozen=True, kw_only=True)
class EvaluationDesign:
    """Target, rows and folds of an evaluation.

    Parameters
    ----------
    target : EvaluationTarget
    table : RecordingTable
        One recording, or one window of a recording, per row.
    y : ndarray of str or float, shape (n_rows,)
        Classes or values.
    labels : DataFrame of n_rows rows
        ``group``, ``dataset``, ``participant``, ``session``, ``task``, ``run``, other labels that
        a recording has, ``start_s``.
    folds : Folds
    confounds : DataFrame of n_rows rows
        Columns to audit; none where rows are windows.
    phenotypes : DataFrame of n_rows rows
        Columns of ``participants.tsv`` that vary, and are numeric or have few values.
    excluded : list of dict
        ``participant`` and ``why`` it was excluded.
    columns : list of dict
        What was decided about the columns used; see
        :func:`brainfm.stages.evaluate.participants_table.read_columns`.
    match : dict
        See :func:`brainfm.stages.evaluate.participants_table.summarise_match`.
    """

    target: EvaluationTarget
    table: RecordingTable
    y: np.ndarray
    labels: pd.DataFrame
    folds: object
    confounds: pd.DataFrame
    phenotypes: pd.DataFrame
    excluded: list
    columns: list
    match: dict


def build_design(config, recordings, *, participants=None, learned=MappingProxyType({}), seed=0):
    """Build the design of an evaluation from the settings; no signal is read.

    Parameters
    ----------
    config : brainfm.config.EvaluateConfig
    recordings : list of Recording
    participants : DataFrame, optional
        ``participants.tsv``, required for a target; a ``kind`` column marks synthetic
        participants.
    learned : dict of str to str
        Names of the labels the model was trained on, by ``dataset/participant``; these
        participants are excluded.
    seed : int

    Returns
    -------
    design : EvaluationDesign

    Raises
    ------
    UsageError
        If neither or both of target and contrast are set, or a column does not exist.
    NothingSelected
        If no recording remains after exclusions.
    DataError
        If the target cannot be learned, or the folds cannot be made; see
        :mod:`brainfm.evaluation.folds`.
    """
    check_choice(config)
    real, excluded = exclude_synthetic(recordings, participants)
    real, trained_on = _exclude_learned(real, learned)
    excluded += trained_on
    if config.contrast:
        target, chosen, y = contrast_target(real, config.contrast)
        columns = []
    else:
        target, chosen, y, missing, used = column_target(real, config.target, participants)
        excluded += missing
        columns = [used]
    if target.task == "classification":
        what = "task" if config.contrast else "class"
        chosen, y, others = select_one_design(chosen, y, n_splits=config.n_splits, what=what)
        excluded += others
    excluded += _without_recording(real, chosen, excluded, target)
    if config.groups:
        chosen, y, missing, used = _exclude_missing(chosen, y, participants, config.groups)
        excluded += missing
        columns.append(used)
    table = RecordingTable([(recording,) for recording in chosen])
    check_datasets(table, participants)
    check_target(y, target.task)
    check_networks(config.networks, target, y)
    table, y, labels, folds = _folds(table, y, target, config, participants=participants, seed=seed)
    confounds = pd.DataFrame(index=range(len(table)))
    if not folds.is_within_people:
        confounds, used = _confounds(table, participants, target, config)
        columns += used
        if target.task == "classification" and "site" in confounds:
            check_classes_at_sites(y, table.groups, confounds["site"].to_numpy())
    columns = list({one["column"]: one for one in reversed(columns)}.values())[::-1]
    match = summarise_match(real, participants)
    log_notes([*columns, match])
    return EvaluationDesign(
        target=target, table=table, y=y, labels=labels, folds=folds, confounds=confounds,
        phenotypes=_phenotypes(table, participants, target), excluded=excluded, columns=columns,
        match=match,
    )  # fmt: skip


def _exclude_learned(recordings, learned):
    """Exclude participants whose labels the model was trained on."""
    remaining = [one for one in recordings if one.group not in learned]
    everyone = {one.participant for one in recordings}
    people = sorted(everyone - {one.participant for one in remaining})
    if not people:
        return remaining, []
    why = f"the model was pretrained on the {next(iter(learned.values()))} of this participant"
    count = f"{len(people)} of {len(everyone)} participants"
    if not remaining:
        raise NothingSelected(
            f"{count} are excluded: {why}; add participants it was not trained on, or pretrain "
            "without labels."
        )
    _log.warning("%s are excluded: %s", count, why)
    return remaining, [{"participant": person, "why": why} for person in people]


def _without_recording(recordings, chosen, excluded, target):
    """List the other participants without a recording of the modality and tasks."""
    listed = {one["participant"] for one in excluded} | {one.participant for one in chosen}
    what = {"bold": "fMRI", "eeg": "EEG"}[target.modality]
    why = f"no {what} recording" + (" of these tasks" if target.kind == "contrast" else "")
    people = sorted({one.participant for one in recordings} - listed)
    return [{"participant": person, "why": why} for person in people]


def _exclude_missing(recordings, y, participants, column):
    """Exclude recordings without a value in the column of ``--groups``."""
    values, (decision,) = read_columns(recordings, participants, [column])
    has_value = values[column].notna().to_numpy()
    remaining = [recordings[row] for row in np.flatnonzero(has_value)]
    missing = {one.participant for one in recordings} - {one.participant for one in remaining}
    excluded = [{"participant": one, "why": f"no {column}"} for one in sorted(missing)]
    return remaining, y[has_value], excluded, decision


def _folds(table, y, target, config, *, participants, seed):
    """Return rows, labels and folds of whole recordings, or of windows with few participants."""
    groups = table.groups
    datasets = [group.rpartition("/")[0] for group in groups]
    people = [row[0].participant for row in table]
    labels = pd.DataFrame({
        "group": groups, "dataset": datasets, "participant": people, **_run_labels(table),
        "start_s": 0.0,
    })  # fmt: skip
    if config.groups:
        recordings = [row[0] for row in table]
        sites = read_columns(recordings, participants, [config.groups])[0][config.groups]
        sites = sites.map(class_name)
        return table, y, labels, site_folds(y, groups, sites, task=target.task)
    if target.kind == "target" or len(np.unique(groups)) >= config.n_splits:
        folds = participant_folds(y, groups, n_splits=config.n_splits, task=target.task, seed=seed)
        return table, y, labels, folds
    return _windows(table, y, labels, target, config)


def _run_labels(table):
    """Columns of labels: session, task and run, and others that a recording has."""
    columns = {name: [getattr(row[0], name) for row in table] for name in RUN_LABELS}
    return {
        name: values
        for name, values in columns.items()
        if name in ("session", "task", "run") or any(values)
    }


def _windows(table, y, labels, target, config):
    window_s, gap_s = WINDOW_S[target.modality], _GAP_S[target.modality]
    windows = [cut_windows(row[0], window_s) for row in table]
    source = np.repeat(np.arange(len(table)), [len(cut) for cut in windows])
    labels = labels.iloc[source].reset_index(drop=True)
    labels["start_s"] = np.concatenate([np.arange(len(cut)) * window_s for cut in windows])
    folds = recording_folds(y[source], labels["group"], source, n_splits=config.n_splits)
    if folds is None:
        n_blocks = max(config.n_splits, min(_MIN_BLOCKS, *(len(cut) for cut in windows)))
        folds = block_folds(
            y[source], labels["group"], source, labels["start_s"],
            window_s=window_s, n_splits=n_blocks, gap_s=gap_s,
        )  # fmt: skip
    return RecordingTable([(one,) for cut in windows for one in cut]), y[source], labels, folds


def _phenotypes(table, participants, target):
    """Select columns that can colour a map; text with many distinct values cannot.

    Columns of ``phenotype/`` are too many for that.
    """
    recordings, found = [row[0] for row in table], {}
    for name in _own_columns(participants):
        if _is_target(name, target):
            continue
        with suppress(DataError):  # such columns are optional
            values = read_columns(recordings, participants, [name])[0][name]
            few = pd.api.types.is_numeric_dtype(values) or values.nunique() <= _MAX_TEXT_VALUES
            if few and values.nunique() > 1:
                found[name] = values.to_numpy()
    return pd.DataFrame(found, index=range(len(table)))


def _is_target(name, target):
    """Whether a column is the target, in another case or of a named table too."""
    spelled = target.name.casefold()
    return target.kind == "target" and name.casefold() in (spelled, spelled.rpartition(".")[2])


def _own_columns(participants):
    """Columns of participants.tsv, or of a table without name."""
    if participants is None or "participant_id" not in participants:
        return []
    own = participants[rows_of_table(participants, "participants")]
    own = participants if own.empty else own.dropna(axis="columns", how="all")
    return [name for name in own if name not in IDENTIFIERS]


def _confounds(table, participants, target, config):
    """Select the columns to audit that exist, vary, and are not the target itself."""
    available, wanted = available_columns(participants), config.confounds
    has_id = participants is not None and "participant_id" in participants
    alike = {name.casefold() for name in available if has_id}
    present = [one for one in wanted if one.casefold() in alike and not _is_target(one, target)]
    absent = [name for name in wanted if name.casefold() not in {*alike, "mean_fd"}]
    _tell_absent(absent, available, config)
    recordings = [row[0] for row in table]
    check_datasets(table, participants if present else None)
    found, decisions = read_columns(recordings, participants, present)
    if "mean_fd" in wanted and "mean_fd" not in found and not _is_target("mean_fd", target):
        found["mean_fd"] = [mean_fd_of(one) for one in recordings]
    if config.groups in found:  # categories, even where they are numbers
        groups = found[config.groups].map(class_name, na_action="ignore")
        found[config.groups] = groups.astype(object)
    return found.loc[:, [name for name in found if found[name].nunique() > 1]], decisions


def _tell_absent(absent, available, config):
    if absent and config.confounds != EvaluateConfig().confounds:
        raise UsageError(
            f"--evaluate-confounds has {', '.join(absent)}, but participants.tsv has "
            f"{', '.join(available) or 'no columns'}: change the list."
        )
    if absent:
        _log.info("not audited, because participants.tsv has no such column: %s", ", ".join(absent))
