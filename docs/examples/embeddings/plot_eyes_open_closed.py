"""
Embed EEG with eyes open and closed
===================================

:class:`brainfm.BrainEmbedder` turns each recording into one vector. Here two recordings of one
person are cut into pieces of five seconds, each piece is embedded, and the first two principal
components show that the two states lie apart.
"""

from importlib.resources import files

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.decomposition import PCA

from brainfm import BrainEmbedder, RecordingMasker
from brainfm.signal.eeg import spectrum

eeg_dir = files("brainfm") / "data" / "demo" / "sub-eeg01" / "eeg"
states = ("eyesopen", "eyesclosed")
raws = []
for state in states:
    raw = mne.io.read_raw_edf(
        eeg_dir / f"sub-eeg01_task-{state}_eeg.edf", preload=True, verbose="error"
    )
    mne.datasets.eegbci.standardize(raw)
    raw.set_montage("colin27_1005").filter(1, 40, verbose=False)
    raw.set_eeg_reference("average", verbose=False)
    raws.append(raw)

pieces, labels = [], []
for state, raw in zip(states, raws, strict=True):
    for start_s in range(0, 60, 5):
        pieces.append(raw.copy().crop(start_s, start_s + 5, include_tmax=False))
        labels.append(state)
table, labels = RecordingMasker().transform(pieces), np.array(labels)

# %%
# Nothing is trained here: the packaged checkpoint has never seen this person.

vectors = BrainEmbedder.from_pretrained("brainfm-tiny").transform(table)
components = PCA(2).fit_transform(vectors)
print("embedding:", vectors.shape, vectors.dtype)

# %%
# With closed eyes the alpha rhythm (8 to 13 Hz) rises over the back of the head, and the embeddings
# of the two states separate. The recordings differ in more than the state, for instance in the time
# of the measurement, so two recordings of one person prove nothing about other people.

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for state, raw in zip(states, raws, strict=True):
    frequencies_hz, density = spectrum(raw.get_data("Oz").T, raw.info["sfreq"])
    shown = (frequencies_hz >= 2) & (frequencies_hz <= 35)
    left.semilogy(frequencies_hz[shown], density.squeeze()[shown] * 1e12, label=state)
    right.scatter(*components[labels == state].T, label=state)
left.set(xlabel="frequency (Hz)", ylabel="power (µV²/Hz)", title="Spectrum at Oz")
right.set(xlabel="first component", ylabel="second component", title="Embeddings of 5 s")
left.legend()
right.legend()
plt.show()
