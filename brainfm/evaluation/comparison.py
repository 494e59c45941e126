"""Comparison of two methods on the same folds."""

import numpy as np
from scipy.stats import t as student

from brainfm.evaluation.scores import percentile_interval


def corrected_t_test(difference, n_train, n_test):
    """Corrected resampled t test of the mean difference over folds [1]_.

    Folds share training rows, so the variance of their differences is too small; it is corrected
    by the ratio of test to training rows.

    Parameters
    ----------
    difference : ndarray of float, shape (n_folds,)
        Score of one method minus that of the other; NaN where a fold has no score.
    n_train, n_test : float
        Mean number of rows per fold.

    Returns
    -------
    test : dict of str to float, or None
        ``t``, ``df`` and two-sided ``p``; None with fewer than two folds or without variance.

    References
    ----------
    .. [1] Nadeau and Bengio, 2003, Machine Learning 52. https://doi.org/10.1023/A:1024068626366
    """
    difference = np.asarray(difference, float)
    difference = difference[np.isfinite(difference)]
    n_folds = len(difference)
    variance = difference.var(ddof=1) if n_folds > 1 else 0.0
    if not variance > 1e-20:
        return None
    t = difference.mean() / np.sqrt((1 / n_folds + n_test / n_train) * variance)
    p = 2 * student.sf(abs(t), n_folds - 1)
    return {"t": float(t), "df": n_folds - 1, "p": float(p)}


def compare(one, other, draws, folds):
    """Compare the primary scores of two methods.

    Parameters
    ----------
    one, other : UnitPredictions
    draws : tuple of two ndarray of float, shape (n_draws,)
        Primary scores on the same bootstrap draws.
    folds : Folds

    Returns
    -------
    comparison : dict
        ``difference`` with ``low`` and ``high`` (95 % bootstrap interval), and ``t_test`` from
        :func:`corrected_t_test`.
    """
    low, high = percentile_interval(draws[0] - draws[1])
    of_folds = one.scores_of_folds(folds) - other.scores_of_folds(folds)
    sizes = np.array([[len(train), len(test)] for train, test in folds.pairs]).mean(axis=0)
    return {
        "difference": float(one.primary()[0] - other.primary()[0]),
        "low": low,
        "high": high,
        "t_test": corrected_t_test(of_folds, *sizes),
    }
