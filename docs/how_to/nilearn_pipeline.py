"""Nested cross-validation in a nilearn pipeline: images, parcels, embedding, head.

The images here are made up; yours are the ``*_desc-preproc_bold.nii.gz`` of brainfm or fMRIPrep,
and ``atlas`` any parcellation in their space.
"""

import nibabel as nib
import numpy as np
from nilearn.maskers import NiftiLabelsMasker
from nilearn.plotting import find_parcellation_cut_coords
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainfm import BrainEmbedder

rng = np.random.default_rng(0)
affine = np.diag([20.0, 20, 20, 1])
affine[:3, 3] = -70
atlas = nib.Nifti1Image(np.arange(8**3, dtype=np.int16).reshape(8, 8, 8) // 16, affine)
n_parcels = 31  # 0 is background
y = np.arange(12) % 2


def image(label):
    """Return a run of 100 volumes; in one group the first half of the brain goes together."""
    data = rng.standard_normal((8, 8, 8, 100))
    data[:4] += 2 * label * rng.standard_normal(100)
    return nib.Nifti1Image(data.astype(np.float32), affine)


masker = NiftiLabelsMasker(atlas, standardize="zscore_sample", detrend=True, t_r=2.0)
X = np.stack([masker.fit_transform(image(label)) for label in y])  # (n, n_times, n_parcels)
positions_mm = find_parcellation_cut_coords(atlas)

pipeline = make_pipeline(
    BrainEmbedder("brainfm-tiny", positions=positions_mm, sampling_hz=0.5, modality="bold"),
    StandardScaler(),
    LogisticRegression(max_iter=1000),
)
search = GridSearchCV(pipeline, {"logisticregression__C": [0.01, 1.0]}, cv=2)
outer = StratifiedKFold(3, shuffle=True, random_state=0)  # one image a person
scores = cross_val_score(search, X, y, cv=outer, scoring="roc_auc")
print("nested cross-validation, AUC of each fold:", scores.round(2))
