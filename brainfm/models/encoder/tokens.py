"""From channels anywhere to a fixed set of places, and from anchors to a few tokens per patch.

A model never knows names of channels, only where they are. *Spatial anchors* are fixed points in
the head. Each averages the channels around it, so that any atlas and any montage becomes the same
few dozen series at a cost linear in channels. Learned queries then attend to the anchors of each
time patch and give the tokens that the transformer reads.
"""

import functools
import math
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from torch import nn
from torch.nn import functional

from brainfm.models.encoder.tokenizers import TOKENIZERS
from brainfm.models.encoder.windows import SPECS

_OCTAVES = 4
#: Least logit of a channel, relative to the nearest: far ones still count where none is near.
_FARTHEST = -30.0
#: Shrinkage of the covariance of places towards the identity.
SHRINKAGE = 0.2


def fourier(positions):
    """Sines and cosines of positions, 4 octaves.

    Parameters
    ----------
    positions : Tensor, shape (..., 3), about 1 in size

    Returns
    -------
    features : Tensor, shape (..., 24)
    """
    octaves = math.pi * 2.0 ** torch.arange(_OCTAVES, device=positions.device) / 2
    angles = rearrange(positions[..., None] * octaves, "... xyz k -> ... (xyz k)")
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


N_FOURIER = 6 * _OCTAVES


