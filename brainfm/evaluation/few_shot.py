"""Few-shot curves: how good each method is with k people of each class."""

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
    methods, table, y, groups, *, task, sites=None, n_episodes=50, measured=None, kept=None,
    workers=None, seed=0,
):  # fmt: skip
    """Score every method on the same episodes.

    Penalties are not chosen: with a few rows that is a matter of luck, and the curves are the same.

    Parameters
    ----------
    methods : list of Method
    table, y, groups, sites
        See :func:`brainfm.evaluation.folds_few_shot.episode_folds`.
    task : {"classification", "regression"}
    n_episodes : int
    measured : dict, optional
        See :func:`brainfm.evaluation.cross_validation.fold_features`.
    kept, workers : optional
        See :func:`brainfm.evaluation.cross_validation.load_or_compute`; by default, nothing and
        this process.
    seed : int

    Returns
    -------
    rows : list of dict
        ``method``, ``k``, ``score`` with ``low`` and ``high`` (95 % interval of the mean over
        episodes), ``n_test`` and ``scores`` (of each episode); empty with too few people.
    """
    measured = {} if measured is None else measured
    jobs, rows = {}, []
    for k in SHOTS:
        folds = episode_folds(
            y, groups, k, n_episodes=n_episodes, task=task, sites=sites, seed=seed
        )
        for method in methods if folds else ():
            if method.kind != "dummy":
                rows.append({"method": method.name, "k": k, "n_test": len(folds.pairs[0][1])})
                jobs[f"{k} people of each class, {method.name}"] = partial(
                    _job, method, table, y, folds, measured=measured, task=task
                )
    workers = workers or Parallel(return_as="generator_unordered")
    made = load_or_compute(jobs, {} if kept is None else kept, workers)
    for row, arrays in zip(rows, made.values(), strict=True):
        mean, low, high = _of_mean(arrays["scores"], seed)
        row |= {"score": mean, "low": low, "high": high, "scores": arrays["scores"].tolist()}
    return rows


def few_shot_differences(rows, method, baselines, *, seed=0):
    """Compare a method with the best baseline at each number of people, episode by episode.

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
        ``k``, ``score``, ``against`` (the baseline with the highest mean), and ``difference`` with
        ``low`` and ``high``: 95 % interval over episodes, of who is learned from: all are
        drawn from the same people. Empty without baselines.
    """
    found = []
    for own in (row for row in rows if row["method"] == method):
        others = [row for row in rows if row["k"] == own["k"] and row["method"] in baselines]
        others = [row for row in others if np.isfinite(row["score"])]
        if others and np.isfinite(own["score"]):
            best = max(others, key=lambda row: row["score"])
            paired = np.array(own["scores"]) - np.array(best["scores"])
            mean, low, high = _of_mean(paired, seed)
            found.append({
                "k": own["k"], "score": own["score"], "against": best["method"],
                "difference": mean, "low": low, "high": high,
            })  # fmt: skip
    return found


def _job(method, table, y, folds, *, measured, task):
    return delayed(_scores)(
        method, *precompute_features(method, table, measured), y, folds, task=task
    )


def _scores(method, table, measured, y, folds, *, task):
    matrices = fold_features(method, table, folds, measured=measured)
    predicted = cross_predict(linear_head(task), matrices, y, folds)
    each = aggregate_predictions(y, predicted, folds, task).scores_of_repeats()
    return {"scores": np.array([one[PRIMARY[task]][0] for one in each])}


def _of_mean(scores, seed):
    """Mean over episodes that have a score (a constant guess has no correlation), and interval."""
    told = scores[np.isfinite(scores)]
    if not len(told):
        return np.nan, np.nan, np.nan
    drawn = np.random.default_rng(seed).integers(len(told), size=(_N_DRAWS, len(told)))
    return float(told.mean()), *percentile_interval(told[drawn].mean(axis=1))
