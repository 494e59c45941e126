"""
Nested cross-validation in a nilearn pipeline
=============================================

:class:`brainfm.BrainEmbedder` takes the place of nilearn's
:class:`~nilearn.connectome.ConnectivityMeasure` in a scikit-learn pipeline: it reads the parcel
series of a nilearn masker. The penalty of the classifier is chosen by folds within the training
rows, and the score comes from the outer folds. The images are simulated; yours are the
``*_desc-preproc_bold.nii.gz`` of brainfm or fMRIPrep.
"""

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
from nilearn.connectome import ConnectivityMeasure
from nilearn.maskers import NiftiLabelsMasker
from nilearn.plotting import find_parcellation_cut_coords
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainfm import BrainEmbedder

rng = np.random.default_rng(0)
affine = np.diag([20.0, 20, 20, 1])
affine[:3, 3] = -70
atlas = nib.Nifti1Image(np.arange(8**3, dtype=np.int16).reshape(8, 8, 8) // 16, affine)
y = np.array([1, 0] * 9)


def simulate(label):
    """Return a run of 100 volumes; half of the brain shares a signal in one group."""
    data = rng.standard_normal((8, 8, 8, 100))
    data[:4] += rng.uniform(0.06, 0.16) * label * rng.standard_normal(100)
    image = nib.Nifti1Image(data.astype(np.float32), affine)
    image.header.set_zooms((20, 20, 20, 2.0))
    return image


masker = NiftiLabelsMasker(atlas, standardize="zscore_sample", detrend=True, t_r=2.0)
X = np.stack([masker.fit_transform(simulate(label)) for label in y])  # (n, n_times, n_parcels)

# %%
# An array has no positions, sampling rate and modality, so the embedder takes all three as
# parameters.

embedder = BrainEmbedder(
    "brainfm-tiny",
    positions=find_parcellation_cut_coords(atlas),
    sampling_hz=0.5,
    modality="bold",
)
features = {
    "embedding": embedder,
    "correlation": ConnectivityMeasure(kind="correlation", vectorize=True, discard_diagonal=True),
    "tangent": ConnectivityMeasure(kind="tangent", vectorize=True, discard_diagonal=True),
}
classifier = LogisticRegressionCV(
    Cs=[0.01, 0.1, 1.0], l1_ratios=(0,), cv=3, scoring="neg_log_loss", use_legacy_attributes=False
)
outer = StratifiedKFold(3, shuffle=True, random_state=0)  # one image of each person
scores = {}
for name, transformer in features.items():
    pipeline = make_pipeline(transformer, StandardScaler(), classifier)
    scores[name] = cross_val_score(pipeline, X, y, cv=outer, scoring="roc_auc")
    print(f"{name:>12}: AUC of each fold {scores[name].round(2)}")

# %%

figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
means = [of_folds.mean() for of_folds in scores.values()]
axis.barh(range(3), means, color=["C0", "C1", "C1"], alpha=0.6)
for row, of_folds in enumerate(scores.values()):
    axis.scatter(of_folds, np.full(3, row), color="black", s=14, zorder=2)
axis.set_yticks(range(3), scores)
axis.axvline(0.5, color="0.6", linestyle=":")
axis.set(xlim=(0, 1.03), xlabel="area under the ROC curve", title="Outer folds (dots), mean (bar)")
plt.show()
