"""Scores of predictions and their bootstrap; within sites where sites are given.

What participants of a site share (scanner, protocol, proportion of patients) affects a score only
where participants of different sites are compared. Where sites are given, each site is scored
alone, and the scores are averaged with weights n - 1, the number of its participants less one.
"""

from dataclasses import dataclass

import numpy as np

#: Primary score of each task.
PRIMARY = {"classification": "roc_auc", "regression": "r"}
#: Chance level of each primary score.
CHANCE = {"roc_auc": 0.5, "r": 0.0}
_N_BOOTSTRAP = 1000


@dataclass(frozen=True, kw_only=True)
class UnitPredictions:
    """Predictions of scored units: participants, recordings or windows.

    Parameters
    ----------
    target : ndarray of int or float, shape (n_units,)
        Class numbers, or values.
    predicted : ndarray of float, shape (n_repeats, n_units, n_outputs)
        NaN where a repeat does not test a unit.
    resample : ndarray of str, shape (n_units,)
        Participants, recordings or blocks of time that the bootstrap draws.
    sites : ndarray of str, shape (n_units,), or None
    task : {"classification", "regression"}
    """

    target: np.ndarray
    predicted: np.ndarray
    resample: np.ndarray
    sites: np.ndarray | None
    task: str

    def scores(self, counts=None):
        """Return the mean scores over repeats; see :func:`score`."""
        repeats = self.scores_of_repeats(counts)
        return {name: np.mean([scores[name] for scores in repeats], axis=0) for name in repeats[0]}

    def primary(self, counts=None):
        """Return the primary score, ndarray of shape (n_draws,)."""
        return self.scores(counts)[PRIMARY[self.task]]

    def scores_of_repeats(self, counts=None):
        """Return the scores of each repeat on the units it tests; list of dict."""
        return [self._scored(one, np.isfinite(one[:, 0]), counts) for one in self.predicted]

    def scores_of_folds(self, folds):
        """Return the primary score of each fold, shape (n_folds,); NaN where undefined."""
        units = folds.units if folds.kind == "block" else np.unique(folds.units)
        scores = [
            self._scored(self.predicted[number], np.isin(units, folds.units[test]), None)
            for (_, test), number in zip(folds.pairs, folds.repeat, strict=True)
        ]
        return np.array([one[PRIMARY[self.task]][0] for one in scores])

    def _scored(self, predicted, rows, counts):
        return score(
            self.target[rows],
            predicted[rows],
            self.task,
            None if counts is None else counts[:, rows],
            None if self.sites is None else self.sites[rows],
        )


def aggregate_predictions(y, predicted, folds, task):
    """Average the predictions of the rows of each unit.

    Units are participants, or recordings where the target differs within participants; with block
    folds every window is scored.

    Parameters
    ----------
    y : ndarray of str or float, shape (n_rows,)
    predicted : ndarray of float, shape (n_repeats, n_rows, n_outputs)
    folds : Folds
    task : {"classification", "regression"}

    Returns
    -------
    predictions : UnitPredictions
    """
    y = np.unique(y, return_inverse=True)[1] if task == "classification" else np.asarray(y, float)
    if folds.kind == "block":
        return UnitPredictions(
            target=y, predicted=predicted, resample=folds.units, sites=folds.sites, task=task
        )
    units, first = np.unique(folds.units, return_index=True)
    members = [folds.units == unit for unit in units]
    return UnitPredictions(
        target=np.array([y[rows].mean() for rows in members]),  # nearly equal within a unit
        predicted=np.stack([predicted[:, rows].mean(axis=1) for rows in members], axis=1),
        resample=units if folds.kind == "recording" else folds.people[first],
        sites=None if folds.sites is None else folds.sites[first],
        task=task,
    )


