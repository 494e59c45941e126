"""Give a checkpoint a licence and scores, look at its card, and load it checked.

The recordings and the scores here are made up; yours come from ``load_recordings`` and from an
evaluation of the model and of a baseline on the same folds.
"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm import BrainEmbedder, BrainPretrainer, Recording, RecordingTable, load_checkpoint
from brainfm.models.checkpoint.publish import add_scores

rng = np.random.default_rng(0)
places_mm = rng.uniform(-70, 70, size=(40, 3))
table = RecordingTable.from_recordings(
    Recording.from_array(
        rng.standard_normal((120, 40)),
        sampling_hz=0.5,
        modality="bold",
        positions=places_mm,
        participant=f"{person:02d}",
        dataset="Made-up rest",
    )
    for person in range(8)
)
pretrainer = BrainPretrainer("nano", max_epochs=1, batch_size=4, random_state=0).fit(table)

with tempfile.TemporaryDirectory() as folder:
    shared = pretrainer.save(Path(folder) / "my-model", licence="CC BY 4.0")

    # Later, and from another script: the weights stay as they are.
    scores = pd.DataFrame(
        [
            ("sex", "balanced accuracy", "my-model + ridge", 0.61, 0.55, 0.66),
            ("sex", "balanced accuracy", "connectivity + ridge", 0.64, 0.58, 0.70),
        ],
        columns=["task", "metric", "method", "score", "low", "high"],
    )
    add_scores(shared, scores)
    print((shared / "README.md").read_text())

    # Who gets the folder sees what it is; whatever does not fit is refused with a sentence.
    print(load_checkpoint(shared).report)
    embedding = BrainEmbedder.from_pretrained(shared).transform(table)

np.testing.assert_allclose(embedding, pretrainer.transform(table), rtol=1e-4, atol=1e-5)
