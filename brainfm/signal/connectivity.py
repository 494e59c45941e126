"""Functional connectivity: how parcel series vary together."""

import numpy as np

from brainfm.errors import SignalError
from brainfm.signal.censored_frames import censored_frames


def pearson(series):
    """Correlate every parcel with every other.

    Parameters
    ----------
    series : ndarray of float, shape (n_times, n_parcels)
        A parcel without data is all NaN. Time points that are NaN in all parcels, censored
        volumes, are left out.

    Returns
    -------
    matrix : ndarray of float, shape (n_parcels, n_parcels), between -1 and 1
        NaN where a parcel has no data or does not vary; 1 on the diagonal of the others.

    Raises
    ------
    SignalError
        If there are fewer than two time points.
    """
    series = np.asarray(series, dtype=float)
    if series.ndim != 2 or len(series) < 2:
        raise SignalError(
            f"series has shape {series.shape}; expected (n_times, n_parcels) with at least two "
            "time points."
        )
    censored = censored_frames(series)
    if censored.sum() <= len(series) - 2:
        series = series[~censored]
    centred = series - series.mean(axis=0)
    norm = np.sqrt((centred**2).sum(axis=0))
    scale = np.abs(series).max(axis=0) * np.sqrt(len(series))
    flat = ~(norm > 1e-10 * scale)  # NaN counts as flat
    unit = centred / np.where(flat, np.nan, norm)
    matrix = np.clip(unit.T @ unit, -1, 1)
    np.fill_diagonal(matrix, np.where(flat, np.nan, 1.0))
    return matrix


def upper_triangle(matrix):
    """Return the entries above the diagonal, row by row.

    Parameters
    ----------
    matrix : ndarray, shape (..., n, n)

    Returns
    -------
    edges : ndarray, shape (..., n * (n - 1) / 2)
    """
    matrix = np.asarray(matrix)
    rows, columns = np.triu_indices(matrix.shape[-1], k=1)
    return matrix[..., rows, columns]
