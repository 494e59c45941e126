"""Several processes encode one batch together, so that every objective sees all of it.

Objectives compare the rows of a batch: targets are whitened over it, summaries must look Gaussian
over it. So each process reads the whole batch and draws the same numbers, but encodes its share
only; what the encoder says of the other shares is gathered. From there on all processes compute
the same loss, whatever the objective. N processes learn what one process learns from the same
batch, up to the order of floating-point sums.
"""

from dataclasses import replace

import torch
from torch import distributed

from brainfm.models.encoder.encoder import Encoded


class SharedEncoder:
    """Call an encoder on this process' share of the windows and gather the rest.

    Parameters
    ----------
    encoder : BrainEncoder
    half : bool
        Encode in bfloat16 where that is safe (autocast); what is returned is float32, so that
        losses and statistics over the batch are as precise as ever.
    """

    def __init__(self, encoder, *, half=False):
        self.encoder, self.half = encoder, half

    def __call__(self, batch, visible=None):
        """See :meth:`brainfm.models.encoder.encoder.BrainEncoder.forward`."""
        n_windows = len(next(iter(batch.values())))
        if n_processes() == 1:
            return self._encode(batch, visible)
        mine = _share(n_windows)
        encoded = self._encode(
            {name: _rows(windows, mine) for name, windows in batch.items()},
            visible and {name: shown[mine] for name, shown in visible.items()},
        )
        return Encoded(
            tokens=_Gather.apply(encoded.tokens)[:n_windows],
            seen=_Gather.apply(encoded.seen.to(torch.uint8))[:n_windows].bool(),
            summary=_Gather.apply(encoded.summary)[:n_windows],
        )

    def _encode(self, batch, visible):
        device = next(self.encoder.parameters()).device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.half):
            encoded = self.encoder(batch, visible)
        return Encoded(encoded.tokens.float(), encoded.seen, encoded.summary.float())


def n_processes():
    """Return how many processes train together, 1 if only this one."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first_process():
    """Tell whether this process writes what all of them have learned."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


def _share(n_windows):
    """Return the windows of this process, as many in each; beyond the end the last one again."""
    each = -(-n_windows // n_processes())
    first = distributed.get_rank() * each
    return torch.arange(first, first + each).clamp_max(n_windows - 1)


def _rows(windows, rows):
    return replace(windows, **{name: value[rows] for name, value in vars(windows).items()})


class _Gather(torch.autograd.Function):
    """Put the shares of all processes together, in the order of their ranks."""

    @staticmethod
    def forward(ctx, mine):
        shares = [torch.empty_like(mine) for _ in range(n_processes())]
        distributed.all_gather(shares, mine.contiguous())
        return torch.cat(shares)

    @staticmethod
    def backward(ctx, gradient):
        # All processes hold the same gradient of the same loss, and DDP divides the sum of what
        # they hand back by their number; each knows its share only, so it is multiplied first.
        n = n_processes()
        return n * gradient.chunk(n)[distributed.get_rank()]
