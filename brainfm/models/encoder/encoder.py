"""The encoder: tokens of one modality, or of both of one session, through one transformer."""

from dataclasses import asdict, dataclass, replace

import torch
from einops import rearrange
from torch import nn
from torch.nn import functional

from brainfm.errors import ModelError
from brainfm.models.encoder.readout import embedding_dim
from brainfm.models.encoder.reliability import Reliability
from brainfm.models.encoder.tokenizers import TOKENIZERS
from brainfm.models.encoder.tokens import N_SECONDS, AnchorSeries, ModalityTokens, seconds_features
from brainfm.models.encoder.windows import SPECS

#: Keys of ``config.json`` that differ from the names of the fields.
_JSON_KEYS = {"n_bold_anchors": "n_bold_places", "n_eeg_anchors": "n_eeg_places"}


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Sizes and parts of an encoder; :meth:`preset` gives those that were measured.

    Parameters
    ----------
    dim : int
        Width of a token, a multiple of ``heads``.
    depth : int
        Layers of the transformer.
    heads : int
        Attention heads.
    n_queries : int
        Tokens for each patch.
    n_bold_anchors, n_eeg_anchors : int
        Spatial anchors of each modality.
    n_bold_patches, n_eeg_patches : int
        Patches of one window of each modality.
    tokenizer : {"patch", "conv", "recurrent"}
        See :mod:`brainfm.models.encoder.tokenizers`.

    Raises
    ------
    ModelError
        If the tokenizer is unknown or ``dim`` is not a multiple of ``heads``.
    """

    dim: int = 128
    depth: int = 4
    heads: int = 4
    n_queries: int = 4
    n_bold_anchors: int = 64
    n_eeg_anchors: int = 16
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

        Returns
        -------
        config : EncoderConfig

        Raises
        ------
        ModelError
            If there is no such preset or tokenizer.
        """
        if name not in PRESETS:
            raise ModelError(f"preset is {name!r}; expected one of {', '.join(PRESETS)}.")
        return cls(**PRESETS[name], tokenizer=tokenizer)

    def n_anchors_of(self, modality):
        """Return the number of spatial anchors of a modality."""
        return {"bold": self.n_bold_anchors, "eeg": self.n_eeg_anchors}[modality]

    def n_patches_of(self, modality):
        """Return the number of patches of a modality in one window."""
        return {"bold": self.n_bold_patches, "eeg": self.n_eeg_patches}[modality]

    def n_covariances_of(self, modality):
        """Return the number of covariances between anchors: for EEG one in each of 4 bands."""
        return {"bold": 1, "eeg": 4}[modality]

    def with_windows(self, window_s):
        """Return the same sizes for windows of another length.

        Parameters
        ----------
        window_s : dict of str to float
            Seconds of each modality that differs; whole patches (12 s of BOLD, 1 s of EEG).

        Returns
        -------
        config : EncoderConfig

        Raises
        ------
        ModelError
            If a modality is unknown or a length is not a whole number of patches.
        """
        n_patches = {}
        for name, seconds in window_s.items():
            if name not in SPECS:
                raise ModelError(
                    f"window_s has the modality {name!r}; expected {' or '.join(SPECS)}."
                )
            number = seconds / SPECS[name].patch_s
            if number < 1 or number != round(number):
                raise ModelError(
                    f"window_s of {name} is {seconds:g}; expected whole patches, a multiple of "
                    f"{SPECS[name].patch_s:g} s."
                )
            n_patches[f"n_{name}_patches"] = round(number)
        return replace(self, **n_patches)

    def as_dict(self):
        """Return plain values under the keys of ``config.json``."""
        return {_JSON_KEYS.get(name, name): value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, sizes):
        """Return the config that :meth:`as_dict` gave; keys that are missing have defaults."""
        fields = {key: name for name, key in _JSON_KEYS.items()}
        return cls(**{fields.get(key, key): value for key, value in sizes.items()})


PRESETS = {
    "nano": {
        "dim": 32, "depth": 2, "heads": 2, "n_queries": 2, "n_bold_anchors": 16, "n_eeg_anchors": 8,
    },
    "tiny": {"dim": 64, "depth": 3, "heads": 4, "n_bold_anchors": 200},
    "small": {"dim": 256, "depth": 8, "heads": 8, "n_bold_anchors": 200},
    "base": {"dim": 384, "depth": 12, "heads": 8, "n_bold_anchors": 200},
}  # fmt: skip


