"""Covariances between channels: shrinkage, imputation of missing channels, partial correlation."""

import numpy as np
from sklearn.covariance import oas


def shrunk_covariance(signal):
    """Estimate a covariance, shrunk towards a multiple of the identity by OAS.

    Parameters
    ----------
    signal : ndarray of float, shape (n_times, n_channels)

    Returns
    -------
    covariance : ndarray of float, shape (n_channels, n_channels), positive definite
        In the squared unit of ``signal``; eigenvalues are at least a millionth of the largest.

    References
    ----------
    .. [1] Chen et al., 2010, IEEE Trans. Signal Processing 58.
       https://doi.org/10.1109/TSP.2010.2053029
    """
    centred = signal - signal.mean(axis=0)
    scale = np.mean(centred**2) or 1.0  # volts squared are too small for shrinkage in float
    return _definite(oas(centred / np.sqrt(scale), assume_centered=True)[0] * scale)


def impute_channels(matrices, mean):
    """Impute missing channels of covariances by the mean, and keep them positive definite.

    Parameters
    ----------
    matrices : sequence of ndarray of float, shape (n, n)
        NaN in the rows and columns of missing channels.
    mean : ndarray of float, shape (n, n)

    Returns
    -------
    covariances : ndarray of float, shape (n_matrices, n, n)
    """
    return np.array([
        _definite(np.where(np.isnan(matrix), mean, matrix)) if np.isnan(matrix).any() else matrix
        for matrix in matrices
    ])  # fmt: skip


def partial_correlations(covariances):
    """Compute the correlation of each pair of channels given all others.

    Parameters
    ----------
    covariances : ndarray of float, shape (n_matrices, n, n), positive definite

    Returns
    -------
    correlations : ndarray of float, shape (n_matrices, n, n)
        -1 on the diagonal.

    References
    ----------
    .. [1] Marrelec et al., 2006, NeuroImage 32. https://doi.org/10.1016/j.neuroimage.2005.12.057
    """
    precision = np.linalg.inv(covariances)
    scale = 1 / np.sqrt(np.diagonal(precision, axis1=1, axis2=2))
    return -precision * scale[:, :, None] * scale[:, None, :]


def _definite(matrix):
    """Raise eigenvalues below a millionth of the largest to that."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 1e-6 * values[-1])) @ vectors.T
