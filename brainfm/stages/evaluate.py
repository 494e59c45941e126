"""Evaluate: how well a question is answered, with the baselines on the same folds."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm import __version__
from brainfm.errors import NothingSelected, UsageError
from brainfm.models.checkpoint import participant_hash
from brainfm.models.evaluation import (
    PRIMARY,
    bootstrap_counts,
    cross_predict,
    default_methods,
    fold_features,
    interval,
    judged,
    mean_scores,
    permutation_test,
)
from brainfm.models.folds import (
    block_folds,
    check_target,
    cut_windows,
    n_arrangements,
    participant_folds,
)
from brainfm.recording import RecordingTable
from brainfm.stages.answer import answer_to
from brainfm.stages.question import contrast_question, target_question, without_synthetic
from brainfm.storage.files import write_json, write_tsv

#: Windows of a contrast within few people, and what is left out beside the test block: the slow
#: drifts of BOLD reach further than the filter tails of EEG.
_WINDOW_S = {"eeg": 5.0, "bold": 60.0}
_GAP_S = {"eeg": 5.0, "bold": 20.0}
_log = logging.getLogger("brainfm")


def evaluate_outputs(
    out_dir, config, *, recordings, participants=None, embedder=None, seen=(), seed=0
):
    """Answer the question of the settings with the recordings of an output folder.

    Parameters
    ----------
    out_dir : path
        Results go to ``out_dir/group``.
    config : brainfm.config.EvaluateConfig
    recordings : list of Recording
    participants : DataFrame, optional
        ``participants.tsv``, needed for a target; a ``kind`` column marks synthetic people.
    embedder : transformer, optional
        Of tables to embeddings; without one only baselines are compared.
    seen : container of str
        Whether ``dataset/participant`` is in it: who the embedder was trained on.
    seed : int

    Returns
    -------
    evaluation : dict
        What ``group/evaluation.json`` holds.

    Raises
    ------
    UsageError
        If neither or both of target and contrast are set, or the column does not exist.
    NothingSelected
        If no real recording is left.
    DataError
        If the target cannot be learned, with the reason; see :mod:`brainfm.models.folds`.
    """
    if bool(config.target) == bool(config.contrast):
        raise UsageError(
            "give either --target COLUMN of participants.tsv or --contrast TASK TASK, not "
            f"{'both' if config.target else 'neither'}."
        )
    real, excluded = without_synthetic(recordings, participants)
    real, known = _without_learned(real, embedder, seen)
    excluded += known
    if config.contrast:
        question, chosen, y = contrast_question(real, config.contrast)
    else:
        question, chosen, y, missing = target_question(real, config.target, participants)
        excluded += missing
    table = RecordingTable([(recording,) for recording in chosen])
    return evaluate(
        table, y, table.groups, config,
        question=question, out_dir=out_dir, embedder=embedder,
        seen=seen, seed=seed, excluded=excluded,
    )  # fmt: skip


def evaluate(
    table, y, groups, config, *, question, out_dir, embedder=None, seen=(), seed=0, excluded=()
):
    """Compare all methods on the same folds and write what came of it.

    Parameters
    ----------
    table : RecordingTable
        One recording of the question's modality in each row.
    y : ndarray, shape (n_rows,)
        Classes or values.
    groups : ndarray of str, shape (n_rows,)
        Participant of each row.
    config : brainfm.config.EvaluateConfig
    question : Question
    out_dir : path
    embedder, seen, seed
        As in :func:`evaluate_outputs`.
    excluded : sequence of dict
        ``participant`` and ``why`` of what was left out before, for the report.

    Returns
    -------
    evaluation : dict
        What ``group/evaluation.json`` holds. Beside it stand ``scores.tsv`` (a row a method),
        ``folds.tsv`` (a row a prediction) and ``null.tsv`` (permutation scores).

    Raises
    ------
    DataError, UsageError
        If folds cannot be made, before anything is computed.
    """
    y, groups = np.asarray(y), np.asarray(groups)
    check_target(y, question.task)
    table, y, where, folds = _folds(table, y, groups, question=question, config=config, seed=seed)
    methods = default_methods(question.modality, question.task, embedder=embedder)
    results = _compare(methods, table, y, folds, question=question, config=config, seed=seed)
    evaluation = {
        "brainfm_version": __version__,
        "seed": seed,
        "question": {**vars(question), "classes": _classes(y, question.task)},
        "data": _data(y, where, question, excluded),
        "folds": {
            "kind": folds.kind,
            "n_splits": config.n_splits,
            "n_repeats": folds.n_repeats,
            "gap_s": folds.gap_s,
            "window_s": _WINDOW_S[question.modality] if folds.kind == "block" else None,
        },
        "primary": PRIMARY[question.task],
        "methods": [result.summary for result in results],
        "n_permutations": config.n_permutations,
        "n_arrangements": min(n_arrangements(y, folds), 10**9),
        "n_units": len(np.unique(folds.units)),
        "seen_in_training": sorted({group for group in where["group"] if group in seen}),
    }
    evaluation["comparison"] = _comparison(results)
    evaluation["answer"] = answer_to(evaluation)
    predictions = _prediction_rows(results, y, where, folds, evaluation)
    _write(Path(out_dir) / "group", evaluation, results, predictions)
    for sentence in evaluation["answer"].values():
        _log.info("%s", sentence)
    return evaluation


@dataclass
class _Result:
    """Of one method: what goes to files, and the bootstrap behind its intervals."""

    summary: dict
    predicted: np.ndarray
    observed: float
    null: np.ndarray
    draws: np.ndarray


def _folds(table, y, groups, *, question, config, seed):
    """Return rows, labels and folds: whole recordings of many people, or windows of few."""
    few = len(np.unique(groups)) < config.n_splits
    where = pd.DataFrame({
        "group": groups,
        "dataset": [row[0].dataset for row in table],
        "participant": [row[0].participant for row in table],
        "task": [row[0].task for row in table],
        "run": [row[0].run for row in table],
        "start_s": 0.0,
    })  # fmt: skip
    if question.kind == "target" or not few:
        folds = participant_folds(
            y, groups, n_splits=config.n_splits, task=question.task, seed=seed
        )
        return table, y, where, folds
    window_s, gap_s = _WINDOW_S[question.modality], _GAP_S[question.modality]
    windows = [cut_windows(row[0], window_s) for row in table]
    source = np.repeat(np.arange(len(table)), [len(cut) for cut in windows])
    where = where.iloc[source].reset_index(drop=True)
    where["start_s"] = np.concatenate([np.arange(len(cut)) * window_s for cut in windows])
    folds = block_folds(
        y[source], where["group"], source, where["start_s"],
        window_s=window_s, n_splits=config.n_splits, gap_s=gap_s,
    )  # fmt: skip
    return RecordingTable([(one,) for cut in windows for one in cut]), y[source], where, folds


def _compare(methods, table, y, folds, *, question, config, seed):
    results, measured, counts = [], {}, None
    for method in methods:
        _log.info("evaluate: %s", method.name)
        matrices = fold_features(method, table, folds, measured=measured)
        predicted = cross_predict(method.head, matrices, y, folds)
        target, averaged, resample = judged(y, predicted, folds, question.task)
        counts = bootstrap_counts(resample, seed=seed) if counts is None else counts
        drawn = mean_scores(target, averaged, question.task, counts)
        observed, null, p = np.nan, np.array([]), None
        if method.kind != "dummy" and config.n_permutations:
            observed, null, p = permutation_test(
                method.head, matrices, y, folds,
                task=question.task, n_permutations=config.n_permutations, seed=seed,
            )  # fmt: skip
        summary = {
            "name": method.name,
            "kind": method.kind,
            "scores": _with_intervals(mean_scores(target, averaged, question.task), drawn),
            "p": p,
            "permutation_score": None if p is None else float(observed),
        }
        primary = drawn[PRIMARY[question.task]]
        results.append(_Result(summary, predicted, observed, null, primary))
    return results


def _seen(embedder, named, groups):
    """People evaluated here whose recordings the embedder was trained on."""
    known = set(_training_of(embedder).get("participants", ()))
    return [group for group in groups if group in named or participant_hash(group) in known]


def _training_of(embedder):
    """What an embedder, loaded or pretrained here, was trained on."""
    checkpoint = getattr(embedder, "checkpoint_", None)
    return checkpoint.info.get("training", {}) if checkpoint else getattr(embedder, "training_", {})


def _without_learned(recordings, embedder, named):
    """Leave out whose labels the embedder was trained on: their scores would not be of new people.

    Returns
    -------
    kept : list of Recording
    excluded : list of dict
        ``participant`` and ``why``.
    """
    labels = _training_of(embedder).get("phenotypes")
    if not labels:
        return recordings, []
    groups = [f"{one.dataset}/{one.participant}" for one in recordings]
    learned = set(_seen(embedder, named, groups))
    why = f"the model was pretrained on the {', '.join(labels)} of this participant"
    people = {one.participant for one, group in zip(recordings, groups, strict=True)
              if group in learned}  # fmt: skip
    kept = [one for one, group in zip(recordings, groups, strict=True) if group not in learned]
    said = f"{len(learned)} of {len(set(groups))} participants are left out: {why}"
    if learned and not kept:
        raise NothingSelected(f"{said}; add people it was not trained on, or train without labels.")
    if learned:
        _log.warning("%s", said)
    return kept, [{"participant": person, "why": why} for person in sorted(people)]


def _with_intervals(scores, drawn):
    ends = {name: interval(drawn[name]) for name in scores}
    return {
        name: {"value": float(value[0]), "low": ends[name][0], "high": ends[name][1]}
        for name, value in scores.items()
    }


def _comparison(results):
    """Pretrained minus the best baseline, on the same bootstrap draws."""
    primary = next(iter(results[0].summary["scores"]))

    def value(result):
        return result.summary["scores"][primary]["value"]

    baselines = [result for result in results if result.summary["kind"] == "classical"]
    best = max(baselines, key=value)
    pretrained = [result for result in results if result.summary["kind"] == "pretrained"]
    if not pretrained:
        if not len(best.null):
            return {"best_baseline": best.summary["name"]}
        # The best of several is picked here, so it has to beat the best of several by chance.
        null = np.max([result.null for result in baselines], axis=0)
        observed = max(result.observed for result in baselines)
        p = (1 + np.sum(null >= observed - 1e-12)) / (1 + len(null))
        return {"best_baseline": best.summary["name"], "p_best_of_several": float(p)}
    low, high = interval(pretrained[0].draws - best.draws)
    return {
        "method": pretrained[0].summary["name"],
        "best_baseline": best.summary["name"],
        "difference": value(pretrained[0]) - value(best),
        "low": low,
        "high": high,
    }


def _classes(y, task):
    return [str(value) for value in np.unique(y)] if task == "classification" else None


def _data(y, where, question, excluded):
    recordings = where.drop(columns="start_s").drop_duplicates()
    return {
        "n_participants": where["group"].nunique(),
        "n_recordings": len(recordings),
        "n_rows": len(where),
        "n_of_each": (
            {str(k): int(v) for k, v in pd.Series(y).value_counts().sort_index().items()}
            if question.task == "classification" else None
        ),
        "excluded": list(excluded),
    }  # fmt: skip


def _write(folder, evaluation, results, predictions):
    write_tsv(folder / "scores.tsv", _score_rows(evaluation))
    write_tsv(folder / "folds.tsv", predictions)
    null = {result.summary["name"]: result.null for result in results if len(result.null)}
    write_tsv(folder / "null.tsv", pd.DataFrame(null))
    write_json(folder / "evaluation.json", evaluation)  # last: it says that the others are there


def _score_rows(evaluation):
    rows = []
    for method in evaluation["methods"]:
        row = {"method": method["name"], "kind": method["kind"]}
        for name, value in method["scores"].items():
            row |= {
                name: value["value"],
                f"{name}_low": value["low"],
                f"{name}_high": value["high"],
            }
        rows.append(row | {"p": method["p"]})
    return pd.DataFrame(rows)


def _prediction_rows(results, y, where, folds, evaluation):
    classes = evaluation["question"]["classes"]
    outputs = [f"p_{name}" for name in classes] if classes else ["predicted"]
    frames = []
    for result in results:
        for index, (_, test) in enumerate(folds.pairs):
            rows = where.iloc[test].drop(columns="group")
            number = folds.repeat[index]
            frame = rows.assign(
                method=result.summary["name"], repeat=number, fold=index, target=y[test]
            )
            frame[outputs] = result.predicted[number, test]
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)
