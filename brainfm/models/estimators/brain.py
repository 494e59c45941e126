"""Classifiers and a regressor of recordings: pretrained, fine-tuned, classical, or several fused.

Each of the features that are fused has a head of its own, and what the heads predict is averaged
over those a row has: a missing modality is simply absent, and features that say little do not hide
those that say much.
"""

from dataclasses import fields, replace

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from brainfm.errors import ModelError
from brainfm.models.estimators.adaptation import (
    Adaptation,
    FeatureClassifier,
    FeatureRegressor,
    head_of,
)
from brainfm.models.estimators.heads import encode_class_weight
from brainfm.models.features.registry import FEATURES, names_of
from brainfm.models.inputs import as_table
from brainfm.models.targets import check_target
from brainfm.recording import RecordingTable


class _BrainEstimator(BaseEstimator):
    """What all of them share: one block for each of the fused features."""

    def _fit_blocks(self, X, y, groups, make_block):
        table = self._table(X)
        if len(y) != len(table):
            raise ModelError(f"X has {len(table)} rows but y has {len(y)} values.")
        groups = _people(table) if groups is None else np.asarray(groups)
        if len(groups) != len(table):
            raise ModelError(f"X has {len(table)} rows but groups has {len(groups)} values.")
        self.blocks_ = {}
        for name in names_of(self.fusion, table):
            there, part = _of_modality(table, FEATURES[name].modality)
            self.blocks_[name] = make_block(name).fit(part, y[there], groups[there])
        return self

    def _fused(self, X):
        """Mean over blocks of what their heads say, (n_rows, n_outputs)."""
        check_is_fitted(self, "blocks_")
        table, total, count = self._table(X), 0.0, 0
        for name, block in self.blocks_.items():
            there, part = _of_modality(table, FEATURES[name].modality)
            if len(part):
                said = block.predict(part)
                each = np.zeros((len(table), said.shape[1]))
                each[there] = said
                total, count = total + each, count + there
        lost = np.flatnonzero(count == 0) if np.ndim(count) else np.arange(len(table))
        if len(lost):
            wanted = {FEATURES[name].modality for name in self.blocks_}
            raise ModelError(
                f"row {lost[0]} has {table[int(lost[0])][0]!r} but the model was fitted on "
                f"{' and '.join(sorted(wanted))}: fit it on both, or leave the row out."
            )
        return total / count[:, None]

    def _table(self, X):
        return as_table(
            X, positions=self.positions, sampling_hz=self.sampling_hz, modality=self.modality
        )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.no_validation = True
        return tags


class _Classifier(ClassifierMixin, _BrainEstimator):
    """What the two classifiers share."""

    def _fit_classes(self, X, y, groups, make_block):
        y = np.asarray(y)
        check_target(y, "classification")
        self.classes_, numbers = np.unique(y, return_inverse=True)
        return self._fit_blocks(X, numbers, groups, make_block)

    def predict(self, X):
        """Return the most likely class of each row, shape (n,)."""
        best = self.predict_proba(X).argmax(axis=1)  # first: it is what raises NotFittedError
        return self.classes_[best]

    def predict_proba(self, X):
        """Return the probability of each class, shape (n, n_classes)."""
        return self._fused(X)

    def decision_function(self, X):
        """Return log odds of the second of two classes, shape (n,), or log probabilities."""
        log = np.log(np.maximum(self.predict_proba(X), 1e-12))
        return log[:, 1] - log[:, 0] if log.shape[1] == 2 else log


class BrainClassifier(_Classifier):
    """Classify recordings by what a pretrained encoder says of them.

    Parameters
    ----------
    model : str or path
        Packaged checkpoint, folder of one, or ``org/name[@revision]`` on the Hugging Face Hub.
    adaptation : {"probe", "prototype", "lora", "full"}
        Logistic regression on frozen embeddings, its penalty chosen inside the training rows with
        participants kept together; nearest class mean; or the average of the probe and an encoder
        tuned on windows, by low-rank matrices or in all its weights.
    fusion : "auto", str or sequence of str
        What is read: ``"auto"`` is the embedding of each modality in ``X``; or names of
        :data:`brainfm.models.features.registry.FEATURES`, for instance ``("bold", "eeg")`` or
        ``("eeg", "band_power")``. Each has a head of its own; predictions are averaged over what
        a row has.
    class_weight : {"balanced", None} or dict of class label to float
    max_epochs, batch_size, patience : int
        Of fine-tuning: epochs at most; windows of a step; epochs without improvement on a fifth of
        the participants that end it. With fewer than five participants of a class nobody is kept
        apart, and all epochs are run.
    learning_rate : float
        Of fine-tuning, at the start; falls to zero along a cosine.
    positions, sampling_hz, modality
        Describe ``X`` when it is an array; see :class:`BrainEmbedder`.
    device : {"auto", "cpu", "cuda"}
    random_state : int
        Seed of fine-tuning.

    Attributes
    ----------
    classes_ : ndarray
    blocks_ : dict
        The fitted features and heads, by name of the features.
    """

    def __init__(
        self,
        model="brainfm-tiny",
        *,
        adaptation="probe",
        fusion="auto",
        class_weight="balanced",
        max_epochs=20,
        batch_size=16,
        patience=5,
        learning_rate=1e-3,
        positions=None,
        sampling_hz=None,
        modality=None,
        device="auto",
        random_state=0,
    ):
        self.model = model
        self.adaptation = adaptation
        self.fusion = fusion
        self.class_weight = class_weight
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.patience = patience
        self.learning_rate = learning_rate
        self.positions = positions
        self.sampling_hz = sampling_hz
        self.modality = modality
        self.device = device
        self.random_state = random_state

    def fit(self, X, y, groups=None):
        """Fit on training rows only.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array (n, n_times, n_channels)
        y : array-like, shape (n,)
        groups : array-like, shape (n,), optional
            Participant of each row; by default, as the recordings say, and each row of an array
            is somebody else.

        Raises
        ------
        DataError
            If ``y`` has one class or missing values.
        ModelError
            If lengths differ, or a name or a class of ``class_weight`` is unknown.
        """
        how = _adaptation(self)

        def make(name):
            weights = encode_class_weight(self.class_weight, self.classes_)
            return FeatureClassifier(name, replace(how, class_weight=weights), len(self.classes_))

        return self._fit_classes(X, y, groups, make)


