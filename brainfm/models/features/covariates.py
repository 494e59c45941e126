"""Covariates such as site, age and motion: as features, and regressed out of features."""

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

from brainfm.errors import DataError
from brainfm.models.features.protocol import FeatureExtractorMixin
from brainfm.models.inputs import as_table


def design_matrix(columns):
    """Build a design matrix from columns, with dummy coding of categories.

    Parameters
    ----------
    columns : DataFrame of n_rows rows

    Returns
    -------
    design : ndarray of float, shape (n_rows, n_columns)
        Numeric columns with NaN where missing; one column per category but the first, where
        missing values are a category.
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
    """Covariates of recordings, such as site, age, sex and motion, as features.

    Parameters
    ----------
    values : dict of tuple to ndarray of float, shape (n_columns,)
        By :attr:`brainfm.recording.Recording.key`; see :meth:`of`. Missing values are NaN, and
        are imputed by the mean of the training rows.
    """

    def __init__(self, values):
        self.values = values

    @classmethod
    def of(cls, table, columns):
        """Make the features of a table from columns.

        Parameters
        ----------
        table : RecordingTable of n_rows rows
        columns : DataFrame of n_rows rows

        Returns
        -------
        features : CovariateFeatures
        """
        keys = (row[0].key for row in table)
        return cls(dict(zip(keys, design_matrix(columns), strict=True)))

    def precompute(self, X):
        """Look up the covariates, ndarray of float, shape (n_rows, n_columns).

        Raises
        ------
        DataError
            If a recording has no covariates.
        """
        unknown = [row[0] for row in X if row[0].key not in self.values]
        if unknown:
            raise DataError(f"no covariates of {unknown[0]!r}: add its row.")
        return np.array([self.values[row[0].key] for row in X])

    def fit_precomputed(self, precomputed):
        """Learn the mean of each column that has a value in the training rows."""
        precomputed = np.asarray(precomputed)
        self.known_ = np.isfinite(precomputed).any(axis=0)
        self.mean_ = np.nanmean(precomputed[:, self.known_], axis=0)
        return self

    def transform_precomputed(self, precomputed):
        """Impute missing values, ndarray of float, shape (n_rows, n_columns).

        One column of zeros if the training rows have no values at all.
        """
        check_is_fitted(self)
        if not self.known_.any():
            return np.zeros((len(precomputed), 1))
        values = np.asarray(precomputed)[:, self.known_]
        return np.where(np.isfinite(values), values, self.mean_)

    def __sklearn_clone__(self):
        return type(self)(self.values)  # not copied for each fold


class CovariateRegression:
    """Linear regression of features on covariates, fitted on training rows [1]_.

    References
    ----------
    .. [1] Snoek et al., 2019, NeuroImage 184. https://doi.org/10.1016/j.neuroimage.2018.09.074
    """

    def fit(self, design, X):
        """Learn the coefficients.

        Parameters
        ----------
        design : ndarray of float, shape (n_rows, n_covariates)
            Missing values are NaN, and are imputed by the mean.
        X : ndarray of float, shape (n_rows, n_features)

        Returns
        -------
        self : CovariateRegression
        """
        self.scaling_ = make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler())
        scaled, self.mean_ = self.scaling_.fit_transform(design), X.mean(axis=0)
        self.weights_ = np.linalg.lstsq(scaled, X - self.mean_, rcond=None)[0]
        return self

    def residual(self, design, X):
        """Return the residuals of X after regressing out the covariates.

        Parameters
        ----------
        design : ndarray of float, shape (n_rows, n_covariates)
        X : ndarray of float, shape (n_rows, n_features)

        Returns
        -------
        residuals : ndarray of float, shape (n_rows, n_features)
            Around zero: the mean of the training rows is subtracted too.
        """
        return X - self.mean_ - self.scaling_.transform(design) @ self.weights_


class WithoutCovariates(TransformerMixin, BaseEstimator):
    """Features of recordings with covariates of participants regressed out.

    A step of a pipeline: coefficients are learned in ``fit``, in a cross-validation from the
    training rows only [1]_.

    Parameters
    ----------
    features : transformer
        Of recordings to an array (n_rows, n_features); cloned.
    covariates : DataFrame
        ``participant_id`` and the columns to regress out; text columns are categories, and
        numeric ones linear, so that codes of sites have to be text.

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
        """Fit the features, and their regression on the covariates.

        Parameters
        ----------
        X : RecordingTable or list of Recording
        y : array-like, shape (n_rows,), optional
            Passed to the features.

        Returns
        -------
        self : WithoutCovariates

        Raises
        ------
        DataError
            If a participant is not in ``covariates``, or more than once.
        """
        self.features_ = clone(self.features)
        features = self.features_.fit_transform(X, y)
        self.regression_ = CovariateRegression().fit(self._covariates_of(X), features)
        return self

    def transform(self, X):
        """Compute the features with the covariates regressed out.

        Parameters
        ----------
        X : RecordingTable or list of Recording

        Returns
        -------
        features : ndarray of float, shape (n_rows, n_features)
            Around the mean of the training rows.

        Raises
        ------
        DataError
            If a participant is not in ``covariates``.
        """
        check_is_fitted(self)
        design, features = self._covariates_of(X), self.features_.transform(X)
        return self.regression_.residual(design, features) + self.regression_.mean_

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        names : ndarray of str, shape (n_features,)
        """
        check_is_fitted(self)
        return self.features_.get_feature_names_out()

    def _covariates_of(self, X):
        labels = self.covariates["participant_id"].astype(str).str.removeprefix("sub-")
        if labels.duplicated().any():
            twice = labels[labels.duplicated()].iloc[0]
            raise DataError(f"covariates has sub-{twice} more than once; expected one row.")
        row_of = {label: row for row, label in enumerate(labels)}
        people = [row[0].participant for row in as_table(X)]
        unknown = [label for label in people if label not in row_of]
        if unknown:
            raise DataError(f"covariates has no row of sub-{unknown[0]}: add it.")
        design = design_matrix(self.covariates.drop(columns="participant_id"))
        return design[[row_of[label] for label in people]]
