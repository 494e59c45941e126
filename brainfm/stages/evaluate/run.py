"""Evaluate: how well a question is answered, with the baselines on the same folds."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config

from brainfm import __version__
from brainfm.evaluation.comparison import compare
from brainfm.evaluation.confound_audit import audit
from brainfm.evaluation.cross_validation import (
    Method,
    cross_predict,
    default_methods,
    fold_features,
    load_or_compute,
    permutation_test,
    precompute_features,
    precompute_rows,
)
from brainfm.evaluation.few_shot import few_shot_curves, few_shot_differences
from brainfm.evaluation.folds import n_arrangements
from brainfm.evaluation.scores import (
    PRIMARY,
    UnitPredictions,
    aggregate_predictions,
    bootstrap_counts,
    percentile_interval,
)
from brainfm.models.checkpoint.participants import (
    learned_labels,
    seen_in_training,
    training_of,
)
from brainfm.models.estimators.heads import TunedLinearHead
from brainfm.models.features.classical import linear_head
from brainfm.models.features.covariates import CovariateFeatures
from brainfm.stages.evaluate.design import WINDOW_S, build_design
from brainfm.stages.evaluate.embedding_map import map_of
from brainfm.stages.evaluate.importance_bands import band_importance
from brainfm.stages.evaluate.importance_networks import (
    importance_of,
    network_method,
    whole_brain_method,
)
from brainfm.stages.evaluate.summary_text import summarise_evaluation
from brainfm.stages.evaluate.tables import write_evaluation

_log = logging.getLogger("brainfm")


def evaluate_outputs(
    out_dir, config, *, recordings, participants=None, embedder=None, own=None, kept=None,
    n_jobs=1, seed=0,
):  # fmt: skip
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
    own : transformer, optional
        Another embedder, pretrained on these very recordings, to compare with.
    kept : brainfm.storage.cache.results.ResultCache, optional
        What an earlier call with the same arguments found before it was killed; filled.
    n_jobs : int
        Processes that judge methods at the same time.
    seed : int

    Returns
    -------
    evaluation : dict
        What ``group/evaluation.json`` holds. Beside it stand the tables of
        :mod:`brainfm.stages.evaluate.tables`.

    Raises
    ------
    UsageError, NothingSelected, DataError
        See :func:`brainfm.stages.evaluate.design.build_design`, before anything is computed.
    """
    groups = {f"{one.dataset}/{one.participant}" for one in recordings}
    trained_on = seen_in_training(training_of(embedder), groups)
    learned = learned_labels(training_of(embedder), groups)
    learned |= learned_labels(training_of(own), groups)
    asked = build_design(config, recordings, participants=participants, learned=learned, seed=seed)
    methods, of_networks = _methods(asked, config, embedder, own)
    with parallel_config("loky", inner_max_num_threads=1):
        workers = Parallel(n_jobs=n_jobs, pre_dispatch="n_jobs", return_as="generator_unordered")
    kept = {} if kept is None else kept
    measured = _embeddings(methods, asked.table, kept)
    how = {"kept": kept, "workers": workers, "measured": measured, "seed": seed}
    results = _compare(methods, asked, config, **how)
    curves = _curves(methods, asked, config, **how)
    evaluation = {
        "brainfm_version": __version__,
        "seed": seed,
        "question": {**vars(asked.question), "classes": _classes(asked)},
        "data": _data(asked),
        "folds": _folds(asked, config),
        "primary": PRIMARY[asked.question.task],
        "methods": [result.summary for result in results],
        "n_permutations": config.n_permutations,
        "n_arrangements": min(n_arrangements(asked.y, asked.folds), 10**9),
        "n_units": len(np.unique(asked.folds.units)),
        "model": _model(embedder),
        "seen_in_training": sorted(set(asked.where["group"]) & trained_on),
        "comparison": _comparison(results, asked.folds),
        "curves": curves,
        "few_shot": _few_shot(methods, curves, seed),
        "audit": _audit(methods, asked, seed, measured),
    }
    evaluation["answer"] = summarise_evaluation(evaluation)
    rests_on = of_networks or whole_brain_method(asked)
    tables = {**_importance(rests_on, asked, seed), "map": map_of(methods[0], asked, measured)}
    write_evaluation(Path(out_dir) / "group", evaluation, results, asked, tables)
    for sentence in evaluation["answer"].values():
        _log.info("%s", sentence)
    return evaluation


