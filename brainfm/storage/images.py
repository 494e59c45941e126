"""Images on disk, and their conversion between nibabel, SimpleITK and ANTs.

Images are nibabel images in right-anterior-superior (RAS) millimetres. ITK uses
left-posterior-superior coordinates; only this module converts between the two.
"""

from functools import cache
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from nilearn import datasets

from brainfm.config import TEMPLATE_SPACE
from brainfm.errors import DataError, MissingInput
from brainfm.files import atomic, write_json
from brainfm.storage.templateflow import find_template_map

_FLIP = np.diag([-1.0, -1.0, 1.0])


def read_image(path):
    """Load an image in float32, with its axes reordered to the closest RAS orientation.

    Parameters
    ----------
    path : path

    Returns
    -------
    image : nibabel.Nifti1Image
        0 where the file holds no number; without axes of length 1 after the third.

    Raises
    ------
    MissingInput
        If there is no such file.
    DataError
        If the file is truncated or not an image.
    """
    try:
        image = nib.as_closest_canonical(drop_single_axes(nib.load(path)))
        data = np.nan_to_num(np.asarray(image.dataobj, np.float32), posinf=0, neginf=0)
        return nib.Nifti1Image(data, image.affine)
    except FileNotFoundError as error:
        raise MissingInput(f"{path} does not exist.") from error
    except Exception as error:
        raise DataError(f"{path} cannot be read ({error}): copy or convert it again.") from error


def drop_single_axes(image):
    """Drop the axes of length 1 after the third, which some converters add.

    Parameters
    ----------
    image : nibabel image

    Returns
    -------
    image : nibabel image
        The argument itself if it has none; its voxels are not read.
    """
    shape = (*image.shape[:3], *(n for n in image.shape[3:] if n != 1))
    if shape == image.shape:
        return image
    return nib.Nifti1Image(image.dataobj.reshape(shape), image.affine)


def write_image(path, data, affine, *, dtype=np.float32, repetition_time_s=None, sidecar=None):
    """Write an array as NIfTI, whole or not at all.

    Parameters
    ----------
    path : path
    data : ndarray of float or int, shape (nx, ny, nz) or (nx, ny, nz, n_times)
    affine : ndarray of float, shape (4, 4)
        Voxel indices to millimetres.
    dtype : dtype
        ``uint8`` for labels and masks; ``int16`` stores real values with a scale factor.
    repetition_time_s : float, optional
    sidecar : dict, optional
        Content of the JSON file beside the image.

    Returns
    -------
    path : path
    """
    data = np.asarray(data)
    image = nib.Nifti1Image(data.astype(np.uint8) if dtype == np.uint8 else data, affine)
    image.set_data_dtype(dtype)
    for set_form in (image.set_qform, image.set_sform):
        set_form(affine, code=4 if "_space-MNI152" in str(path) else 1)
    image.header.set_xyzt_units("mm", "sec")
    if repetition_time_s:
        image.header.set_zooms((*image.header.get_zooms()[:3], repetition_time_s))
    with atomic(path) as partial:
        nib.save(image, partial)
    if sidecar:
        write_json(Path(path).with_suffix("").with_suffix(".json"), sidecar)
    return path


@cache
def template(kind, voxel_mm, space=TEMPLATE_SPACE):
    """Load a map of a template: the one packaged with nilearn, or one of TemplateFlow.

    Parameters
    ----------
    kind : {"t1w", "mask", "gm", "wm"}
        T1-weighted image of the brain without skull, brain mask, or tissue probability.
    voxel_mm : int
    space : str
        ``MNI152NLin2009aSym`` is packaged with nilearn; others are in TemplateFlow's home folder.

    Returns
    -------
    image : nibabel.Nifti1Image

    Raises
    ------
    MissingInput
        If TemplateFlow's home folder does not hold the map.
    """
    if space != TEMPLATE_SPACE:
        return _templateflow_map(kind, voxel_mm, space)
    load = {
        "t1w": datasets.load_mni152_template,
        "mask": datasets.load_mni152_brain_mask,
        "gm": datasets.load_mni152_gm_template,
        "wm": datasets.load_mni152_wm_template,
    }[kind]
    image = load(resolution=voxel_mm)
    return nib.Nifti1Image(np.asarray(image.dataobj, dtype=np.float32), image.affine)


def to_sitk(image):
    """Convert a nibabel image to SimpleITK.

    Parameters
    ----------
    image : nibabel image

    Returns
    -------
    SimpleITK.Image
        In float32.
    """
    spacing, origin, direction = _itk_geometry(image.affine)
    converted = sitk.GetImageFromArray(np.asarray(image.dataobj, dtype=np.float32).T)
    converted.SetSpacing(spacing)
    converted.SetOrigin(origin)
    converted.SetDirection(direction.ravel())
    return converted


