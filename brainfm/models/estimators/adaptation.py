"""How labels change what is read from a recording: a head on features, or fine-tuning as well."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

from brainfm.errors import ModelError
from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.models.encoder.windows import prepare
from brainfm.models.estimators.fine_tuning import FineTuner
from brainfm.models.estimators.heads import classifier_head, regressor_head
from brainfm.models.features.registry import FEATURES, make_features, scaler_of

#: Head of each adaptation; the last two tune the encoder too, and average what both say.
ADAPTATIONS = {
    "probe": "logistic",
    "prototype": "prototype",
    "lora": "logistic",
    "full": "logistic",
}
_TUNING = ("lora", "full")
#: A fifth of the people is kept apart to stop early, where there are as many of each class.
_N_STOPPING_FOLDS = 5


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """How to adapt; see :class:`brainfm.BrainClassifier` for all but ``head``."""

    model: str
    head: str
    how: str = "probe"
    class_weight: str | dict | None = "balanced"
    max_epochs: int = 20
    batch_size: int = 16
    learning_rate: float = 1e-3
    patience: int = 5
    device: str = "auto"
    random_state: int = 0

    def tuner(self, criterion, n_outputs):
        """Make the fine-tuner."""
        return FineTuner(
            load_checkpoint(self.model).encoder,
            how=self.how,
            criterion=criterion,
            n_outputs=n_outputs,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            patience=self.patience,
            learning_rate=self.learning_rate,
            device=self.device,
            random_state=self.random_state,
        )


def head_of(adaptation):
    """Return the head of an adaptation.

    Raises
    ------
    ModelError
        If there is no such adaptation.
    """
    if adaptation not in ADAPTATIONS:
        raise ModelError(f"adaptation is {adaptation!r}; expected one of {', '.join(ADAPTATIONS)}.")
    return ADAPTATIONS[adaptation]


class _Block:
    """Features by name with a head, and the tuned encoder where there is one."""

    def __init__(self, name, adaptation):
        self.name, self.adaptation = name, adaptation

    @property
    def _is_tuned(self):
        return self.adaptation.how in _TUNING and FEATURES[self.name].make is None

    def fit(self, table, y, groups):
        """Learn from a table with one recording a row."""
        self.features_ = make_features(
            self.name, self.adaptation.model, device=self.adaptation.device
        )
        read = self.features_.fit_transform(table, y)
        self.head_ = self._make_head(y, groups).fit(read, y)
        if self._is_tuned:
            prepared = [prepare(one) for one in table.recordings]
            self._tune(prepared, y, self._stopping(y, groups))
        return self

    def predict(self, table):
        """Return what the head says, averaged with the tuned encoder, (n_rows, n_outputs)."""
        said = self._of_head(self.features_.transform(table))
        if not self._is_tuned:
            return said
        outputs = self.tuner_.predict([prepare(one) for one in table.recordings])
        return (said + self._of_tuner(outputs)) / 2


class FeatureClassifier(_Block):
    """Probabilities of classes 0 to ``n_classes`` - 1, of which ``y`` may lack some."""

    def __init__(self, name, adaptation, n_classes):
        super().__init__(name, adaptation)
        self.n_classes = n_classes

    def _make_head(self, y, groups):
        if len(np.unique(y)) < 2:
            raise ModelError(
                f"all rows with {FEATURES[self.name].modality} are of one class: it could be told "
                "by which modality is there; leave it out of fusion."
            )
        how = self.adaptation
        return classifier_head(
            how.head, y, groups, scaler_of(self.features_), class_weight=how.class_weight
        )

    def _of_head(self, read):
        said = np.zeros((len(read), self.n_classes))
        said[:, self.head_.classes_] = self.head_.predict_proba(read)
        return said

    def _stopping(self, y, groups):
        return early_stopping_rows(y, groups)

    def _tune(self, prepared, y, stopping):
        weight = np.ones(self.n_classes, dtype=np.float32)
        classes = np.unique(y)
        weight[classes] = compute_class_weight(self.adaptation.class_weight, classes=classes, y=y)
        criterion = nn.CrossEntropyLoss(weight=torch.from_numpy(weight))
        tuner = self.adaptation.tuner(criterion, self.n_classes)
        self.tuner_ = tuner.fit(prepared, y.astype(np.int64), stopping)

    def _of_tuner(self, outputs):
        return np.stack([one.softmax(dim=1).mean(dim=0).numpy() for one in outputs])


class FeatureRegressor(_Block):
    """One predicted number."""

    def _make_head(self, y, groups):
        return regressor_head(y, groups, scaler_of(self.features_))

    def _of_head(self, read):
        return self.head_.predict(read)[:, None]

    def _stopping(self, y, groups):
        enough = len(np.unique(groups)) >= _N_STOPPING_FOLDS
        return _apart(GroupKFold, y, groups) if enough else None

    def _tune(self, prepared, y, stopping):
        self.centre_, self.spread_ = y.mean(), y.std()
        scaled = ((y - self.centre_) / self.spread_).astype(np.float32)[:, None]
        self.tuner_ = self.adaptation.tuner(nn.MSELoss(), 1).fit(prepared, scaled, stopping)

    def _of_tuner(self, outputs):
        scaled = np.stack([one.mean(dim=0).numpy() for one in outputs])
        return scaled * self.spread_ + self.centre_


def early_stopping_rows(y, groups):
    """Choose the people who are kept apart to stop early: a fifth, of all classes.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Classes.
    groups : ndarray, shape (n,)
        Participant of each row.

    Returns
    -------
    apart : ndarray of bool, shape (n,), or None
        None where a class has fewer than five people.
    """
    people = [len(np.unique(groups[y == label])) for label in np.unique(y)]
    enough = min(people) >= _N_STOPPING_FOLDS
    return _apart(StratifiedGroupKFold, y, groups) if enough else None


def _apart(kind, y, groups):
    folds = kind(_N_STOPPING_FOLDS, shuffle=True, random_state=0)
    apart = np.zeros(len(y), bool)
    apart[next(folds.split(np.zeros(len(y)), y, groups))[1]] = True
    return apart
