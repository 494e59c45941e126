"""Nested cross-validation in nilearn pipelines: parcels or images in, confounds out in the folds.

The images here are made up; yours are the ``*_desc-preproc_bold.nii.gz`` of brainfm or fMRIPrep,
and ``atlas`` any parcellation in their space.
"""

import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.connectome import ConnectivityMeasure
from nilearn.maskers import NiftiLabelsMasker
from nilearn.plotting import find_parcellation_cut_coords
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainfm import BrainEmbedder, RecordingMasker, WithoutCovariates

rng = np.random.default_rng(0)
folder = Path(tempfile.mkdtemp())
affine = np.diag([20.0, 20, 20, 1])
affine[:3, 3] = -70
atlas = nib.Nifti1Image(np.arange(8**3, dtype=np.int16).reshape(8, 8, 8) // 16, affine)
n_parcels = 31  # 0 is background
people = pd.DataFrame({
    "participant_id": [f"sub-{number:02d}" for number in range(12)],
    "group": ["patient", "control"] * 6,
    "age": rng.integers(20, 60, 12),
    "site": ["north", "north", "south"] * 4,
})  # fmt: skip
y = (people["group"] == "patient").to_numpy(int)


def image_of(label):
    """Return a run of 100 volumes; in one group the first half of the brain goes together."""
    data = rng.standard_normal((8, 8, 8, 100))
    data[:4] += 2 * label * rng.standard_normal(100)
    image = nib.Nifti1Image(data.astype(np.float32), affine)
    image.header.set_zooms((20, 20, 20, 2.0))
    return image


paths = [folder / f"{name}_task-rest_desc-preproc_bold.nii.gz" for name in people["participant_id"]]
for path, label in zip(paths, y, strict=True):
    nib.save(image_of(label), path)
outer = StratifiedKFold(3, shuffle=True, random_state=0)  # one image a person
head = [  # its penalty is chosen by folds within the training rows
    StandardScaler(),
    LogisticRegressionCV(
        Cs=[0.01, 1.0], l1_ratios=(0,), cv=3, scoring="neg_log_loss", use_legacy_attributes=False
    ),
]


def nested(pipeline, X):
    """Score a pipeline on the outer folds."""
    return cross_val_score(pipeline, X, y, cv=outer, scoring="roc_auc").round(2)


# From nilearn's masker on: an array of series, read by the embedder or by ConnectivityMeasure.
masker = NiftiLabelsMasker(atlas, standardize="zscore_sample", detrend=True, t_r=2.0)
X = np.stack([masker.fit_transform(path) for path in paths])  # (n, n_times, n_parcels)
positions_mm = find_parcellation_cut_coords(atlas)
embedder = BrainEmbedder("brainfm-tiny", positions=positions_mm, sampling_hz=0.5, modality="bold")
connectivity = ConnectivityMeasure(kind="correlation", vectorize=True, discard_diagonal=True)
print("AUC of each fold, embedding:", nested(make_pipeline(embedder, *head), X))
print("AUC of each fold, connectivity:", nested(make_pipeline(connectivity, *head), X))

# From paths on, with age and site regressed out of the embedding by what training rows tell.
nib.save(atlas, folder / "atlas.nii.gz")
pd.DataFrame({"index": range(1, 32), "name": [f"p{n}" for n in range(1, 32)]}).to_csv(
    folder / "atlas.tsv", sep="\t", index=False
)
recordings = RecordingMasker(folder / "atlas.nii.gz").transform(
    paths
)  # learns nothing: once is enough
covariates = people[["participant_id", "age", "site"]]
pipeline = make_pipeline(WithoutCovariates(BrainEmbedder("brainfm-tiny"), covariates), *head)
print("AUC of each fold, without age and site:", nested(pipeline, recordings))
