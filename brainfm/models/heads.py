"""Heads by name: small classical estimators on features, tuned inside the training rows."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted, validate_data

from brainfm.errors import ModelError

_N_INNER_FOLDS = 5
#: name: penalties to choose from; None where there is nothing to choose.
CLASSIFIERS = {"logistic": {"C": np.logspace(-2, 4, 7)}, "lda": None, "prototype": None}
_RIDGE = {"alpha": np.logspace(-4, 3, 8)}


class RowSpace(TransformerMixin, BaseEstimator):
    """Turn the axes so that n training rows fill at most n of them.

    Distances between training rows stay, and a linear model with an L2 penalty does not notice;
    20 000 columns of 100 rows become 100.
    """

    def fit(self, X, y=None):
        """Learn the axes; none where there are no more columns than rows."""
        X = validate_data(self, X, dtype=float)
        self.mean_, self.axes_ = X.mean(axis=0), None
        if X.shape[1] > X.shape[0]:
            centred = X - self.mean_
            values, vectors = np.linalg.eigh(centred @ centred.T)
            keep = values > values[-1] * 1e-10
            self.axes_ = centred.T @ (vectors[:, keep] / np.sqrt(values[keep]))
        return self

    def transform(self, X):
        """Return ndarray of float, shape (n_rows, n_axes)."""
        check_is_fitted(self)
        centred = validate_data(self, X, dtype=float, reset=False) - self.mean_
        return centred if self.axes_ is None else centred @ self.axes_


def classifier_head(name, y, groups, scaler, *, class_weight="balanced"):
    """Make a classifier of feature vectors.

    Parameters
    ----------
    name : {"logistic", "lda", "prototype"}
        Logistic regression with its penalty chosen by folds that keep people together; shrinkage
        LDA with equal priors; nearest class mean.
    y : ndarray, shape (n,)
    groups : ndarray, shape (n,)
    scaler : transformer
        How columns are scaled; cloned.
    class_weight : {"balanced", None} or dict
        Of the logistic regression; the others weigh classes alike.

    Returns
    -------
    head : Pipeline, not fitted

    Raises
    ------
    ModelError
        If there is no such head, or LDA has one row of a class.
    """
    if name not in CLASSIFIERS:
        raise ModelError(f"head is {name!r}; expected one of {', '.join(CLASSIFIERS)}.")
    classes, number, counts = np.unique(y, return_inverse=True, return_counts=True)
    if name == "lda" and counts.min() < 2:
        raise ModelError(
            f"class {classes[counts.argmin()]} has one row: shrinkage LDA needs two of each class "
            "to see how they vary; use head='prototype'."
        )
    n_people = [len(np.unique(groups[number == label])) for label in range(len(classes))]
    splits = min(_N_INNER_FOLDS, *n_people)
    folds = StratifiedGroupKFold(splits, shuffle=True, random_state=0) if splits > 1 else None
    estimator = {
        "logistic": LogisticRegression(max_iter=2000, class_weight=class_weight),
        "lda": LinearDiscriminantAnalysis(
            solver="lsqr", shrinkage="auto", priors=np.full(len(classes), 1 / len(classes))
        ),
        "prototype": NearestCentroid(),
    }[name]
    tuned = _tuned(estimator, CLASSIFIERS[name], folds, (y, groups), "neg_log_loss")
    return make_pipeline(clone(scaler), RowSpace(), tuned)


def regressor_head(y, groups, scaler):
    """Make a ridge regression of feature vectors; see :func:`classifier_head`."""
    splits = min(_N_INNER_FOLDS, len(np.unique(groups)))
    folds = GroupKFold(splits) if splits > 1 else None
    tuned = _tuned(Ridge(), _RIDGE, folds, (y, groups), "neg_mean_squared_error")
    return make_pipeline(clone(scaler), RowSpace(), tuned)


def _tuned(estimator, grid, folds, labels, scoring):
    if grid is None or folds is None:
        return estimator
    y, groups = labels
    splits = list(folds.split(np.zeros(len(y)), y, groups))
    return GridSearchCV(estimator, grid, cv=splits, scoring=scoring)
