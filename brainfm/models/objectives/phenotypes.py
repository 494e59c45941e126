"""Phenotype prediction: a crop tells the age, the sex or the diagnosis of the person."""

import numpy as np
import pandas as pd
from torch import nn
from torch.nn import functional

from brainfm.errors import ModelError
from brainfm.models.objectives.base import Objective, explained

_MOST_CLASSES = 20


class PhenotypePrediction(Objective):
    """Predict standardised phenotypes of the person from the summary of one crop.

    What is not known of a person counts for nothing. An encoder trained so has seen labels: what
    it is good for must be judged on people whose labels it has not seen.

    Parameters
    ----------
    config : EncoderConfig
    phenotypes : sequence of str
        Names of the columns of :attr:`Batch.phenotypes`.
    """

    def __init__(self, config, phenotypes):
        super().__init__()
        self.phenotypes = tuple(phenotypes)
        self.predict = nn.Sequential(nn.Dropout(0.2), nn.Linear(config.dim, len(self.phenotypes)))

    def score(self, batch, visible, encoded, generator):
        """See :meth:`Objective.score`."""
        target = batch.phenotypes.repeat(2, 1)
        known = target.isfinite()
        predicted = self.predict(encoded.summary)
        errors = functional.smooth_l1_loss(predicted, target.where(known, 0), reduction="none")
        metrics = {
            f"phenotype_{name}_explained": explained(predicted[rows, column], target[rows, column])
            for column, name in enumerate(self.phenotypes)
            if (rows := known[:, column]).any()
        }
        return (errors * known).sum() / known.sum().clamp_min(1), metrics


class PhenotypeTargets:
    """Turn a table of phenotypes into standardised numbers, with the scale of the training people.

    A column of numbers is one target. A column of text is one target for two values, or one for
    each of more values: whether the person has it.

    Parameters
    ----------
    phenotypes : DataFrame, one row a row of recordings
        Of the training people; missing values stay missing.

    Attributes
    ----------
    names : tuple of str
        Of the targets: the column, or ``<column>_<value>``.

    Raises
    ------
    ModelError
        If a column does not vary, or holds more texts than can be classes.
    """

    def __init__(self, phenotypes):
        self.classes = {str(name): _classes(name, column) for name, column in phenotypes.items()}
        raw = self._raw(phenotypes)
        self.names = tuple(raw)
        self.mean, self.spread = raw.mean(), raw.std(ddof=0)

    def __call__(self, phenotypes):
        """Return the targets, float32, shape (n_rows, n_targets), NaN where missing.

        Raises
        ------
        ModelError
            If a column of the training people is missing.
        """
        lost = [name for name in self.classes if name not in phenotypes]
        if lost:
            raise ModelError(
                f"phenotypes have no column {', '.join(lost)}; the training people have "
                f"{', '.join(self.classes)}: give the same columns, with n/a where not known."
            )
        return ((self._raw(phenotypes) - self.mean) / self.spread).to_numpy(np.float32)

    def _raw(self, phenotypes):
        columns = {}
        for name, classes in self.classes.items():
            column = phenotypes[name]
            if classes is None:
                columns[name] = pd.to_numeric(column, errors="coerce")
                continue
            for one in classes:
                columns[f"{name}_{one}"] = (column == one).astype(float).where(column.notna())
        return pd.DataFrame(columns, dtype=float)


def _classes(name, column):
    """Values of a column of text that are targets; None for a column of numbers."""
    values = sorted(column.dropna().unique(), key=str)
    if len(values) < 2:
        raise ModelError(f"phenotype {name!r} does not vary among these people: leave it out.")
    if pd.api.types.is_numeric_dtype(column):
        return None
    if len(values) > _MOST_CLASSES:
        raise ModelError(
            f"phenotype {name!r} has {len(values)} different texts; expected numbers or up to "
            f"{_MOST_CLASSES} classes: leave it out or group its values."
        )
    return values[1:] if len(values) == 2 else values
