"""
A recording and its windows
===========================

A :class:`brainfm.Recording` is one run of one modality: a signal, a sampling rate, and the position
of each channel. This example reads one minute of EEG of the demo dataset, draws the electrodes and
the signal, and marks the windows that the encoder reads.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import mne
import numpy as np

from brainfm import RecordingMasker
from brainfm.models.encoder.windows import SPECS

eeg_dir = files("brainfm") / "data" / "demo" / "sub-eeg01" / "eeg"
raw = mne.io.read_raw_edf(
    eeg_dir / "sub-eeg01_task-eyesclosed_eeg.edf", preload=True, verbose="error"
)
mne.datasets.eegbci.standardize(raw)  # "Fc5." -> "FC5"
raw.set_montage("colin27_1005")
raw.filter(1, 40, verbose=False)

# %%
# :class:`brainfm.RecordingMasker` turns MNE objects and images into a table of recordings, one row
# for each item.

table = RecordingMasker().transform([raw])
recording = table[0][0]
print(recording)
print("duration:", recording.duration_s, "s; first electrode:", recording.channels[0])

# %%
# The encoder reads windows of ten patches, and one patch of EEG is one second long. It knows the
# electrodes by their positions only, so any cap can be read.

spec = SPECS["eeg"]
time_s = np.arange(recording.shape[0]) / recording.sampling_hz
shown = [recording.channels.index(name) for name in ("Fz", "Cz", "Pz", "Oz")]

figure, (head, trace) = plt.subplots(
    1, 2, figsize=(11, 4), width_ratios=[1, 2.6], layout="constrained"
)
head.scatter(*recording.positions[:, :2].T * 1000, s=18)
head.set(xlabel="left to right (mm)", ylabel="back to front (mm)", aspect="equal")
head.set_title(f"{recording.shape[1]} electrodes from above")
for row, channel in enumerate(shown):
    trace.plot(time_s, recording.signal[:, channel] * 1e6 - 150 * row, linewidth=0.5, color="C0")
for start_s in np.arange(0, 30 + spec.patch_s, spec.patch_s):
    is_window = start_s % spec.window_s == 0
    trace.axvline(start_s, color="C3" if is_window else "0.85", linewidth=1.5 if is_window else 0.8)
trace.set(xlim=(0, 30), xlabel="time (s)", title="Windows (red) and patches (grey)")
trace.set_yticks(-150 * np.arange(4), [recording.channels[channel] for channel in shown])
plt.show()
