"""BOLD as arrays: parcels, cleaning, nuisance signals, quality."""

import numpy as np
from nilearn.signal import clean
from scipy.interpolate import CubicSpline

from brainfm.errors import SignalError

#: A cleaned run keeps at least this many degrees of freedom, or is refused.
FEWEST_DEGREES_OF_FREEDOM = 3


def parcel_means(bold, labels, n_parcels):
    """Average the voxels of each parcel.

    Parameters
    ----------
    bold : ndarray of float, shape (n_times, n_voxels), in any unit
    labels : ndarray of int, shape (n_voxels,)
        Parcel of each voxel, 1 to ``n_parcels``; 0 is background.
    n_parcels : int
        Number of parcels in the atlas, covered by this scan or not.

    Returns
    -------
    series : ndarray of float, shape (n_times, n_parcels), in the unit of ``bold``
        Parcel means. A parcel without voxels is all NaN, never 0.

    Raises
    ------
    SignalError
        If ``bold`` and ``labels`` disagree on the number of voxels, or a label is too high.
    """
    bold, labels = np.asarray(bold), np.asarray(labels)
    if bold.ndim != 2 or bold.shape[1] != len(labels):
        raise SignalError(
            f"bold has {bold.shape[-1]} voxels but labels has {len(labels)}: "
            "resample the atlas to the grid of the scan before averaging."
        )
    if labels.min(initial=0) < 0 or labels.max(initial=0) > n_parcels:
        raise SignalError(
            f"labels run from {labels.min()} to {labels.max()}; expected 0 to {n_parcels}: "
            "number the parcels of the atlas from 1 without gaps."
        )
    member = np.arange(1, n_parcels + 1)[:, None] == labels  # (n_parcels, n_voxels)
    size = member.sum(axis=1)
    total = bold @ member.T.astype(float)  # (n_times, n_parcels)
    return np.divide(total, size, out=np.full(total.shape, np.nan), where=size > 0)


def percent_change(series):
    """Express each series in percent of its mean over time.

    Parameters
    ----------
    series : ndarray of float, shape (n_times, n_series), in scanner units

    Returns
    -------
    percent : ndarray of float, shape (n_times, n_series), in percent
        Around 0. A series whose mean is not positive is all NaN.
    """
    mean = np.asarray(series, float).mean(axis=0)
    unit = np.where(mean > 0, mean, np.nan)
    return 100 * (series / unit - 1)


def clean_series(series, confounds, *, sampling_hz, high_pass_hz, low_pass_hz):
    """Remove trends, confounds and frequencies outside the band, all in one regression.

    Confounds are filtered as the signal is, so that removing them does not bring back
    frequencies that were filtered out [1]_.

    Parameters
    ----------
    series : ndarray of float, shape (n_times, n_parcels), in any unit
        A missing parcel is all NaN and stays so.
    confounds : ndarray of float, shape (n_times, n_confounds), or None
        NaN, as in the first row of derivatives, counts as the mean of the column.
    sampling_hz : float
        Volumes per second.
    high_pass_hz, low_pass_hz : float
        Edges of the band; 0 leaves that side open. A low-pass at or above half the sampling
        rate has nothing to remove and is left open as well.

    Returns
    -------
    cleaned : ndarray of float, shape (n_times, n_parcels), in the unit of ``series``

    Raises
    ------
    SignalError
        If lengths differ, or confounds and band leave fewer than three degrees of freedom.

    References
    ----------
    .. [1] Lindquist et al., 2019, Hum Brain Mapp 40(8). https://doi.org/10.1002/hbm.24528
    """
    series = np.asarray(series, float)
    n_confounds = 0 if confounds is None else np.shape(confounds)[1]
    if n_confounds and len(confounds) != len(series):
        raise SignalError(
            f"confounds have {len(confounds)} rows but the series {len(series)}: drop the same "
            "dummy volumes from both."
        )
    left = degrees_of_freedom(
        len(series), sampling_hz=sampling_hz, high_pass_hz=high_pass_hz, low_pass_hz=low_pass_hz
    )
    if left - n_confounds < FEWEST_DEGREES_OF_FREEDOM:
        raise SignalError(
            f"{len(series)} volumes hold {left} degrees of freedom between {high_pass_hz:g} and "
            f"{low_pass_hz:g} Hz, and {n_confounds} confounds leave {left - n_confounds}; expected "
            f"{FEWEST_DEGREES_OF_FREEDOM} or more: use a longer run, a wider band or fewer "
            "confounds."
        )
    here = np.isfinite(series).all(axis=0)
    cleaned = np.full(series.shape, np.nan)
    if here.any():
        cleaned[:, here] = clean(
            series[:, here],
            confounds=_filled(confounds) if n_confounds else None,
            t_r=1 / sampling_hz,
            high_pass=high_pass_hz or None,
            low_pass=_low_pass(low_pass_hz, sampling_hz),
            detrend=True,
            standardize=None,
            standardize_confounds=True,
        )
    return cleaned


def degrees_of_freedom(n_times, *, sampling_hz, high_pass_hz, low_pass_hz):
    """Count the independent values a series keeps inside a frequency band.

    Parameters
    ----------
    n_times : int
    sampling_hz, high_pass_hz, low_pass_hz : float
        See :func:`clean_series`.

    Returns
    -------
    int
        ``2 * n_times * band / sampling_hz``, less mean and trend when slow drifts stay in.
    """
    upper = _low_pass(low_pass_hz, sampling_hz) or sampling_hz / 2
    share = (upper - high_pass_hz) / (sampling_hz / 2)
    return int(share * n_times) - (0 if high_pass_hz else 2)


