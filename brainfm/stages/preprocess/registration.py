"""Registration of images: rigid, affine and diffeomorphic (SyN).

Transforms are those of ITK: from points of the fixed image to points of the moving image.
"""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import ants
import numpy as np
import SimpleITK as sitk  # noqa: N813
from scipy import ndimage as ndi

from brainfm.errors import DataError
from brainfm.files import atomic
from brainfm.signal.tissue import largest_component
from brainfm.storage.images import to_ants, to_sitk

_STARTS_DEGREES = (0, -20, 20)


def register_affine(head, brain, brain_mask, *, sloppy=False):
    """Register a template brain to a head by an affine transform.

    Mutual information is optimised from several initial tilts of the head; the best is refined,
    from a similarity transform to all twelve parameters.

    Parameters
    ----------
    head : nibabel image
        T1-weighted, in coarse cubes (4 mm).
    brain, brain_mask : nibabel image
        Template without skull, and its brain mask.
    sloppy : bool
        A single initial tilt.

    Returns
    -------
    SimpleITK.AffineTransform
        From template points to head points.

    Raises
    ------
    DataError
        If the image shows no head, or the images do not overlap.
    """
    fixed, moving = to_sitk(brain), to_sitk(head)
    inside = np.asarray(brain_mask.dataobj) > 0.5
    # The margin, where the template is 0 and the skull is dark, is what fixes the size.
    mask = _mask_like(fixed, ndi.binary_dilation(inside, iterations=3))
    centre = _to_world(brain_mask, np.argwhere(inside).mean(axis=0))
    target = _to_world(head, _head_centre(np.asarray(head.dataobj), head.affine))
    starts = [
        sitk.Similarity3DTransform(1, [1, 0, 0], tilt, target - centre, centre)
        for tilt in _tilts(sloppy)
    ]
    best = _best_of(starts, fixed, moving, mask=mask)
    affine = sitk.AffineTransform(best.GetMatrix(), best.GetTranslation(), centre)
    _optimise(fixed, moving, affine, mask=mask, step=1.0)
    return affine


def register_rigid(fixed_image, moving_image, *, fixed_mask, moving_mask, sloppy=False):
    """Register two images of one head, of any contrast, by mutual information [1]_.

    The centres of the two brains are aligned first, since scanner coordinates of two images need
    not agree; several initial tilts are tried and the best is refined.

    Parameters
    ----------
    fixed_image, moving_image : nibabel image
    fixed_mask, moving_mask : ndarray of bool, shape (nx, ny, nz) of each image
        Brain masks.
    sloppy : bool
        A single initial tilt.

    Returns
    -------
    SimpleITK.Euler3DTransform
        From points of the fixed image to points of the moving image.

    Raises
    ------
    DataError
        If the images do not overlap.

    References
    ----------
    .. [1] Mattes et al., 2003, IEEE Trans Med Imaging 22(1).
       https://doi.org/10.1109/TMI.2003.809072
    """
    fixed, moving = to_sitk(fixed_image), to_sitk(moving_image)
    mask = _mask_like(fixed, ndi.binary_dilation(fixed_mask, iterations=3))
    centre = _to_world(fixed_image, np.argwhere(fixed_mask).mean(axis=0))
    target = _to_world(moving_image, np.argwhere(moving_mask).mean(axis=0))
    starts = [sitk.Euler3DTransform(centre, tilt, 0, 0, target - centre) for tilt in _tilts(sloppy)]
    best = _best_of(starts, fixed, moving, mask=mask, shrink=2)
    _optimise(fixed, moving, best, mask=mask, step=0.5, least=0.001)
    return best


