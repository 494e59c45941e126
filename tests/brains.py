"""Small made-up recordings for the tests of the models."""

import numpy as np

from brainfm.recording import Recording, RecordingTable

#: Parameters of a pretrainer that takes seconds.
SMALL = {"preset": "nano", "max_epochs": 2, "batch_size": 8, "device": "cpu"}


def bold(seed=0, *, n_channels=20, n_times=80, tr_s=2.0, **entities):
    """BOLD of a few slow sources, mixed by position."""
    rng = np.random.default_rng(seed)
    positions = rng.uniform([-60, -90, -40], [60, 60, 70], (n_channels, 3))
    sources = rng.standard_normal((n_times, 3)).cumsum(axis=0)
    signal = sources @ np.cos(positions @ rng.standard_normal((3, 3)) / 40).T
    signal = signal + 0.3 * rng.standard_normal(signal.shape)
    return Recording.from_array(
        signal,
        sampling_hz=1 / tr_s,
        modality="bold",
        positions=positions,
        **{"participant": f"{seed:02d}", "task": "rest", "dataset": "made-up", **entities},
    )


def eeg(seed=0, *, n_channels=12, duration_s=21, sampling_hz=200, alpha=1.0, **entities):
    """EEG in volts: noise, and 10 Hz that is stronger at the back."""
    rng = np.random.default_rng(seed + 1000)
    positions = rng.standard_normal((n_channels, 3))
    positions[:, 2] = np.abs(positions[:, 2])
    positions *= 0.095 / np.linalg.norm(positions, axis=1, keepdims=True)
    time_s = np.arange(int(duration_s * sampling_hz)) / sampling_hz
    back = np.clip(-positions[:, 1], 0, None) / 0.095
    signal = rng.standard_normal((len(time_s), n_channels))
    signal += 3 * alpha * np.sin(2 * np.pi * 10 * time_s)[:, None] * back
    return Recording.from_array(
        signal * 1e-5,
        sampling_hz=sampling_hz,
        modality="eeg",
        positions=positions,
        **{"participant": f"{seed:02d}", "task": "rest", "dataset": "made-up", **entities},
    )


def open_and_closed():
    """Twelve people, two EEG each, with strong and weak alpha."""
    recordings = [
        eeg(seed, alpha=alpha, task=task, n_channels=10)
        for seed in range(12)
        for task, alpha in (("closed", 1.0), ("open", 0.2))
    ]
    return RecordingTable.from_recordings(recordings)


def pick(recording, channels):
    """The same recording with some of its channels, in a given order."""
    channels = np.asarray(channels)
    entities = ("participant", "session", "task", "run", "dataset", "site")
    return Recording.from_array(
        recording.signal[:, channels],
        sampling_hz=recording.sampling_hz,
        modality=recording.modality,
        positions=recording.positions[channels],
        mask=recording.mask[channels],
        channels=[recording.channels[index] for index in channels],
        **{name: getattr(recording, name) for name in entities},
    )
