"""
Any atlas, any montage
======================

The encoder knows channels by their positions, never by their names or number. The same brain
signals recorded with two different caps therefore get similar vectors.
"""

import matplotlib.pyplot as plt
import mne
import numpy as np
from sklearn.metrics.pairwise import cosine_similarity

from brainfm import BrainEmbedder, Recording

rng = np.random.default_rng(0)
positions_m = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
clinical = ["Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3",
            "Pz", "P4", "P8", "O1", "O2"]  # fmt: skip
research = [name for name in positions_m if name[-1] in "z123456"][:64]

# %%
# Each of four people has an alpha rhythm with its own frequency and centre on the head, and is
# recorded twice: with 19 electrodes at 128 Hz, and with 64 electrodes at 500 Hz.


def record(person, names, sampling_hz, seconds=40):
    """Return EEG of a person with a cap and a sampling rate."""
    alpha_hz, centre = (8.5, 9.5, 10.5, 11.5)[person], positions_m[("O1", "P4", "Cz", "F3")[person]]
    positions = np.array([positions_m[name] for name in names])
    weights = np.exp(-(np.linalg.norm(positions - centre, axis=1) ** 2) / (2 * 0.04**2))
    time_s = np.arange(seconds * sampling_hz) / sampling_hz
    alpha = np.sin(2 * np.pi * alpha_hz * time_s)[:, None] * weights
    signal = 1e-5 * (2 * alpha + rng.standard_normal(alpha.shape))  # volts
    return Recording.from_array(
        signal, sampling_hz=sampling_hz, modality="eeg", channels=names, positions=positions
    )


with_19 = [record(person, clinical, 128) for person in range(4)]
with_64 = [record(person, research, 500) for person in range(4)]
vectors = BrainEmbedder.from_pretrained("brainfm-tiny").transform(with_19 + with_64)
print("one vector for each recording, all of one length:", vectors.shape)

# %%
# With the mean of each cap subtracted, every recording with 19 electrodes is most similar to the
# recording of the same person with 64.

few, many = vectors[:4], vectors[4:]
similarity = cosine_similarity(few - few.mean(axis=0), many - many.mean(axis=0))
print("nearest person:", similarity.argmax(axis=1))

figure, (caps, matrix) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for recording, marker in ((with_64[0], "o"), (with_19[0], "x")):
    caps.scatter(*recording.positions[:, :2].T * 1000, marker=marker, label=recording.shape[1])
caps.set(title="Two caps from above", xlabel="mm", ylabel="mm", aspect="equal")
caps.legend(title="electrodes", loc="upper right", fontsize="small")
shown = matrix.imshow(similarity, cmap="RdBu_r", vmin=-1, vmax=1)
matrix.set(xticks=range(4), yticks=range(4))
matrix.set(
    title="Cosine similarity", xlabel="person, 64 electrodes", ylabel="person, 19 electrodes"
)
figure.colorbar(shown, ax=matrix, shrink=0.8)
plt.show()