def score(y, predicted, task, counts=None, sites=None):
    """Score one set of predictions.

    Parameters
    ----------
    y : ndarray of int or float, shape (n_rows,)
        Class numbers from 0, or values.
    predicted : ndarray of float, shape (n_rows, n_outputs)
        One repeat of :func:`brainfm.evaluation.cross_validation.cross_predict`.
    task : {"classification", "regression"}
    counts : ndarray of int, shape (n_draws, n_rows), optional
        Number of times each bootstrap draw contains each row; by default one draw with every row
        once.
    sites : ndarray of str, shape (n_rows,), optional
        Rows are compared within a site only.

    Returns
    -------
    scores : dict of str to ndarray of float, shape (n_draws,)
        ``roc_auc`` (one versus rest, mean over classes) and ``balanced_accuracy``; or ``r``
        (Pearson), ``mae`` in the unit of ``y``, and ``r2``. NaN where undefined.
    """
    counts = np.ones((1, len(y))) if counts is None else np.asarray(counts, dtype=float)
    sites = np.zeros(len(y), int) if sites is None else sites
    score_one, kind = (_class_scores, int) if task == "classification" else (_value_scores, float)
    y = np.asarray(y, kind)
    each, people = [], []
    with np.errstate(invalid="ignore", divide="ignore"):
        for site in np.unique(sites):
            rows = sites == site
            each.append(score_one(y[rows], predicted[rows], counts[:, rows]))
            people.append(np.maximum(counts[:, rows].sum(axis=1) - 1, 0))
        return {name: _weighted([one[name] for one in each], people) for name in each[0]}


def bootstrap_counts(resample, *, n_draws=_N_BOOTSTRAP, seed=0):
    """Draw units with replacement (bootstrap).

    Parameters
    ----------
    resample : ndarray of str, shape (n_units,)
        Unit that each row belongs to.
    n_draws, seed : int

    Returns
    -------
    counts : ndarray of int, shape (n_draws, n_units)
        Number of times each draw contains each row. The same draws serve all methods, so
        differences are paired.

    References
    ----------
    .. [1] Efron and Tibshirani, 1993, An Introduction to the Bootstrap.
       https://doi.org/10.1201/9780429246593
    """
    units, number = np.unique(resample, return_inverse=True)
    share = np.full(len(units), 1 / len(units))
    return np.random.default_rng(seed).multinomial(len(units), share, size=n_draws)[:, number]


def percentile_interval(values, level=0.95):
    """Compute the percentile interval of bootstrap values.

    Parameters
    ----------
    values : array-like of float, shape (n_draws,)
        NaN, such as the score of a draw with one class, is ignored.
    level : float
        Coverage of the interval.

    Returns
    -------
    low, high : float
        NaN without a finite value.
    """
    values = np.asarray(values, float)
    if not np.isfinite(values).any():
        return np.nan, np.nan
    tail = (1 - level) / 2 * 100
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _weighted(values, weights):
    """Weighted mean over sites, (n_draws,); a site without a score has no weight."""
    values, weights = np.array(values), np.array(weights, dtype=float)
    weights[~np.isfinite(values)] = 0
    return (np.nan_to_num(values) * weights).sum(axis=0) / weights.sum(axis=0)


def _class_scores(y, probabilities, counts):
    classes = np.unique(y)  # a site may lack some
    best = probabilities.argmax(axis=1)
    recall = [counts @ ((y == k) & (best == k)) / (counts @ (y == k)) for k in classes]
    areas = [_auc(y == k, probabilities[:, k], counts) for k in classes]
    return {"roc_auc": np.mean(areas, axis=0), "balanced_accuracy": np.mean(recall, axis=0)}


def _auc(positive, value, counts):
    """Area under the ROC curve of each draw, (n_draws,), with ties counted half."""
    order = np.argsort(value, kind="stable")
    starts = np.flatnonzero(np.diff(value[order], prepend=-np.inf))  # of each run of ties
    sides = [np.add.reduceat(counts[:, order] * side[order], starts, axis=1)
             for side in (positive, ~positive)]  # fmt: skip
    below = np.cumsum(sides[1], axis=1) - sides[1] / 2
    return (sides[0] * below).sum(axis=1) / (sides[0].sum(axis=1) * sides[1].sum(axis=1))


def _value_scores(y, guess, counts):
    guess = guess[:, 0]
    share = counts / counts.sum(axis=1, keepdims=True)
    y_spread, g_spread = (share @ v**2 - (share @ v) ** 2 for v in (y - y.mean(), guess - y.mean()))
    together = share @ ((y - y.mean()) * (guess - y.mean()))
    together -= (share @ (y - y.mean())) * (share @ (guess - y.mean()))
    tiny = 1e-12 * max(np.ptp(y), np.ptp(guess), 1e-300) ** 2
    r = together / np.sqrt(y_spread * g_spread)
    return {
        "r": np.where((y_spread > tiny) & (g_spread > tiny), r, np.nan),
        "mae": share @ np.abs(y - guess),
        "r2": np.where(y_spread > tiny, 1 - share @ (y - guess) ** 2 / y_spread, np.nan),
    }
