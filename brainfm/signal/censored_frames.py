"""Frames of BOLD that were censored: left out of estimates, interpolated for the encoder."""

import numpy as np

from brainfm.errors import SignalError

#: Share of the frames that must be left.
_LEAST_KEPT = 0.5


def censored_frames(series):
    """Find the frames in which no parcel has a value.

    Parameters
    ----------
    series : ndarray of float, shape (n_times, n_parcels)

    Returns
    -------
    censored : ndarray of bool, shape (n_times,)
    """
    return ~np.isfinite(series).any(axis=1)


def without_censored(series):
    """Remove censored frames, for estimates in which the order of frames does not matter.

    Parameters
    ----------
    series : ndarray of float, shape (n_times, n_parcels)
        NaN in all parcels of a censored frame.

    Returns
    -------
    kept : ndarray of float, shape (n_kept, n_parcels)

    Raises
    ------
    SignalError
        If fewer than half of the frames are left.
    """
    censored = censored_frames(series)
    _check_enough(censored)
    return series[~censored]


def interpolate_censored(series):
    """Interpolate censored frames linearly in time; those at both ends are cut off.

    Parameters
    ----------
    series : ndarray of float, shape (n_times, n_parcels)
        NaN in all parcels of a censored frame.

    Returns
    -------
    whole : ndarray of float, shape (n_left, n_parcels)

    Raises
    ------
    SignalError
        If fewer than half of the frames are left.
    """
    censored = censored_frames(series)
    if not censored.any():
        return series
    _check_enough(censored)
    known = np.flatnonzero(~censored)
    times = np.arange(known[0], known[-1] + 1)
    after = np.clip(np.searchsorted(known, times), 1, len(known) - 1)
    before, after = known[after - 1], known[after]
    weight = ((times - before) / (after - before))[:, None]
    # A frame that is known must not mix with a parcel that is missing in its neighbour.
    whole = (1 - weight) * series[before] + weight * series[after]
    whole[known - known[0]] = series[known]
    return whole.astype(series.dtype)


def _check_enough(censored):
    if censored.mean() > 1 - _LEAST_KEPT:
        raise SignalError(
            f"{np.count_nonzero(~censored)} of {len(censored)} frames are left after censoring; "
            f"expected {_LEAST_KEPT:.0%} or more: exclude the run."
        )
