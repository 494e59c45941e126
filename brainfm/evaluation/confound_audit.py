"""What else is in an embedding: site, motion, age, sex; and what is left when they are removed."""

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

#: A column of numbers with at most so many values is one of classes.
_MOST_CLASSES = 10
#: Classes of fewer people cannot be read in as many folds.
_FEWEST = 5


def residualise_by_fold(matrices, design, folds):
    """Regress confounds out of features, by what is learned on the training rows of each fold.

    Parameters
    ----------
    matrices : list of list of (ndarray, ndarray)
        See :func:`brainfm.evaluation.cross_validation.fold_features`.
    design : ndarray of float, shape (n_rows, n_confounds)
    folds : Folds

    Returns
    -------
    matrices : list of list of (ndarray, ndarray), of the same shapes
    """
    cleaned = []
    for (train, test), blocks in zip(folds.pairs, matrices, strict=True):
        fold = []
        for X_train, X_test in blocks:
            fitted = CovariateRegression().fit(design[train], X_train)
            left = fitted.residual(design[train], X_train), fitted.residual(design[test], X_test)
            fold.append(left)
        cleaned.append(fold)
    return cleaned


def audit(head_of, matrices_of, y, folds, columns, *, task, seed=0):
    """Read each column from the features, and the target with the column regressed out.

    Parameters
    ----------
    head_of : callable
        Returns the head for a task.
    matrices_of : callable
        Returns the matrices of the features on given folds.
    y : ndarray, shape (n_rows,)
    folds : Folds
    columns : DataFrame, one row a row
    task : {"classification", "regression"}
    seed : int

    Returns
    -------
    rows : list of dict
        ``column``, ``read`` (score name, value, low, high) or None where it cannot be read, ``why``
        not or not of all rows, and ``without`` (the primary score of the target, low, high). The
        last row is all columns together.
    """
    rows = []
    for name in columns:
        read, why = _read(head_of, matrices_of, columns[name], folds, seed)
        rows.append({"column": name, "read": read, "why": why})
    names = [[row["column"]] for row in rows]
    if len(names) > 1:
        rows.append({"column": "all of them", "read": None, "why": None})
        names.append(list(columns))
    matrices = matrices_of(folds)
    for row, chosen in zip(rows, names, strict=True):
        cleaned = residualise_by_fold(matrices, design_matrix(columns[chosen]), folds)
        predicted = cross_predict(head_of(task), cleaned, y, folds)
        row["without"] = _scored(aggregate_predictions(y, predicted, folds, task), seed)
    return rows


def _read(head_of, matrices_of, values, folds, seed):
    """Score of a column, across people; None and why where it cannot be read."""
    is_number = pd.api.types.is_numeric_dtype(values) and values.nunique() > _MOST_CLASSES
    task = "regression" if is_number else "classification"
    target = values.to_numpy(float) if is_number else values.astype(str).to_numpy()
    n_people = pd.Series(folds.people).groupby(values.to_numpy()).transform("nunique")
    told = (values.notna() & (is_number | (n_people.to_numpy() >= _FEWEST))).to_numpy()
    rows = np.flatnonzero(told)
    few = len(rows) < 2 * _FEWEST or len(np.unique(folds.people[rows])) < _FEWEST
    if few or len(np.unique(target[rows])) < 2:
        return None, f"fewer than two values that {_FEWEST} people have"
    own = _folds_of(rows, target, folds, task, seed)
    target = np.where(told, target, target[rows[0]])  # the others are in no fold
    found = aggregate_predictions(
        target, cross_predict(head_of(task), matrices_of(own), target, own), own, task
    )
    left_out = f"{len(told) - len(rows)} rows with a rare or missing value left out"
    why = None if told.all() else left_out
    return {"score": PRIMARY[task], **_scored(found, seed)}, why


def _folds_of(rows, target, folds, task, seed):
    """Participant folds of some rows, among all rows."""
    own = participant_folds(
        target[rows], folds.people[rows], n_splits=_FEWEST, task=task, seed=seed
    )
    return replace(
        own,
        pairs=tuple((rows[train], rows[test]) for train, test in own.pairs),
        people=folds.people,
        units=folds.people,
        strata=np.full(len(target), "all"),
    )


def _scored(found, seed):
    low, high = percentile_interval(found.primary(bootstrap_counts(found.resample, seed=seed)))
    return {"value": float(found.primary()[0]), "low": low, "high": high}
