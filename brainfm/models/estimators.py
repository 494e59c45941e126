"""Classifier and regressor: a head on the embeddings of a pretrained encoder."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from brainfm.errors import ModelError
from brainfm.models.embedder import BrainEmbedder
from brainfm.models.heads import classifier_head, regressor_head


class _OnEmbeddings(BaseEstimator):
    """What the two estimators share."""

    def _embed_and_fit(self, X, y, make_head):
        self.embedder_ = BrainEmbedder(
            self.model,
            positions=self.positions,
            sampling_hz=self.sampling_hz,
            modality=self.modality,
            device=self.device,
        )
        table = self.embedder_._table(X)
        if len(y) != len(table):
            raise ModelError(f"X has {len(table)} rows but y has {len(y)} values.")
        vectors = self.embedder_.fit(table).transform(table)
        groups = table.groups
        if all(row[0].participant == "unknown" for row in table):
            groups = np.arange(len(table)).astype(str)  # arrays: each row is somebody
        self.head_ = make_head(self.head, y, groups).fit(vectors, y)
        return self

    def _fitted_head(self):
        check_is_fitted(self, "head_")
        return self.head_

    def _vectors(self, X):
        return self.embedder_.transform(X)


class BrainClassifier(ClassifierMixin, _OnEmbeddings):
    """Classify recordings by a head on their embeddings.

    Parameters
    ----------
    model : str or path
        Packaged checkpoint, folder of one, or ``org/name[@revision]`` on the Hugging Face Hub.
    head : {"logistic", "lda", "prototype"}
        Logistic regression with its penalty chosen inside the training rows (participants kept
        together); shrinkage LDA; nearest class mean.
    positions, sampling_hz, modality
        Describe ``X`` when it is an array; see :class:`BrainEmbedder`.
    device : {"auto", "cpu", "cuda"}

    Attributes
    ----------
    classes_ : ndarray
    embedder_ : BrainEmbedder
    head_ : sklearn estimator
    """

    def __init__(
        self,
        model="brainfm-tiny",
        *,
        head="logistic",
        positions=None,
        sampling_hz=None,
        modality=None,
        device="auto",
    ):
        self.model = model
        self.head = head
        self.positions = positions
        self.sampling_hz = sampling_hz
        self.modality = modality
        self.device = device

    def fit(self, X, y):
        """Embed ``X`` and fit the head on the training rows only.

        Raises
        ------
        ModelError
            If ``y`` has one class, missing values or another length than ``X``.
        """
        y = np.asarray(y)
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            raise ModelError("y has missing values: leave those rows out.")
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ModelError(
                f"y has one class only ({self.classes_[0]!r}): a classifier needs at least two."
            )
        return self._embed_and_fit(X, y, classifier_head)

    def predict(self, X):
        """Return the most likely class of each row, shape (n,)."""
        return self._fitted_head().predict(self._vectors(X))

    def predict_proba(self, X):
        """Return the probability of each class, shape (n, n_classes)."""
        return self._fitted_head().predict_proba(self._vectors(X))

    def decision_function(self, X):
        """Return the signed distance to the border between classes."""
        return self._fitted_head().decision_function(self._vectors(X))


class BrainRegressor(RegressorMixin, _OnEmbeddings):
    """Predict a number from recordings by a head on their embeddings.

    Parameters
    ----------
    model : str or path
        Packaged checkpoint, folder of one, or ``org/name[@revision]`` on the Hugging Face Hub.
    head : {"ridge"}
        Ridge regression with its penalty chosen inside the training rows.
    positions, sampling_hz, modality
        Describe ``X`` when it is an array; see :class:`BrainEmbedder`.
    device : {"auto", "cpu", "cuda"}

    Attributes
    ----------
    embedder_ : BrainEmbedder
    head_ : sklearn estimator
    """

    def __init__(
        self,
        model="brainfm-tiny",
        *,
        head="ridge",
        positions=None,
        sampling_hz=None,
        modality=None,
        device="auto",
    ):
        self.model = model
        self.head = head
        self.positions = positions
        self.sampling_hz = sampling_hz
        self.modality = modality
        self.device = device

    def fit(self, X, y):
        """Embed ``X`` and fit the head on the training rows only.

        Raises
        ------
        ModelError
            If ``y`` is no number everywhere, or of another length than ``X``.
        """
        try:
            y = np.asarray(y, dtype=float)
        except (TypeError, ValueError) as error:
            raise ModelError(f"y holds something that is no number ({error}).") from error
        if not np.isfinite(y).all():
            raise ModelError("y has missing values: leave those rows out.")
        return self._embed_and_fit(X, y, regressor_head)

    def predict(self, X):
        """Return the predicted number of each row, shape (n,)."""
        return self._fitted_head().predict(self._vectors(X))