def dvars(bold):
    """Return the root mean square change of the brain from volume to volume.

    Parameters
    ----------
    bold : ndarray of float, shape (n_times, n_voxels), in any unit

    Returns
    -------
    dvars : ndarray of float, shape (n_times,), in the unit of ``bold``
        The first volume has none before it: NaN.
    standardised : ndarray of float, shape (n_times,), without unit
        Divided by what noise of the same variance and autocorrelation would give [1]_.

    References
    ----------
    .. [1] Nichols, 2017, https://arxiv.org/abs/1704.01469
    """
    bold = np.asarray(bold, np.float32)
    change = np.sqrt(np.mean(np.diff(bold, axis=0) ** 2, axis=1, dtype=float))
    lower, upper = np.percentile(bold, [25, 75], axis=0)
    robust_sd = (upper - lower) / 1.349
    centred = bold - bold.mean(axis=0)
    energy = np.maximum((centred**2).sum(axis=0), np.finfo(np.float32).tiny)
    lag_one = (centred[1:] * centred[:-1]).sum(axis=0) / energy
    expected = np.sqrt(np.mean(2 * np.clip(1 - lag_one, 0, None) * robust_sd**2))
    dvars = np.concatenate([[np.nan], change])
    if expected <= 0:
        return dvars, np.full(dvars.shape, np.nan)
    return dvars, dvars / expected


def temporal_snr(bold):
    """Divide the mean of each voxel by its standard deviation over time, after detrending.

    Parameters
    ----------
    bold : ndarray of float, shape (n_times, n_voxels)

    Returns
    -------
    ndarray of float, shape (n_voxels,); NaN where a voxel never changes
    """
    bold = np.asarray(bold, np.float32)
    time = np.linspace(-1, 1, len(bold), dtype=np.float32)
    slope = time @ bold / (time @ time)
    spread = (bold - time[:, None] * slope).std(axis=0)
    return np.divide(
        bold.mean(axis=0), spread, out=np.full(bold.shape[1], np.nan), where=spread > 0
    )


def cosine_drifts(n_times, sampling_hz, high_pass_hz):
    """Return the cosines slower than a frequency, as columns of unit norm.

    Parameters
    ----------
    n_times : int
    sampling_hz : float
    high_pass_hz : float

    Returns
    -------
    ndarray of float, shape (n_times, n_cosines); the constant is not among them
    """
    n_cosines = int(np.floor(2 * n_times * high_pass_hz / sampling_hz))
    orders = np.arange(1, n_cosines + 1)
    angles = np.pi * (np.arange(n_times)[:, None] + 0.5) * orders / n_times
    return np.sqrt(2 / n_times) * np.cos(angles)


def acompcor(bold, n_components, *, sampling_hz, high_pass_hz=0.008):
    """Find the strongest time courses of tissue that holds no neurons.

    Parameters
    ----------
    bold : ndarray of float, shape (n_times, n_voxels)
        Voxels of eroded white matter and cerebrospinal fluid.
    n_components : int
    sampling_hz : float
    high_pass_hz : float
        Slower cosines are removed first.

    Returns
    -------
    components : ndarray of float, shape (n_times, at most n_components), of unit norm
        Fewer when there are fewer voxels that change. The sign is such that each
        component's largest value is positive.

    References
    ----------
    .. [1] Behzadi et al., 2007, NeuroImage 37(1).
       https://doi.org/10.1016/j.neuroimage.2007.04.042
    """
    bold = np.asarray(bold, float)
    drifts = cosine_drifts(len(bold), sampling_hz, high_pass_hz)
    drifts = np.column_stack([np.full(len(bold), len(bold) ** -0.5), drifts])
    residual = bold - drifts @ (drifts.T @ bold)
    spread = residual.std(axis=0)
    moves = spread > 1e-6 * np.abs(bold).max(axis=0, initial=0)
    unit = residual[:, moves] / spread[moves]
    n_components = min(n_components, len(bold) - drifts.shape[1], unit.shape[1])
    if n_components < 1:
        return np.zeros((len(bold), 0))
    _, vectors = np.linalg.eigh(unit @ unit.T)  # (n_times, n_times), weakest first
    components = vectors[:, ::-1][:, :n_components]
    largest = components[np.abs(components).argmax(axis=0), np.arange(n_components)]
    return components * np.sign(largest)


def correct_slice_timing(bold, slice_times_s, *, repetition_time_s, axis=2):
    """Interpolate every slice to the middle of its volume.

    Parameters
    ----------
    bold : ndarray of float, shape (nx, ny, nz, n_times)
    slice_times_s : sequence of float, length of ``bold`` along ``axis``
        When each slice was taken, from the start of the volume.
    repetition_time_s : float
    axis : int
        0, 1 or 2: along which slices are counted.

    Returns
    -------
    corrected : ndarray of float32, shape of ``bold``

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
        where = [slice(None)] * 3
        where[axis] = index
        wanted = np.clip(volumes + repetition_time_s / 2, volumes[0] + time, volumes[-1] + time)
        corrected[tuple(where)] = CubicSpline(volumes + time, bold[tuple(where)], axis=2)(wanted)
    return corrected


def _low_pass(low_pass_hz, sampling_hz):
    return low_pass_hz if 0 < low_pass_hz < sampling_hz / 2 else None


def _filled(confounds):
    confounds = np.array(confounds, float)
    mean = np.nanmean(confounds, axis=0)
    return np.where(np.isnan(confounds), mean, confounds)
