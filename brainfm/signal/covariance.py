"""Covariances between channels: shrunk, completed where channels are missing, seen from a mean."""

import numpy as np
from sklearn.covariance import oas


def shrunk_covariance(signal):
    """Estimate a covariance, shrunk towards a multiple of the identity by OAS.

    Parameters
    ----------
    signal : ndarray of float, shape (n_times, n_channels)

    Returns
    -------
    covariance : ndarray of float, shape (n_channels, n_channels)
        Eigenvalues that are not positive are lifted.

    References
    ----------
    .. [1] Chen et al., 2010, IEEE Trans. Signal Processing 58.
       https://doi.org/10.1109/TSP.2010.2053029
    """
    centred = signal - signal.mean(axis=0)
    scale = np.mean(centred**2) or 1.0  # volts squared are too small for shrinkage in float
    return _definite(oas(centred / np.sqrt(scale), assume_centered=True)[0] * scale)


def impute_nan(array, mean):
    """Take what is NaN of an array from the mean."""
    missing = np.isnan(array)
    return np.where(missing, mean, array) if missing.any() else array


def impute_channels(matrices, mean):
    """Fill in missing channels of covariances; what that made indefinite is lifted.

    Parameters
    ----------
    matrices : sequence of ndarray, shape (n, n)
        NaN in rows and columns of missing channels.
    mean : ndarray, shape (n, n)

    Returns
    -------
    covariances : ndarray, shape (n_matrices, n, n)
    """
    return np.array([
        _definite(impute_nan(matrix, mean)) if np.isnan(matrix).any() else matrix
        for matrix in matrices
    ])  # fmt: skip


def log_euclidean_mean(matrices):
    """Exponential of the mean logarithm, (n_matrices, n, n) to (n, n)."""
    return _of_eigenvalues(np.exp, _of_eigenvalues(np.log, np.asarray(matrices)).mean(axis=0))


def tangent(matrices, reference):
    """Logarithms of covariances at a reference, as vectors of the same length.

    Parameters
    ----------
    matrices : ndarray, shape (..., n, n), positive definite
    reference : ndarray, shape (n, n)

    Returns
    -------
    vectors : ndarray, shape (..., n * (n + 1) / 2)
        The upper triangle, off the diagonal times the root of 2.

    References
    ----------
    .. [1] Varoquaux et al., 2010, MICCAI. https://doi.org/10.1007/978-3-642-15705-9_25
    """
    whiten = _of_eigenvalues(lambda values: 1 / np.sqrt(values), reference)
    logs = _of_eigenvalues(np.log, whiten @ matrices @ whiten)
    rows, columns = np.triu_indices(len(reference))
    return logs[..., rows, columns] * np.where(rows == columns, 1.0, np.sqrt(2))


def partial_correlations(covariances):
    """Correlation of each pair given all others, (n_matrices, n, n)."""
    precision = np.linalg.inv(covariances)
    scale = 1 / np.sqrt(np.diagonal(precision, axis1=1, axis2=2))
    return -precision * scale[:, :, None] * scale[:, None, :]


def _of_eigenvalues(function, matrices):
    """Apply a function to the eigenvalues of symmetric matrices (..., n, n)."""
    values, vectors = np.linalg.eigh(matrices)
    return (vectors * function(values)[..., None, :]) @ np.swapaxes(vectors, -1, -2)


def _definite(matrix):
    """Lift eigenvalues that are not positive, to the last of a million parts of the largest."""
    return _of_eigenvalues(lambda values: np.maximum(values, 1e-6 * values[-1]), matrix)
