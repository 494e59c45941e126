"""Masked prediction: masked patches of channels from the visible ones."""

import torch
from torch import nn
from torch.nn import functional

from brainfm.models.encoder import tokens
from brainfm.models.encoder.windows import SPECS
from brainfm.models.training.objectives.base import Objective, regression

_N_TARGETS = 48
_MIN_SD = 1e-3


class MaskedPrediction(Objective):
    """Predict masked patches of channels from their positions and times.

    The target of BOLD is the Fourier coefficients of a patch, that of EEG its log power in bins of
    1 Hz; each is standardised over the batch, so that slow, strong fluctuations do not take most of
    the loss.

    Parameters
    ----------
    config : EncoderConfig
    """

    masks_input = True

    def __init__(self, config):
        super().__init__()
        dim, self.heads = config.dim, config.heads
        self.embed_position = nn.Linear(tokens.N_FOURIER, dim)
        self.embed_time = nn.Linear(tokens.N_SECONDS, dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.feed = nn.Sequential(nn.RMSNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU())
        sizes = {
            name: masked_target(name, torch.zeros(1, spec.patch)).shape[-1]
            for name, spec in SPECS.items()
        }
        self.predict = nn.ModuleDict({name: nn.Linear(2 * dim, n) for name, n in sizes.items()})

    def score(self, batch, visible, encoded, generator):
        """See :meth:`Objective.score`."""
        pairs = {}
        for name, windows in batch.windows.items():
            masked = windows.usable & ~visible[name]
            row, channel, patch = _draw(masked, generator)
            target = masked_target(name, windows.signal[row, channel, patch])
            pairs[name] = self._predict(name, windows, (row, channel, patch), encoded), target
        return regression("masked", pairs)

    def _predict(self, name, windows, where, encoded):
        row, channel, patch = where  # n each
        time_s = (patch + 0.5) * SPECS[name].patch_s
        query = self.embed_position(tokens.fourier(windows.positions[row, channel]))
        query = query + self.embed_time(tokens.seconds_features(time_s))  # n d
        key, value = self.key_value(encoded.tokens).chunk(2, dim=-1)
        n_rows = len(encoded.tokens)
        per_row = len(row) // n_rows  # _draw gives each window as many
        split = lambda x, n: x.view(n_rows, n, self.heads, -1).transpose(1, 2)  # noqa: E731
        mask = encoded.valid[:, None, None, :] | ~encoded.valid.any(1)[:, None, None, None]
        attended = functional.scaled_dot_product_attention(
            split(self.query(query), per_row),
            split(key, key.shape[1]),
            split(value, value.shape[1]),
            attn_mask=mask,
        )
        attended = attended.transpose(1, 2).reshape(len(row), -1) + query  # n d
        return self.predict[name](self.feed(attended))


def masked_target(modality, patches):
    """Compute the target of masked patches, standardised over the batch.

    Parameters
    ----------
    modality : {"bold", "eeg"}
    patches : Tensor, shape (n, patch)

    Returns
    -------
    target : Tensor, shape (n, n_targets)
        BOLD: real and imaginary parts of the Fourier coefficients. EEG: log power, 1 to 40 Hz.
    """
    if modality == "eeg":
        target = tokens.log_spectrum(patches)
    else:
        coefficients = torch.fft.rfft(patches)
        target = torch.cat([coefficients.real, coefficients.imag], dim=-1)
    sd = target.std(dim=0, correction=0).clamp_min(_MIN_SD)
    return (target - target.mean(dim=0)) / sd


def _draw(masked, generator):
    """Draw as many masked (channel, patch) pairs of each window, with repeats if there are few."""
    n_rows, _, n_patches = masked.shape
    chance = masked.flatten(1).to("cpu", torch.float32)
    chance[chance.sum(dim=1) == 0] = 1  # a window of one channel: padding is drawn
    drawn = torch.multinomial(chance, _N_TARGETS, replacement=True, generator=generator)
    drawn = drawn.to(masked.device)
    row = torch.arange(n_rows, device=masked.device).repeat_interleave(_N_TARGETS)
    flat = drawn.flatten()
    return row, flat // n_patches, flat % n_patches