class FewShotClassifier(_Classifier):
    """Classify recordings from one to a few dozen examples of each class; no training.

    Parameters
    ----------
    model : str or path
        See :class:`BrainClassifier`.
    head : {"prototype", "lda"}
        Nearest class mean, or linear discriminant analysis with a covariance shrunk by the rule
        of Ledoit and Wolf, which needs two examples of each class.
    fusion, positions, sampling_hz, modality, device
        See :class:`BrainClassifier`.

    Attributes
    ----------
    classes_ : ndarray
    blocks_ : dict
        The fitted features and heads, by name of the features.

    References
    ----------
    .. [1] Snell et al., 2017, NeurIPS (prototypes). https://arxiv.org/abs/1703.05175
    .. [2] Ledoit and Wolf, 2004, J. Multivariate Analysis 88.
       https://doi.org/10.1016/S0047-259X(03)00096-4
    """

    def __init__(
        self,
        model="brainfm-tiny",
        *,
        head="prototype",
        fusion="auto",
        positions=None,
        sampling_hz=None,
        modality=None,
        device="auto",
    ):
        self.model = model
        self.head = head
        self.fusion = fusion
        self.positions = positions
        self.sampling_hz = sampling_hz
        self.modality = modality
        self.device = device

    def fit(self, X, y, groups=None):
        """Fit on the examples; see :meth:`BrainClassifier.fit`."""
        if self.head not in ("prototype", "lda"):
            raise ModelError(f"head is {self.head!r}; expected prototype or lda.")
        how = Adaptation(model=self.model, head=self.head, device=self.device)
        make = lambda name: FeatureClassifier(name, how, len(self.classes_))  # noqa: E731
        return self._fit_classes(X, y, groups, make)


class BrainRegressor(RegressorMixin, _BrainEstimator):
    """Predict a number from recordings by what a pretrained encoder says of them.

    Parameters
    ----------
    model : str or path
        See :class:`BrainClassifier`.
    adaptation : {"probe", "lora", "full"}
        Ridge regression on frozen embeddings, its penalty chosen inside the training rows; or the
        average of it and a tuned encoder.
    fusion, max_epochs, batch_size, patience, learning_rate
        See :class:`BrainClassifier`.
    positions, sampling_hz, modality
        Describe ``X`` when it is an array; see :class:`BrainEmbedder`.
    device : {"auto", "cpu", "cuda"}
    random_state : int
        Seed of fine-tuning.

    Attributes
    ----------
    blocks_ : dict
        The fitted features and heads, by name of the features.
    """

    def __init__(
        self,
        model="brainfm-tiny",
        *,
        adaptation="probe",
        fusion="auto",
        max_epochs=20,
        batch_size=16,
        patience=5,
        learning_rate=1e-3,
        positions=None,
        sampling_hz=None,
        modality=None,
        device="auto",
        random_state=0,
    ):
        self.model = model
        self.adaptation = adaptation
        self.fusion = fusion
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.patience = patience
        self.learning_rate = learning_rate
        self.positions = positions
        self.sampling_hz = sampling_hz
        self.modality = modality
        self.device = device
        self.random_state = random_state

    def fit(self, X, y, groups=None):
        """Fit on training rows only; see :meth:`BrainClassifier.fit`.

        Raises
        ------
        DataError
            If ``y`` has missing values or one value only.
        ModelError
            If ``y`` is no number everywhere, lengths differ, or a name is unknown.
        """
        try:
            y = np.asarray(y, dtype=float)
        except (TypeError, ValueError) as error:
            raise ModelError(f"y holds something that is no number ({error}).") from error
        check_target(y, "regression")
        if self.adaptation == "prototype":
            raise ModelError("adaptation is 'prototype', which needs classes; use 'probe'.")
        how = _adaptation(self)
        return self._fit_blocks(X, y, groups, lambda name: FeatureRegressor(name, how))

    def predict(self, X):
        """Return the predicted number of each row, shape (n,)."""
        return self._fused(X)[:, 0]


def _adaptation(estimator):
    settings = estimator.get_params()
    how = settings.pop("adaptation")
    known = {field.name for field in fields(Adaptation)}
    settings = {name: value for name, value in settings.items() if name in known}
    return Adaptation(how=how, head=head_of(how), **settings)


def _of_modality(table, modality):
    """Which rows have a modality, and a table of only that."""
    found = [next((one for one in row if one.modality == modality), None) for row in table]
    there = np.array([one is not None for one in found])
    return there, RecordingTable((one,) for one in found if one is not None)


def _people(table):
    """Participant of each row; a row of an array is somebody of its own."""
    if all(row[0].participant == "unknown" for row in table):
        return np.arange(len(table)).astype(str)
    return table.groups
