"""Confounds of a BOLD run: motion, tissue signals, aCompCor and DVARS."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from scipy.ndimage import binary_erosion

from brainfm.files import write_json, write_tsv
from brainfm.signal.bold import acompcor, dvars
from brainfm.signal.motion import FRISTON24, framewise_displacement, friston24
from brainfm.signal.tissue import CSF, WM
from brainfm.storage.derivatives.names import derivative_path
from brainfm.storage.images import read_image, read_transform, resample_image, write_image

_N_COMPONENTS = 10
_FEWEST_VOXELS = 20


def write_confounds(
    normalised, segmentation_file, motion_file, t1w_to_template, work_dir, **settings
):
    """Write the confounds of one run, with the column names of fMRIPrep.

    Tissue signals are means in template space over the segmentation of the participant, eroded by
    a voxel where enough voxels are left.

    Parameters
    ----------
    normalised : brainfm.stages.preprocess.bold.NormalisedBold
    segmentation_file : path
        Tissue labels on the grid of the T1w image.
    motion_file : path
        Six parameters of each volume (n_times, 6), in mm and radians, ``.npy``.
    t1w_to_template : list of path
        Transforms that warp T1w images to the template.
    work_dir : path
        For intermediate files.
    **settings
        out_dir (root of the derivative dataset), source_file (the raw run), repetition_time_s,
        n_dummy, high_pass_hz.

    Returns
    -------
    confounds : Path of ``*_desc-confounds_timeseries.tsv``
    tissues : Path
        Tissue labels on the grid of the run.
    """
    image = nib.load(normalised.bold)
    data, n_dummy = np.asarray(image.dataobj, dtype=np.float32), settings["n_dummy"]
    brain = (np.asarray(nib.load(normalised.mask).dataobj) > 0) & (data.min(axis=3) > 0)
    grid, transform = image.slicer[..., 0], read_transform(t1w_to_template)
    warped = resample_image(read_image(segmentation_file), grid, transform, nearest=True)
    labels = np.asarray(warped.dataobj).astype(np.uint8)
    tissues_file = Path(work_dir) / "tissues_in_template.nii.gz"
    write_image(tissues_file, labels, grid.affine, dtype=np.uint8)
    wm, csf = (_core((labels == value) & brain) for value in (WM, CSF))
    motion = np.load(motion_file)
    unscaled, standardised = dvars(data[brain].T)
    columns = dict(zip(FRISTON24, friston24(motion).T, strict=True))
    columns |= {
        "framewise_displacement": framewise_displacement(motion),
        "dvars": unscaled,
        "std_dvars": standardised,
        "global_signal": data[brain].mean(axis=0),
        "white_matter": _mean(data, wm),
        "csf": _mean(data, csf),
    }
    components = acompcor(
        data[wm | csf][:, n_dummy:].T.astype(float),
        _N_COMPONENTS,
        sampling_hz=1 / settings["repetition_time_s"],
        high_pass_hz=settings["high_pass_hz"] or 0.008,
    )
    components = np.pad(components, ((n_dummy, 0), (0, 0)), constant_values=np.nan)
    columns |= {f"a_comp_cor_{index:02d}": column for index, column in enumerate(components.T)}
    path = derivative_path(
        settings["out_dir"], settings["source_file"],
        datatype="func", desc="confounds", suffix="timeseries", extension=".tsv",
    )  # fmt: skip
    write_json(path.with_suffix(".json"), _sidecar(settings, wm.sum(), csf.sum()))
    return write_tsv(path, pd.DataFrame(columns)), tissues_file


def _core(mask):
    eroded = binary_erosion(mask)
    return eroded if eroded.sum() >= _FEWEST_VOXELS else mask


def _mean(data, mask):
    return data[mask].mean(axis=0) if mask.any() else np.full(data.shape[3], np.nan)


def _sidecar(settings, n_wm, n_csf):
    high_pass_hz = settings["high_pass_hz"] or 0.008
    return {
        "Description": "Confounds with the column names of fMRIPrep",
        "SamplingFrequency": 1 / settings["repetition_time_s"],
        "trans_x": {"Units": "mm", "Description": "Translation of the head to the right"},
        "rot_x": {"Units": "rad", "Description": "Rotation about the left-right axis"},
        "framewise_displacement": {"Units": "mm", "Description": "After Power et al., 2012"},
        "dvars": {"Description": "Over the brain, in the unit of the images; Power et al., 2012"},
        "white_matter": {"Description": f"Mean of {n_wm} voxels"},
        "csf": {"Description": f"Mean of {n_csf} voxels"},
        "a_comp_cor_00": {
            "Description": "Components of white matter and CSF combined, after removing "
            f"cosines slower than {high_pass_hz:g} Hz",
        },
    }
