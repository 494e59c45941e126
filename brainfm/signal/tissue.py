"""Brain extraction and tissue segmentation of T1-weighted images."""

import numpy as np
from scipy import ndimage as ndi

from brainfm.errors import SignalError

#: Labels of grey matter, white matter and cerebrospinal fluid, as in fMRIPrep.
GM, WM, CSF = 1, 2, 3


def dice(first, second):
    """Compute the Dice coefficient of two masks.

    Parameters
    ----------
    first, second : ndarray of bool, of one shape (nx, ny, nz)

    Returns
    -------
    overlap : float
        0 to 1; NaN if both masks are empty.

    References
    ----------
    .. [1] Dice, 1945, Ecology 26(3). https://doi.org/10.2307/1932409
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    total = first.sum() + second.sum()
    return float(2 * (first & second).sum() / total) if total else float("nan")


def extract_brain(head, prior, voxel_mm):
    """Extract the brain from skull and scalp by its intensities.

    Bright tissue near ``prior`` is eroded until bridges to the scalp break; the largest component
    is dilated again and its sulci are closed. ``prior`` bounds the search; the edge comes from the
    image.

    Parameters
    ----------
    head : ndarray of float, shape (nx, ny, nz)
        T1-weighted, without bias field.
    prior : ndarray of bool, shape (nx, ny, nz)
        Brain mask of a template, registered to the head by an affine transform.
    voxel_mm : float
        Edge of the voxels, which are cubes.

    Returns
    -------
    mask : ndarray of bool, shape (nx, ny, nz)

    Raises
    ------
    SignalError
        If the Dice coefficient of the mask found and ``prior`` is below 0.5.
    """
    csf_below, _ = tissue_thresholds(head[prior])
    bright = np.percentile(head[prior], 99.8) * 1.15
    near = _distance(prior, voxel_mm) <= 6
    deep = _depth(prior, voxel_mm) >= 10
    tissue = near & (head > 0.85 * csf_below) & (head < bright)
    core = largest_component((_depth(tissue, voxel_mm) >= min(3, 1.5 * voxel_mm)) | (deep & tissue))
    grown = (_distance(core, voxel_mm) <= 3) & tissue
    closed = _depth(_distance(grown, voxel_mm) <= 12, voxel_mm) > 12
    filled = ndi.binary_fill_holes(closed | grown) & near
    mask = largest_component(ndi.gaussian_filter(filled.astype(np.float32), 2 / voxel_mm) > 0.5)
    if dice(mask, prior) < 0.5:
        raise SignalError(
            f"the brain found in the T1w image overlaps only {dice(mask, prior):.2f} (Dice) with "
            "the brain of the template: is it a T1-weighted image of a whole head, and is its "
            "orientation right?"
        )
    return mask


def tissue_thresholds(values):
    """Threshold intensities of a brain into CSF, grey and white matter by Otsu's method [1]_.

    Parameters
    ----------
    values : ndarray of float, shape (n_voxels,)

    Returns
    -------
    csf, gm : float
        Highest intensity of CSF and of grey matter.

    References
    ----------
    .. [1] Liao et al., 2001, J Inf Sci Eng 17(5). Otsu's method for several classes.
    """
    top = np.percentile(values, 99.5)
    counts, edges = np.histogram(values[values < top], bins=128)
    weight = np.concatenate([[0], np.cumsum(counts)])
    moment = np.concatenate([[0], np.cumsum(counts * (edges[:-1] + edges[1:]) / 2)])

    def between(low, high):
        size = weight[high] - weight[low]
        return np.divide((moment[high] - moment[low]) ** 2, size,
                         out=np.zeros(np.shape(size)), where=size > 0)  # fmt: skip

    first, second = (index + 1 for index in np.triu_indices(127, k=1))
    best = (between(0, first) + between(first, second) + between(second, 128)).argmax()
    return float(edges[first[best]]), float(edges[second[best]])


def segment_tissues(t1w, priors, mask, *, n_iterations=15):
    """Segment grey matter, white matter and CSF by intensity and spatial priors.

    Expectation-maximisation of a mixture of three normal distributions with spatial weights, as in
    the unified segmentation of SPM without its bias field and deformation [1]_.

    Parameters
    ----------
    t1w : ndarray of float, shape (nx, ny, nz)
    priors : ndarray of float, shape (3, nx, ny, nz)
        Prior probability of grey matter, white matter and CSF.
    mask : ndarray of bool, shape (nx, ny, nz)
        The brain.
    n_iterations : int

    Returns
    -------
    labels : ndarray of uint8, shape (nx, ny, nz)
        :data:`GM`, :data:`WM`, :data:`CSF`; 0 outside the mask.

    References
    ----------
    .. [1] Ashburner & Friston, 2005, NeuroImage 26(3).
       https://doi.org/10.1016/j.neuroimage.2005.02.018
    """
    values = t1w[mask].astype(float)
    expected = np.clip(priors[:, mask], 0.02, None)
    expected = expected / expected.sum(axis=0)
    csf_below, gm_below = tissue_thresholds(values)
    groups = [
        (values > csf_below) & (values <= gm_below), values > gm_below, values <= csf_below,
    ]  # fmt: skip
    posterior = np.stack(groups).astype(float)
    for _ in range(n_iterations):
        size = posterior.sum(axis=1) + 1e-9
        mean = posterior @ values / size
        variance = (posterior * (values - mean[:, None]) ** 2).sum(axis=1) / size
        variance = np.maximum(variance, 1e-4 * values.var())
        density = np.exp(-0.5 * (values - mean[:, None]) ** 2 / variance[:, None])
        posterior = expected * density / np.sqrt(variance)[:, None] + 1e-12
        posterior /= posterior.sum(axis=0)
    labels = np.zeros(mask.shape, np.uint8)
    labels[mask] = posterior.argmax(axis=0) + 1
    return labels


def largest_component(mask):
    """Return the largest connected component of a mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (nx, ny, nz)

    Returns
    -------
    component : ndarray of bool, shape (nx, ny, nz)
        Empty if the mask is.
    """
    pieces, n_pieces = ndi.label(mask)
    if not n_pieces:
        return np.zeros_like(mask)
    return pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()


def _distance(mask, voxel_mm):
    return ndi.distance_transform_edt(~mask) * voxel_mm


def _depth(mask, voxel_mm):
    return ndi.distance_transform_edt(mask) * voxel_mm