def from_sitk(image):
    """Convert a SimpleITK image to nibabel.

    Parameters
    ----------
    image : SimpleITK.Image

    Returns
    -------
    nibabel.Nifti1Image
    """
    direction = np.reshape(image.GetDirection(), (3, 3))
    affine = np.eye(4)
    affine[:3, :3] = _FLIP @ direction @ np.diag(image.GetSpacing())
    affine[:3, 3] = _FLIP @ image.GetOrigin()
    return nib.Nifti1Image(sitk.GetArrayFromImage(image).T, affine)


def to_ants(image):
    """Convert a nibabel image to ANTs.

    Parameters
    ----------
    image : nibabel image

    Returns
    -------
    ants.ANTsImage
        In float32.
    """
    spacing, origin, direction = _itk_geometry(image.affine)
    data = np.asarray(image.dataobj, dtype=np.float32)
    return ants.from_numpy(data, origin=origin, spacing=spacing, direction=direction)


def read_transform(files):
    """Read transform files as one composite transform of points.

    Parameters
    ----------
    files : sequence of path
        Affine (``.mat``, ``.tfm``) and displacement (``.nii.gz``) transforms. Points go through
        the first one first, as in ANTs.

    Returns
    -------
    SimpleITK.CompositeTransform
    """
    parts = []
    for file in reversed([str(file) for file in files]):  # SimpleITK applies the last one first
        if file.endswith((".nii", ".nii.gz")):
            field = sitk.ReadImage(file, sitk.sitkVectorFloat64)
            parts.append(sitk.DisplacementFieldTransform(field))
        else:
            parts.append(sitk.ReadTransform(file))
    return sitk.CompositeTransform(parts)


def transform_grid(transform, grid):
    """Map the centre of each voxel of a grid through a SimpleITK transform.

    Parameters
    ----------
    transform : SimpleITK.Transform
    grid : nibabel image

    Returns
    -------
    points : ndarray of float, shape (nx, ny, nz, 3), in RAS mm
    """
    spacing, origin, direction = _itk_geometry(grid.affine)
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, list(grid.shape[:3]), origin, spacing, direction.ravel()
    )
    shift = np.transpose(sitk.GetArrayFromImage(field), (2, 1, 0, 3)) @ _FLIP
    voxels = np.moveaxis(np.indices(grid.shape[:3]), 0, -1)
    return voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3] + shift


def resample_image(image, grid, transform=None, *, nearest=False):
    """Resample an image onto a grid by linear interpolation.

    Parameters
    ----------
    image, grid : nibabel image
    transform : SimpleITK.Transform, optional
        From points of ``grid`` to points of ``image``; identity by default.
    nearest : bool
        Nearest-neighbour interpolation, for labels.

    Returns
    -------
    nibabel.Nifti1Image
        0 outside ``image``.
    """
    method = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    moved = sitk.Resample(to_sitk(image), to_sitk(grid), transform or sitk.Transform(), method, 0.0)
    return from_sitk(moved)


def resample_isotropic(image, voxel_mm):
    """Resample an image to isotropic voxels, with Gaussian smoothing against aliasing.

    Parameters
    ----------
    image : nibabel image
    voxel_mm : float

    Returns
    -------
    nibabel.Nifti1Image
    """
    size_mm = np.array(image.header.get_zooms()[:3], float)
    smooth = to_sitk(image)
    sigma = [float(s) for s in np.where(size_mm < 0.8 * voxel_mm, 0.4 * voxel_mm, 0)]
    if any(sigma):
        smooth = sitk.SmoothingRecursiveGaussian(smooth, [max(s, 1e-3) for s in sigma])
    affine = image.affine.copy()
    affine[:3, :3] *= voxel_mm / size_mm
    affine[:3, 3] += image.affine[:3, :3] @ ((voxel_mm / size_mm - 1) / 2)
    shape = np.ceil(image.shape[:3] * size_mm / voxel_mm).astype(int)
    grid = nib.Nifti1Image(np.zeros(shape, np.float32), affine)
    return from_sitk(sitk.Resample(smooth, to_sitk(grid), sitk.Transform(), sitk.sitkLinear))


def _templateflow_map(kind, voxel_mm, space):
    image = read_image(find_template_map(kind, space))
    if kind == "t1w":
        brain = read_image(find_template_map("mask", space))
        data = np.asarray(image.dataobj) * (np.asarray(brain.dataobj) > 0.5)
        image = nib.Nifti1Image(data, image.affine)
    return resample_isotropic(image, voxel_mm)


def _itk_geometry(affine):
    """Return spacing, origin and direction; shear, which ITK lacks, is dropped."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(affine[:3, :3] / spacing)
    return spacing.tolist(), (_FLIP @ affine[:3, 3]).tolist(), _FLIP @ (left @ right)
