"""
Share a checkpoint with a licence and scores
============================================

A checkpoint is a folder of four files: weights, configuration, history and a model card. This
example saves one with a licence, adds scores beside those of a baseline to its card, and loads it
as its receiver does. Recordings and scores are simulated; yours come from
:func:`brainfm.load_recordings` and from an evaluation of model and baseline on the same folds.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainfm import BrainEmbedder, BrainPretrainer, Recording, RecordingTable, load_checkpoint
from brainfm.models.checkpoint.publish import add_scores

rng = np.random.default_rng(0)
positions_mm = rng.uniform(-70, 70, size=(40, 3))
table = RecordingTable.from_recordings(
    Recording.from_array(
        rng.standard_normal((120, 40)),
        sampling_hz=0.5,
        modality="bold",
        positions=positions_mm,
        participant=f"{person:02d}",
        dataset="Simulated rest",
    )
    for person in range(8)
)
pretrainer = BrainPretrainer("nano", max_epochs=1, batch_size=4, random_state=0).fit(table)
folder = tempfile.TemporaryDirectory()
shared = pretrainer.save(Path(folder.name) / "my-model", licence="CC BY 4.0")

# %%
# Scores may be added later and from another script; the weights do not change.

scores = pd.DataFrame(
    [
        ("sex", "balanced accuracy", "my-model + ridge", 0.61, 0.55, 0.66),
        ("sex", "balanced accuracy", "connectivity + ridge", 0.64, 0.58, 0.70),
    ],
    columns=["task", "metric", "method", "score", "low", "high"],
)
add_scores(shared, scores)
print((shared / "README.md").read_text())

# %%
# Other people load the folder by its path. A file that does not fit is refused with a
# message that says why.

print(load_checkpoint(shared).report)
embedding = BrainEmbedder.from_pretrained(shared).transform(table)
np.testing.assert_allclose(embedding, pretrainer.transform(table), rtol=1e-4, atol=1e-5)
folder.cleanup()

# %%
# A card shows model and baseline together.

figure, axis = plt.subplots(figsize=(6, 2.2), layout="constrained")
axis.errorbar(
    scores["score"], scores["method"], fmt="o", capsize=4,
    xerr=[scores["score"] - scores["low"], scores["high"] - scores["score"]],
)  # fmt: skip
axis.axvline(0.5, color="0.6", linestyle=":")
axis.set(xlim=(0.45, 0.75), ylim=(-0.5, 1.5), xlabel="balanced accuracy (95 % interval)")
plt.show()
