"""Permutation importance of groups of features, and activation patterns of linear heads."""

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from brainfm.evaluation.scores import aggregate_predictions
from brainfm.models.estimators.heads import RowSpacePCA


def group_importance(
    X, group_of, head, y, folds, *, scaler, task, n_shuffles=10, seed=0
):  # fmt: skip
    """Compute the permutation importance of feature groups, and the pattern of features.

    *Permutation importance* is the decrease of the score when all features of a group are
    permuted together among the test rows [2]_. The *pattern* is the covariance of each feature
    with the decision function in the training rows; unlike the weights of a linear model, it can
    be interpreted as activation [1]_.

    Parameters
    ----------
    X : ndarray of float, shape (n_rows, n_features)
    group_of : ndarray of int, shape (n_features,)
        Group of each feature, from 0 to n_groups - 1.
    head : estimator
        Linear; of two classes or of a number.
    y : ndarray of str or float, shape (n_rows,)
    folds : Folds
    scaler : transformer
        Fitted on the training rows.
    task : {"classification", "regression"}
    n_shuffles, seed : int

    Returns
    -------
    drop : ndarray of float, shape (n_groups, n_shuffles)
        Decrease of the primary score.
    pattern : ndarray of float, shape (n_features,)
        Mean over folds, in standard deviations of the feature per standard deviation of the
        decision function.

    References
    ----------
    .. [1] Haufe et al., 2014, NeuroImage 87. https://doi.org/10.1016/j.neuroimage.2013.10.067
    .. [2] Breiman, 2001, Machine Learning 45. https://doi.org/10.1023/A:1010933404324
    """
    n_groups, rng = group_of.max() + 1, np.random.default_rng(seed)
    shuffled = np.full((n_groups + 1, n_shuffles, max(folds.repeat) + 1, len(y)), np.nan)
    patterns = []
    for (train, test), repeat in zip(folds.pairs, folds.repeat, strict=True):
        scaled = clone(scaler).fit(X[train])
        X_train, X_test = scaled.transform(X[train]), scaled.transform(X[test])
        fitted = make_pipeline(RowSpacePCA(), clone(head)).fit(X_train, y[train])
        patterns.append(_pattern(X_train, _decision(fitted, X_train)))
        decision, intercept = _decision(fitted, X_test), _decision(fitted, np.zeros_like(X_test))
        shuffled[-1, 0, repeat, test] = decision
        for group in range(n_groups):  # of a linear head, the parts of the groups add up
            part = _decision(fitted, np.where(group_of == group, X_test, 0)) - intercept
            for number in range(n_shuffles):
                permuted = part[rng.permutation(len(test))]
                shuffled[group, number, repeat, test] = decision - part + permuted
    scores = [[_score(y, one, folds, task) for one in each] for each in shuffled[:-1]]
    return _score(y, shuffled[-1, 0], folds, task) - np.array(scores), np.mean(patterns, axis=0)


def _decision(fitted, rows):
    """Log odds of the second class, or the predicted value; shape (n_rows,)."""
    return fitted.decision_function(rows) if hasattr(fitted, "classes_") else fitted.predict(rows)


def _pattern(X, decision):
    """Correlation of each column with the decision function, (n_features,)."""
    centred = decision - decision.mean()
    columns = (X - X.mean(axis=0)) / np.maximum(X.std(axis=0), 1e-12)
    return columns.T @ centred / len(decision) / max(centred.std(), 1e-12)


def _score(y, decision, folds, task):
    """Primary score of log odds or values, (n_repeats, n_rows)."""
    if task == "classification":
        probability = 1 / (1 + np.exp(-decision))
        predicted = np.stack([1 - probability, probability], axis=-1)
    else:
        predicted = decision[..., None]
    return aggregate_predictions(y, predicted, folds, task).primary()[0]
