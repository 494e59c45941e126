"""Embed EEG of two different caps with one model: only positions matter, never names."""

import mne
import numpy as np

from brainfm import BrainEmbedder, Recording

rng = np.random.default_rng(0)
places_m = mne.channels.make_standard_montage("standard_1005").get_positions()["ch_pos"]


def recording(names, sampling_hz, seconds=30):
    time_s = np.arange(seconds * sampling_hz) / sampling_hz
    alpha = np.sin(2 * np.pi * 10 * time_s)[:, None]
    noise = rng.standard_normal((len(time_s), len(names)))
    return Recording.from_array(
        1e-5 * (alpha + noise),  # volts
        sampling_hz=sampling_hz,
        modality="eeg",
        channels=names,
        positions=np.array([places_m[name] for name in names]),
    )


clinical = recording(["Fp1", "Fp2", "C3", "C4", "P3", "P4", "O1", "O2"], sampling_hz=128)
research = recording([name for name in places_m if name[-1] in "z24"][:32], sampling_hz=500)

embedding = BrainEmbedder.from_pretrained("brainfm-tiny").transform([clinical, research])
print("one vector a recording, of one length:", embedding.shape)
np.testing.assert_array_equal(np.isfinite(embedding), True)
