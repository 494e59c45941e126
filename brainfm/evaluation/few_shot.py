"""Few-shot curves: scores of each method with k training participants per class."""

from functools import partial

import numpy as np
from joblib import Parallel, delayed

from brainfm.evaluation.cross_validation import (
    cross_predict,
    fold_features,
    load_or_compute,
    precompute_features,
)
from brainfm.evaluation.folds_few_shot import SHOTS, episode_folds
from brainfm.evaluation.scores import PRIMARY, aggregate_predictions, percentile_interval
from brainfm.models.features.classical import linear_head

_N_DRAWS = 1000


def few_shot_curves(
    methods, table, y, groups, *, task, sites=None, n_episodes=50, precomputed=None, cache=None,
    workers=None, seed=0,
):  # fmt: skip
    """Score every method on the same episodes.

    The penalty of the head is fixed: choosing it from few rows does not change the curves.

    Parameters
    ----------
    methods : list of Method
    table : RecordingTable of n_rows rows
    y : ndarray of str or float, shape (n_rows,)
    groups : ndarray of str, shape (n_rows,)
        Participant of each row.
    task : {"classification", "regression"}
    sites : ndarray of str, shape (n_rows,), optional
        Rows are compared within a site only.
    n_episodes : int
    precomputed : dict, optional
        See :func:`brainfm.evaluation.cross_validation.fold_features`.
    cache, workers : optional
        See :func:`brainfm.evaluation.cross_validation.load_or_compute`; by default no cache and
        this process.
    seed : int

    Returns
    -------
    rows : list of dict
        ``method``, ``k``, ``n_test``, ``score`` (mean over episodes) with ``low`` and ``high``
        (95 % bootstrap interval over episodes), and ``scores`` of the episodes. Empty with too
        few participants.

    Raises
    ------
    DataError
        See :func:`brainfm.evaluation.cross_validation.fold_features`.
    """
    precomputed = {} if precomputed is None else precomputed
    jobs, rows = {}, []
    for k in SHOTS:
        folds = episode_folds(
            y, groups, k, n_episodes=n_episodes, task=task, sites=sites, seed=seed
        )
        for method in methods if folds else ():
            if method.kind != "dummy":
                rows.append({"method": method.name, "k": k, "n_test": len(folds.pairs[0][1])})
                jobs[f"{k} people of each class, {method.name}"] = partial(
                    _job, method, table, y, folds, precomputed=precomputed, task=task
                )
    workers = workers or Parallel(return_as="generator_unordered")
    results = load_or_compute(jobs, {} if cache is None else cache, workers)
    for row, arrays in zip(rows, results.values(), strict=True):
        mean, low, high = _mean_interval(arrays["scores"], seed)
        row |= {"score": mean, "low": low, "high": high, "scores": arrays["scores"].tolist()}
    return rows


def few_shot_differences(rows, method, baselines, *, seed=0):
    """Compare a method with the best baseline at each k, paired by episode.

    Parameters
    ----------
    rows : list of dict
        From :func:`few_shot_curves`.
    method : str
    baselines : container of str
    seed : int

    Returns
    -------
    differences : list of dict
        ``k``, ``score``, ``against`` (the baseline with the highest mean), and the mean
        ``difference`` with ``low`` and ``high``, a 95 % bootstrap interval over episodes. It
        covers the draw of training participants only: all episodes share one sample. Empty
        without baselines.
    """
    differences = []
    finite = [row for row in rows if np.isfinite(row["score"])]
    for row in (row for row in finite if row["method"] == method):
        others = [one for one in finite if one["k"] == row["k"] and one["method"] in baselines]
        if others:
            best = max(others, key=lambda one: one["score"])
            mean, low, high = _mean_interval(np.subtract(row["scores"], best["scores"]), seed)
            differences.append({
                "k": row["k"], "score": row["score"], "against": best["method"],
                "difference": mean, "low": low, "high": high,
            })  # fmt: skip
    return differences


def _job(method, table, y, folds, *, precomputed, task):
    return delayed(_scores)(
        method, *precompute_features(method, table, precomputed), y, folds, task=task
    )


def _scores(method, table, precomputed, y, folds, *, task):
    matrices = fold_features(method, table, folds, precomputed=precomputed)
    predicted = cross_predict(linear_head(task), matrices, y, folds)
    episodes = aggregate_predictions(y, predicted, folds, task).scores_of_repeats()
    return {"scores": np.array([scores[PRIMARY[task]][0] for scores in episodes])}


def _mean_interval(scores, seed):
    """Mean and bootstrap interval over episodes with a score; constant predictions have no r."""
    finite = scores[np.isfinite(scores)]
    if not len(finite):
        return np.nan, np.nan, np.nan
    drawn = np.random.default_rng(seed).integers(len(finite), size=(_N_DRAWS, len(finite)))
    return float(finite.mean()), *percentile_interval(finite[drawn].mean(axis=1))
