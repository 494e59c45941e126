"""Bring all slices of a volume to one moment."""

import numpy as np
from scipy.interpolate import CubicSpline

from brainfm.errors import SignalError


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
    times = np.asarray(slice_times_s, float)
    if len(times) != bold.shape[axis]:
        raise SignalError(
            f"SliceTiming has {len(times)} entries but the image has {bold.shape[axis]} slices "
            f"along axis {axis}: mend SliceTiming or SliceEncodingDirection in the sidecar."
        )
    if times.min() < 0 or times.max() > repetition_time_s:
        raise SignalError(
            f"SliceTiming runs from {times.min():g} to {times.max():g}; expected seconds from 0 to "
            f"the RepetitionTime of {repetition_time_s:g} s: are they milliseconds?"
        )
    corrected = np.empty(bold.shape, np.float32)
    volumes = np.arange(bold.shape[3]) * repetition_time_s
    for index, time in enumerate(times):
        where = (slice(None),) * axis + (index,)
        wanted = np.clip(volumes + repetition_time_s / 2, time, volumes[-1] + time)
        corrected[where] = CubicSpline(volumes + time, bold[where], axis=2)(wanted)
    return corrected
