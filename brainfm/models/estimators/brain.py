"""Classifiers and a regressor of recordings: pretrained, fine-tuned, classical, or fused.

One head is fitted per feature set, and predictions are averaged over the feature sets of a row
(late fusion): rows may lack a modality, and large uninformative feature sets do not dominate.
"""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.validation import check_is_fitted

from brainfm.errors import ModelError
from brainfm.models.estimators.adaptation import (
    ADAPTATIONS,
    FeatureClassifier,
    FeatureRegressor,
)
from brainfm.models.estimators.fine_tuning import TuningSettings
from brainfm.models.estimators.heads import encode_class_weight
from brainfm.models.features.registry import FEATURES, names_of
from brainfm.models.inputs import TableInputMixin
from brainfm.models.targets import check_target
from brainfm.recording import RecordingTable


@dataclass(eq=False, repr=False)
class _BrainEstimator(TableInputMixin, BaseEstimator):
    """Base class: one estimator per fused feature set."""

    model: str | Path = "brainfm-tiny"
    _: KW_ONLY
    fusion: str | Sequence = "auto"

    def _fit_blocks(self, X, y, groups, make_block):
        table = self._table(X)
        if len(y) != len(table):
            raise ModelError(
                f"X has {len(table)} rows but y has {len(y)} values: give one value per row."
            )
        groups = _people(table) if groups is None else np.asarray(groups)
        if len(groups) != len(table):
            raise ModelError(
                f"X has {len(table)} rows but groups has {len(groups)} values: give one per row."
            )
        self.blocks_ = {}
        for name in names_of(self.fusion, table):
            present, part = _of_modality(table, FEATURES[name].modality)
            self.blocks_[name] = make_block(name=name).fit(part, y[present], groups[present])
        return self

    def _predict_mean(self, X):
        """Mean prediction over the feature sets of each row, (n_rows, n_outputs)."""
        check_is_fitted(self, "blocks_")
        table, total, count = self._table(X), 0.0, 0
        for name, block in self.blocks_.items():
            present, part = _of_modality(table, FEATURES[name].modality)
            if len(part):
                predicted = block.predict(part)
                of_all_rows = np.zeros((len(table), predicted.shape[1]))
                of_all_rows[present] = predicted
                total, count = total + of_all_rows, count + present
        lost = np.flatnonzero(count == 0) if np.ndim(count) else np.arange(len(table))
        if len(lost):
            wanted = {FEATURES[name].modality for name in self.blocks_}
            raise ModelError(
                f"row {lost[0]} has {table[int(lost[0])][0]!r} but the model was fitted on "
                f"{' and '.join(sorted(wanted))}: fit it on both, or leave the row out."
            )
        return total / count[:, None]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.no_validation = True
        return tags


class _Classifier(ClassifierMixin, _BrainEstimator):
    """Base class of the classifiers."""

    def _fit_classes(self, X, y, groups, *, class_weight="balanced", **settings):
        y = np.asarray(y)
        check_target(y, "classification")
        self.classes_, numbers = np.unique(y, return_inverse=True)
        weights = encode_class_weight(class_weight, self.classes_)
        make = partial(
            FeatureClassifier, n_classes=len(self.classes_), class_weight=weights, **settings
        )
        return self._fit_blocks(X, numbers, groups, make)

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array of shape (n, n_times, n_channels)

        Returns
        -------
        y : ndarray, shape (n,)
            Most probable class of each row.

        Raises
        ------
        ModelError
            If a row has none of the fitted modalities.
        """
        best = self.predict_proba(X).argmax(axis=1)  # first: it is what raises NotFittedError
        return self.classes_[best]

    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array of shape (n, n_times, n_channels)

        Returns
        -------
        probabilities : ndarray of float, shape (n, n_classes)

        Raises
        ------
        ModelError
            If a row has none of the fitted modalities.
        """
        return self._predict_mean(X)

    def decision_function(self, X):
        """Compute log odds or log probabilities.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array of shape (n, n_times, n_channels)

        Returns
        -------
        decision : ndarray of float, shape (n,) or (n, n_classes)
            Log odds of the second of two classes, or log probabilities of more.
        """
        log = np.log(np.maximum(self.predict_proba(X), 1e-12))
        return log[:, 1] - log[:, 0] if log.shape[1] == 2 else log


