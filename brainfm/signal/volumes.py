"""Raw volumes: missing values, empty volumes, and intensities that are no magnitudes."""

import numpy as np

from brainfm.errors import SignalError

_MOST_EMPTY = 0.1
_MOST_NEGATIVE = 0.1


def replace_missing(bold):
    """Replace volumes without an image by the nearest one with, and voxels without a value by 0.

    A volume counts as empty if fewer than half as many voxels as in the median volume are numbers
    that differ from the voxel in the corner: one of zeros, of NaN or of any constant, or one that
    was reconstructed in part. A voxel that is not a number in any other volume has no signal.

    Parameters
    ----------
    bold : ndarray of float, shape (nx, ny, nz, n_times)

    Returns
    -------
    bold : ndarray of float, shape (nx, ny, nz, n_times)
        The argument itself if nothing is missing.
    empty : ndarray of int, shape (n_empty,)
        Volumes that were replaced.

    Raises
    ------
    SignalError
        If no volume, or less than nine in ten, shows anything.
    """
    n_seen = np.array([_count_seen(volume) for volume in np.moveaxis(bold, 3, 0)])
    if not n_seen.any():
        raise SignalError(
            "all volumes are empty (zeros, NaN or one value): copy or convert the run again."
        )
    is_empty = n_seen < 0.5 * np.median(n_seen[n_seen > 0])
    if is_empty.mean() > _MOST_EMPTY:
        raise SignalError(
            f"{is_empty.sum()} of {len(is_empty)} volumes are empty (zeros, NaN or one value); "
            f"expected at most {_MOST_EMPTY:.0%}: convert the run again, or exclude it."
        )
    empty, whole = np.flatnonzero(is_empty), np.flatnonzero(~is_empty)
    has_value = np.isfinite(bold[..., whole]).all(axis=3)
    if not len(empty) and has_value.all():
        return bold, empty
    nearest = whole[np.abs(np.arange(len(is_empty))[:, None] - whole).argmin(axis=1)]
    return np.where(has_value[..., None], bold[..., nearest], 0).astype(bold.dtype), empty


def check_magnitude(image, name):
    """Refuse intensities that are not magnitudes: standardised, demeaned, phase or wrapped ones.

    Parameters
    ----------
    image : ndarray of float, of any shape
        A volume, or the mean of a run.
    name : str
        What it is, for the error.

    Raises
    ------
    SignalError
        If its negative values amount to more than a tenth of its positive ones.
    """
    negative, positive = -image[image < 0].sum(), image[image > 0].sum()
    if negative > _MOST_NEGATIVE * positive:
        raise SignalError(
            f"{name} is negative in {(image < 0).mean():.0%} of its voxels; expected magnitudes: "
            "is it demeaned, standardised, a phase image, or an overflow of integers? Give the "
            "image before that."
        )


def check_change(bold):
    """Refuse a run whose volumes are all the same.

    Parameters
    ----------
    bold : ndarray of float, shape (nx, ny, nz, n_times)

    Raises
    ------
    SignalError
        If no voxel changes.
    """
    if not any((bold[..., index] != bold[..., 0]).any() for index in range(bold.shape[3])):
        raise SignalError(
            f"all {bold.shape[3]} volumes are the same: copy or convert the run again."
        )


def _count_seen(volume):
    return int((np.isfinite(volume) & (volume != volume.flat[0])).sum())
