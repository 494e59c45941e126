"""Heads: linear estimators of feature vectors, tuned inside the training rows."""

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV, GroupKFold, StratifiedGroupKFold
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from brainfm.errors import ModelError

_N_INNER_FOLDS = 3
#: Inverse regularisation strengths C for rows of unit mean square length.
_PENALTIES = np.logspace(-1, 2, 4)
CLASSIFIERS = ("logistic", "lda", "prototype")


class RowSpacePCA(TransformerMixin, BaseEstimator):
    """Rotate features into the space of the training rows, without loss.

    ``n_rows`` training rows span at most ``n_rows`` dimensions: 20 000 columns of 100 rows become
    100. Distances between training rows, and linear models with an L2 penalty, do not change.
    """

    def fit(self, X, y=None):
        """Learn the axes; only the mean if there are no more columns than rows."""
        X = validate_data(self, X, dtype=float)
        self.mean_, self.axes_ = X.mean(axis=0), None
        if X.shape[1] > X.shape[0]:
            centred = X - self.mean_
            values, vectors = np.linalg.eigh(centred @ centred.T)
            keep = values > max(values[-1], 0) * 1e-10
            keep[-1] = True  # identical rows: one column of zeros
            self.axes_ = centred.T @ (vectors[:, keep] / np.sqrt(np.maximum(values[keep], 1e-300)))
        return self

    def transform(self, X):
        """Return ndarray of float, shape (n_rows, n_axes)."""
        check_is_fitted(self)
        centred = validate_data(self, X, dtype=float, reset=False) - self.mean_
        return centred if self.axes_ is None else centred @ self.axes_


class TunedLinearHead(BaseEstimator):
    """Logistic or ridge regression with its penalty chosen by folds that separate participants.

    Parameters
    ----------
    task : {"classification", "regression"}
    """

    def __init__(self, task="classification"):
        self.task = task

    def fit(self, X, y, groups=None):
        """Choose the penalty, then fit on all rows; ``groups`` holds participants, (n_rows,)."""
        is_number = self.task != "classification"
        X, y = validate_data(self, X, y, dtype=float, y_numeric=is_number)
        if not is_number:
            check_classification_targets(y)
        groups = np.arange(len(y)) if groups is None else groups
        make = _ridge if is_number else _logistic
        self.model_ = make(y, groups).fit(X, y)
        if not is_number:
            self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        """Return classes or values, shape (n_rows,)."""
        check_is_fitted(self)
        return self.model_.predict(validate_data(self, X, dtype=float, reset=False))

    @available_if(lambda head: head.task == "classification")
    def predict_proba(self, X):
        """Return the probability of each class, shape (n_rows, n_classes)."""
        check_is_fitted(self)
        return self.model_.predict_proba(validate_data(self, X, dtype=float, reset=False))


def classifier_head(name, y, groups, scaler, *, class_weight="balanced"):
    """Make a classifier of feature vectors, not fitted.

    Parameters
    ----------
    name : {"logistic", "lda", "prototype"}
        Logistic regression with its penalty chosen by folds that separate participants; shrinkage
        LDA [1]_ with equal priors; nearest class mean [2]_.
    y : ndarray of int, shape (n_rows,)
    groups : ndarray of str, shape (n_rows,)
        Participant of each row.
    scaler : transformer
        Cloned.
    class_weight : {"balanced", None} or dict of int to float
        Of the logistic regression; the others weight classes equally.

    Returns
    -------
    head : Pipeline

    Raises
    ------
    ModelError
        If the head is unknown, or LDA has one row of a class.

    References
    ----------
    .. [1] Ledoit and Wolf, 2004, J. Multivariate Analysis 88.
       https://doi.org/10.1016/S0047-259X(03)00096-4
    .. [2] Snell et al., 2017, NeurIPS. https://arxiv.org/abs/1703.05175
    """
    if name not in CLASSIFIERS:
        raise ModelError(f"head is {name!r}; expected one of {', '.join(CLASSIFIERS)}.")
    classes, counts = np.unique(y, return_counts=True)
    if name == "lda" and counts.min() < 2:
        raise ModelError(
            f"class {classes[counts.argmin()]} has one row but shrinkage LDA needs two rows of "
            "each class to estimate a covariance: use head='prototype'."
        )
    estimator = {
        "logistic": lambda: _logistic(y, groups, class_weight),
        "lda": lambda: LinearDiscriminantAnalysis(
            solver="lsqr", shrinkage="auto", priors=np.full(len(classes), 1 / len(classes))
        ),
        "prototype": NearestCentroid,
    }[name]()
    return make_pipeline(clone(scaler), RowSpacePCA(), estimator)


def encode_class_weight(class_weight, classes):
    """Convert class weights by label to class weights by class number.

    Parameters
    ----------
    class_weight : {"balanced", None} or dict of label to float
        A missing class has weight 1.
    classes : ndarray of str or int, shape (n_classes,)

    Returns
    -------
    class_weight : {"balanced", None} or dict of int to float

    Raises
    ------
    ModelError
        If a label is not among the classes.
    """
    if not isinstance(class_weight, dict):
        return class_weight
    labels = classes.tolist()
    unknown = [label for label in class_weight if label not in labels]
    if unknown:
        raise ModelError(
            f"class_weight has {unknown[0]!r}, but the classes are {', '.join(map(repr, labels))}."
        )
    return {number: class_weight.get(label, 1.0) for number, label in enumerate(labels)}


def regressor_head(y, groups, scaler):
    """Make a ridge regression of feature vectors, not fitted.

    Parameters
    ----------
    y : ndarray of float, shape (n_rows,)
    groups : ndarray of str, shape (n_rows,)
        Participant of each row.
    scaler : transformer
        Cloned.

    Returns
    -------
    head : Pipeline
    """
    return make_pipeline(clone(scaler), RowSpacePCA(), _ridge(y, groups))


def _logistic(y, groups, class_weight="balanced"):
    y, groups = np.asarray(y), np.asarray(groups)
    n_splits = min(_N_INNER_FOLDS, *(len(np.unique(groups[y == label])) for label in np.unique(y)))
    if n_splits < 2:
        return LogisticRegression(max_iter=2000, class_weight=class_weight)
    folds = StratifiedGroupKFold(n_splits, shuffle=True, random_state=0)
    return LogisticRegressionCV(
        Cs=_PENALTIES,
        l1_ratios=(0,),
        cv=list(folds.split(y, y, groups)),
        scoring=_log_likelihood,
        class_weight=class_weight,
        max_iter=2000,
        use_legacy_attributes=False,
    )


def _log_likelihood(fitted, X, y):
    """Mean log probability of the true class; scikit-learn's checks take longer than fitting."""
    probability = fitted.predict_proba(X)[np.arange(len(y)), np.searchsorted(fitted.classes_, y)]
    return np.log(np.maximum(probability, np.finfo(float).eps)).mean()


def _ridge(y, groups):
    n_groups, alphas = len(np.unique(groups)), np.logspace(-4, 3, 8)
    if n_groups < 2:
        return Ridge()
    if n_groups == len(y):
        return RidgeCV(alphas)  # leave-one-out in closed form
    splits = list(GroupKFold(min(_N_INNER_FOLDS, n_groups)).split(y, y, groups))
    return GridSearchCV(Ridge(), {"alpha": alphas}, cv=splits, scoring="neg_mean_squared_error")