@dataclass(eq=False, repr=False, kw_only=True)
class BrainClassifier(TuningSettings, _Classifier):
    """Classify recordings by a pretrained encoder.

    Parameters
    ----------
    model : str or path
        Packaged checkpoint, folder of one, or ``org/name[@revision]`` on the Hugging Face Hub.
    adaptation : {"probe", "prototype", "lora", "full"}
        Logistic regression on frozen embeddings, its penalty chosen by inner folds that separate
        participants; nearest class mean [2]_; or the average of the probe and an encoder tuned on
        windows, by low-rank adaptation [1]_ or in all its weights.
    fusion : "auto", str or sequence of str
        ``"auto"`` for the embedding of each modality in ``X``, or names of
        :data:`brainfm.models.features.registry.FEATURES` such as ``("bold", "eeg")`` or
        ``("eeg", "band_power")``. One head is fitted per feature set; predictions are averaged
        over the feature sets of a row.
    class_weight : {"balanced", None} or dict of class label to float
    max_epochs, batch_size, patience : int
        Of fine-tuning: largest number of epochs; windows per step; epochs without improvement on
        a held-out fifth of the participants before it stops. With fewer than five participants of
        a class none are held out, and all epochs are run.
    learning_rate : float
        Initial learning rate of fine-tuning; decays to zero along a cosine.
    positions, sampling_hz, modality
        Describe ``X`` when it is an array; see :class:`BrainEmbedder`.
    device : {"auto", "cpu", "cuda"}
    random_state : int
        Seed of fine-tuning.

    Attributes
    ----------
    classes_ : ndarray, shape (n_classes,)
    blocks_ : dict of str to FeatureClassifier
        Fitted features and heads by name of the features.

    References
    ----------
    .. [1] Hu et al., 2022, ICLR (LoRA). https://arxiv.org/abs/2106.09685
    .. [2] Snell et al., 2017, NeurIPS (prototypes). https://arxiv.org/abs/1703.05175
    """

    adaptation: str = "probe"
    class_weight: str | dict | None = "balanced"

    def fit(self, X, y, groups=None):
        """Fit on training rows only.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array (n, n_times, n_channels)
        y : array-like, shape (n,)
        groups : array-like, shape (n,), optional
            Participant of each row; by default that of the recordings, and a different one for
            each row of an array.

        Returns
        -------
        self : BrainClassifier

        Raises
        ------
        DataError
            If ``y`` has one class or missing values.
        ModelError
            If lengths differ, or a name or a class of ``class_weight`` is unknown.
        """
        return self._fit_classes(X, y, groups, **_block_settings(self))


@dataclass(eq=False, repr=False, kw_only=True)
class FewShotClassifier(_Classifier):
    """Classify recordings from one to a few dozen examples per class, without fine-tuning.

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

    head: str = "prototype"

    def fit(self, X, y, groups=None):
        """Fit on the examples; see :meth:`BrainClassifier.fit`.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array of shape (n, n_times, n_channels)
        y : array-like, shape (n,)
        groups : array-like, shape (n,), optional
            Participant of each row.

        Returns
        -------
        self : FewShotClassifier

        Raises
        ------
        DataError
            If ``y`` has one class or missing values.
        ModelError
            If the head is unknown, or lengths differ; for LDA, if a class has one row.
        """
        if self.head not in ("prototype", "lda"):
            raise ModelError(f"head is {self.head!r}; expected prototype or lda.")
        settings = {"model": self.model, "head": self.head, "device": self.device}
        return self._fit_classes(X, y, groups, **settings)


@dataclass(eq=False, repr=False, kw_only=True)
class BrainRegressor(TuningSettings, RegressorMixin, _BrainEstimator):
    """Predict a number from recordings by a pretrained encoder.

    Parameters
    ----------
    model : str or path
        See :class:`BrainClassifier`.
    adaptation : {"probe", "lora", "full"}
        Ridge regression on frozen embeddings, its penalty chosen inside the training rows; or
        its average with a fine-tuned encoder.
    fusion, max_epochs, batch_size, patience, learning_rate
        See :class:`BrainClassifier`.
    positions, sampling_hz, modality
        Describe ``X`` when it is an array; see :class:`BrainEmbedder`.
    device : {"auto", "cpu", "cuda"}
    random_state : int
        Seed of fine-tuning.

    Attributes
    ----------
    blocks_ : dict of str to FeatureRegressor
        Fitted features and heads by name of the features.
    """

    adaptation: str = "probe"

    def fit(self, X, y, groups=None):
        """Fit on training rows only; see :meth:`BrainClassifier.fit`.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array of shape (n, n_times, n_channels)
        y : array-like of float, shape (n,)
        groups : array-like, shape (n,), optional
            Participant of each row.

        Returns
        -------
        self : BrainRegressor

        Raises
        ------
        DataError
            If ``y`` has missing values or one value only.
        ModelError
            If ``y`` is not numeric, lengths differ, or a name is unknown.
        """
        try:
            y = np.asarray(y, dtype=float)
        except (TypeError, ValueError) as error:
            raise ModelError(f"y is not numeric ({error}); expected numbers.") from error
        check_target(y, "regression")
        if self.adaptation == "prototype":
            raise ModelError("adaptation is 'prototype', which needs classes; use 'probe'.")
        return self._fit_blocks(X, y, groups, partial(FeatureRegressor, **_block_settings(self)))

    def predict(self, X):
        """Predict numbers.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array of shape (n, n_times, n_channels)

        Returns
        -------
        y : ndarray of float, shape (n,)

        Raises
        ------
        ModelError
            If a row has none of the fitted modalities.
        """
        return self._predict_mean(X)[:, 0]


def _block_settings(estimator):
    """Settings of the feature estimators: parameters of the same name, and the head."""
    name, settings = estimator.adaptation, estimator.get_params()
    if name not in ADAPTATIONS:
        raise ModelError(f"adaptation is {name!r}; expected one of {', '.join(ADAPTATIONS)}.")
    taken = {field.name for field in fields(FeatureRegressor)} & set(settings)
    return {"head": ADAPTATIONS[name], **{key: settings[key] for key in taken}}


def _of_modality(table, modality):
    """Mask of the rows with a modality, (n_rows,), and a table of their recordings of it."""
    recordings = table.of_modality(modality)
    present = np.array([one is not None for one in recordings])
    return present, RecordingTable((one,) for one in recordings if one is not None)


def _people(table):
    """Participant of each row; a different one for each row of an array."""
    if all(row[0].participant == "unknown" for row in table):
        return np.arange(len(table)).astype(str)
    return table.groups
