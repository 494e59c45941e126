"""Connectivity-preserving regression: one crop predicts the connectivity of the whole recording."""

from torch import nn

from brainfm.models.encoder.windows import SPECS
from brainfm.models.training.objectives.base import Objective, regression

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
        self.predict = nn.ModuleDict({name: nn.Linear(config.dim, N_COMPONENTS) for name in SPECS})

    def score(self, batch, visible, encoded, generator):
        """See :meth:`Objective.score`."""
        return regression("connectivity", {
            name: (self.predict[name](encoded.summary), target.repeat(2, 1))  # both crops of a row
            for name, target in batch.connectivity_targets.items()
        })  # fmt: skip