def _methods(asked, config, embedder, own):
    """All that are compared, the guess last, and the one that reads networks, if any was named."""
    question = asked.question
    methods = default_methods(question.modality, question.task, embedder=embedder, own=own)
    of_networks = network_method(config.networks, asked) if config.networks else None
    methods[-1:-1] = [*filter(None, [of_networks, _covariates_only(asked)])]
    return methods, of_networks


def _covariates_only(asked):
    """The method that knows the audited columns and no signal."""
    if not len(asked.confounds.columns):
        return None
    return Method(
        name="covariates only",
        kind="covariates",
        features=(CovariateFeatures.of(asked.table, asked.confounds),),
        head=TunedLinearHead(asked.question.task),
    )


@dataclass
class _Result:
    """Of one method: what goes to files, and the bootstrap behind its intervals."""

    summary: dict
    predicted: np.ndarray
    judged: UnitPredictions
    observed: float | None
    null: np.ndarray
    draws: np.ndarray


def _embeddings(methods, table, kept):
    """Embed the recordings; dict of transformer to what :func:`precompute_rows` returns."""
    measured = {}
    for method in methods:
        if method.kind == "pretrained":
            (features,), name = method.features, f"embeddings, {method.name}"
            if (found := kept.get(name)) is None:
                kept[name] = found = {"rows": precompute_rows(features, table)}
            measured[features] = found["rows"]
    return measured


def _compare(methods, asked, config, *, kept, workers, measured, seed):
    """Judge each method; workers judge one while the next one is measured."""
    task, n_permutations = asked.question.task, config.n_permutations

    def job(method):
        _log.info("evaluate: %s", method.name)
        return delayed(_predicted)(
            method, *precompute_features(method, asked.table, measured), asked.y, asked.folds,
            task=task, n_permutations=n_permutations, seed=seed,
        )  # fmt: skip

    made = load_or_compute({one.name: partial(job, one) for one in methods}, kept, workers)
    return [_result(method, asked, made[method.name], seed) for method in methods]


def _predicted(method, table, measured, y, folds, *, task, n_permutations, seed):
    matrices = fold_features(method, table, folds, measured=measured)
    made = {"predicted": cross_predict(method.head, matrices, y, folds)}
    if n_permutations and method.kind != "dummy":
        made["observed"], made["null"], made["p"] = permutation_test(
            linear_head(task), matrices, y, folds,
            task=task, n_permutations=n_permutations, seed=seed,
        )  # fmt: skip
    return made


def _result(method, asked, made, seed):
    task = asked.question.task
    found = aggregate_predictions(asked.y, made["predicted"], asked.folds, task)
    drawn = found.scores(bootstrap_counts(found.resample, seed=seed))
    observed, p = (_told(made.get(name)) for name in ("observed", "p"))
    summary = {
        "name": method.name,
        "kind": method.kind,
        "scores": _with_intervals(found.scores(), drawn),
        "p": p,
        "permutation_score": observed,
    }
    null = made.get("null", np.array([]))
    return _Result(summary, made["predicted"], found, observed, null, drawn[PRIMARY[task]])


def _told(value):
    """A number, or None where there is none."""
    return None if value is None or not np.isfinite(value) else float(value)


def _curves(methods, asked, config, *, kept, workers, measured, seed):
    if not config.n_episodes or asked.folds.is_within_people:
        return []
    _log.info("evaluate: few-shot curves")
    return few_shot_curves(
        methods, asked.table, asked.y, asked.where["group"].to_numpy(), task=asked.question.task,
        sites=asked.folds.sites, n_episodes=config.n_episodes, measured=measured,
        kept=kept, workers=workers, seed=seed,
    )  # fmt: skip


