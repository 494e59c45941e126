"""Ways to turn the samples of one patch into one vector: linear, convolutional or recurrent.

Each looks at one patch of one place at a time; what comes before and after is for the
transformer. So a patch that is hidden or missing cannot reach its neighbours here.
"""

from torch import nn
from torch.nn import functional

_MOST_STEPS = 12


class ConvolutionTokenizer(nn.Module):
    """A temporal convolutional network: steps of a patch, dilated convolutions, one vector.

    References
    ----------
    .. [1] Bai et al., 2018. https://arxiv.org/abs/1803.01271
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
        """(..., patch) -> (..., dim)."""
        steps = self.start(signal.reshape(-1, 1, signal.shape[-1]))  # n width steps
        for convolve in self.dilated:
            steps = steps + convolve(functional.gelu(steps))
        return self.end(steps.flatten(1)).unflatten(0, signal.shape[:-1])


class RecurrentTokenizer(nn.Module):
    """A gated recurrent unit over the steps of a patch; its last state is the vector.

    References
    ----------
    .. [1] Cho et al., 2014. https://arxiv.org/abs/1406.1078
    """

    def __init__(self, patch, dim):
        super().__init__()
        self.n_steps = steps_of(patch)
        self.unit = nn.GRU(patch // self.n_steps, dim, batch_first=True)

    def forward(self, signal):
        """(..., patch) -> (..., dim)."""
        _, last = self.unit(signal.reshape(-1, self.n_steps, signal.shape[-1] // self.n_steps))
        return last[0].unflatten(0, signal.shape[:-1])


TOKENIZERS = {
    "patch": nn.Linear,
    "conv": ConvolutionTokenizer,
    "recurrent": RecurrentTokenizer,
}


def steps_of(patch):
    """Return into how many equal steps a patch is cut: as many as possible up to 12."""
    return max(n for n in range(1, _MOST_STEPS + 1) if patch % n == 0)
