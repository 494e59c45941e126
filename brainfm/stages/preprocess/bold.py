"""Preprocessing of a BOLD run: realignment, alignment to T1w and normalisation."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from nilearn.masking import compute_epi_mask
from scipy.ndimage import binary_dilation, spline_filter

from brainfm.config import TEMPLATE_SPACE
from brainfm.errors import DataError
from brainfm.files import write_npy
from brainfm.signal.realign import estimate_motion, rigid_matrices, sample_volume
from brainfm.signal.slice_timing import correct_slice_timing, slice_axis
from brainfm.stages.preprocess.registration import register_rigid
from brainfm.storage.derivatives.names import derivative_path
from brainfm.storage.images import (
    read_image,
    read_transform,
    resample_image,
    template,
    transform_grid,
    write_image,
)
from brainfm.storage.templateflow import template_source

#: Voxel size of resampled BOLD.
OUTPUT_VOXEL_MM = 3
_MOST_IN_REFERENCE = 10


@dataclass(frozen=True, kw_only=True)
class RealignedBold:
    """Files of a run with estimated motion, before resampling.

    Parameters
    ----------
    bold : Path
        Run on its own grid.
    reference, mask : Path
        Mean volume, and its brain mask.
    motion : Path
        Six parameters of each volume (n_times, 6), in mm and radians.
    matrices : Path
        Transforms from points of ``reference`` to points of each volume (n_times, 4, 4).
    """

    bold: Path
    reference: Path
    mask: Path
    motion: Path
    matrices: Path


@dataclass(frozen=True, kw_only=True)
class NormalisedBold:
    """Files of a run in template space.

    Parameters
    ----------
    bold, mask : Path
        Run and brain mask.
    """

    bold: Path
    mask: Path


def realign_bold(bold_file, out_dir, *, metadata, n_dummy=0):
    """Estimate the motion of a run, after slice timing correction if its sidecar has the times.

    The reference is the mean of up to ten volumes, aligned to the middle one.

    Parameters
    ----------
    bold_file : path
    out_dir : path
        For intermediate files.
    metadata : dict
        Its sidecars: ``RepetitionTime`` (s), and ``SliceTiming`` (s) with
        ``SliceEncodingDirection`` for slice timing correction.
    n_dummy : int
        First volumes, which are left out of the reference.

    Returns
    -------
    RealignedBold

    Raises
    ------
    DataError, SignalError
        If the run cannot be read, is not four-dimensional or shows no brain.
    """
    out_dir, path = Path(out_dir), Path(bold_file).absolute()
    image = _read_run(path)
    volumes = np.asarray(image.dataobj, dtype=np.float32)
    if metadata.get("SliceTiming"):
        volumes = _correct_slice_timing(volumes, metadata)
        path = write_image(out_dir / "slice_timed.nii.gz", volumes, image.affine)
    volumes, affine = np.moveaxis(volumes, 3, 0), image.affine
    reference, mask = _mean_volume(volumes[n_dummy:], affine)
    motion, centre = estimate_motion(volumes, affine, reference, mask)
    return RealignedBold(
        bold=path,
        reference=write_image(out_dir / "reference.nii.gz", reference, affine),
        mask=write_image(out_dir / "mask.nii.gz", mask, affine, dtype=np.uint8),
        motion=write_npy(out_dir / "motion.npy", motion),
        matrices=write_npy(out_dir / "matrices.npy", rigid_matrices(motion, centre)),
    )


def align_bold(realigned, brain_file, brain_mask_file, out_dir, *, sloppy=False):
    """Align the BOLD reference to the T1w image.

    Parameters
    ----------
    realigned : RealignedBold
    brain_file, brain_mask_file : path
        T1w image without bias field and skull, and its brain mask.
    out_dir : path
        For the transform file.
    sloppy : bool

    Returns
    -------
    Path
        Transform from T1w points to BOLD points.

    Raises
    ------
    DataError
        If the two images do not overlap.
    """
    brain, mask = read_image(brain_file), np.asarray(read_image(brain_mask_file).dataobj) > 0.5
    reference = read_image(realigned.reference)
    inside = np.asarray(read_image(realigned.mask).dataobj) > 0.5
    transform = register_rigid(brain, reference, fixed_mask=mask, moving_mask=inside, sloppy=sloppy)
    path = Path(out_dir) / "t1w_to_bold.tfm"
    sitk.WriteTransform(transform, str(path))
    return path


def resample_bold(realigned, t1w_to_bold, t1w_to_template, *, out_dir, source_file, metadata,
                  space=TEMPLATE_SPACE):  # fmt: skip
    """Correct motion, align and normalise a run in one interpolation, and write it.

    Cubic spline interpolation; 0 outside the brain mask of the template, dilated by two voxels.

    Parameters
    ----------
    realigned : RealignedBold
    t1w_to_bold : path
    t1w_to_template : list of path
        Transforms that warp T1w images to the template (from template points to T1w points).
    out_dir : path
        Root of the derivative dataset.
    source_file : path
        The raw run, after which the files are named.
    metadata : dict
        Sidecars of the raw run.
    space : str
        Template; see :func:`brainfm.storage.images.template`.

    Returns
    -------
    NormalisedBold
    """
    grid = template("mask", OUTPUT_VOXEL_MM, space)
    transform = read_transform([*t1w_to_template, t1w_to_bold])
    points = transform_grid(transform, grid)
    inside = binary_dilation(np.asarray(grid.dataobj) > 0.5, iterations=2)
    image = _read_run(realigned.bold)
    matrices = np.load(realigned.matrices)
    data = np.zeros((*grid.shape, image.shape[3]), np.float32)
    volumes = np.asarray(image.dataobj, dtype=np.float32)
    for index, matrix in enumerate(matrices):
        coefficients = spline_filter(volumes[..., index], order=3, output=np.float32)
        moved = points[inside] @ matrix[:3, :3].T + matrix[:3, 3]
        data[inside, index] = np.clip(sample_volume(coefficients, image.affine, moved), 0, None)
    mask = np.asarray(resample_image(read_image(realigned.mask), grid, transform).dataobj) > 0.5
    path = partial(derivative_path, out_dir, source_file, datatype="func", space=space)
    return _write_normalised(path, data, mask, grid.affine, metadata)


def _read_run(path):
    try:
        image = nib.load(path)
        image = image if image.ndim == 4 else nib.funcs.squeeze_image(image)
        np.asarray(image.dataobj[..., -1])  # a truncated file fails at its end
    except Exception as error:
        raise DataError(f"{path} cannot be read ({error}): copy or convert it again.") from error
    if image.ndim != 4:
        raise DataError(f"{path} has shape {image.shape}; expected four dimensions, time last.")
    return image


def _correct_slice_timing(volumes, metadata):
    direction = metadata.get("SliceEncodingDirection", "k")
    times = list(metadata["SliceTiming"])
    return correct_slice_timing(
        volumes,
        times[::-1] if direction.endswith("-") else times,
        repetition_time_s=float(metadata["RepetitionTime"]),
        axis=slice_axis(direction),
    )


def _mean_volume(volumes, affine):
    """Return the mean of some volumes, aligned to the middle one, and its brain mask."""
    first = volumes[len(volumes) // 2]
    brain = binary_dilation(_brain_of(first, affine))
    chosen = np.linspace(0, len(volumes) - 1, min(_MOST_IN_REFERENCE, len(volumes))).astype(int)
    motion, centre = estimate_motion(volumes[chosen], affine, first, brain)
    voxels = np.moveaxis(np.indices(first.shape), 0, -1).reshape(-1, 3)
    points = voxels @ affine[:3, :3].T + affine[:3, 3]
    total = np.zeros(first.size)
    for index, matrix in zip(chosen, rigid_matrices(motion, centre), strict=True):
        moved = points @ matrix[:3, :3].T + matrix[:3, 3]
        total += sample_volume(spline_filter(volumes[index], order=3), affine, moved)
    mean = np.clip(total / len(chosen), 0, None).reshape(first.shape).astype(np.float32)
    return mean, _brain_of(mean, affine)


def _brain_of(volume, affine):
    """Compute the brain mask of a BOLD volume from its histogram (nilearn)."""
    try:
        mask = compute_epi_mask(nib.Nifti1Image(np.asarray(volume, np.float32), affine))
    except Exception as error:
        raise DataError(
            f"no brain is found in the BOLD volumes ({error}): check the run, or exclude it."
        ) from error
    return np.asarray(mask.dataobj) > 0


def _write_normalised(path, data, mask, affine, metadata):
    """Write run, mean and mask with their sidecars."""
    path = partial(path, extension=".nii.gz")
    repetition_time_s, space = float(metadata["RepetitionTime"]), path.keywords["space"]
    timed = bool(metadata.get("SliceTiming"))
    sidecar = {
        "Description": "Realigned, aligned to T1w and normalised in one cubic interpolation",
        "RepetitionTime": repetition_time_s,
        "SkullStripped": False,
        "Resolution": f"{OUTPUT_VOXEL_MM} mm, of the template {template_source(space)}",
        "SliceTimingCorrected": timed,
        "StartTime": repetition_time_s / 2 if timed else 0.0,
    }
    if "TaskName" in metadata:
        sidecar["TaskName"] = metadata["TaskName"]
    brain = {"Description": "Brain of the mean BOLD volume (nilearn), normalised", "Type": "Brain"}
    write_image(path(suffix="boldref"), data.mean(axis=3), affine, dtype=np.int16)
    return NormalisedBold(
        bold=write_image(
            path(desc="preproc", suffix="bold"), data, affine, dtype=np.int16,
            repetition_time_s=repetition_time_s, sidecar=sidecar,
        ),
        mask=write_image(
            path(desc="brain", suffix="mask"), mask, affine, dtype=np.uint8, sidecar=brain
        ),
    )  # fmt: skip
