"""A small BIDS dataset with one EEG run of known content."""

import json
from pathlib import Path

import mne
import numpy as np
import pandas as pd

NAMES = (
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz",
    "P4", "P8", "O1", "Oz", "O2",
)  # fmt: skip


def eeg_signal(*, seconds=20.0, sampling_hz=128.0, seed=0, names=NAMES):
    """Make common sources that fall with frequency and 10 Hz at the back; (n_times, n_channels)."""
    rng = np.random.default_rng(seed)
    n_times = int(seconds * sampling_hz)
    times_s = np.arange(n_times) / sampling_hz
    white = np.fft.rfft(rng.normal(size=(n_times, 5)), axis=0)
    falling = np.maximum(np.fft.rfftfreq(n_times, 1 / sampling_hz), 0.5) ** -0.7
    sources = np.fft.irfft(white * falling[:, None], n_times, axis=0)
    signal = sources @ rng.normal(size=(5, len(names)))
    signal += 0.15 * rng.normal(size=signal.shape) * signal.std()
    back = np.array([name[0].upper() in "OP" for name in names])
    signal += 1.5 * signal.std() * np.sin(2 * np.pi * 10 * times_s)[:, None] * back
    return 15e-6 * signal / signal.std()


def write_run(
    root, signal, *, sampling_hz=128.0, names=NAMES, extension=".edf", sidecar=None, events=None
):
    """Write ``sub-01/eeg/sub-01_task-rest_eeg`` and return its path; ``sidecar`` adds keys."""
    folder = Path(root) / "sub-01" / "eeg"
    folder.mkdir(parents=True, exist_ok=True)
    description = {"Name": "planted", "BIDSVersion": "1.10.0"}
    (Path(root) / "dataset_description.json").write_text(json.dumps(description))
    path = folder / f"sub-01_task-rest_eeg{extension}"
    info = mne.create_info(list(names), sampling_hz, "eeg")
    raw = mne.io.RawArray(np.asarray(signal).T, info, verbose="error")
    mne.export.export_raw(path, raw, physical_range="channelwise", verbose="error")
    known = {"TaskName": "rest", "PowerLineFrequency": 50, "EEGReference": "Cz"}
    path.with_suffix(".json").write_text(json.dumps({**known, **(sidecar or {})}))
    write_table(path, "channels", {"name": list(names), "type": "EEG", "units": "uV"})
    if events is not None:
        write_table(path, "events", events)
    return path


def write_table(eeg_file, suffix, columns):
    """Write ``*_<suffix>.tsv`` beside a run."""
    path = eeg_file.with_name(eeg_file.name.rpartition("_")[0] + f"_{suffix}.tsv")
    pd.DataFrame(columns).to_csv(path, sep="\t", index=False, na_rep="n/a")
    return path
