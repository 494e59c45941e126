"""Preprocessing of a BOLD run: realignment, alignment to T1w and normalisation."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from nilearn.masking import compute_epi_mask
from scipy.ndimage import binary_dilation, spline_filter

from brainfm.config import TEMPLATE_SPACE
from brainfm.errors import DataError, SignalError
from brainfm.files import write_npy
from brainfm.signal.realign import estimate_motion, rigid_matrices, sample_volume
from brainfm.signal.slice_timing import correct_slice_timing, slice_axis
from brainfm.signal.volumes import check_change, check_magnitude, replace_missing
from brainfm.stages.preprocess.registration import register_rigid
from brainfm.storage.bids.validate_geometry import orientation_note
from brainfm.storage.derivatives.labels import raw_uri
from brainfm.storage.derivatives.names import derivative_path
from brainfm.storage.images import (
    drop_single_axes,
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
#: Values of the flags of volumes.
NON_STEADY, REPLACED = 1, 2
_MOST_IN_REFERENCE = 10
_SEARCHED_FOR_STEADY_STATE = 40


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
    flags : Path
        For each volume (n_times,) :data:`NON_STEADY` before the steady state,
        :data:`REPLACED` if it was empty and is replaced by the nearest one, else 0.
    notes : list of str
        What was done to the run beyond the ordinary.
    """

    bold: Path
    reference: Path
    mask: Path
    motion: Path
    matrices: Path
    flags: Path
    notes: list = field(default_factory=list)


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


def realign_bold(bold_file, out_dir, *, metadata, n_dummy=None):
    """Estimate the motion of a run, after slice timing correction if its sidecar has the times.

    Empty volumes and missing values are replaced; see
    :func:`brainfm.signal.volumes.replace_missing`. The reference is the mean of up to ten volumes
    of the steady state, aligned to the middle one.

    Parameters
    ----------
    bold_file : path
    out_dir : path
        For intermediate files.
    metadata : dict
        Its sidecars: ``RepetitionTime`` (s), and ``SliceTiming`` (s) with
        ``SliceEncodingDirection`` for slice timing correction.
    n_dummy : int, optional
        First volumes, before the steady state of the magnetisation; detected by default.

    Returns
    -------
    RealignedBold

    Raises
    ------
    DataError, SignalError
        If the run cannot be read, is not four-dimensional, is empty, constant or no magnitude, or
        shows no brain.
    """
    out_dir, path = Path(out_dir), Path(bold_file).absolute()
    image = _read_run(path)
    raw = np.asarray(image.dataobj, dtype=np.float32)
    volumes, flags = _checked_volumes(raw, path, n_dummy)
    n_dummy, is_changed = int((flags == NON_STEADY).sum()), volumes is not raw
    if metadata.get("SliceTiming"):
        steady = _correct_slice_timing(volumes[..., n_dummy:], metadata)
        volumes = np.concatenate([volumes[..., :n_dummy], steady], axis=3)
        path = write_image(out_dir / "slice_timed.nii.gz", volumes, image.affine)
    elif is_changed:
        path = write_image(out_dir / "repaired.nii.gz", volumes, image.affine)
    volumes, affine = np.moveaxis(volumes, 3, 0), image.affine
    reference, mask = _mean_volume(volumes[n_dummy:], affine)
    motion, centre = estimate_motion(volumes, affine, reference, mask)
    return RealignedBold(
        bold=path,
        reference=write_image(out_dir / "reference.nii.gz", reference, affine),
        mask=write_image(out_dir / "mask.nii.gz", mask, affine, dtype=np.uint8),
        motion=write_npy(out_dir / "motion.npy", motion),
        matrices=write_npy(out_dir / "matrices.npy", rigid_matrices(motion, centre)),
        flags=write_npy(out_dir / "flags.npy", flags),
        notes=_notes(flags, nib.load(bold_file)),
    )


def detect_non_steady(volumes):
    """Count the first volumes whose global signal is an outlier among the first forty.

    The test is that of fMRIPrep: a modified z-score above 3.5.

    Parameters
    ----------
    volumes : ndarray of float, shape (nx, ny, nz, n_times)

    Returns
    -------
    n_dummy : int
        Volumes before the magnetisation is in its steady state.
    """
    from nipype.algorithms.confounds import is_outlier

    first = volumes[..., :_SEARCHED_FOR_STEADY_STATE]
    highest = np.percentile(first[::2, ::2, ::2], 99.8)
    signal = np.array([v.clip(0, highest).mean(dtype=float) for v in np.moveaxis(first, 3, 0)])
    varies = np.median(np.abs(signal - np.median(signal))) > 0
    return int(is_outlier(signal)) if varies else 0


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


