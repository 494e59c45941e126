"""How parcels vary together."""

import numpy as np

from brainfm.errors import SignalError


def pearson(series):
    """Correlate all pairs of parcels.

    Parameters
    ----------
    series : ndarray of float, shape (n_times, n_parcels), in any unit
        A parcel that is missing is all NaN.

    Returns
    -------
    matrix : ndarray of float, shape (n_parcels, n_parcels)
        Pearson correlations; the diagonal is 1. Rows and columns of missing parcels, and of
        parcels that never change, are NaN.

    Raises
    ------
    SignalError
        If there are fewer than three time points, or a parcel is missing at some times only.
    """
    series = np.asarray(series, float)
    if series.ndim != 2 or len(series) < 3:
        raise SignalError(
            f"series has shape {series.shape}; expected (n_times, n_parcels) with 3 times or more."
        )
    lost = np.isnan(series)
    partly = lost.any(axis=0) & ~lost.all(axis=0)
    if partly.any():
        raise SignalError(
            f"{partly.sum()} parcels are NaN at some times only (first: column "
            f"{np.flatnonzero(partly)[0]}): drop these times, or set the whole parcel to NaN."
        )
    centred = series - series.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    moves = size > 1e-12 * np.abs(series).max(axis=0, initial=0)
    unit = np.divide(centred, size, out=np.full(series.shape, np.nan), where=moves)
    matrix = np.clip(unit.T @ unit, -1, 1)
    here = np.flatnonzero(~np.isnan(matrix.diagonal()))
    matrix[here, here] = 1
    return matrix


def upper_triangle(matrix):
    """Return the entries above the diagonal, row after row.

    Parameters
    ----------
    matrix : ndarray, shape (..., n_parcels, n_parcels)

    Returns
    -------
    entries : ndarray, shape (..., n_parcels * (n_parcels - 1) / 2)

    Raises
    ------
    SignalError
        If the last two axes differ in length.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise SignalError(f"matrix has shape {matrix.shape}; expected square in the last two axes.")
    rows, columns = np.triu_indices(matrix.shape[-1], k=1)
    return matrix[..., rows, columns]