@dataclass(frozen=True)
class Encoded:
    """Output of the encoder for a batch of windows.

    Parameters
    ----------
    tokens : Tensor, shape (b, n_tokens, dim)
    valid : Tensor of bool, shape (b, n_tokens)
        False where a token stands for padding or for a patch without any visible channel.
    summary : Tensor, shape (b, dim)
        Token of the whole window.
    averages : dict of str to AnchorSeries, optional
        Input of the tokens of each modality; missing where several processes share a batch.
    """

    tokens: torch.Tensor
    valid: torch.Tensor
    summary: torch.Tensor
    averages: dict[str, AnchorSeries] | None = None


class BrainEncoder(nn.Module):
    """Encoder of windows of BOLD, of EEG, or of both from one session.

    A missing modality is absent from the batch; a missing channel or patch is masked.

    Parameters
    ----------
    config : EncoderConfig
    """

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.tokens = nn.ModuleDict({name: ModalityTokens(name, config) for name in SPECS})
        self.embed_time = nn.Linear(N_SECONDS, config.dim)
        self.summary = nn.Parameter(torch.randn(config.dim) * 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.RMSNorm(config.dim)
        for name in SPECS:  # mean covariances of the anchors over the training recordings
            identity = torch.eye(config.n_anchors_of(name))
            covariances = identity.repeat(config.n_covariances_of(name), 1, 1)
            self.register_buffer(f"reference_{name}", covariances)  # n k k
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
            Input that is not masked; by default all that is usable.

        Returns
        -------
        encoded : Encoded
        """
        tokens, valid, averages = [], [], {}
        for name, windows in batch.items():
            shown = windows.usable if visible is None else windows.usable & visible[name]
            averages[name] = self.tokens[name].anchors(windows, shown)
            found, is_valid, time_s = self.tokens[name](averages[name])
            tokens.append(found + self.embed_time(seconds_features(time_s)))
            valid.append(is_valid)
        n_windows = len(tokens[0])
        tokens = torch.cat([self.summary.expand(n_windows, 1, -1), *tokens], dim=1)  # b 1+n d
        always = torch.ones(n_windows, 1, dtype=torch.bool, device=tokens.device)
        valid = torch.cat([always, *valid], dim=1)  # b 1+n
        for block in self.blocks:
            tokens = block(tokens, valid)
        tokens = self.norm(tokens)
        return Encoded(tokens[:, 1:], valid[:, 1:], tokens[:, 0], averages)


class Block(nn.Module):
    """One layer of the transformer: self-attention, then a gated feed-forward network.

    Parameters
    ----------
    config : EncoderConfig

    References
    ----------
    .. [1] Vaswani et al., 2017. https://doi.org/10.48550/arXiv.1706.03762
    .. [2] Shazeer, 2020, GLU variants. https://doi.org/10.48550/arXiv.2002.05202
    """

    def __init__(self, config):
        super().__init__()
        dim = config.dim
        self.heads = config.heads
        self.before_attention, self.before_feed = nn.RMSNorm(dim), nn.RMSNorm(dim)
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.merge = nn.Linear(dim, dim, bias=False)
        self.widen = nn.Linear(dim, 2 * 2 * dim)
        self.narrow = nn.Linear(2 * dim, dim)

    def forward(self, tokens, valid):
        """Return tokens of the same shape.

        Parameters
        ----------
        tokens : Tensor, shape (b, n_tokens, dim)
        valid : Tensor of bool, shape (b, n_tokens)
            Tokens that are attended to.

        Returns
        -------
        tokens : Tensor, shape (b, n_tokens, dim)
        """
        tokens = tokens + self._attend(self.before_attention(tokens), valid)
        value, gate = self.widen(self.before_feed(tokens)).chunk(2, dim=-1)  # b n 2d each
        return tokens + self.narrow(value * functional.gelu(gate))

    def _attend(self, tokens, valid):
        query, key, value = rearrange(
            self.query_key_value(tokens), "b n (three h e) -> three b h n e", three=3, h=self.heads
        )
        mask = valid[:, None, None, :]  # b 1 1 n
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.merge(rearrange(attended, "b h n e -> b n (h e)"))


def n_parameters(module):
    """Count the parameters of a module.

    Parameters
    ----------
    module : nn.Module

    Returns
    -------
    number : int
    """
    return sum(parameter.numel() for parameter in module.parameters())
