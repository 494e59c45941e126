"""What a prediction rests on: groups of features exchanged together, and a pattern."""

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from brainfm.evaluation.scores import aggregate_predictions
from brainfm.models.estimators.heads import RowSpacePCA


def group_importance(
    read, group_of, head, y, folds, *, scaler, task, n_shuffles=10, seed=0
):  # fmt: skip
    """Tell which groups of features, and which features, predictions rest on.

    *Permutation importance*: how much the score falls when all features of a group are exchanged
    together among the test rows. *Pattern*: how each feature goes with what the head says in the
    training rows; unlike the weights of a linear model, it can be read as activation [1]_.

    Parameters
    ----------
    read : ndarray of float, shape (n_rows, n_features)
    group_of : ndarray of int, shape (n_features,)
        Numbers of the groups, from 0 without a gap.
    head : estimator
        Linear, of two classes or of a number.
    y, folds
        As for :func:`brainfm.evaluation.cross_validation.cross_predict`.
    scaler : transformer
    task : {"classification", "regression"}
    n_shuffles, seed : int

    Returns
    -------
    drop : ndarray of float, shape (n_groups, n_shuffles)
        Of the primary score.
    pattern : ndarray of float, shape (n_features,)
        Mean over folds, in standard deviations of the feature for one of what the head says.

    References
    ----------
    .. [1] Haufe et al., 2014, NeuroImage 87. https://doi.org/10.1016/j.neuroimage.2013.10.067
    """
    n_groups, rng = group_of.max() + 1, np.random.default_rng(seed)
    shuffled = np.full((n_groups + 1, n_shuffles, max(folds.repeat) + 1, len(y)), np.nan)
    patterns = []
    for (train, test), repeat in zip(folds.pairs, folds.repeat, strict=True):
        scaled = clone(scaler).fit(read[train])
        seen, new = scaled.transform(read[train]), scaled.transform(read[test])
        fitted = make_pipeline(RowSpacePCA(), clone(head)).fit(seen, y[train])
        patterns.append(_pattern(seen, _says(fitted, seen)))
        said, nothing = _says(fitted, new), _says(fitted, np.zeros_like(new))
        shuffled[-1, 0, repeat, test] = said
        for group in range(n_groups):
            part = _says(fitted, np.where(group_of == group, new, 0)) - nothing
            for number in range(n_shuffles):  # the head is linear: parts add up
                exchanged = said - part + part[rng.permutation(len(new))]
                shuffled[group, number, repeat, test] = exchanged
    scores = [[_score(y, one, folds, task) for one in each] for each in shuffled[:-1]]
    return _score(y, shuffled[-1, 0], folds, task) - np.array(scores), np.mean(patterns, axis=0)


def _says(fitted, rows):
    """Log odds of the second class, or the predicted value; shape (n_rows,)."""
    return fitted.decision_function(rows) if hasattr(fitted, "classes_") else fitted.predict(rows)


def _pattern(seen, said):
    """Covariance of each column with what the head says, over that of what it says."""
    centred = said - said.mean()
    columns = (seen - seen.mean(axis=0)) / np.maximum(seen.std(axis=0), 1e-12)
    return columns.T @ centred / len(said) / max(centred.std(), 1e-12)


def _score(y, said, folds, task):
    """Primary score of log odds or values (n_repeats, n_rows)."""
    if task == "classification":
        chance = 1 / (1 + np.exp(-said))
        predicted = np.stack([1 - chance, chance], axis=-1)
    else:
        predicted = said[..., None]
    return aggregate_predictions(y, predicted, folds, task).primary()[0]
