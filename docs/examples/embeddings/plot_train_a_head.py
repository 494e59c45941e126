"""
Train a classifier beside the classical baseline
================================================

:class:`brainfm.BrainClassifier` and the classical baseline are scikit-learn estimators. This
example scores both on the same folds: two groups of synthetic people, in one of which ten of the
thirty parcels share a weak signal. With your own data, ``table`` comes from
:func:`brainfm.load_recordings` and ``y`` from ``participants.tsv``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, cross_val_score

from brainfm import BrainClassifier, Recording, RecordingTable
from brainfm.models.features.classical import classical_baseline

rng = np.random.default_rng(0)
positions_mm = rng.uniform(-70, 70, size=(30, 3))
y = np.arange(40) % 2


def simulate(index, correlated):
    """Return BOLD of one person: 150 volumes of 30 parcels."""
    series = rng.standard_normal((150, 30))
    if correlated:
        series[:, :10] += 0.3 * rng.standard_normal((150, 1))
    return Recording.from_array(
        series,
        sampling_hz=0.5,  # one volume every 2 s
        modality="bold",
        positions=positions_mm,
        participant=f"{index:02d}",
    )


table = RecordingTable.from_recordings([simulate(index, label) for index, label in enumerate(y)])

# %%
# ``table.groups`` names the participant of each row, so that no participant is in two folds.

folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
scores = {}
for name, estimator in {
    "brainfm": BrainClassifier(),
    "connectivity": classical_baseline("bold"),
}.items():
    scores[name] = cross_val_score(
        estimator, table, y, groups=table.groups, cv=folds, scoring="roc_auc"
    )
    print(f"{name:>12}: AUC {scores[name].mean():.2f}")

# %%
# Look at the baseline first: whether a pretrained model helps depends on the question and on the
# number of people (see :doc:`/explanations/evaluation`).

figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
for row, of_folds in enumerate(scores.values()):
    axis.scatter(of_folds, np.full(5, row), alpha=0.6)
    axis.scatter(of_folds.mean(), row, marker="|", s=400, color="black")
axis.axvline(0.5, color="0.6", linestyle=":")
axis.set_yticks(range(len(scores)), scores)
axis.set(xlim=(0.3, 1.03), ylim=(-0.5, 1.5), xlabel="area under the ROC curve",
         title="Five folds (dots) and their mean (bar)")  # fmt: skip
plt.show()
