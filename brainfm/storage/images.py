"""Images between disk, nibabel, SimpleITK and ANTs.

Inside brainfm an image is a nibabel image in right-anterior-superior millimetres; ITK counts the
first two axes the other way round, and this is the one place that knows it.
"""

from functools import cache

import ants
import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from nilearn.datasets import (
    load_mni152_brain_mask,
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)

from brainfm.errors import DataError, MissingInput
from brainfm.files import atomic

#: The space of the templates that come with nilearn.
TEMPLATE_SPACE = "MNI152NLin2009aSym"
_FLIP = np.diag([-1.0, -1.0, 1.0])


def read_image(path):
    """Load an image in float32, its axes as near to right, anterior, superior as they can be.

    Raises
    ------
    MissingInput
        If there is no such file.
    DataError
        If it cannot be read to its end.
    """
    try:
        image = nib.as_closest_canonical(nib.load(path))
        return nib.Nifti1Image(np.asarray(image.dataobj, dtype=np.float32), image.affine)
    except FileNotFoundError as error:
        raise MissingInput(f"{path} does not exist.") from error
    except Exception as error:
        raise DataError(f"{path} cannot be read ({error}): copy or convert it again.") from error


def write_image(path, data, affine, *, dtype=np.float32, repetition_time_s=None):
    """Write an array as NIfTI, whole or not at all, and return its path.

    ``uint8`` is for labels and masks; ``int16`` holds real values by a scale in the header.
    """
    data = np.asarray(data)
    image = nib.Nifti1Image(data.astype(np.uint8) if dtype == np.uint8 else data, affine)
    image.set_data_dtype(dtype)
    image.set_qform(affine, code=4 if TEMPLATE_SPACE in str(path) else 1)
    image.set_sform(affine, code=4 if TEMPLATE_SPACE in str(path) else 1)
    image.header.set_xyzt_units("mm", "sec")
    if repetition_time_s:
        image.header.set_zooms((*image.header.get_zooms()[:3], repetition_time_s))
    with atomic(path) as partial:
        nib.save(image, partial)
    return path


@cache
def template(kind, voxel_mm):
    """Return one of the maps of the MNI152 template packaged with nilearn.

    Parameters
    ----------
    kind : {"t1w", "mask", "grey", "white"}
        The T1-weighted image holds the brain only.
    voxel_mm : int
    """
    load = {
        "t1w": load_mni152_template,
        "mask": load_mni152_brain_mask,
        "grey": load_mni152_gm_template,
        "white": load_mni152_wm_template,
    }[kind]
    image = load(resolution=voxel_mm)
    return nib.Nifti1Image(np.asarray(image.dataobj, dtype=np.float32), image.affine)


def to_sitk(image):
    """Hand a nibabel image to SimpleITK."""
    spacing, origin, direction = _itk_geometry(image.affine)
    converted = sitk.GetImageFromArray(np.asarray(image.dataobj, dtype=np.float32).T)
    converted.SetSpacing(spacing)
    converted.SetOrigin(origin)
    converted.SetDirection(direction.ravel())
    return converted


def from_sitk(image):
    """Take an image back from SimpleITK."""
    direction = np.reshape(image.GetDirection(), (3, 3))
    affine = np.eye(4)
    affine[:3, :3] = _FLIP @ direction @ np.diag(image.GetSpacing())
    affine[:3, 3] = _FLIP @ image.GetOrigin()
    return nib.Nifti1Image(sitk.GetArrayFromImage(image).T, affine)


def to_ants(image):
    """Hand a nibabel image to ANTs."""
    spacing, origin, direction = _itk_geometry(image.affine)
    data = np.asarray(image.dataobj, dtype=np.float32)
    return ants.from_numpy(data, origin=origin, spacing=spacing, direction=direction)


def read_transform(files):
    """Read transform files as one map of points; as in ANTs the last in the list comes last.

    Parameters
    ----------
    files : sequence of path
        Affine (``.mat``, ``.tfm``) and displacement (``.nii.gz``) transforms.
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
    """Send the centre of each voxel of a grid through a SimpleITK transform.

    Parameters
    ----------
    transform : SimpleITK.Transform
    grid : nibabel image

    Returns
    -------
    points : ndarray of float, shape (nx, ny, nz, 3), in mm, right-anterior-superior
    """
    spacing, origin, direction = _itk_geometry(grid.affine)
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, list(grid.shape[:3]), origin, spacing, direction.ravel()
    )
    shift = np.transpose(sitk.GetArrayFromImage(field), (2, 1, 0, 3)) @ _FLIP
    voxels = np.moveaxis(np.indices(grid.shape[:3]), 0, -1)
    return voxels @ grid.affine[:3, :3].T + grid.affine[:3, 3] + shift


def resample_image(image, grid, transform=None, *, nearest=False):
    """Resample an image onto a grid, whose points ``transform`` takes to those of the image."""
    method = sitk.sitkNearestNeighbor if nearest else sitk.sitkLinear
    moved = sitk.Resample(to_sitk(image), to_sitk(grid), transform or sitk.Transform(), method, 0.0)
    return from_sitk(moved)


def resample_isotropic(image, voxel_mm):
    """Smooth an image as its coarser voxels would, and resample it to cubes of ``voxel_mm``."""
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


def _itk_geometry(affine):
    """Return spacing, origin and direction; shear, unknown to ITK, becomes the nearest turn."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(affine[:3, :3] / spacing)
    return spacing.tolist(), (_FLIP @ affine[:3, 3]).tolist(), _FLIP @ (left @ right)
