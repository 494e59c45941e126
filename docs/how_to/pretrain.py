"""Pretrain an encoder on your own recordings, save it, and load it again.

The recordings here are made up, so that the script runs anywhere; yours come from
``load_recordings("derivatives/brainfm")``. Channels may differ from recording to recording.
"""

import tempfile

import numpy as np

from brainfm import BrainEmbedder, BrainPretrainer, Recording, RecordingTable

rng = np.random.default_rng(0)
places_mm = rng.uniform(-70, 70, size=(40, 3))

recordings = []
for person in range(12):
    slow = rng.standard_normal((120, 5)).cumsum(axis=0)  # five hidden sources
    series = slow @ rng.standard_normal((5, 40)) + rng.standard_normal((120, 40))
    recordings.append(
        Recording.from_array(
            series,
            sampling_hz=0.5,  # one volume every 2 s
            modality="bold",
            positions=places_mm,
            participant=f"{person:02d}",
        )
    )
table = RecordingTable.from_recordings(recordings)

pretrainer = BrainPretrainer("nano", max_epochs=2, batch_size=6, random_state=0).fit(table)
print("loss of each epoch:", [round(epoch["train_loss"], 3) for epoch in pretrainer.history_])

with tempfile.TemporaryDirectory() as folder:
    pretrainer.save(f"{folder}/my-model", licence="CC0-1.0")
    embedding = BrainEmbedder.from_pretrained(f"{folder}/my-model").transform(table)

np.testing.assert_allclose(embedding, pretrainer.transform(table), rtol=1e-4, atol=1e-5)
print("embedding:", embedding.shape, embedding.dtype)
