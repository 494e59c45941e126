"""Heads by name: small classical estimators on embeddings, tuned inside the training rows."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline

from brainfm.errors import ModelError
from brainfm.models.baselines import LengthScaler

_N_INNER_FOLDS = 5
#: name: (estimator, what is tuned).
CLASSIFIERS = {
    "logistic": (
        LogisticRegression(max_iter=2000, class_weight="balanced"),
        {"logisticregression__C": np.logspace(-2, 4, 7)},
    ),
    "lda": (LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"), {}),
    "prototype": (NearestCentroid(), {}),
}
REGRESSORS = {"ridge": (Ridge(), {"ridge__alpha": np.logspace(-4, 3, 8)})}


def classifier_head(name, y, groups):
    """Make a classifier of vectors; its penalty is chosen by folds that keep people together.

    Parameters
    ----------
    name : {"logistic", "lda", "prototype"}
    y : ndarray, shape (n,)
    groups : ndarray, shape (n,)

    Returns
    -------
    head : sklearn estimator, not fitted
        Missing modalities take the mean of the training rows; columns keep their relative size.

    Raises
    ------
    ModelError
        If there is no such head.
    """
    _, n_each = np.unique(y, return_inverse=True)
    smallest = min(len(np.unique(groups[n_each == label])) for label in np.unique(n_each))
    splits = min(_N_INNER_FOLDS, smallest)
    folds = StratifiedGroupKFold(splits, shuffle=True, random_state=0) if splits > 1 else None
    return _head(name, CLASSIFIERS, folds, (y, groups), "neg_log_loss")


def regressor_head(name, y, groups):
    """Make a regressor of vectors; see :func:`classifier_head`. ``name`` is "ridge"."""
    splits = min(_N_INNER_FOLDS, len(np.unique(groups)))
    folds = GroupKFold(splits) if splits > 1 else None
    return _head(name, REGRESSORS, folds, (y, groups), "neg_mean_squared_error")


def _head(name, heads, folds, labels, scoring):
    if name not in heads:
        raise ModelError(f"head is {name!r}; expected one of {', '.join(heads)}.")
    estimator, grid = heads[name]
    # The principal components only turn the vectors into their own span: exact for these heads
    # and many times faster where there are fewer rows than columns.
    pipeline = make_pipeline(
        SimpleImputer(keep_empty_features=True),
        LengthScaler(),
        PCA(svd_solver="full"),
        estimator,
    )
    if not grid or folds is None:
        return pipeline
    y, groups = labels
    splits = list(folds.split(np.zeros(len(y)), y, groups))
    return GridSearchCV(pipeline, grid, cv=splits, scoring=scoring)
