"""
Regress covariates out inside a pipeline
========================================

Age, sex, site and motion can carry a group difference. :class:`brainfm.WithoutCovariates` regresses
them out of any features, with coefficients that are estimated on the training rows only. In this
simulation the groups differ in age, age changes the brain signal, and nothing else differs.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainfm import BrainEmbedder, Recording, RecordingTable, WithoutCovariates
from brainfm.models.features.classical import ConnectivityFeatures

rng = np.random.default_rng(0)
n_people = 40
y = np.arange(n_people) % 2
participants = pd.DataFrame({
    "participant_id": [f"sub-{number:02d}" for number in range(n_people)],
    "age": rng.normal(30 + 15 * y, 6),
})  # fmt: skip
positions_mm = rng.uniform(-70, 70, size=(30, 3))


def simulate(number, age):
    """Return BOLD in which the signal shared by all parcels grows with age."""
    series = rng.standard_normal((150, 30)) + (age / 60) * rng.standard_normal((150, 1))
    return Recording.from_array(
        series,
        sampling_hz=0.5,
        modality="bold",
        positions=positions_mm,
        participant=f"{number:02d}",
    )


table = RecordingTable.from_recordings(
    [simulate(number, age) for number, age in enumerate(participants["age"])]
)

# %%
# The transformer wraps the features whose covariates are removed, and is otherwise used like them.

features = {"embedding": BrainEmbedder("brainfm-tiny"), "connectivity": ConnectivityFeatures()}
folds = StratifiedKFold(4, shuffle=True, random_state=0)
scores = {}
for name, transformer in features.items():
    for label, step in {
        name: transformer,
        f"{name} without age": WithoutCovariates(transformer, participants),
    }.items():
        pipeline = make_pipeline(step, StandardScaler(), LogisticRegression(C=0.01))
        scores[label] = cross_val_score(pipeline, table, y, cv=folds, scoring="roc_auc")
        print(f"{label:>26}: AUC {scores[label].mean():.2f}")

# %%
# What looked like a group difference was age. The group report makes this comparison for every
# question; see :doc:`/explanations/evaluation`.

figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
means = [of_folds.mean() for of_folds in scores.values()]
axis.barh(range(4), means, color=["C0", "C7", "C0", "C7"], alpha=0.7)
axis.set_yticks(range(4), scores)
axis.invert_yaxis()
axis.axvline(0.5, color="black", linestyle=":")
axis.set(xlim=(0, 1), xlabel="area under the ROC curve (dotted: chance)")
plt.show()
