"""
Pretrain an encoder and watch its loss
======================================

:class:`brainfm.BrainPretrainer` learns an encoder from recordings without labels. The recordings
here are simulated; yours come from :func:`brainfm.load_recordings`. Channels may differ from
recording to recording.
"""

import tempfile

import matplotlib.pyplot as plt
import numpy as np

from brainfm import BrainEmbedder, BrainPretrainer, Recording, RecordingTable

rng = np.random.default_rng(0)
positions_mm = rng.uniform(-70, 70, size=(40, 3))


def simulate(person):
    """Return BOLD of one person: five slow sources mixed into 40 parcels."""
    sources = rng.standard_normal((120, 5)).cumsum(axis=0)
    series = sources @ rng.standard_normal((5, 40)) + rng.standard_normal((120, 40))
    return Recording.from_array(
        series,
        sampling_hz=0.5,
        modality="bold",
        positions=positions_mm,
        participant=f"{person:02d}",
    )


table = RecordingTable.from_recordings([simulate(person) for person in range(20)])

# %%
# ``nano`` is the smallest preset, meant for tests; ``tiny`` suits a CPU, ``small`` and ``base`` a
# GPU. The recordings given as ``validation`` are not learned from.

pretrainer = BrainPretrainer("nano", max_epochs=8, batch_size=8, random_state=0)
pretrainer = pretrainer.fit(table[:16], validation=table[16:])

# %%
# Save the checkpoint as a folder, and load it like a packaged one.

with tempfile.TemporaryDirectory() as folder:
    pretrainer.save(f"{folder}/my-model", licence="CC0-1.0")
    embedding = BrainEmbedder.from_pretrained(f"{folder}/my-model").transform(table)

np.testing.assert_allclose(embedding, pretrainer.transform(table), rtol=1e-4, atol=1e-5)
print("embedding:", embedding.shape, embedding.dtype)

# %%

figure, axis = plt.subplots(figsize=(6, 3.5), layout="constrained")
epochs = range(1, len(pretrainer.history_) + 1)
for key, label in {"train_loss": "training", "valid_loss": "validation"}.items():
    axis.plot(epochs, [epoch[key] for epoch in pretrainer.history_], marker="o", label=label)
axis.set(xlabel="epoch", ylabel="loss", title="Pretraining of a nano model")
axis.legend()
plt.show()
