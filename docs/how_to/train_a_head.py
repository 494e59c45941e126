"""Train a head on embeddings and compare it with the classical baseline on the same folds.

Two groups of made-up people whose first two parcels are coupled in one group only; with your own
data, ``table`` comes from ``load_recordings`` and ``y`` from ``participants.tsv``.
"""

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

from brainfm import BrainClassifier, Recording, RecordingTable
from brainfm.models.features.classical import classical_baseline

rng = np.random.default_rng(0)
places_mm = rng.uniform(-70, 70, size=(30, 3))
y = np.arange(40) % 2


def person(index, coupled):
    series = rng.standard_normal((150, 30))
    if coupled:
        series[:, 1] = series[:, 0] + 0.5 * series[:, 1]
    return Recording.from_array(
        series,
        sampling_hz=0.5,
        modality="bold",
        positions=places_mm,
        participant=f"{index:02d}",
    )


table = RecordingTable.from_recordings([person(i, label) for i, label in enumerate(y)])
folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)

for name, estimator in {
    "brainfm": BrainClassifier(),
    "connectivity": classical_baseline("bold"),
}.items():
    scores = cross_val_score(estimator, table, y, groups=table.groups, cv=folds, scoring="roc_auc")
    print(f"{name:>12}: AUC {scores.mean():.2f} (folds {scores.min():.2f} to {scores.max():.2f})")
