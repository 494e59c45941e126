"""Audit of confounds: whether features predict site, motion or age, and scores without them."""

from dataclasses import replace

import numpy as np
import pandas as pd

from brainfm.evaluation.cross_validation import cross_predict
from brainfm.evaluation.folds import participant_folds
from brainfm.evaluation.scores import (
    PRIMARY,
    aggregate_predictions,
    bootstrap_counts,
    percentile_interval,
)
from brainfm.models.features.covariates import CovariateRegression, design_matrix

#: A numeric column with more distinct values is a regression target.
_MAX_CLASSES = 10
#: Number of folds, and fewest participants of a class.
_N_SPLITS = 5


def residualise_folds(matrices, design, folds):
    """Regress confounds out of features, with coefficients of the training rows of each fold.

    Parameters
    ----------
    matrices : list of list of (ndarray, ndarray)
        Training and test features, of shapes (n_train, n_columns) and (n_test, n_columns); see
        :func:`brainfm.evaluation.cross_validation.fold_features`.
    design : ndarray of float, shape (n_rows, n_confounds)
        See :func:`brainfm.models.features.covariates.design_matrix`.
    folds : Folds

    Returns
    -------
    residuals : list of list of (ndarray, ndarray)
        Of the same shapes.

    References
    ----------
    .. [1] Snoek et al., 2019, NeuroImage 184. https://doi.org/10.1016/j.neuroimage.2018.09.074
    """
    return [
        [_residualise(design, rows, block) for block in blocks]
        for rows, blocks in zip(folds.pairs, matrices, strict=True)
    ]


def _residualise(design, rows, block):
    regression = CovariateRegression().fit(design[rows[0]], block[0])
    return [regression.residual(design[part], X) for part, X in zip(rows, block, strict=True)]


def audit_confounds(make_head, make_matrices, y, folds, columns, *, task, seed=0):
    """Predict each confound from the features, and the target with the confound regressed out.

    Parameters
    ----------
    make_head : callable
        From a task to an estimator.
    make_matrices : callable
        From folds to matrices; see :func:`brainfm.evaluation.cross_validation.fold_features`.
    y : ndarray of str or float, shape (n_rows,)
    folds : Folds
    columns : DataFrame of n_rows rows
        Confounds.
    task : {"classification", "regression"}
    seed : int

    Returns
    -------
    rows : list of dict
        ``column``; ``read``, the score of predicting it (``score``, ``value``, ``low``,
        ``high``), or None; ``why`` it was not predicted, or not in all rows; ``without``, the
        primary score of the target (``value``, ``low``, ``high``) with the column regressed out.
        The last row is of all columns together.
    """
    rows = []
    for name in columns:
        read, why = _predict_column(make_head, make_matrices, columns[name], folds, seed)
        rows.append({"column": name, "read": read, "why": why})
    names = [[row["column"]] for row in rows]
    if len(names) > 1:
        rows.append({"column": "all of them", "read": None, "why": None})
        names.append(list(columns))
    matrices = make_matrices(folds)
    for row, chosen in zip(rows, names, strict=True):
        residuals = residualise_folds(matrices, design_matrix(columns[chosen]), folds)
        predicted = cross_predict(make_head(task), residuals, y, folds)
        row["without"] = _score_with_interval(
            aggregate_predictions(y, predicted, folds, task), seed
        )
    return rows


def _predict_column(make_head, make_matrices, values, folds, seed):
    """Score of predicting a column in participant folds, or None; and the reason."""
    is_number = pd.api.types.is_numeric_dtype(values) and values.nunique() > _MAX_CLASSES
    task = "regression" if is_number else "classification"
    target = values.to_numpy(float) if is_number else values.astype(str).to_numpy()
    n_people = pd.Series(folds.people).groupby(values.to_numpy()).transform("nunique")
    has_value = (values.notna() & (is_number | (n_people.to_numpy() >= _N_SPLITS))).to_numpy()
    rows = np.flatnonzero(has_value)
    few = len(rows) < 2 * _N_SPLITS or len(np.unique(folds.people[rows])) < _N_SPLITS
    if few or len(np.unique(target[rows])) < 2:
        return None, f"fewer than two values, each of {_N_SPLITS} participants"
    of_column = _folds_of_rows(rows, target, folds, task, seed)
    target = np.where(has_value, target, target[rows[0]])  # the other rows are in no fold
    predicted = cross_predict(make_head(task), make_matrices(of_column), target, of_column)
    predictions = aggregate_predictions(target, predicted, of_column, task)
    excluded = f"{len(has_value) - len(rows)} rows with a rare or missing value left out"
    why = None if has_value.all() else excluded
    return {"score": PRIMARY[task], **_score_with_interval(predictions, seed)}, why


def _folds_of_rows(rows, target, folds, task, seed):
    """Participant folds of some rows, numbered as in all rows."""
    of_rows = participant_folds(
        target[rows], folds.people[rows], n_splits=_N_SPLITS, task=task, seed=seed
    )
    return replace(
        of_rows,
        pairs=tuple((rows[train], rows[test]) for train, test in of_rows.pairs),
        people=folds.people,
        units=folds.people,
        strata=np.full(len(target), "all"),
    )


def _score_with_interval(predictions, seed):
    draws = predictions.primary(bootstrap_counts(predictions.resample, seed=seed))
    low, high = percentile_interval(draws)
    return {"value": float(predictions.primary()[0]), "low": low, "high": high}