def seconds_features(time_s, n_features):
    """Sines and cosines of time, with periods from 2 s to 500 s.

    Parameters
    ----------
    time_s : Tensor, shape (...,)
    n_features : int, even

    Returns
    -------
    features : Tensor, shape (..., n_features)
    """
    periods_s = torch.logspace(math.log10(2), math.log10(500), n_features // 2)
    angles = 2 * math.pi * time_s[..., None] / periods_s.to(time_s.device)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def log_spectrum(signal):
    """Natural log power of each patch of EEG, 1 to 40 Hz.

    Parameters
    ----------
    signal : Tensor, shape (..., patch), one second at 100 Hz

    Returns
    -------
    spectrum : Tensor, shape (..., 40)
        Bins of 1 Hz, Hann window, patch mean removed.
    """
    waves = _hann_waves(signal.shape[-1], signal.device)
    cosines, sines = (signal @ waves).chunk(2, dim=-1)  # a product is three times as fast as an FFT
    return (cosines.square() + sines.square() + 1e-4).log()


def _hann_waves(patch, device):
    """Cosines and sines of 1 to 40 Hz under a Hann window of unit power, blind to the mean."""
    sample, hertz = torch.arange(patch, device=device), torch.arange(1, 41, device=device)
    angles = 2 * math.pi * torch.outer(sample, hertz) / patch
    window = torch.hann_window(patch, dtype=torch.float64, device=device)
    waves = torch.cat([angles.cos(), angles.sin()], dim=1) * window[:, None]
    return ((waves - waves.mean(dim=0)) / window.square().sum().sqrt()).float()


def full_precision(method):
    """Let a method of a module compute in float32, autocast or not."""

    @functools.wraps(method)
    def in_full(module, *arguments):
        device = module.centres.device.type
        with torch.autocast(device, enabled=False):
            return method(module, *arguments)

    return in_full


@dataclass(frozen=True)
class AnchorSeries:
    """What the places saw: series (b, k, s, p), spectrum (b, k, s, 40) or None, seen (b, k, s)."""

    series: torch.Tensor
    spectrum: torch.Tensor | None
    seen: torch.Tensor


class SpatialAnchors(nn.Module):
    """Points of the head that look at the channels around them.

    The weight of a channel falls with its squared distance to the place (a Gaussian of fixed
    width). SpatialAnchors are put where the channels of the training recordings are and then stay:
    moved by gradients, they served the objectives and made connectivity between places tell less of
    people.
    """

    def __init__(self, modality, n_places):
        super().__init__()
        self.modality, self.width = modality, {"bold": 0.06, "eeg": 0.3}[modality]
        self.register_buffer("centres", default_places(modality, n_places))

    @full_precision
    def weights(self, positions, channels):
        """Return how much each place looks at each channel, at most 1, (b, k, c); 0 if padded."""
        distance = (self.centres[None, :, None] - positions[:, None]).square().sum(-1)  # b k c
        logits = (-distance / (2 * self.width**2)).masked_fill(~channels[:, None], -torch.inf)
        nearest = logits.amax(dim=-1, keepdim=True).clamp_min(-1e9)  # no channel at all: finite
        return (logits - nearest).clamp_min(_FARTHEST).exp() * channels[:, None]

    @full_precision
    def forward(self, windows, visible):
        """Mix the visible (b, c, s) channels of :class:`Windows` into places."""
        weights = self.weights(windows.positions, windows.channels)
        shown = visible.to(weights.dtype)
        total = torch.einsum("bkc,bcs->bks", weights, shown)
        share = 1 / total.clamp_min(1e-20)[..., None]  # b k s 1

        def mix(values):
            shown_values = values * shown[..., None]
            return torch.einsum("bkc,bcsp->bksp", weights, shown_values) * share

        spectrum = mix(log_spectrum(windows.signal)) if self.modality == "eeg" else None
        return AnchorSeries(mix(windows.signal), spectrum, total > 0)


class ModalityTokens(nn.Module):
    """:class:`AnchorSeries` of one modality -> tokens (b, s * n_queries + 1, dim), if seen, times.

    The one token besides holds how the places vary together over the window (correlations).
    """

    def __init__(self, modality, config):
        super().__init__()
        self.spec, self.n_queries = SPECS[modality], config.n_queries
        dim, n_places = config.dim, config.n_places_of(modality)
        self.places = SpatialAnchors(modality, n_places)
        self.embed_patch = TOKENIZERS[config.tokenizer](self.spec.patch, dim)
        self.embed_spectrum = nn.Linear(40, dim) if modality == "eeg" else None
        self.embed_place = nn.Linear(N_FOURIER, dim)
        self.norm = nn.RMSNorm(dim)
        self.queries = nn.Parameter(torch.randn(config.n_queries, dim))
        self.key_value = nn.Linear(dim, 2 * dim)
        self.merge = nn.Linear(dim, dim)
        self.embed_correlation = nn.Linear(n_places * (n_places - 1) // 2, dim)
        self.modality = nn.Parameter(torch.randn(dim) * 0.02)
        self.heads = config.heads

    def forward(self, mixed):
        """See the class."""
        tokens = self._ask(self._embed(mixed), mixed.seen)  # b (s q) d
        together = self.embed_correlation(_upper(correlation_of(mixed)))[:, None]
        seen_patches = repeat(mixed.seen.any(dim=1), "b s -> b (s q)", q=self.n_queries)
        seen = torch.cat([seen_patches, seen_patches.any(dim=1, keepdim=True)], dim=1)
        return torch.cat([tokens, together], dim=1) + self.modality, seen, self._times(mixed)

    def _embed(self, mixed):
        tokens = self.embed_patch(mixed.series)
        if mixed.spectrum is not None:
            tokens = tokens + self.embed_spectrum(mixed.spectrum)
        place = self.embed_place(fourier(self.places.centres))
        return self.norm((tokens + place[None, :, None]).float())  # b k s d; its weight is float32

    def _ask(self, tokens, seen):
        """Let the queries attend to the places of each patch."""
        batch, _, n_patches, _ = tokens.shape
        key, value = self.key_value(rearrange(tokens, "b k s d -> (b s) k d")).chunk(2, dim=-1)
        query = repeat(self.queries, "q d -> n q d", n=batch * n_patches)
        split = lambda x: rearrange(x, "n t (h e) -> n h t e", h=self.heads)  # noqa: E731
        mask = rearrange(seen, "b k s -> (b s) 1 1 k")
        mask = mask | ~mask.any(dim=-1, keepdim=True)  # nothing seen: finite, and masked later
        asked = functional.scaled_dot_product_attention(
            split(query), split(key), split(value), attn_mask=mask
        )
        asked = rearrange(asked, "(b s) h q e -> b (s q) (h e)", b=batch)
        return self.merge(asked) + repeat(self.queries, "q d -> (s q) d", s=n_patches)

    def _times(self, mixed):
        """Seconds from the start of the window to the middle of each token's patch."""
        middle = (torch.arange(mixed.seen.shape[2]) + 0.5) * self.spec.patch_s
        each = torch.cat([middle.repeat_interleave(self.n_queries), middle.mean()[None]])
        return each.to(self.queries.device)


def correlation_of(mixed):
    """Correlation of the places over what was seen of a window, shape (b, k, k)."""
    shown = mixed.seen[..., None].to(mixed.series.dtype)
    count = (shown.sum(dim=(2, 3)) * mixed.series.shape[-1]).clamp_min(1)  # b k
    mean = (mixed.series * shown).sum(dim=(2, 3)) / count
    centred = rearrange((mixed.series - mean[..., None, None]) * shown, "b k s p -> b k (s p)")
    spread = centred.square().sum(dim=-1).clamp_min(1e-12).rsqrt()
    return torch.einsum("bkt,blt->bkl", centred * spread[..., None], centred * spread[..., None])


def _upper(matrix):
    rows, columns = torch.triu_indices(*matrix.shape[-2:], offset=1)
    return matrix[..., rows, columns]


def default_places(modality, n_places):
    """Spread places evenly: inside a brain-sized ellipsoid (BOLD) or over the scalp (EEG).

    Returns
    -------
    centres : Tensor, shape (n_places, 3), about 1 in size
    """
    index = torch.arange(n_places) + 0.5
    turn = math.pi * (1 + 5**0.5) * index  # golden angle: a Fibonacci lattice
    if modality == "bold":
        height, radius = 1 - 2 * index / n_places, (index * 0.618 % 1) ** (1 / 3)
        centre, size = torch.tensor([0.0, -0.18, 0.12]), torch.tensor([0.64, 0.82, 0.58])
    else:
        height, radius = 1 - 1.2 * index / n_places, torch.ones(n_places)
        centre, size = torch.tensor([0.0, 0.0, 0.4]), torch.tensor([0.8, 0.95, 0.9])
    flat = (1 - height.square()).clamp_min(0).sqrt()
    unit = torch.stack([flat * turn.cos(), flat * turn.sin(), height], dim=1)
    return centre + size * unit * radius[:, None]
