"""Adaptation of features to labels: a head, or a head and fine-tuning of the encoder."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from brainfm.errors import ModelError
from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.models.encoder.windows import prepare
from brainfm.models.estimators.fine_tuning import FineTuner, TuningSettings
from brainfm.models.estimators.heads import classifier_head, regressor_head
from brainfm.models.features.registry import FEATURES, make_features, scaler_of

#: Head of each adaptation; "lora" and "full" average its predictions with a fine-tuned encoder.
ADAPTATIONS = {
    "probe": "logistic",
    "prototype": "prototype",
    "lora": "logistic",
    "full": "logistic",
}
_TUNING = ("lora", "full")
#: One of five folds of participants is held out for early stopping.
_N_STOPPING_FOLDS = 5


@dataclass(eq=False, repr=False, kw_only=True)
class _FeatureEstimator(TuningSettings):
    """Head on registered features, and a fine-tuned encoder where the adaptation asks for it.

    Parameters
    ----------
    name : str
        Of the features.
    head : {"logistic", "lda", "prototype"}
    model, adaptation, class_weight
        See :class:`brainfm.BrainClassifier`.
    max_epochs, batch_size, patience, learning_rate, device, random_state
        See :class:`~brainfm.models.estimators.fine_tuning.TuningSettings`.
    """

    name: str
    model: str
    head: str
    adaptation: str = "probe"
    class_weight: str | dict | None = "balanced"

    @property
    def _is_tuned(self):
        return self.adaptation in _TUNING and FEATURES[self.name].make is None

    def fit(self, table, y, groups):
        """Fit on a table with one recording per row."""
        self.features_ = make_features(self.name, self.model, device=self.device)
        X = self.features_.fit_transform(table, y)
        self.head_ = self._make_head(y, groups).fit(X, y)
        if self._is_tuned:
            prepared = [prepare(one) for one in table.recordings]
            self._tune(prepared, y, self._stopping(y, groups))
        return self

    def predict(self, table):
        """Return predictions of the head and the tuned encoder, shape (n_rows, n_outputs)."""
        of_head = self._predict_head(self.features_.transform(table))
        if not self._is_tuned:
            return of_head
        outputs = self.tuner_.predict([prepare(one) for one in table.recordings])
        return (of_head + self._predict_tuner(outputs)) / 2

    def _tuner(self, criterion, n_outputs):
        return FineTuner(
            encoder=load_checkpoint(self.model).encoder,
            method=self.adaptation,
            criterion=criterion,
            n_outputs=n_outputs,
            **{field.name: getattr(self, field.name) for field in fields(TuningSettings)},
        )


@dataclass(eq=False, repr=False, kw_only=True)
class FeatureClassifier(_FeatureEstimator):
    """Classifier on one feature set.

    Parameters
    ----------
    n_classes : int
        Classes are 0 to ``n_classes`` - 1; ``y`` may lack some.
    """

    n_classes: int

    def _make_head(self, y, groups):
        if len(np.unique(y)) < 2:
            raise ModelError(
                f"all rows with {FEATURES[self.name].modality} are of one class, so the presence "
                "of the modality would reveal the class: leave it out of fusion."
            )
        return classifier_head(
            self.head, y, groups, scaler_of(self.features_), class_weight=self.class_weight
        )

    def _predict_head(self, X):
        probabilities = np.zeros((len(X), self.n_classes))
        probabilities[:, self.head_.classes_] = self.head_.predict_proba(X)
        return probabilities

    def _stopping(self, y, groups):
        return early_stopping_rows(y, groups)

    def _tune(self, prepared, y, stopping):
        weight = np.ones(self.n_classes, dtype=np.float32)
        classes = np.unique(y)
        weight[classes] = compute_class_weight(self.class_weight, classes=classes, y=y)
        criterion = nn.CrossEntropyLoss(weight=torch.from_numpy(weight))
        tuner = self._tuner(criterion, self.n_classes)
        self.tuner_ = tuner.fit(prepared, y.astype(np.int64), stopping)

    def _predict_tuner(self, outputs):
        return np.stack([one.softmax(dim=1).mean(dim=0).numpy() for one in outputs])


class FeatureRegressor(_FeatureEstimator):
    """Regressor on one feature set."""

    def _make_head(self, y, groups):
        return regressor_head(y, groups, scaler_of(self.features_))

    def _predict_head(self, X):
        return self.head_.predict(X)[:, None]

    def _stopping(self, y, groups):
        enough = len(np.unique(groups)) >= _N_STOPPING_FOLDS
        return _holdout(GroupKFold, y, groups) if enough else None

    def _tune(self, prepared, y, stopping):
        self.centre_, self.spread_ = y.mean(), y.std()
        scaled = ((y - self.centre_) / self.spread_).astype(np.float32)[:, None]
        self.tuner_ = self._tuner(nn.MSELoss(), 1).fit(prepared, scaled, stopping)

    def _predict_tuner(self, outputs):
        scaled = np.stack([one.mean(dim=0).numpy() for one in outputs])
        return scaled * self.spread_ + self.centre_


def early_stopping_rows(y, groups):
    """Choose a fifth of the participants, stratified by class, to hold out for early stopping.

    Parameters
    ----------
    y : ndarray of int, shape (n_rows,)
        Classes.
    groups : ndarray of str, shape (n_rows,)
        Participant of each row.

    Returns
    -------
    is_held_out : ndarray of bool, shape (n_rows,), or None
        None if a class has fewer than five participants.
    """
    people = [len(np.unique(groups[y == label])) for label in np.unique(y)]
    enough = min(people) >= _N_STOPPING_FOLDS
    return _holdout(StratifiedGroupKFold, y, groups) if enough else None


def _holdout(kind, y, groups):
    folds = kind(_N_STOPPING_FOLDS, shuffle=True, random_state=0)
    is_held_out = np.zeros(len(y), bool)
    is_held_out[next(folds.split(np.zeros(len(y)), y, groups))[1]] = True
    return is_held_out
