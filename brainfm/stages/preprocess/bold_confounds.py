"""Confounds of a BOLD run, with the names and the sidecar of fMRIPrep."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.glm.first_level.design_matrix import create_cosine_drift
from scipy.ndimage import binary_erosion

from brainfm.files import write_json, write_tsv
from brainfm.signal.bold import acompcor, dvars
from brainfm.signal.motion import (
    EXPANSION,
    FRISTON24,
    expand,
    framewise_displacement,
    friston24,
    relative_rms,
)
from brainfm.signal.tissue import CSF, WM
from brainfm.stages.preprocess.bold import NON_STEADY, REPLACED
from brainfm.storage.derivatives.names import derivative_path
from brainfm.storage.images import read_image, read_transform, resample_image, write_image

_N_COMPONENTS = 10
_FEWEST_VOXELS = 20
#: Standardised DVARS above which fMRIPrep marks a volume as a motion outlier.
_MAX_STD_DVARS = 1.5
#: Prefix of the components of each mask, with its name in the sidecar.
_COMPCOR_MASKS = {"a": "combined", "c": "CSF", "w": "WM"}


def write_confounds(normalised, files, work_dir, *, out_dir, source_file, repetition_time_s,
                    high_pass_hz, fd_threshold_mm):  # fmt: skip
    """Write the confounds of one run, so that nilearn's ``load_confounds`` reads them.

    Tissue signals are means in template space over the segmentation of the participant, eroded by
    a voxel where enough voxels are left. Components and cosines are computed in the steady state,
    and 0 before it.

    Parameters
    ----------
    normalised : brainfm.stages.preprocess.bold.NormalisedBold
    files : dict
        segmentation (tissue labels on the grid of the T1w image), motion and flags of
        :class:`brainfm.stages.preprocess.bold.RealignedBold`, and t1w_to_template (list of
        transforms that warp T1w images to the template).
    work_dir : path
        For intermediate files.
    out_dir : path
        Root of the derivative dataset.
    source_file : path
        The raw run, after which the file is named.
    repetition_time_s : float
    high_pass_hz : float
        Cut-off of the cosines; 0 means 0.008 Hz.
    fd_threshold_mm : float
        Volumes with a framewise displacement above it are marked as motion outliers; 0: none.

    Returns
    -------
    confounds : Path of ``*_desc-confounds_timeseries.tsv``
    tissues : Path
        Tissue labels on the grid of the run.
    """
    image = nib.load(normalised.bold)
    data, flags = np.asarray(image.dataobj, dtype=np.float32), np.load(files["flags"])
    brain = (np.asarray(nib.load(normalised.mask).dataobj) > 0) & (data.min(axis=3) > 0)
    labels, tissues_file = _tissues(files, image.slicer[..., 0], work_dir)
    wm, csf = (_core((labels == value) & brain) for value in (WM, CSF))
    columns = _motion(np.load(files["motion"]), data[brain].T)
    for name, mask in {"global_signal": brain, "white_matter": wm, "csf": csf}.items():
        expanded = expand(_mean(data, mask)[:, None]).T
        columns |= dict(zip((name + kind for kind in EXPANSION), expanded, strict=True))
    columns["csf_wm"] = _mean(data, wm | csf)
    band = {"repetition_time_s": repetition_time_s, "high_pass_hz": high_pass_hz or 0.008}
    masks = {"a": wm | csf, "c": csf, "w": wm}
    slow = _components(data, masks, n_dummy=int((flags == NON_STEADY).sum()), **band)
    columns |= slow | _outliers(columns, flags, fd_threshold_mm)
    path = derivative_path(
        out_dir, source_file,
        datatype="func", desc="confounds", suffix="timeseries", extension=".tsv",
    )  # fmt: skip
    write_json(path.with_suffix(".json"), _sidecar(columns, wm.sum(), csf.sum(), **band))
    return write_tsv(path, pd.DataFrame(columns)), tissues_file


def _tissues(files, grid, work_dir):
    transform = read_transform(files["t1w_to_template"])
    segmentation = read_image(files["segmentation"])
    warped = resample_image(segmentation, grid, transform, nearest=True)
    labels = np.asarray(warped.dataobj).astype(np.uint8)
    path = Path(work_dir) / "tissues_in_template.nii.gz"
    return labels, write_image(path, labels, grid.affine, dtype=np.uint8)


def _core(mask):
    eroded = binary_erosion(mask)
    return eroded if eroded.sum() >= _FEWEST_VOXELS else mask


def _mean(data, mask):
    return data[mask].mean(axis=0) if mask.any() else np.full(data.shape[3], np.nan)


def _motion(motion, voxels):
    unscaled, standardised = dvars(voxels)
    return dict(zip(FRISTON24, friston24(motion).T, strict=True)) | {
        "framewise_displacement": framewise_displacement(motion),
        "rmsd": relative_rms(motion),
        "dvars": unscaled,
        "std_dvars": standardised,
    }


def _components(data, masks, *, n_dummy, repetition_time_s, high_pass_hz):
    """Compute aCompCor of each mask, and the cosines that it removes first."""
    steady, columns = data[..., n_dummy:], {}
    for prefix, mask in masks.items():
        found = acompcor(
            steady[mask].T.astype(float),
            _N_COMPONENTS,
            sampling_hz=1 / repetition_time_s,
            high_pass_hz=high_pass_hz,
        )
        columns |= {f"{prefix}_comp_cor_{k:02d}": column for k, column in enumerate(found.T)}
    times_s = np.arange(steady.shape[3]) * repetition_time_s
    cosines = create_cosine_drift(high_pass_hz, times_s)[:, :-1]  # the last is the constant
    columns |= {f"cosine{k:02d}": column for k, column in enumerate(cosines.T)}
    return {name: np.pad(column, (n_dummy, 0)) for name, column in columns.items()}


def _outliers(columns, flags, fd_threshold_mm):
    """Mark volumes before the steady state, and those that moved or were replaced."""
    moved = columns["framewise_displacement"] > (fd_threshold_mm or np.inf)
    moved |= (columns["std_dvars"] > _MAX_STD_DVARS) | (flags == REPLACED)
    kinds = {"non_steady_state_outlier": flags == NON_STEADY}
    kinds["empty_volume"] = flags == REPLACED  # censored whatever the thresholds
    kinds["motion_outlier"] = moved & (flags != NON_STEADY)
    return {
        f"{name}{number:02d}": (np.arange(len(flags)) == index).astype(int)
        for name, marked in kinds.items()
        for number, index in enumerate(np.flatnonzero(marked))
    }


def _sidecar(columns, n_wm, n_csf, *, repetition_time_s, high_pass_hz):
    compcor = {
        name: {"Mask": _COMPCOR_MASKS[name[0]], "Method": "aCompCor", "Retained": True}
        for name in columns
        if "_comp_cor_" in name
    }
    return {
        "Description": "Confounds with the column names of fMRIPrep",
        "SamplingFrequency": 1 / repetition_time_s,
        "HighPassCutOff": high_pass_hz,
        "trans_x": {"Units": "mm", "Description": "Translation of the head to the right"},
        "rot_x": {"Units": "rad", "Description": "Rotation about the left-right axis"},
        "framewise_displacement": {"Units": "mm", "Description": "After Power et al., 2012"},
        "rmsd": {"Units": "mm", "Description": "After Jenkinson et al., 2002"},
        "dvars": {"Description": "Over the brain, in the unit of the images; Power et al., 2012"},
        "white_matter": {"Method": "Mean", "Description": f"Mean of {n_wm} voxels"},
        "csf": {"Method": "Mean", "Description": f"Mean of {n_csf} voxels"},
        **compcor,
    }
