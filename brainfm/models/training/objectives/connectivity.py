"""Connectivity-preserving regression: a crop tells the second-order structure of the whole run."""

from torch import nn
from torch.nn import functional

from brainfm.models.encoder.windows import SPECS
from brainfm.models.training.objectives.base import Objective, explained

#: How many principal components of the corpus' statistics are predicted.
N_STATISTICS = 32


class ConnectivityRegression(Objective):
    """Predict, from the summary of one crop, the connectivity and spectrum of the recording.

    The statistics are those of :func:`brainfm.models.encoder.readout.connectivity_targets`,
    reduced to the principal components of the training recordings.
    """

    def __init__(self, config):
        super().__init__()
        heads = {name: nn.Linear(config.dim, N_STATISTICS) for name in SPECS}
        self.predict = nn.ModuleDict(heads)

    def score(self, batch, visible, encoded, generator):
        """See :meth:`Objective.score`."""
        losses, metrics = [], {}
        for name, target in batch.statistics.items():
            target = target.repeat(2, 1)
            predicted = self.predict[name](encoded.summary)
            losses.append(functional.smooth_l1_loss(predicted, target))
            metrics[f"connectivity_{name}_explained"] = explained(predicted, target)
        return sum(losses) / len(losses), metrics
