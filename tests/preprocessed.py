"""Small derivatives of preprocessed BOLD, named as fMRIPrep names them."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from skeleton import write

from brainfm.signal.motion import FRISTON24

GENERATED = {"DatasetType": "derivative", "GeneratedBy": [{"Name": "fMRIPrep", "Version": "25.2"}]}


def write_preprocessed(
    root,
    stem,
    *,
    bold="space-MNI152NLin2009cAsym_desc-preproc_bold",
    mask="space-MNI152NLin2009cAsym_desc-brain_mask",
    confounds="desc-confounds_timeseries",
    n_times=12,
    **options,
):
    """Write a run, such as ``sub-01_task-rest``, and return its folder; None leaves a file out."""
    root = Path(root)
    write(root / "dataset_description.json", {"Name": "fmriprep", **GENERATED})
    folder = root.joinpath(*[p for p in stem.split("_") if p[:4] in ("sub-", "ses-")], "func")
    folder.mkdir(parents=True, exist_ok=True)
    repetition_time_s = options.get("repetition_time_s", 2.0)
    image = options.get("image") or volumes(n_times)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((*image.header.get_zooms()[:-1], options.get("header_s", 2.0)))
    if bold:
        nib.save(image, folder / f"{stem}_{bold}.nii.gz")
        if repetition_time_s:
            write(folder / f"{stem}_{bold}.json", {"RepetitionTime": repetition_time_s})
    if mask:
        inside = np.asarray(image.dataobj[..., 0] > 0, np.uint8)
        nib.save(nib.Nifti1Image(inside, image.affine), folder / f"{stem}_{mask}.nii.gz")
    if confounds:
        frame = options.get("table", confounds_table(n_times))
        frame.to_csv(folder / f"{stem}_{confounds}.tsv", sep="\t", index=False, na_rep="n/a")
    return folder


def volumes(n_times, seed=0):
    """Return noise around 1000 in a grid of 6 x 6 x 6."""
    data = 1000 + np.random.default_rng(seed).standard_normal((6, 6, 6, n_times))
    return nib.Nifti1Image(data.astype(np.float32), np.diag([24, 24, 24, 1.0]))


def confounds_table(n_times, seed=0):
    """Return motion parameters, their derivatives and squares, and six aCompCor components."""
    names = [*FRISTON24, *(f"a_comp_cor_{number:02d}" for number in range(6))]
    values = 1e-4 * np.random.default_rng(seed).standard_normal((n_times, len(names)))
    return pd.DataFrame(values, columns=names)
