"""Head motion: framewise displacement and motion regressors."""

import numpy as np

from brainfm.errors import SignalError
from brainfm.signal.realign import rigid_matrices

PARAMETERS = ("trans_x", "trans_y", "trans_z", "rot_x", "rot_y", "rot_z")
#: Endings of the columns of :func:`expand`, with the names of fMRIPrep.
EXPANSION = ("", "_derivative1", "_power2", "_derivative1_power2")
#: Columns of :func:`friston24`.
FRISTON24 = tuple(f"{name}{kind}" for kind in EXPANSION for name in PARAMETERS)


def framewise_displacement(parameters, radius_mm=50.0):
    """Compute the framewise displacement: the absolute motion since the previous volume [1]_.

    Parameters
    ----------
    parameters : ndarray of float, shape (n_times, 6)
        Three translations in millimetres, three rotations in radians.
    radius_mm : float
        Radius of the sphere on which rotations become distances.

    Returns
    -------
    displacement : ndarray of float, shape (n_times,), in millimetres
        NaN for the first volume.

    Raises
    ------
    SignalError
        If there are not six parameters a volume.

    References
    ----------
    .. [1] Power et al., 2012, NeuroImage 59(3). https://doi.org/10.1016/j.neuroimage.2011.10.018
    """
    parameters = _checked(parameters)
    step = np.abs(np.diff(parameters, axis=0)) * [1, 1, 1, radius_mm, radius_mm, radius_mm]
    return np.concatenate([[np.nan], step.sum(axis=1)])


def friston24(parameters):
    """Expand six motion parameters to 24: with backward differences, and the squares of both.

    Parameters
    ----------
    parameters : ndarray of float, shape (n_times, 6)

    Returns
    -------
    regressors : ndarray of float, shape (n_times, 24), in the order of :data:`FRISTON24`
        Differences are NaN for the first volume.

    Raises
    ------
    SignalError
        If there are not six parameters a volume.

    References
    ----------
    .. [1] Friston et al., 1996, Magn. Reson. Med. 35(3). https://doi.org/10.1002/mrm.1910350312
    """
    return expand(_checked(parameters))


def expand(signals):
    """Add the backward differences of signals, and the squares of both.

    Parameters
    ----------
    signals : ndarray of float, shape (n_times, n_signals)

    Returns
    -------
    regressors : ndarray of float, shape (n_times, 4 * n_signals), in the order of
        :data:`EXPANSION`
        Differences are NaN for the first volume.
    """
    change = np.diff(signals, axis=0, prepend=np.nan)
    return np.hstack([signals, change, signals**2, change**2])


def relative_rms(parameters, radius_mm=80.0):
    """Compute the root mean square displacement since the previous volume in a sphere [1]_.

    Parameters
    ----------
    parameters : ndarray of float, shape (n_times, 6), in mm and radians
        About the centre of the sphere.
    radius_mm : float
        Radius of the sphere; FSL takes 80 mm.

    Returns
    -------
    displacement : ndarray of float, shape (n_times,), in millimetres
        NaN for the first volume.

    Raises
    ------
    SignalError
        If there are not six parameters a volume.

    References
    ----------
    .. [1] Jenkinson et al., 2002, NeuroImage 17(2). https://doi.org/10.1006/nimg.2002.1132
    """
    matrices = rigid_matrices(_checked(parameters), np.zeros(3))
    step = matrices[1:] @ np.linalg.inv(matrices[:-1]) - np.eye(4)
    turned = (step[:, :3, :3] ** 2).sum(axis=(1, 2)) * radius_mm**2 / 5
    shifted = (step[:, :3, 3] ** 2).sum(axis=1)
    return np.concatenate([[np.nan], np.sqrt(turned + shifted)])


def _checked(parameters):
    parameters = np.asarray(parameters, dtype=float)
    if parameters.ndim != 2 or parameters.shape[1] != 6:
        raise SignalError(
            f"motion parameters have shape {parameters.shape}; expected (n_times, 6): three "
            "translations in mm and three rotations in radians."
        )
    return parameters