def _few_shot(methods, curves, seed):
    """The pretrained method against the best baseline with few people; empty without one."""
    if methods[0].kind != "pretrained":
        return []
    baselines = [method.name for method in methods if method.kind == "classical"]
    return few_shot_differences(curves, methods[0].name, baselines, seed=seed)


def _audit(methods, asked, seed, measured):
    """What else the embedding says, or the first baseline where there is no embedding."""
    if not len(asked.confounds.columns):
        return []
    _log.info("evaluate: audit of %s", ", ".join(asked.confounds))
    matrices_of = partial(fold_features, methods[0], asked.table, measured=measured)
    return audit(
        TunedLinearHead, matrices_of, asked.y, asked.folds, asked.confounds,
        task=asked.question.task, seed=seed,
    )  # fmt: skip


def _importance(of_networks, asked, seed):
    """What predictions rest on, by name of the table."""
    tables = (*importance_of(of_networks, asked, seed), *band_importance(asked, seed))
    return dict(zip(("networks", "edges", "bands", "sensors"), tables, strict=True))


def _model(embedder):
    """Name and checksum of a checkpoint; None of an embedder that has none."""
    checkpoint = getattr(embedder, "checkpoint_", None)
    return checkpoint and {"name": checkpoint.name, "sha256": checkpoint.sha256}


def _folds(asked, config):
    within = asked.folds.is_within_people
    return {
        "kind": asked.folds.kind,
        "groups": config.groups,
        "n_splits": len(asked.folds.pairs) // asked.folds.n_repeats,
        "n_repeats": asked.folds.n_repeats,
        "gap_s": asked.folds.gap_s,
        "window_s": WINDOW_S[asked.question.modality] if within else None,
    }


def _with_intervals(scores, drawn):
    ends = {name: percentile_interval(drawn[name]) for name in scores}
    return {
        name: {"value": float(value[0]), "low": ends[name][0], "high": ends[name][1]}
        for name, value in scores.items()
    }


def _comparison(results, folds):
    """Pretrained minus the best baseline, on the same draws and folds."""
    baselines = [result for result in results if result.summary["kind"] == "classical"]
    best = max(baselines, key=lambda result: np.nan_to_num(result.judged.primary()[0], nan=-1))
    pretrained = [result for result in results if result.summary["kind"] == "pretrained"]
    if not pretrained:
        if not len(best.null):
            return {"best_baseline": best.summary["name"]}
        # The best of several is picked here, so it has to beat the best of several by chance.
        told = [result for result in baselines if result.observed is not None]
        if not told:
            return {"best_baseline": best.summary["name"], "p_best_of_several": None}
        null = np.max([result.null for result in told], axis=0)
        observed = max(result.observed for result in told)
        p = (1 + np.sum(~(null < observed - 1e-12))) / (1 + len(null))
        return {"best_baseline": best.summary["name"], "p_best_of_several": float(p)}
    one = pretrained[0]
    return {
        "method": one.summary["name"],
        "best_baseline": best.summary["name"],
        **compare(one.judged, best.judged, (one.draws, best.draws), folds),
    }


def _classes(asked):
    names = [str(value) for value in np.unique(asked.y)]
    return names if asked.question.task == "classification" else None


def _data(asked):
    recordings = asked.where.drop(columns="start_s").drop_duplicates()
    counts = pd.Series(asked.y).value_counts().sort_index()
    is_classes = asked.question.task == "classification"
    return {
        "n_participants": asked.where["group"].nunique(),
        "n_recordings": len(recordings),
        "n_rows": len(asked.where),
        "at_one_site": _at_one_site(asked),
        "n_of_each": {str(k): int(v) for k, v in counts.items()} if is_classes else None,
        "excluded": list(asked.excluded),
    }


def _at_one_site(asked):
    """Classes all of whose people are at one of several sites, and which."""
    if asked.question.task != "classification" or "site" not in asked.confounds:
        return {}
    sites = asked.confounds["site"].groupby(asked.y).unique()
    return {
        str(label): one[0] for label, one in sites.items() if len(one) == 1 and pd.notna(one[0])
    }
