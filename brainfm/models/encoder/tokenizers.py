"""Tokenizers: the samples of one patch to one vector, linear, convolutional or recurrent.

Each reads one patch of one anchor at a time, so that a masked patch cannot reach its neighbours;
the transformer relates patches.
"""

from torch import nn
from torch.nn import functional

_MOST_STEPS = 12


class ConvolutionTokenizer(nn.Module):
    """Temporal convolutional network: dilated convolutions over the steps of a patch.

    Parameters
    ----------
    patch : int
        Samples of a patch.
    dim : int

    References
    ----------
    .. [1] Bai et al., 2018. https://doi.org/10.48550/arXiv.1803.01271
    """

    def __init__(self, patch, dim):
        super().__init__()
        n_steps, width = steps_of(patch), max(dim // 4, 8)
        step = patch // n_steps
        self.start = nn.Conv1d(1, width, kernel_size=3 * step, stride=step, padding=step)
        self.dilated = nn.ModuleList(
            nn.Conv1d(width, width, kernel_size=3, dilation=reach, padding=reach)
            for reach in (1, 2, 4)
        )
        self.end = nn.Linear(width * n_steps, dim)

    def forward(self, signal):
        """Map a signal (..., patch) to vectors (..., dim)."""
        steps = self.start(signal.reshape(-1, 1, signal.shape[-1]))  # n width steps
        for convolve in self.dilated:
            steps = steps + convolve(functional.gelu(steps))
        return self.end(steps.flatten(1)).unflatten(0, signal.shape[:-1])  # ... dim


class RecurrentTokenizer(nn.Module):
    """Gated recurrent unit over the steps of a patch; its last state is the vector.

    Parameters
    ----------
    patch : int
        Samples of a patch.
    dim : int

    References
    ----------
    .. [1] Cho et al., 2014. https://doi.org/10.48550/arXiv.1406.1078
    """

    def __init__(self, patch, dim):
        super().__init__()
        self.n_steps = steps_of(patch)
        self.unit = nn.GRU(patch // self.n_steps, dim, batch_first=True)

    def forward(self, signal):
        """Map a signal (..., patch) to vectors (..., dim)."""
        _, last = self.unit(signal.reshape(-1, self.n_steps, signal.shape[-1] // self.n_steps))
        return last[0].unflatten(0, signal.shape[:-1])  # ... dim


TOKENIZERS = {"patch": nn.Linear, "conv": ConvolutionTokenizer, "recurrent": RecurrentTokenizer}


def steps_of(patch):
    """Return the number of equal steps of a patch: as many as possible up to 12.

    Parameters
    ----------
    patch : int
        Samples of a patch.

    Returns
    -------
    n_steps : int
    """
    return max(n for n in range(1, _MOST_STEPS + 1) if patch % n == 0)
