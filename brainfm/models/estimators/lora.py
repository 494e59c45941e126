"""Low-rank adaptation: a few numbers added to the large matrices of an encoder.

References
----------
.. [1] Hu et al., 2022, ICLR. https://arxiv.org/abs/2106.09685
"""

import torch
from torch import nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """Add a product of two narrow matrices to a weight; nothing at first.

    Parameters
    ----------
    weight : Parameter, shape (n_out, n_in)
    rank : int
    """

    def __init__(self, weight, rank):
        super().__init__()
        n_out, n_in = weight.shape
        self.down = nn.Parameter(torch.randn(rank, n_in) / n_in**0.5)
        self.up = nn.Parameter(torch.zeros(n_out, rank))

    def forward(self, weight):
        """Return the adapted weight, shape (n_out, n_in)."""
        return weight + self.up @ self.down


def add_lora(encoder, rank=8):
    """Freeze an encoder and add low-rank matrices to the linear layers of its transformer.

    Parameters
    ----------
    encoder : BrainEncoder
        Changed in place; only the added matrices have gradients.
    rank : int
    """
    encoder.requires_grad_(False)
    for layer in _linear_layers(encoder):
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))


def merge_lora(encoder):
    """Write what the low-rank matrices learned into the weights, and drop them."""
    for layer in _linear_layers(encoder):
        parametrize.remove_parametrizations(layer, "weight")


def _linear_layers(encoder):
    return [layer for layer in encoder.blocks.modules() if isinstance(layer, nn.Linear)]