def register_syn(brain_image, template_image, affine, out_dir, *, seed, threads, sloppy=False):
    """Register a brain to the template by SyN, initialised by an affine transform [1]_.

    Parameters
    ----------
    brain_image, template_image : nibabel image
        Without skull.
    affine : path
        From template points to points of the image.
    out_dir : path
    seed : int
    threads : int
    sloppy : bool
        A few iterations on coarse images.

    Returns
    -------
    to_template, to_image : list of Path
        Transform files, in the order of ANTs, that warp the image to the template, and the
        template to the image.

    References
    ----------
    .. [1] Avants et al., 2008, Med Image Anal 12(1). https://doi.org/10.1016/j.media.2007.06.004
    """
    out_dir = Path(out_dir)
    settings = {"ANTS_RANDOM_SEED": seed + 1, "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": threads}
    with tempfile.TemporaryDirectory() as scratch, _itk_settings(**settings):
        found = ants.registration(
            to_ants(template_image),
            to_ants(brain_image),
            type_of_transform="SyNOnly",
            initial_transform=str(affine),
            outprefix=f"{scratch}/",
            reg_iterations=(10, 0) if sloppy else (40, 20, 0),
            syn_metric="CC",
            syn_sampling=2,
            random_seed=seed + 1,  # 0 would mean: from the clock
        )
        paths = {}
        for file in {*found["fwdtransforms"], *found["invtransforms"]}:
            paths[file] = out_dir / Path(file).name
            with atomic(paths[file]) as partial:
                shutil.move(file, partial)
    return [paths[f] for f in found["fwdtransforms"]], [paths[f] for f in found["invtransforms"]]


@contextmanager
def _itk_settings(**settings):
    """Set environment variables of ITK, and restore them."""
    before = {name: os.environ[name] for name in settings if name in os.environ}
    os.environ.update({name: str(value) for name, value in settings.items()})
    try:
        yield
    finally:
        for name in settings:
            del os.environ[name]
        os.environ.update(before)


def _tilts(sloppy):
    """Return the initial tilts of the head, in radians."""
    return np.deg2rad(_STARTS_DEGREES[:1] if sloppy else _STARTS_DEGREES).tolist()


def _best_of(starts, fixed, moving, **options):
    """Optimise each initial transform, and return the one with the largest information."""
    values = [_optimise(fixed, moving, start, step=2.0, **options) for start in starts]
    return starts[np.argmin(values)]


def _optimise(fixed, moving, transform, *, mask, step, shrink=1, least=0.01):
    method = sitk.ImageRegistrationMethod()
    # One thread: another order of summation would change the last digits from run to run.
    method.SetNumberOfWorkUnits(1)
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(mask)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([shrink])
    method.SetSmoothingSigmasPerLevel([float(shrink if shrink > 1 else 0)])
    method.SetOptimizerAsRegularStepGradientDescent(step, least, 150)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError as error:
        raise DataError(
            "two images of one participant could not be aligned: their fields of view do not "
            f"overlap after centring ({str(error).strip().splitlines()[-1]}): check both images."
        ) from error
    return method.GetMetricValue()


def _mask_like(image, inside):
    mask = sitk.GetImageFromArray(np.ascontiguousarray(inside.T.astype(np.uint8)))
    mask.CopyInformation(image)
    return mask


def _to_world(image, voxel):
    """Return the position of a voxel in the coordinates of ITK."""
    return (image.affine[:3, :3] @ voxel + image.affine[:3, 3]) * [-1, -1, 1]


def _head_centre(data, affine, *, head_mm=160):
    """Return the centre, in voxels, of the upper 160 mm of a head: necks differ in length."""
    low, high = np.percentile(data, [2, 98])
    head = largest_component(ndi.binary_opening(data > low + 0.15 * (high - low)))
    if not head.any():
        raise DataError("no head is found in the T1w image: check the image, or exclude it.")
    top = np.flatnonzero(head.sum(axis=(0, 1)) > 20).max(initial=0)
    bottom = max(0, int(top - head_mm / np.linalg.norm(affine[:3, 2])))
    head[:, :, :bottom] = False
    return np.argwhere(head).mean(axis=0)
