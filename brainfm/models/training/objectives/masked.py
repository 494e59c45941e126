"""Masked prediction: what do the hidden channels do, given the others?"""

import torch
from torch import nn
from torch.nn import functional

from brainfm.models.encoder.tokens import N_FOURIER, fourier, log_spectrum, seconds_features
from brainfm.models.encoder.windows import SPECS
from brainfm.models.training.objectives.base import Objective, explained

_TIME_FEATURES = 16
_N_TARGETS = 48
_LEAST_POWER = 1e-4
#: The best of both in the ablation that docs/explanations/representation.md shows.
DEFAULT_TARGETS = {"bold": "whitened", "eeg": "log_spectral"}


class MaskedPrediction(Objective):
    """Predict hidden patches of channels from where and when they are.

    Parameters
    ----------
    config : EncoderConfig
    targets : dict of str to {"raw", "whitened", "log_spectral"}
        What of a patch is predicted, for each modality. ``raw``: its samples, of which slow,
        strong fluctuations take most of the loss. ``whitened``: its Fourier coefficients, each
        with mean 0 and variance 1 over the batch. ``log_spectral``: the logarithm of its power
        in each frequency bin, scaled likewise; it says nothing of phase.
    """

    hides = True

    def __init__(self, config, targets=DEFAULT_TARGETS):
        super().__init__()
        self.targets = dict(targets)
        dim, self.heads = config.dim, config.heads
        self.embed_position = nn.Linear(N_FOURIER, dim)
        self.embed_time = nn.Linear(_TIME_FEATURES, dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.feed = nn.Sequential(nn.RMSNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU())
        sizes = {
            name: self._target(name, torch.zeros(1, spec.patch)).shape[-1]
            for name, spec in SPECS.items()
        }
        self.predict = nn.ModuleDict({name: nn.Linear(2 * dim, n) for name, n in sizes.items()})

    def score(self, batch, visible, encoded, generator):
        """See :meth:`Objective.score`."""
        losses, metrics = [], {}
        for name, windows in batch.windows.items():
            hidden = windows.usable & ~visible[name]
            row, channel, patch = _draw(hidden, generator)
            target = self._target(name, windows.signal[row, channel, patch])
            asked = self._ask(name, windows, (row, channel, patch), encoded)
            losses.append(functional.smooth_l1_loss(asked, target))
            metrics[f"masked_{name}_explained"] = explained(asked, target)
        return sum(losses) / len(losses), metrics

    def _target(self, name, patches):
        """Return what is predicted of patches (n, patch), as (n, size)."""
        return _TARGETS[self.targets[name]](name, patches)

    def _ask(self, name, windows, where, encoded):
        row, channel, patch = where
        time_s = (patch + 0.5) * SPECS[name].patch_s
        query = self.embed_position(fourier(windows.positions[row, channel]))
        query = query + self.embed_time(seconds_features(time_s, _TIME_FEATURES))
        key, value = self.key_value(encoded.tokens).chunk(2, dim=-1)
        n_rows = len(encoded.tokens)
        each = len(row) // n_rows  # _draw gives every window as many
        split = lambda x, n: x.view(n_rows, n, self.heads, -1).transpose(1, 2)  # noqa: E731
        attended = functional.scaled_dot_product_attention(
            split(self.query(query), each),
            split(key, key.shape[1]),
            split(value, value.shape[1]),
            attn_mask=encoded.seen[:, None, None, :] | ~encoded.seen.any(1)[:, None, None, None],
        )
        read = attended.transpose(1, 2).reshape(len(row), -1) + query
        return self.predict[name](self.feed(read))


def _draw(hidden, generator):
    """Draw as many hidden (channel, patch) pairs of every window, with repeats where few are."""
    n_rows, _, n_patches = hidden.shape
    chance = hidden.flatten(1).to("cpu", torch.float32)
    chance[chance.sum(dim=1) == 0] = 1  # a window of one channel: what is drawn is padding
    drawn = torch.multinomial(chance, _N_TARGETS, replacement=True, generator=generator)
    drawn = drawn.to(hidden.device)
    row = torch.arange(n_rows, device=hidden.device).repeat_interleave(_N_TARGETS)
    flat = drawn.flatten()
    return row, flat // n_patches, flat % n_patches


def _raw(name, patches):
    return patches


def _whitened(name, patches):
    coefficients = _in_band(name, torch.fft.rfft(patches))
    return _scaled(torch.cat([coefficients.real, coefficients.imag], dim=-1))


def _log_spectral(name, patches):
    if name == "eeg":
        return _scaled(log_spectrum(patches))
    power = torch.fft.rfft(patches).abs().square()
    return _scaled((power + _LEAST_POWER).log())


def _in_band(name, coefficients):
    """EEG was low-passed: beyond 40 Hz there is nothing to predict."""
    return coefficients[..., 1:41] if name == "eeg" else coefficients


def _scaled(target):
    spread = target.std(dim=0, correction=0)
    return (target - target.mean(dim=0)) / spread.clamp_min(1e-3)


_TARGETS = {"raw": _raw, "whitened": _whitened, "log_spectral": _log_spectral}
