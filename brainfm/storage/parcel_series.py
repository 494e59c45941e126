"""Mean signal of each parcel of a 4-D image, read in blocks of volumes."""

from itertools import chain

import numpy as np

from brainfm.signal.bold import parcel_means

#: Size of a block of volumes in memory.
_BLOCK_BYTES = 100e6


def parcel_series(image, labels, inside, n_parcels):
    """Average the voxels of each parcel without holding the whole run in memory.

    A voxel counts when it is inside the mask and above 0 in every volume.

    Parameters
    ----------
    image : nibabel image of four dimensions
        Loaded with ``keep_file_open=True``, a gzip file is read from its start only once.
    labels : ndarray of int, shape (nx, ny, nz)
        Parcel of each voxel, 1 to ``n_parcels``; 0 is background.
    inside : ndarray of bool, shape (nx, ny, nz)
        Brain mask.
    n_parcels : int

    Returns
    -------
    series : ndarray of float, shape (n_times, n_parcels), in the unit of the image
        A parcel without such a voxel is all NaN.
    coverage : ndarray of float, shape (n_parcels,)
        Fraction of the voxels of each parcel that count; 0 for a parcel without voxels.
    """
    labels, inside = labels.ravel(order="F"), inside.ravel(order="F")
    blocks = _blocks(image)
    first = next(blocks)
    counted = inside & (labels > 0) & (first.min(axis=0) > 0)
    series, positive = _means(chain([first], blocks), np.where(counted, labels, 0), n_parcels)
    if (counted & ~positive).any():
        counted &= positive
        series, _ = _means(_blocks(image), np.where(counted, labels, 0), n_parcels)
    size, n_counted = (np.bincount(one, minlength=n_parcels + 1)[1:]
                       for one in (labels, labels[counted]))  # fmt: skip
    return series, np.divide(n_counted, size, out=np.zeros(n_parcels), where=size > 0)


def _means(blocks, labels, n_parcels):
    """Return the mean of each parcel, and whether each voxel is above 0 throughout."""
    series, positive = [], np.ones(len(labels), bool)
    for block in blocks:
        positive &= block.min(axis=0) > 0
        series.append(parcel_means(block, labels, n_parcels))
    return np.concatenate(series), positive


def _blocks(image):
    """Yield some volumes after others, shape (n_times, n_voxels), the first axis fastest."""
    n_volumes = max(1, int(_BLOCK_BYTES / 4 / np.prod(image.shape[:3])))
    for start in range(0, image.shape[3], n_volumes):
        volumes = np.asarray(image.dataobj[..., start : start + n_volumes], dtype=np.float32)
        yield volumes.reshape(-1, volumes.shape[3], order="F").T