def resample_bold(realigned, t1w_to_bold, t1w_to_template, *, out_dir, source_file, t1w_file,
                  metadata, space=TEMPLATE_SPACE):  # fmt: skip
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
    t1w_file : path
        The raw T1w image, named in the sidecar.
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
    flags = np.load(realigned.flags)
    data = np.zeros((*grid.shape, image.shape[3]), np.float32)
    volumes = np.asarray(image.dataobj, dtype=np.float32)
    for index, matrix in enumerate(matrices):
        coefficients = spline_filter(volumes[..., index], order=3, output=np.float32)
        moved = points[inside] @ matrix[:3, :3].T + matrix[:3, 3]
        data[inside, index] = np.clip(sample_volume(coefficients, image.affine, moved), 0, None)
    mask = np.asarray(resample_image(read_image(realigned.mask), grid, transform).dataobj) > 0.5
    path = partial(derivative_path, out_dir, source_file, datatype="func", space=space)
    sidecar = _sidecar(metadata, space, flags) | {"Notes": realigned.notes}
    sidecar["Sources"] = [raw_uri(source_file), raw_uri(t1w_file)]
    return _write_normalised(path, data, mask, grid.affine, sidecar=sidecar, flags=flags)


def _read_run(path):
    try:
        image = drop_single_axes(nib.load(path))
        np.asarray(image.dataobj[..., -1])  # a truncated file fails at its end
    except Exception as error:
        raise DataError(f"{path} cannot be read ({error}): copy or convert it again.") from error
    if image.ndim != 4:
        raise DataError(f"{path} has shape {image.shape}; expected four dimensions, time last.")
    return image


def _checked_volumes(raw, path, n_dummy):
    """Return the volumes of a run without missing values, and their flags."""
    try:
        volumes, empty = replace_missing(raw)
        check_change(volumes)
        check_magnitude(volumes.mean(axis=3), "the mean of the run")
    except SignalError as error:
        raise DataError(f"{path}: {error}") from error
    flags = np.zeros(volumes.shape[3], np.uint8)
    flags[empty] = REPLACED
    n_empty_first = int(np.argmin(flags))  # a run starts with its first image
    if n_dummy is None:
        n_dummy = n_empty_first + detect_non_steady(volumes[..., n_empty_first:])
    flags[:n_dummy] = NON_STEADY
    return volumes, flags


def _notes(flags, image):
    """Say what is unusual about a run."""
    n_dummy, replaced = int((flags == NON_STEADY).sum()), np.flatnonzero(flags == REPLACED) + 1
    notes = [orientation_note(image)]
    if n_dummy:
        notes.append(f"{n_dummy} of {len(flags)} volumes, at the start, are not in steady state.")
    if len(replaced):
        numbers = ", ".join(map(str, replaced[:10])) + (", ..." if len(replaced) > 10 else "")
        notes.append(
            f"{len(replaced)} of {len(flags)} volumes are empty and replaced by the nearest one: "
            f"number {numbers}."
        )
    return [note for note in notes if note]


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


def _sidecar(metadata, space, flags):
    repetition_time_s, timed = float(metadata["RepetitionTime"]), bool(metadata.get("SliceTiming"))
    sidecar = {
        "Description": "Realigned, aligned to T1w and normalised in one cubic interpolation",
        "RepetitionTime": repetition_time_s,
        "SkullStripped": False,
        "Resolution": f"{OUTPUT_VOXEL_MM} mm, of the template {template_source(space)}",
        "SliceTimingCorrected": timed,
        "SusceptibilityDistortionCorrected": False,
        "StartTime": repetition_time_s / 2 if timed else 0.0,
        "NumberOfNonSteadyStateVolumes": int((flags == NON_STEADY).sum()),
        "ReplacedVolumes": np.flatnonzero(flags == REPLACED).tolist(),
    }
    return sidecar | ({"TaskName": metadata["TaskName"]} if "TaskName" in metadata else {})


def _write_normalised(path, data, mask, affine, *, sidecar, flags):
    """Write run, mean and mask with their sidecars."""
    path = partial(path, extension=".nii.gz")
    brain = {"Description": "Brain of the mean BOLD volume (nilearn), normalised", "Type": "Brain"}
    mean = data[..., int((flags == NON_STEADY).sum()) :].mean(axis=3)
    write_image(path(suffix="boldref"), mean, affine, dtype=np.int16)
    return NormalisedBold(
        bold=write_image(
            path(desc="preproc", suffix="bold"), data, affine, dtype=np.int16,
            repetition_time_s=sidecar["RepetitionTime"], sidecar=sidecar,
        ),
        mask=write_image(
            path(desc="brain", suffix="mask"), mask, affine, dtype=np.uint8, sidecar=brain
        ),
    )  # fmt: skip
