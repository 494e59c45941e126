"""What is known of people without any signal: covariates as features, a baseline of their own."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from brainfm.errors import DataError
from brainfm.models.features.protocol import FeatureExtractorMixin
from brainfm.recording import Recording


def design_matrix(columns):
    """Turn columns into numbers to regress on.

    Parameters
    ----------
    columns : DataFrame, one row a row

    Returns
    -------
    design : ndarray of float, shape (n_rows, n_columns)
        Numbers as they are, NaN where missing; a column for each class but one, of which a missing
        one is its own.
    """
    parts = []
    for name in columns:
        values = columns[name]
        if pd.api.types.is_numeric_dtype(values):
            parts.append(values.to_numpy(float)[:, None])
        else:
            parts.append(pd.get_dummies(values.fillna("n/a"), drop_first=True).to_numpy(float))
    return np.hstack(parts) if parts else np.empty((len(columns), 0))


class CovariateFeatures(FeatureExtractorMixin):
    """Covariates of recordings, such as site, age, sex and motion, looked up and never precomputed.

    Parameters
    ----------
    values : dict of tuple to ndarray of float
        By :attr:`brainfm.recording.Recording.key`; see :meth:`of`. NaN where not known, which
        becomes the mean of the training rows.
    """

    def __init__(self, values):
        self.values = values

    @classmethod
    def of(cls, table, columns):
        """Make the features of a table from its columns.

        Parameters
        ----------
        table : RecordingTable
        columns : DataFrame, one row a row of the table
        """
        keys = (row[0].key for row in table)
        return cls(dict(zip(keys, design_matrix(columns), strict=True)))

    def precompute(self, X):
        """Look up the covariates, ndarray of float, shape (n_rows, n_columns).

        Raises
        ------
        DataError
            If a recording is not among those whose covariates are known.
        """
        unknown = [row[0] for row in X if row[0].key not in self.values]
        if unknown:
            raise DataError(f"nothing is known of {unknown[0]!r}: give its covariates too.")
        return np.array([self.values[row[0].key] for row in X])

    def fit_precomputed(self, precomputed):
        """Learn the mean of each column that the training rows know."""
        precomputed = np.asarray(precomputed)
        self.known_ = np.isfinite(precomputed).any(axis=0)
        self.mean_ = np.nanmean(precomputed[:, self.known_], axis=0)
        return self

    def transform_precomputed(self, precomputed):
        """Fill in what is not known, ndarray of float, shape (n_rows, n_kept).

        Where the training rows know nothing, one column that says nothing.
        """
        check_is_fitted(self)
        if not self.known_.any():
            return np.zeros((len(precomputed), 1))
        kept = np.asarray(precomputed)[:, self.known_]
        return np.where(np.isfinite(kept), kept, self.mean_)

    def __sklearn_clone__(self):
        return type(self)(self.values)  # not copied for each fold


class CovariateRegression:
    """How numbers go with covariates in training rows, and what is left of them in any rows [1]_.

    References
    ----------
    .. [1] Snoek et al., 2019, NeuroImage 184. https://doi.org/10.1016/j.neuroimage.2018.09.074
    """

    def fit(self, design, X):
        """Learn the coefficients.

        Parameters
        ----------
        design : ndarray of float, shape (n_rows, n_covariates)
            NaN where not known, which becomes the mean.
        X : ndarray of float, shape (n_rows, n_features)
        """
        self.scaling_ = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
        scaled, self.mean_ = self.scaling_.fit_transform(design), X.mean(axis=0)
        self.weights_ = np.linalg.lstsq(scaled, X - self.mean_, rcond=None)[0]
        return self

    def residual(self, design, X):
        """Return what the covariates and the mean of the training rows do not say of X."""
        return X - self.mean_ - self.scaling_.transform(design) @ self.weights_


class WithoutCovariates(TransformerMixin, BaseEstimator):
    """Features of recordings with covariates of people regressed out, as a step of a pipeline.

    Coefficients are learned in ``fit``, so inside a cross-validation on training rows only [1]_.

    Parameters
    ----------
    features : transformer
        Of recordings to an array (n_rows, n_features); cloned.
    covariates : DataFrame
        ``participant_id`` and the columns to regress out: numbers as they are, text as classes.

    Attributes
    ----------
    features_ : transformer
    regression_ : CovariateRegression

    References
    ----------
    .. [1] Snoek et al., 2019, NeuroImage 184. https://doi.org/10.1016/j.neuroimage.2018.09.074
    """

    def __init__(self, features, covariates):
        self.features = features
        self.covariates = covariates

    def fit(self, X, y=None):
        """Fit the features, and how they go with the covariates; ``y`` is not used.

        Raises
        ------
        DataError
            If a participant is not in the table, or twice.
        """
        self.features_ = clone(self.features)
        read = self.features_.fit(X, y).transform(X)
        self.regression_ = CovariateRegression().fit(self._covariates_of(X), read)
        return self

    def transform(self, X):
        """Return the features less what the covariates say, shape (n_rows, n_features).

        The mean of the training rows stays.
        """
        check_is_fitted(self)
        left = self.regression_.residual(self._covariates_of(X), self.features_.transform(X))
        return left + self.regression_.mean_

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features."""
        check_is_fitted(self)
        return self.features_.get_feature_names_out()

    def _covariates_of(self, X):
        labels = self.covariates["participant_id"].astype(str).str.removeprefix("sub-")
        if labels.duplicated().any():
            twice = labels[labels.duplicated()].iloc[0]
            raise DataError(f"covariates has sub-{twice} more than once: give one row of each.")
        place = {label: row for row, label in enumerate(labels)}
        people = [
            row.participant if isinstance(row, Recording) else row[0].participant for row in X
        ]
        unknown = [label for label in people if label not in place]
        if unknown:
            raise DataError(f"covariates has no row of sub-{unknown[0]}: give one of everybody.")
        design = design_matrix(self.covariates.drop(columns="participant_id"))
        return design[[place[label] for label in people]]
