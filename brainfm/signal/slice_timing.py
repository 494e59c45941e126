"""Bring all slices of a volume to one moment."""

import numpy as np

from brainfm.errors import SignalError


def slice_axis(direction):
    """Return the axis ``SliceEncodingDirection`` names, such as 2 for ``k`` or ``k-``.

    Raises
    ------
    SignalError
        If it names none.
    """
    axis = str(direction).removesuffix("-")
    if axis not in ("i", "j", "k"):
        raise SignalError(
            f"SliceEncodingDirection is {direction!r}; expected i, j or k, or one of them with a "
            "minus: mend it in the sidecar."
        )
    return "ijk".index(axis)


def checked_slice_times(slice_times_s, n_slices, *, repetition_time_s, axis=2):
    """Return slice times as an array when they fit the image; see :func:`correct_slice_timing`.

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
        If they are no numbers or do not fit the slices or the repetition time.
    """
    try:
        times = np.asarray(slice_times_s, float)
    except (TypeError, ValueError):
        times = np.array(np.nan)
    if times.ndim != 1 or not np.isfinite(times).all():
        raise SignalError(
            "SliceTiming holds something that is no number; expected seconds, one for each slice: "
            "mend it in the sidecar."
        )
    if len(times) != n_slices:
        raise SignalError(
            f"SliceTiming has {len(times)} entries but the image has {n_slices} slices "
            f"along axis {axis}: mend SliceTiming or SliceEncodingDirection in the sidecar."
        )
    if times.min() < 0 or times.max() > repetition_time_s:
        raise SignalError(
            f"SliceTiming runs from {times.min():g} to {times.max():g}; expected seconds from 0 to "
            f"the RepetitionTime of {repetition_time_s:g} s: are they milliseconds?"
        )
    return times


def correct_slice_timing(bold, slice_times_s, *, repetition_time_s, axis=2):
    """Interpolate every slice to the middle of its volume, by cubic splines over time.

    Parameters
    ----------
    bold : ndarray of float, shape (nx, ny, nz, n_times)
    slice_times_s : sequence of float, as many as ``bold`` has slices along ``axis``
        When each slice was taken, in seconds from the start of the volume.
    repetition_time_s : float
    axis : {0, 1, 2}
        Along which slices are counted.

    Returns
    -------
    corrected : ndarray of float32, shape of ``bold``
        The ends are held, not extrapolated.

    Raises
    ------
    SignalError
        If the times do not fit the slices or the repetition time.
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
