"""Evaluation of a target: pretrained model and baselines on the same folds."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, parallel_config

from brainfm import __version__
from brainfm.evaluation.comparison import compare
from brainfm.evaluation.confound_audit import audit_confounds
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
from brainfm.models.checkpoint.participants import learned_labels, seen_in_training, training_of
from brainfm.models.estimators.heads import TunedLinearHead
from brainfm.models.features.classical import linear_head
from brainfm.models.features.covariates import CovariateFeatures
from brainfm.stages.evaluate.design import WINDOW_S, build_design
from brainfm.stages.evaluate.embedding_map import map_embeddings
from brainfm.stages.evaluate.importance_bands import band_importance
from brainfm.stages.evaluate.importance_networks import (
    network_importance_tables,
    network_method,
    whole_brain_method,
)
from brainfm.stages.evaluate.summary_text import summarise_evaluation
from brainfm.stages.evaluate.tables import write_evaluation

_log = logging.getLogger("brainfm")


def evaluate_outputs(
    out_dir, config, *, recordings, included=None, participants=None, embedder=None,
    in_domain=None, cache=None, n_jobs=1, seed=0,
):  # fmt: skip
    """Evaluate a target and write the results to ``out_dir/group``.

    Parameters
    ----------
    out_dir : path
        Output folder of brainfm.
    config : brainfm.config.EvaluateConfig
    recordings : list of Recording
    included : brainfm.stages.corpus.included.IncludedRecordings, optional
        How the recordings were selected, and what the exclusion list leaves out.
    participants : DataFrame, optional
        ``participants.tsv``, required for a target; a ``kind`` column marks synthetic
        participants.
    embedder : transformer, optional
        Pretrained embedder; without one only baselines are compared.
    in_domain : transformer, optional
        Another embedder, pretrained on these recordings.
    cache : brainfm.storage.cache.results.ResultCache, optional
        Results of an interrupted call with the same arguments; filled.
    n_jobs : int
        Number of processes.
    seed : int

    Returns
    -------
    evaluation : dict
        Content of ``group/evaluation.json``; the tables are those of
        :mod:`brainfm.stages.evaluate.tables`.

    Raises
    ------
    UsageError, NothingSelected, DataError
        See :func:`brainfm.stages.evaluate.design.build_design`.
    """
    groups = {one.group for one in recordings}
    trained_on = seen_in_training(training_of(embedder), groups)
    learned = learned_labels(training_of(embedder), groups)
    learned |= learned_labels(training_of(in_domain), groups)
    design = build_design(config, recordings, participants=participants, learned=learned, seed=seed)
    methods, networks = _methods(design, config, embedder, in_domain)
    with parallel_config("loky", inner_max_num_threads=1):
        workers = Parallel(n_jobs=n_jobs, pre_dispatch="n_jobs", return_as="generator_unordered")
    cache = {} if cache is None else cache
    precomputed = _embeddings(methods, design.table, cache)
    options = {"cache": cache, "workers": workers, "precomputed": precomputed, "seed": seed}
    results = _compare(methods, design, config, **options)
    curves = _curves(methods, design, config, **options)
    evaluation = {
        "brainfm_version": __version__,
        "seed": seed,
        "question": {**vars(design.target), "classes": _classes(design)},
        "data": _data(design, included),
        "folds": _folds(design, config),
        "primary": PRIMARY[design.target.task],
        "methods": [result.summary for result in results],
        "n_permutations": config.n_permutations,
        "n_arrangements": min(n_arrangements(design.y, design.folds), 10**9),
        "n_units": len(np.unique(design.folds.units)),
        "model": _model(embedder),
        "seen_in_training": sorted(set(design.labels["group"]) & trained_on),
        "comparison": _comparison(results, design.folds),
        "curves": curves,
        "few_shot": _few_shot(methods, curves, seed),
        "audit": _audit(methods, design, seed, precomputed),
    }
    evaluation["answer"] = summarise_evaluation(evaluation)
    tables = {
        **_importance(networks or whole_brain_method(design), design, seed),
        "map": map_embeddings(methods[0], design, precomputed),
    }
    write_evaluation(Path(out_dir) / "group", evaluation, results, design, tables)
    for sentence in evaluation["answer"].values():
        _log.info("%s", sentence)
    return evaluation


def _methods(design, config, embedder, in_domain):
    """Methods to compare, the dummy last; and the one of ``--networks``, or None."""
    task, modality = design.target.task, design.target.modality
    methods = default_methods(modality, task, embedder=embedder, in_domain=in_domain)
    networks = network_method(config.networks, design) if config.networks else None
    methods[-1:-1] = [*filter(None, [networks, _covariates_only(design)])]
    return methods, networks


def _covariates_only(design):
    """Baseline that predicts from the audited columns without any signal."""
    if not len(design.confounds.columns):
        return None
    return Method(
        name="covariates only",
        kind="covariates",
        features=(CovariateFeatures.of(design.table, design.confounds),),
        head=TunedLinearHead(design.target.task),
    )


@dataclass
class _Result:
    """Results of one method."""

    summary: dict
    predicted: np.ndarray
    predictions: UnitPredictions
    observed: float | None  # primary score of the first repeat
    null: np.ndarray  # of permuted labels, (n_permutations,)
    draws: np.ndarray  # primary score of each bootstrap draw, (n_draws,)


def _embeddings(methods, table, cache):
    """Embed the recordings; dict of transformer to ndarray, (n_rows, n_features)."""
    precomputed = {}
    for method in methods:
        if method.kind == "pretrained":
            (features,), name = method.features, f"embeddings, {method.name}"
            if (arrays := cache.get(name)) is None:
                cache[name] = arrays = {"rows": precompute_rows(features, table)}
            precomputed[features] = arrays["rows"]
    return precomputed


def _compare(methods, design, config, *, cache, workers, precomputed, seed):
    """Cross-validate all methods; features are precomputed here, folds run in the workers."""
    task, n_permutations = design.target.task, config.n_permutations

    def job(method):
        _log.info("evaluate: %s", method.name)
        return delayed(_predicted)(
            method, *precompute_features(method, design.table, precomputed), design.y, design.folds,
            task=task, n_permutations=n_permutations, seed=seed,
        )  # fmt: skip

    computed = load_or_compute({one.name: partial(job, one) for one in methods}, cache, workers)
    return [_result(method, design, computed[method.name], seed) for method in methods]


def _predicted(method, table, precomputed, y, folds, *, task, n_permutations, seed):
    matrices = fold_features(method, table, folds, precomputed=precomputed)
    arrays = {"predicted": cross_predict(method.head, matrices, y, folds)}
    if n_permutations and method.kind != "dummy":
        arrays["observed"], arrays["null"], arrays["p"] = permutation_test(
            linear_head(task), matrices, y, folds,
            task=task, n_permutations=n_permutations, seed=seed,
        )  # fmt: skip
    return arrays


def _result(method, design, arrays, seed):
    task = design.target.task
    predictions = aggregate_predictions(design.y, arrays["predicted"], design.folds, task)
    draws = predictions.scores(bootstrap_counts(predictions.resample, seed=seed))
    observed, p = (_finite_or_none(arrays.get(name)) for name in ("observed", "p"))
    summary = {
        "name": method.name,
        "kind": method.kind,
        "scores": _with_intervals(predictions.scores(), draws),
        "p": p,
        "permutation_score": observed,
    }
    null = arrays.get("null", np.array([]))
    predicted = arrays["predicted"]
    return _Result(summary, predicted, predictions, observed, null, draws[PRIMARY[task]])


def _finite_or_none(value):
    return None if value is None or not np.isfinite(value) else float(value)


def _curves(methods, design, config, *, cache, workers, precomputed, seed):
    if not config.n_episodes or design.folds.is_within_people:
        return []
    _log.info("evaluate: few-shot curves")
    return few_shot_curves(
        methods, design.table, design.y, design.labels["group"].to_numpy(), task=design.target.task,
        sites=design.folds.sites, n_episodes=config.n_episodes, precomputed=precomputed,
        cache=cache, workers=workers, seed=seed,
    )  # fmt: skip


def _few_shot(methods, curves, seed):
    """Differences of the pretrained method from the best baseline with few participants."""
    if methods[0].kind != "pretrained":
        return []
    baselines = [method.name for method in methods if method.kind == "classical"]
    return few_shot_differences(curves, methods[0].name, baselines, seed=seed)


def _audit(methods, design, seed, precomputed):
    """Audit the embedding, or the first baseline where there is no embedding."""
    if not len(design.confounds.columns):
        return []
    _log.info("evaluate: audit of %s", ", ".join(design.confounds))
    matrices_of = partial(fold_features, methods[0], design.table, precomputed=precomputed)
    return audit_confounds(
        TunedLinearHead, matrices_of, design.y, design.folds, design.confounds,
        task=design.target.task, seed=seed,
    )  # fmt: skip


def _importance(networks, design, seed):
    """Tables of importance by name."""
    tables = (*network_importance_tables(networks, design, seed), *band_importance(design, seed))
    return dict(zip(("networks", "edges", "bands", "sensors"), tables, strict=True))


def _model(embedder):
    """Name and checksum of the checkpoint of an embedder, or None."""
    checkpoint = getattr(embedder, "checkpoint_", None)
    return checkpoint and {"name": checkpoint.name, "sha256": checkpoint.sha256}


def _folds(design, config):
    within = design.folds.is_within_people
    return {
        "kind": design.folds.kind,
        "groups": config.groups,
        "n_splits": len(design.folds.pairs) // design.folds.n_repeats,
        "n_repeats": design.folds.n_repeats,
        "gap_s": design.folds.gap_s,
        "window_s": WINDOW_S[design.target.modality] if within else None,
    }


def _with_intervals(scores, draws):
    ends = {name: percentile_interval(draws[name]) for name in scores}
    return {
        name: {"value": float(value[0]), "low": ends[name][0], "high": ends[name][1]}
        for name, value in scores.items()
    }


def _comparison(results, folds):
    """Compare the pretrained method with the best baseline, on the same draws and folds."""
    baselines = [result for result in results if result.summary["kind"] == "classical"]
    best = max(baselines, key=lambda result: np.nan_to_num(result.predictions.primary()[0], nan=-1))
    named = {"best_baseline": best.summary["name"]}
    first = results[0]
    if first.summary["kind"] == "pretrained":
        compared = compare(first.predictions, best.predictions, (first.draws, best.draws), folds)
        return {"method": first.summary["name"], **named, **compared}
    if not len(best.null):
        return named
    # The null of the best of several baselines is the best of their nulls.
    tested = [result for result in baselines if result.observed is not None]
    if not tested:
        return {**named, "p_best_of_several": None}
    null = np.max([result.null for result in tested], axis=0)
    observed = max(result.observed for result in tested)
    p = (1 + np.sum(~(null < observed - 1e-12))) / (1 + len(null))
    return {**named, "p_best_of_several": float(p)}


def _classes(design):
    is_classes = design.target.task == "classification"
    return [str(value) for value in np.unique(design.y)] if is_classes else None


def _data(design, included):
    recordings = design.labels.drop(columns="start_s").drop_duplicates()
    counts = pd.Series(design.y).value_counts().sort_index()
    is_classes = design.target.task == "classification"
    return {
        "n_participants": design.labels["group"].nunique(),
        "n_recordings": len(recordings),
        "n_rows": len(design.labels),
        "at_one_site": _at_one_site(design),
        "n_of_each": {str(k): int(v) for k, v in counts.items()} if is_classes else None,
        "columns": design.columns,
        "participants": design.match,
        "selection": included and included.describe(),
        "excluded": [*(included.excluded_participants() if included else ()), *design.excluded],
    }


def _at_one_site(design):
    """Classes whose participants are all at one of several sites, and that site."""
    if design.target.task != "classification" or "site" not in design.confounds:
        return {}
    sites = design.confounds["site"].groupby(design.y).unique()
    return {
        str(label): one[0] for label, one in sites.items() if len(one) == 1 and pd.notna(one[0])
    }
