"""The encoder: tokens of either modality, or both of one session, through one transformer."""

from dataclasses import asdict, dataclass, replace

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional

from brainfm.errors import ModelError
from brainfm.models.encoder.readout import embedding_dim
from brainfm.models.encoder.reliability import Reliability
from brainfm.models.encoder.tokenizers import TOKENIZERS
from brainfm.models.encoder.tokens import ModalityTokens, seconds_features
from brainfm.models.encoder.windows import SPECS

_TIME_FEATURES = 16


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Sizes and parts of an encoder; ``preset`` makes the ones that are measured."""

    dim: int = 128
    depth: int = 4
    heads: int = 4
    n_queries: int = 4
    n_bold_places: int = 64
    n_eeg_places: int = 16
    n_bold_patches: int = SPECS["bold"].n_patches
    n_eeg_patches: int = SPECS["eeg"].n_patches
    tokenizer: str = "patch"

    def __post_init__(self):
        if self.tokenizer not in TOKENIZERS:
            raise ModelError(
                f"tokenizer is {self.tokenizer!r}; expected one of {', '.join(TOKENIZERS)}."
            )
        if self.dim % self.heads:
            raise ModelError(
                f"dim is {self.dim} and heads is {self.heads}: dim must be a multiple of heads."
            )

    @classmethod
    def preset(cls, name, *, tokenizer="patch"):
        """Return the sizes called ``name``.

        Parameters
        ----------
        name : {"nano", "tiny", "small", "base"}
            For tests; for a CPU (this one ships); for minutes of a GPU; for hours of a GPU.
        tokenizer : {"patch", "conv", "recurrent"}
            See :mod:`brainfm.models.encoder.tokenizers`.

        Raises
        ------
        ModelError
            If there is no such preset or tokenizer.
        """
        if name not in PRESETS:
            raise ModelError(f"preset is {name!r}; expected one of {', '.join(PRESETS)}.")
        return cls(**PRESETS[name], tokenizer=tokenizer)

    def n_places_of(self, modality):
        """Return how many places look at a modality."""
        return {"bold": self.n_bold_places, "eeg": self.n_eeg_places}[modality]

    def n_patches_of(self, modality):
        """Return how many patches of a modality one window holds."""
        return {"bold": self.n_bold_patches, "eeg": self.n_eeg_patches}[modality]

    def with_windows(self, window_s):
        """Return the same sizes for windows of another length.

        Parameters
        ----------
        window_s : dict of str to float
            Seconds of each modality that differs; whole patches (12 s of BOLD, 1 s of EEG).

        Raises
        ------
        ModelError
            If a modality is unknown or a length is not a whole number of patches.
        """
        n_patches = {}
        for name, seconds in window_s.items():
            if name not in SPECS:
                raise ModelError(f"window_s speaks of {name!r}; expected {' or '.join(SPECS)}.")
            number = seconds / SPECS[name].patch_s
            if number < 1 or number != round(number):
                raise ModelError(
                    f"window_s of {name} is {seconds:g}; expected whole patches, a multiple of "
                    f"{SPECS[name].patch_s:g} s."
                )
            n_patches[f"n_{name}_patches"] = round(number)
        return replace(self, **n_patches)

    def n_covariances_of(self, modality):
        """Return how many covariances between places are kept: EEG has one in each of 4 bands."""
        return {"bold": 1, "eeg": 4}[modality]

    def as_dict(self):
        """Return plain values, as they stand in ``config.json``."""
        return asdict(self)


PRESETS = {
    "nano": {
        "dim": 32, "depth": 2, "heads": 2, "n_queries": 2, "n_bold_places": 16, "n_eeg_places": 8,
    },
    "tiny": {"dim": 64, "depth": 3, "heads": 4, "n_bold_places": 200},
    "small": {"dim": 256, "depth": 8, "heads": 8, "n_bold_places": 200},
    "base": {"dim": 384, "depth": 12, "heads": 8, "n_bold_places": 200},
}  # fmt: skip


@dataclass(frozen=True)
class Encoded:
    """What the encoder says of a batch.

    Parameters
    ----------
    tokens : Tensor, shape (b, n_tokens, dim)
    seen : Tensor of bool, shape (b, n_tokens)
        False where a token stands for padding or for a patch without any visible channel.
    summary : Tensor, shape (b, dim)
        The token that stands for the whole window.
    mixed : dict of str to AnchorSeries, optional
        What the places of each modality saw; left out where several processes share a batch.
    """

    tokens: torch.Tensor
    seen: torch.Tensor
    summary: torch.Tensor
    mixed: dict | None = None


class BrainEncoder(nn.Module):
    """Windows of BOLD, of EEG, or of both from one session -> :class:`Encoded`.

    A missing modality is absent from the batch; a missing channel or patch is masked.
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.tokens = nn.ModuleDict({name: ModalityTokens(name, config) for name in SPECS})
        self.embed_time = nn.Linear(_TIME_FEATURES, config.dim)
        self.summary = nn.Parameter(torch.randn(config.dim) * 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.RMSNorm(config.dim)
        for name in SPECS:  # mean covariances of the places over the training recordings
            identity = torch.eye(config.n_places_of(name))
            each = identity.repeat(config.n_covariances_of(name), 1, 1)
            self.register_buffer(f"reference_{name}", each)
        self.reliability = nn.ModuleDict(
            {name: Reliability(embedding_dim(config, name)) for name in SPECS}
        )

    def forward(self, batch, visible=None):
        """Encode a batch.

        Parameters
        ----------
        batch : dict of str to Windows
            ``{"bold": ...}``, ``{"eeg": ...}`` or both; row i of both is one session.
        visible : dict of str to Tensor of bool, shape (b, n_channels, n_patches), optional
            What the encoder may look at; by default all that is usable.

        Returns
        -------
        encoded : Encoded
        """
        tokens, seen, mixed = [], [], {}
        for name, windows in batch.items():
            shown = windows.usable if visible is None else windows.usable & visible[name]
            mixed[name] = self.tokens[name].places(windows, shown)
            one, there, time_s = self.tokens[name](mixed[name])
            tokens.append(one + self.embed_time(seconds_features(time_s, _TIME_FEATURES)))
            seen.append(there)
        n_windows = len(tokens[0])
        tokens = torch.cat([self.summary.expand(n_windows, 1, -1), *tokens], dim=1)
        always = torch.ones(n_windows, 1, dtype=torch.bool, device=tokens.device)
        seen = torch.cat([always, *seen], dim=1)
        for block in self.blocks:
            tokens = block(tokens, seen)
        tokens = self.norm(tokens)
        return Encoded(tokens[:, 1:], seen[:, 1:], tokens[:, 0], mixed)


class Block(nn.Module):
    """One layer of a transformer: attention over what is seen, then a gated feed-forward."""

    def __init__(self, config):
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.before_attention, self.before_feed = nn.RMSNorm(dim), nn.RMSNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.merge = nn.Linear(dim, dim, bias=False)
        self.widen = nn.Linear(dim, 2 * 2 * dim)
        self.narrow = nn.Linear(2 * dim, dim)

    def forward(self, tokens, seen):
        """Return tokens (b, n, dim) of the same shape; those not ``seen`` (b, n) tell nothing."""
        tokens = tokens + self._attend(self.before_attention(tokens), seen)
        value, gate = self.widen(self.before_feed(tokens)).chunk(2, dim=-1)
        return tokens + self.narrow(value * functional.gelu(gate))

    def _attend(self, tokens, seen):
        query, key, value = rearrange(
            self.query_key_value(tokens), "b n (three h e) -> three b h n e", three=3, h=self.heads
        )
        mask = seen[:, None, None, :]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.merge(rearrange(attended, "b h n e -> b n (h e)"))


def n_parameters(module):
    """Count the learned numbers of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
