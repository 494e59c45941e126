"""Interface of features of recordings, and a mixin that implements half of it."""

from typing import Protocol, runtime_checkable

from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted


@runtime_checkable
class FeatureExtractor(Protocol):
    """Interface of transformers that separate the work on single recordings from learning.

    :meth:`precompute` works on each recording alone, so a cross-validation calls it once for all
    rows. :meth:`fit_precomputed` learns from the training rows, and is called in every fold.
    ``fit(X)`` equals ``fit_precomputed(precompute(X))``, and ``transform(X)`` equals
    ``transform_precomputed(precompute(X))``.

    Two class attributes are optional: ``scaler``, the transformer that scales the columns
    (:class:`~brainfm.models.features.classical.BlockScaler` by default), and ``is_frozen``, true
    where nothing is learned from the training rows.
    """

    def precompute(self, X):
        """Compute what depends on one recording only.

        Parameters
        ----------
        X : RecordingTable of n_rows rows

        Returns
        -------
        precomputed : sequence of length n_rows
            An ndarray, or a tuple that holds one, for each row.
        """

    def fit_precomputed(self, precomputed):
        """Learn from training rows.

        Parameters
        ----------
        precomputed : sequence of length n_train
            Items of what :meth:`precompute` returned.

        Returns
        -------
        self : FeatureExtractor
        """

    def transform_precomputed(self, precomputed):
        """Compute the features of any rows.

        Parameters
        ----------
        precomputed : sequence of length n_rows
            Items of what :meth:`precompute` returned.

        Returns
        -------
        features : ndarray of float, shape (n_rows, n_features)
        """

    def fit(self, X, y=None):
        """Learn from recordings.

        Parameters
        ----------
        X : RecordingTable
        y : ignored

        Returns
        -------
        self : FeatureExtractor
        """

    def transform(self, X):
        """Compute the features of recordings.

        Parameters
        ----------
        X : RecordingTable of n_rows rows

        Returns
        -------
        features : ndarray of float, shape (n_rows, n_features)
        """


class FeatureExtractorMixin(TransformerMixin, BaseEstimator):
    """``fit`` and ``transform`` made of the three other methods of a :class:`FeatureExtractor`."""

    def fit(self, X, y=None):
        """See :meth:`FeatureExtractor.fit`."""
        return self.fit_precomputed(self.precompute(X))

    def transform(self, X):
        """See :meth:`FeatureExtractor.transform`."""
        check_is_fitted(self)
        return self.transform_precomputed(self.precompute(X))

    def fit_transform(self, X, y=None):
        """Equal ``fit(X).transform(X)``; each recording is read once."""
        precomputed = self.precompute(X)
        return self.fit_precomputed(precomputed).transform_precomputed(precomputed)
