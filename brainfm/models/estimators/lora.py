"""Low-rank adaptation (LoRA) of the linear layers of an encoder [1]_.

References
----------
.. [1] Hu et al., 2022, ICLR. https://arxiv.org/abs/2106.09685
"""

import torch
from torch import nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """Parametrisation of a weight: weight + up @ down, with ``up`` zero at first.

    Parameters
    ----------
    weight : Tensor of float, shape (n_out, n_in)
    rank : int

    References
    ----------
    .. [1] Hu et al., 2022, ICLR. https://arxiv.org/abs/2106.09685
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

    References
    ----------
    .. [1] Hu et al., 2022, ICLR. https://arxiv.org/abs/2106.09685
    """
    encoder.requires_grad_(False)
    for layer in _linear_layers(encoder):
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))


def merge_lora(encoder):
    """Add the low-rank matrices to the weights and remove them.

    Parameters
    ----------
    encoder : BrainEncoder
        After :func:`add_lora`; changed in place.
    """
    for layer in _linear_layers(encoder):
        parametrize.remove_parametrizations(layer, "weight")


def _linear_layers(encoder):
    return [layer for layer in encoder.blocks.modules() if isinstance(layer, nn.Linear)]
