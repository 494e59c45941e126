"""Slice timing correction."""

import numpy as np

from brainfm.errors import SignalError


def slice_axis(direction):
    """Return the array axis of ``SliceEncodingDirection``, such as 2 for ``k`` or ``k-``.

    Parameters
    ----------
    direction : str

    Returns
    -------
    axis : {0, 1, 2}

    Raises
    ------
    SignalError
        If it is none of i, j and k, with or without a minus.
    """
    axis = str(direction).removesuffix("-")
    if axis not in ("i", "j", "k"):
        raise SignalError(
            f"SliceEncodingDirection is {direction!r}; expected i, j or k, or one of them with a "
            "minus: correct it in the sidecar."
        )
    return "ijk".index(axis)


def checked_slice_times(slice_times_s, n_slices, *, repetition_time_s, axis=2):
    """Validate slice times against the image; see :func:`correct_slice_timing`.

    Parameters
    ----------
    slice_times_s : sequence of float, in seconds
    n_slices : int
    repetition_time_s : float
    axis : {0, 1, 2}

    Returns
    -------
    times : ndarray of float, shape (n_slices,), in seconds

    Raises
    ------
    SignalError
        If they are not finite numbers, not one per slice, or not between 0 and the repetition
        time.
    """
    try:
        times = np.asarray(slice_times_s, float)
    except (TypeError, ValueError):
        times = np.array(np.nan)
    if times.ndim != 1 or not np.isfinite(times).all():
        raise SignalError(
            "SliceTiming has entries that are not numbers; expected seconds, one for each slice: "
            "correct it in the sidecar."
        )
    if len(times) != n_slices:
        raise SignalError(
            f"SliceTiming has {len(times)} entries but the image has {n_slices} slices "
            f"along axis {axis}: correct SliceTiming or SliceEncodingDirection in the sidecar."
        )
    if times.min() < 0 or times.max() > repetition_time_s:
        raise SignalError(
            f"SliceTiming runs from {times.min():g} to {times.max():g}; expected seconds from 0 to "
            f"the RepetitionTime of {repetition_time_s:g} s: are they milliseconds?"
        )
    return times


def correct_slice_timing(bold, slice_times_s, *, repetition_time_s, axis=2):
    """Interpolate every slice to the middle of its volume by cubic splines over time [1]_.

    Parameters
    ----------
    bold : ndarray of float, shape (nx, ny, nz, n_times)
    slice_times_s : sequence of float, as many as ``bold`` has slices along ``axis``
        Acquisition time of each slice, in seconds from the start of the volume.
    repetition_time_s : float
    axis : {0, 1, 2}
        Axis of the slices.

    Returns
    -------
    corrected : ndarray of float32, shape of ``bold``
        The first and last values are held, not extrapolated.

    Raises
    ------
    SignalError
        See :func:`checked_slice_times`.

    References
    ----------
    .. [1] Henson et al., 1999, NeuroImage 9(6), S125: the slice-timing problem in event-related
       fMRI.
    """
    from scipy.interpolate import CubicSpline  # a second to import; checks of headers need none

    times = checked_slice_times(
        slice_times_s, bold.shape[axis], repetition_time_s=repetition_time_s, axis=axis
    )
    corrected = np.empty(bold.shape, np.float32)
    volumes = np.arange(bold.shape[3]) * repetition_time_s
    for index, time in enumerate(times):
        where = (slice(None),) * axis + (index,)
        wanted = np.clip(volumes + repetition_time_s / 2, time, volumes[-1] + time)
        corrected[where] = CubicSpline(volumes + time, bold[where], axis=2)(wanted)
    return corrected
