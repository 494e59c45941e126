"""Encoders that brainfm's is compared with: braindecode's builds, and a plain transformer."""

import torch
from torch import nn

from brainfm.models.encoder.encoder import Block, EncoderConfig

NAMES_1020 = [
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz",
    "P4", "P8", "O1", "O2",
]  # fmt: skip
#: Hz, as the authors trained them.
RATES_HZ = {"Labram": 200, "CBraMod": 200, "LUNA": 256}


class RegionTransformer(nn.Module):
    """A plain transformer over tokens of region x patch, with the blocks of brainfm's encoder."""

    def __init__(self, preset, patch, n_regions, n_patches):
        super().__init__()
        config = EncoderConfig.preset(preset)
        self.embed = nn.Linear(patch, config.dim)
        self.where = nn.Parameter(torch.randn(n_regions, n_patches, config.dim) * 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.depth))
        self.norm = nn.RMSNorm(config.dim)

    def forward(self, signal):
        """(b, n_regions, n_patches, patch) -> (b, n_regions * n_patches, dim)."""
        tokens = (self.embed(signal) + self.where).flatten(1, 2)
        seen = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        for block in self.blocks:
            tokens = block(tokens, seen)
        return self.norm(tokens)


class OfBraindecode(nn.Module):
    """One model of braindecode with random weights, 19 channels of the 10-20 system."""

    def __init__(self, name, n_times):
        super().__init__()
        import mne
        from braindecode import models

        info = mne.create_info(NAMES_1020, RATES_HZ[name], "eeg")
        info.set_montage("standard_1020")
        self.named = {"ch_names": NAMES_1020} if name == "Labram" else {}
        self.net = getattr(models, name)(
            n_outputs=2, chs_info=info["chs"], n_times=n_times, sfreq=RATES_HZ[name]
        )

    def forward(self, signal):
        """(b, 19, n_times) -> (b, 2)."""
        return self.net(signal, **self.named)


def missing_braindecode():
    """Say why braindecode cannot be used, or nothing if it can."""
    try:
        import braindecode.models  # noqa: F401
    except (ImportError, OSError) as error:  # OSError: torchaudio without its CUDA libraries
        return f"not installed ({type(error).__name__})"
    return ""
