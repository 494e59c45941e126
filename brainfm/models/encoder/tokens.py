"""Tokens: channels of any atlas or montage to spatial anchors, and anchors to tokens per patch.

A model does not know the names of channels, only their positions. *Spatial anchors* are fixed
points in the head. Each averages the channels around it, so that any atlas and any montage becomes
the same few dozen series at a cost linear in channels. Learned queries then attend to the anchors
of each time patch and give the tokens of the transformer.
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
#: Smallest logit of a channel relative to the nearest one: far channels count where none is near.
_MIN_LOGIT = -30.0
#: Shrinkage of the covariance of anchors towards the identity.
SHRINKAGE = 0.2


def fourier(positions):
    """Encode positions by sines and cosines of 4 octaves.

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
N_SECONDS = 16


def seconds_features(time_s):
    """Encode time by sines and cosines of periods from 2 s to 500 s.

    Parameters
    ----------
    time_s : Tensor, shape (...,), in seconds

    Returns
    -------
    features : Tensor, shape (..., 16)
    """
    periods_s = torch.logspace(math.log10(2), math.log10(500), N_SECONDS // 2)
    angles = 2 * math.pi * time_s[..., None] / periods_s.to(time_s.device)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def log_spectrum(signal):
    """Compute the natural log power of patches of EEG from 1 to 40 Hz.

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
    """Cosines and sines of 1 to 40 Hz under a Hann window of unit power, orthogonal to the mean."""
    sample, hertz = torch.arange(patch, device=device), torch.arange(1, 41, device=device)
    angles = 2 * math.pi * torch.outer(sample, hertz) / patch
    window = torch.hann_window(patch, dtype=torch.float64, device=device)
    waves = torch.cat([angles.cos(), angles.sin()], dim=1) * window[:, None]
    return ((waves - waves.mean(dim=0)) / window.square().sum().sqrt()).float()


def _full_precision(method):
    """Let a method of a module compute in float32 under autocast too."""

    @functools.wraps(method)
    def in_float32(module, *arguments):
        with torch.autocast(module.centres.device.type, enabled=False):
            return method(module, *arguments)

    return in_float32


@dataclass(frozen=True)
class AnchorSeries:
    """Averages of the visible channels around each anchor.

    Parameters
    ----------
    series : Tensor, shape (b, n_anchors, n_patches, patch)
    spectrum : Tensor, shape (b, n_anchors, n_patches, 40), or None
        Mean log spectrum of the channels; EEG only.
    valid : Tensor of bool, shape (b, n_anchors, n_patches)
        False where no channel was visible.
    """

    series: torch.Tensor
    spectrum: torch.Tensor | None
    valid: torch.Tensor


class SpatialAnchors(nn.Module):
    """Fixed points in the head that average the channels around them.

    The weight of a channel is a Gaussian of its distance to the anchor. Anchors are placed at the
    channels of the training recordings and do not learn: when gradients moved them, objectives
    improved and the connectivity between anchors separated participants less well.

    Parameters
    ----------
    modality : {"bold", "eeg"}
    n_anchors : int
    """

    def __init__(self, modality, n_anchors):
        super().__init__()
        self.modality, self.width = modality, {"bold": 0.06, "eeg": 0.3}[modality]
        self.register_buffer("centres", default_anchors(modality, n_anchors))  # k 3

    @_full_precision
    def weights(self, positions, channels):
        """Compute the weight of each channel for each anchor.

        Parameters
        ----------
        positions : Tensor, shape (b, n_channels, 3)
        channels : Tensor of bool, shape (b, n_channels)
            False where padded.

        Returns
        -------
        weights : Tensor, shape (b, n_anchors, n_channels)
            1 for the nearest channel, 0 where padded.
        """
        distance = (self.centres[None, :, None] - positions[:, None]).square().sum(-1)  # b k c
        logits = (-distance / (2 * self.width**2)).masked_fill(~channels[:, None], -torch.inf)
        nearest = logits.amax(dim=-1, keepdim=True).clamp_min(-1e9)  # no channel at all: finite
        return (logits - nearest).clamp_min(_MIN_LOGIT).exp() * channels[:, None]

    @_full_precision
    def forward(self, windows, visible):
        """Average the visible channels around each anchor.

        Parameters
        ----------
        windows : Windows
        visible : Tensor of bool, shape (b, n_channels, n_patches)

        Returns
        -------
        averages : AnchorSeries
        """
        weights = self.weights(windows.positions, windows.channels)  # b k c
        shown = visible.to(weights.dtype)  # b c s
        total = torch.einsum("bkc,bcs->bks", weights, shown)
        scale = 1 / total.clamp_min(1e-20)[..., None]  # b k s 1

        def mean(values):
            shown_values = values * shown[..., None]
            return torch.einsum("bkc,bcsp->bksp", weights, shown_values) * scale

        spectrum = mean(log_spectrum(windows.signal)) if self.modality == "eeg" else None
        return AnchorSeries(mean(windows.signal), spectrum, total > 0)


class ModalityTokens(nn.Module):
    """Tokens of one modality: ``n_queries`` for each patch, and one for the whole window.

    The last token holds the correlations between anchors over the window.

    Parameters
    ----------
    modality : {"bold", "eeg"}
    config : EncoderConfig
    """

    def __init__(self, modality, config):
        super().__init__()
        self.spec, self.n_queries = SPECS[modality], config.n_queries
        dim, n_anchors = config.dim, config.n_anchors_of(modality)
        # "places" and "embed_place" are the names of these tensors in checkpoints.
        self.places = SpatialAnchors(modality, n_anchors)
        self.embed_patch = TOKENIZERS[config.tokenizer](self.spec.patch, dim)
        self.embed_spectrum = nn.Linear(40, dim) if modality == "eeg" else None
        self.embed_place = nn.Linear(N_FOURIER, dim)
        self.norm = nn.RMSNorm(dim)
        self.queries = nn.Parameter(torch.randn(config.n_queries, dim))
        self.key_value = nn.Linear(dim, 2 * dim)
        self.merge = nn.Linear(dim, dim)
        self.embed_correlation = nn.Linear(n_anchors * (n_anchors - 1) // 2, dim)
        self.modality = nn.Parameter(torch.randn(dim) * 0.02)
        self.heads = config.heads

    @property
    def anchors(self):
        """The :class:`SpatialAnchors` of this modality."""
        return self.places

    def forward(self, averages):
        """Compute the tokens.

        Parameters
        ----------
        averages : AnchorSeries

        Returns
        -------
        tokens : Tensor, shape (b, n_patches * n_queries + 1, dim)
        valid : Tensor of bool, shape (b, n_patches * n_queries + 1)
        time_s : Tensor, shape (n_patches * n_queries + 1,), in seconds
            From the start of the window to the middle of the patch of each token.
        """
        tokens = self._cross_attend(self._embed(averages), averages.valid)  # b (s q) d
        window = self.embed_correlation(anchor_correlations(averages))[:, None]  # b 1 d
        valid = repeat(averages.valid.any(dim=1), "b s -> b (s q)", q=self.n_queries)
        valid = torch.cat([valid, valid.any(dim=1, keepdim=True)], dim=1)
        tokens = torch.cat([tokens, window], dim=1) + self.modality
        return tokens, valid, self._times(averages.valid.shape[2])

    def _embed(self, averages):
        tokens = self.embed_patch(averages.series)  # b k s d
        if averages.spectrum is not None:
            tokens = tokens + self.embed_spectrum(averages.spectrum)
        position = self.embed_place(fourier(self.anchors.centres))  # k d
        return self.norm((tokens + position[None, :, None]).float())  # its weight is float32

    def _cross_attend(self, tokens, valid):
        """Let the queries attend to the anchors of each patch."""
        batch, _, n_patches, _ = tokens.shape
        key, value = self.key_value(rearrange(tokens, "b k s d -> (b s) k d")).chunk(2, dim=-1)
        query = repeat(self.queries, "q d -> n q d", n=batch * n_patches)
        split = lambda x: rearrange(x, "n t (h e) -> n h t e", h=self.heads)  # noqa: E731
        mask = rearrange(valid, "b k s -> (b s) 1 1 k")
        mask = mask | ~mask.any(dim=-1, keepdim=True)  # nothing valid: finite, and masked later
        attended = functional.scaled_dot_product_attention(
            split(query), split(key), split(value), attn_mask=mask
        )
        attended = rearrange(attended, "(b s) h q e -> b (s q) (h e)", b=batch)
        return self.merge(attended) + repeat(self.queries, "q d -> (s q) d", s=n_patches)

    def _times(self, n_patches):
        middle = (torch.arange(n_patches) + 0.5) * self.spec.patch_s
        time_s = torch.cat([middle.repeat_interleave(self.n_queries), middle.mean()[None]])
        return time_s.to(self.queries.device)


def anchor_correlations(averages):
    """Compute the correlations between anchors over the valid patches of a window.

    Parameters
    ----------
    averages : AnchorSeries

    Returns
    -------
    correlations : Tensor, shape (b, n_anchors * (n_anchors - 1) // 2)
        Upper triangle of the matrix.
    """
    valid = averages.valid[..., None].to(averages.series.dtype)  # b k s 1
    count = (valid.sum(dim=(2, 3)) * averages.series.shape[-1]).clamp_min(1)  # b k
    mean = (averages.series * valid).sum(dim=(2, 3)) / count
    centred = rearrange((averages.series - mean[..., None, None]) * valid, "b k s p -> b k (s p)")
    scale = centred.square().sum(dim=-1).clamp_min(1e-12).rsqrt()
    matrix = torch.einsum("bkt,blt->bkl", centred * scale[..., None], centred * scale[..., None])
    rows, columns = torch.triu_indices(*matrix.shape[-2:], offset=1)
    return matrix[..., rows, columns]


def default_anchors(modality, n_anchors):
    """Spread anchors evenly: inside a brain-sized ellipsoid (BOLD) or over the scalp (EEG).

    Parameters
    ----------
    modality : {"bold", "eeg"}
    n_anchors : int

    Returns
    -------
    centres : Tensor, shape (n_anchors, 3), about 1 in size
    """
    index = torch.arange(n_anchors) + 0.5
    angle = math.pi * (1 + 5**0.5) * index  # golden angle: a Fibonacci lattice
    if modality == "bold":
        height, radius = 1 - 2 * index / n_anchors, (index * 0.618 % 1) ** (1 / 3)
        centre, size = torch.tensor([0.0, -0.18, 0.12]), torch.tensor([0.64, 0.82, 0.58])
    else:
        height, radius = 1 - 1.2 * index / n_anchors, torch.ones(n_anchors)
        centre, size = torch.tensor([0.0, 0.0, 0.4]), torch.tensor([0.8, 0.95, 0.9])
    flat = (1 - height.square()).clamp_min(0).sqrt()
    unit = torch.stack([flat * angle.cos(), flat * angle.sin(), height], dim=1)  # k 3
    return centre + size * unit * radius[:, None]
