"""
Few-shot curves: how many people does it take?
==============================================

A few-shot curve shows the score when a classifier learns from k people of each class and is tested
on all others. All methods see the same draws of people. Here the two groups are synthetic: the
parcels of the frontoparietal and of the default network share a signal in one of them, whose size
differs from person to person.
"""

import matplotlib.pyplot as plt
import numpy as np

from brainfm import BrainEmbedder, Recording, RecordingTable
from brainfm.evaluation.cross_validation import default_methods
from brainfm.evaluation.few_shot import few_shot_curves
from brainfm.storage.atlas import load_atlas

rng = np.random.default_rng(0)
atlas = load_atlas("Schaefer100")
planted = np.isin(atlas.networks, ["Cont", "Default"])
y = np.array(["control", "patient"] * 20)


def simulate(index, label):
    """Return BOLD of one person: 120 volumes of the 100 Schaefer parcels."""
    series = rng.standard_normal((120, 100))
    if label == "patient":
        series[:, planted] += rng.uniform(0, 0.4) * rng.standard_normal((120, 1))
    return Recording.from_array(
        series, sampling_hz=0.5, modality="bold", positions=atlas.positions,
        channels=atlas.names, participant=f"{index:02d}",
    )  # fmt: skip


table = RecordingTable.from_recordings([simulate(index, label) for index, label in enumerate(y)])

# %%
# These are the methods that every group report compares: the frozen encoder, classical
# connectivity, and both together.

embedder = BrainEmbedder.from_pretrained("brainfm-tiny")
methods = default_methods("bold", "classification", embedder=embedder)
curves = few_shot_curves(methods, table, y, table.groups, task="classification", n_episodes=20)
for row in curves:
    print(f"{row['method']:32} k = {row['k']:2}: AUC {row['score']:.2f}")

# %%
# The band is the 95 % interval of the mean over 20 draws of people.

figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for name in dict.fromkeys(row["method"] for row in curves):
    k, score, low, high = np.array(
        [
            [row[key] for key in ("k", "score", "low", "high")]
            for row in curves
            if row["method"] == name
        ]
    ).T
    axis.plot(k, score, marker="o", label=name)
    axis.fill_between(k, low, high, alpha=0.15)
axis.axhline(0.5, color="0.6", linestyle=":")
axis.set_xscale("log")
axis.set_xticks(sorted({row["k"] for row in curves}), sorted({row["k"] for row in curves}))
axis.minorticks_off()
axis.set(xlabel="people of each class to learn from", ylabel="area under the ROC curve")
axis.legend(fontsize="small")
plt.show()
