"""Distributed encoding: several processes encode one batch, and each objective sees all of it.

Objectives compare the rows of a batch: targets are standardised over it, latents must be Gaussian
over it. So each process reads the whole batch and draws the same random numbers, but encodes only
its share of the windows; the outputs of the other processes are gathered. Then all processes
compute the same loss. N processes learn what one process learns from the same batch, up to the
order of floating-point sums.
"""

import torch
from torch import distributed

from brainfm.models.encoder.encoder import Encoded


class SharedEncoder:
    """Encode the share of this process and gather the other shares.

    Parameters
    ----------
    encoder : BrainEncoder
    half : bool
        Encode in bfloat16 (autocast); outputs are float32, so that losses over the batch do not
        lose precision.
    """

    def __init__(self, encoder, *, half=False):
        self.encoder, self.half = encoder, half

    def __call__(self, batch, visible=None):
        """See :meth:`brainfm.models.encoder.encoder.BrainEncoder.forward`."""
        n_windows = len(next(iter(batch.values())))
        if n_processes() == 1:
            return self._encode(batch, visible)
        own = _share(n_windows)
        encoded = self._encode(
            {name: windows[own] for name, windows in batch.items()},
            visible and {name: shown[own] for name, shown in visible.items()},
        )
        return Encoded(
            tokens=_Gather.apply(encoded.tokens)[:n_windows],
            valid=_Gather.apply(encoded.valid.to(torch.uint8))[:n_windows].bool(),
            summary=_Gather.apply(encoded.summary)[:n_windows],
        )

    def _encode(self, batch, visible):
        device = next(self.encoder.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.half):
            encoded = self.encoder(batch, visible)
        return Encoded(encoded.tokens.float(), encoded.valid, encoded.summary.float())


def n_processes():
    """Return the number of processes that train together.

    Returns
    -------
    number : int
    """
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first_process():
    """Return whether this process writes the results.

    Returns
    -------
    is_first : bool
    """
    return not distributed.is_initialized() or distributed.get_rank() == 0


def _share(n_windows):
    """Indices of the windows of this process; the last one is repeated to make shares equal."""
    size = -(-n_windows // n_processes())
    first = distributed.get_rank() * size
    return torch.arange(first, first + size).clamp_max(n_windows - 1)


class _Gather(torch.autograd.Function):
    """Concatenate the shares of all processes in the order of their ranks."""

    @staticmethod
    def forward(ctx, own):
        shares = [torch.empty_like(own) for _ in range(n_processes())]
        distributed.all_gather(shares, own.contiguous())
        return torch.cat(shares)

    @staticmethod
    def backward(ctx, gradient):
        # DDP averages the gradients of all processes, of which each is zero outside of its own
        # share: multiply by their number, so that the average is the sum.
        n = n_processes()
        return n * gradient.chunk(n)[distributed.get_rank()]
