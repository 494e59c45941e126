"""Connectivity-preserving regression: one crop predicts the connectivity of the whole recording."""

from torch import nn
from torch.nn import functional

from brainfm.models.encoder.windows import SPECS
from brainfm.models.training.objectives.base import Objective
from brainfm.models.training.objectives.metrics import explained_variance

#: Principal components of the connectivity of the corpus that are predicted.
N_COMPONENTS = 32


class ConnectivityRegression(Objective):
    """Predict the connectivity and spectrum of a recording from the summary of one crop.

    The targets are those of :func:`brainfm.models.encoder.readout.connectivity_targets`, reduced
    to the principal components of the training recordings.

    Parameters
    ----------
    config : EncoderConfig
    """

    def __init__(self, config):
        super().__init__()
        heads = {name: nn.Linear(config.dim, N_COMPONENTS) for name in SPECS}
        self.predict = nn.ModuleDict(heads)

    def score(self, batch, visible, encoded, generator):
        """See :meth:`Objective.score`."""
        losses, metrics = [], {}
        for name, target in batch.connectivity_targets.items():
            target = target.repeat(2, 1)  # both crops of each row
            predicted = self.predict[name](encoded.summary)
            losses.append(functional.smooth_l1_loss(predicted, target))
            metrics[f"connectivity_{name}_explained"] = explained_variance(predicted, target)
        return sum(losses) / len(losses), metrics
