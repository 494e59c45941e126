"""Phenotype prediction: age, sex, diagnosis or other phenotypes from the summary of one crop."""

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from brainfm.errors import ModelError
from brainfm.models.training.objectives.base import Objective
from brainfm.models.training.objectives.metrics import explained_variance

_MAX_CLASSES = 20
#: Probability of dropout on the summary.
_DROPOUT = 0.2


class PhenotypePrediction(Objective):
    """Predict standardised phenotypes of the participant from the summary of one crop.

    Missing values are left out of the loss. An encoder trained with this objective has seen
    labels, and has to be evaluated on participants whose labels it has not seen.

    Parameters
    ----------
    config : EncoderConfig
    phenotypes : sequence of str
        Names of the columns of :attr:`Batch.phenotypes`.

    Raises
    ------
    ModelError
        If ``phenotypes`` is empty.
    """

    def __init__(self, config, phenotypes):
        super().__init__()
        if not phenotypes:
            raise ModelError(
                "the objective predicts phenotypes but there are none: give fit a DataFrame y, one "
                "row a row of X, with columns such as age, sex and diagnosis."
            )
        self.phenotypes = tuple(phenotypes)
        self.predict = nn.Linear(config.dim, len(self.phenotypes))

    def score(self, batch, visible, encoded, generator):
        """See :meth:`Objective.score`."""
        target = batch.phenotypes.repeat(2, 1)
        known = target.isfinite()
        predicted = self.predict(self._dropout(encoded.summary, generator))
        errors = functional.smooth_l1_loss(predicted, target.where(known, 0), reduction="none")
        metrics = {
            f"phenotype_{name}_explained": explained_variance(
                predicted[rows, column], target[rows, column]
            )
            for column, name in enumerate(self.phenotypes)
            if (rows := known[:, column]).any()
        }
        return (errors * known).sum() / known.sum().clamp_min(1), metrics

    def _dropout(self, summary, generator):
        """Dropout that draws from the generator, so that every process draws the same."""
        if not self.training:
            return summary
        retained = torch.rand(summary.shape, generator=generator).to(summary.device) >= _DROPOUT
        return summary * retained / (1 - _DROPOUT)


class PhenotypeTargets:
    """Encode a table of phenotypes as numbers, standardised over the training participants.

    A column of numbers is one target. A column of text with two values is one binary target, with
    more values one for each (one-hot). Numbers that are codes should be text.

    Parameters
    ----------
    phenotypes : DataFrame, one row a row of recordings
        Of the training participants; missing values stay missing.

    Attributes
    ----------
    names : tuple of str
        Names of the targets: ``<column>`` or ``<column>_<value>``.

    Raises
    ------
    ModelError
        If a column does not vary, holds more texts than can be classes, or has the name of another
        target.
    """

    def __init__(self, phenotypes):
        _check_names(list(phenotypes))
        self.classes = {str(name): _classes(name, column) for name, column in phenotypes.items()}
        self.names = tuple(
            target
            for name, classes in self.classes.items()
            for target in ([name] if classes is None else _targets(name, classes))
        )
        _check_names(self.names)
        raw = self._raw(phenotypes)
        self.mean, self.spread = raw.mean(), raw.std(ddof=0)

    def __call__(self, phenotypes):
        """Encode a table with the columns of the training participants.

        Parameters
        ----------
        phenotypes : DataFrame, one row a row of recordings

        Returns
        -------
        targets : ndarray of float32, shape (n_rows, n_targets)
            NaN where missing, or where no training participant has the value.

        Raises
        ------
        ModelError
            If a column of the training participants is missing.
        """
        lost = [name for name in self.classes if name not in phenotypes]
        if lost:
            raise ModelError(
                f"phenotypes have no column {', '.join(lost)}; the training participants have "
                f"{', '.join(self.classes)}: give the same columns, with n/a where unknown."
            )
        return ((self._raw(phenotypes) - self.mean) / self.spread).to_numpy(np.float32)

    def _raw(self, phenotypes):
        columns = {}
        for name, classes in self.classes.items():
            column = phenotypes[name]
            if classes is None:
                columns[name] = _numbers(column)
                continue
            known = column.isin(classes)
            for target, one in _targets(name, classes).items():
                columns[target] = (column == one).astype(float).where(known)
        return pd.DataFrame(columns, dtype=float)


def _numbers(column):
    numbers = pd.to_numeric(column, errors="coerce").astype(float)
    return numbers.where(np.isfinite(numbers))


def _targets(name, classes):
    """Name the targets of a column of text, each with its class; of two classes the second."""
    return {f"{name}_{one}": one for one in (classes[1:] if len(classes) == 2 else classes)}


def _classes(name, column):
    """Values of a column of text, sorted; None for a column of numbers."""
    numbers, values = _numbers(column), sorted(column.dropna().unique(), key=str)
    is_number = pd.to_numeric(column, errors="coerce").notna().sum() == column.notna().sum()
    if (numbers.nunique() if is_number else len(values)) < 2:
        raise ModelError(
            f"phenotype {name!r} does not vary among these participants: leave it out."
        )
    if is_number:
        return None
    if len(values) > _MAX_CLASSES:
        raise ModelError(
            f"phenotype {name!r} has {len(values)} different texts; expected numbers or up to "
            f"{_MAX_CLASSES} classes: leave it out or group its values."
        )
    return values


def _check_names(names):
    twice = sorted({str(name) for name in names if list(names).count(name) > 1})
    if twice:
        raise ModelError(
            f"two phenotypes would be called {', '.join(twice)}; expected one of each name: rename "
            "or leave out one of the columns."
        )
