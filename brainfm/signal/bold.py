"""Parcel averages, denoising and quality measures of BOLD."""

import numpy as np
from nilearn.signal import clean
from scipy.sparse import csr_array

from brainfm.errors import SignalError


def parcel_means(bold, labels, n_parcels):
    """Average the voxels of each parcel.

    Parameters
    ----------
    bold : ndarray of float, shape (n_times, n_voxels)
    labels : ndarray of int, shape (n_voxels,)
        Parcel of each voxel, 1 to ``n_parcels``; 0 is background.
    n_parcels : int
        Number of parcels in the atlas, covered by this scan or not.

    Returns
    -------
    series : ndarray of float, shape (n_times, n_parcels), in the unit of ``bold``
        A parcel without voxels is all NaN, never 0.

    Raises
    ------
    SignalError
        If ``bold`` and ``labels`` disagree on the number of voxels.
    """
    if bold.shape[1] != len(labels):
        raise SignalError(
            f"bold has {bold.shape[1]} voxels but labels has {len(labels)}: "
            "resample the atlas to the grid of the scan before averaging."
        )
    voxels = np.flatnonzero(labels)
    ones = np.ones(len(voxels), bold.dtype)
    member = csr_array((ones, (labels[voxels] - 1, voxels)), shape=(n_parcels, len(labels)))
    size = np.bincount(labels, minlength=n_parcels + 1)[1:]
    total = np.stack([member @ volume for volume in bold])  # (n_times, n_parcels)
    return np.divide(total, size, out=np.full(total.shape, np.nan), where=size > 0)


def percent_change(series, kept=None):
    """Convert each column to percent signal change around its mean over time.

    Parameters
    ----------
    series : ndarray of float, shape (n_times, n_channels), all NaN where there is no data
    kept : ndarray of bool, shape (n_times,), optional
        Volumes that are not censored, over which the mean is taken; by default all.

    Returns
    -------
    change : ndarray of float, shape (n_times, n_channels), in percent
        NaN where the mean is not above 0.
    """
    mean = (series if kept is None else series[kept]).mean(axis=0)
    return 100 * (series / np.where(mean > 0, mean, np.nan) - 1)


def fill_censored(series, kept):
    """Interpolate censored volumes linearly between those that are kept.

    Cubic splines (as in :func:`nilearn.signal.clean`) overshoot in gaps of several volumes.

    Parameters
    ----------
    series : ndarray of float, shape (n_times, n_channels)
    kept : ndarray of bool, shape (n_times,)

    Returns
    -------
    filled : ndarray of float, shape (n_times, n_channels)
        Constant before the first and after the last volume that is kept.
    """
    if kept.all():
        return series
    times = np.arange(len(series))
    columns = [np.interp(times, times[kept], column[kept]) for column in series.T]
    return np.array(columns).reshape(series.T.shape).T


def passed_components(n_times, sampling_hz, high_pass_hz, low_pass_hz):
    """Compute the number of independent time points after a band-pass filter.

    Parameters
    ----------
    n_times : int
    sampling_hz : float
    high_pass_hz, low_pass_hz : float
        0 means no filter.

    Returns
    -------
    n_passed : int
        Degrees of freedom within the pass band.
    """
    nyquist_hz = sampling_hz / 2
    top_hz = min(low_pass_hz or nyquist_hz, nyquist_hz)
    return int(n_times * (top_hz - high_pass_hz) / nyquist_hz)


def reduce_confounds(confounds, n_most):
    """Reduce confounds to at most ``n_most`` principal components.

    Short runs have more confounds than independent time points in the pass band; regressing all
    of them out would remove the signal as well.

    Parameters
    ----------
    confounds : ndarray of float, shape (n_times, n_confounds)
        NaN is replaced by the mean of its column.
    n_most : int

    Returns
    -------
    components : ndarray of float, shape (n_times, min(n_confounds, n_most))
        The z-scored confounds themselves if there are at most ``n_most``.
    """
    centred = confounds - np.nanmean(confounds, axis=0)
    centred = np.where(np.isnan(centred), 0, centred)
    spread = centred.std(axis=0)
    scaled = centred[:, spread > 0] / spread[spread > 0]
    if scaled.shape[1] <= n_most:
        return scaled
    left, size, _ = np.linalg.svd(scaled, full_matrices=False)
    return left[:, :n_most] * size[:n_most]


def clean_series(series, confounds, *, kept=None, sampling_hz, high_pass_hz, low_pass_hz):
    """Detrend, band-pass filter and regress out confounds in one model [1]_.

    Censored volumes are interpolated for the filter only. They are neither part of the
    regression nor of the result [2]_. Series and confounds pass the same filter.

    Averaging over a parcel and this step are linear with the same design for every voxel, so they
    commute; averaging first is cheaper.

    Parameters
    ----------
    series : ndarray of float, shape (n_times, n_channels), all NaN where there is no data
    confounds : ndarray of float, shape (n_times, n_confounds), or None
    kept : ndarray of bool, shape (n_times,), optional
        Volumes that are not censored; by default all.
    sampling_hz : float
    high_pass_hz, low_pass_hz : float
        0 means no filter.

    Returns
    -------
    cleaned : ndarray of float, shape (n_times, n_channels), in the unit of ``series``
        Rows of censored volumes are NaN.

    Raises
    ------
    SignalError
        If fewer independent time points than confounds remain in the pass band, or the low-pass
        is at or above half the sampling rate.

    References
    ----------
    .. [1] Lindquist et al., 2019, Hum. Brain Mapp. 40(8). https://doi.org/10.1002/hbm.24528
    .. [2] Power et al., 2014, NeuroImage 84. https://doi.org/10.1016/j.neuroimage.2013.08.048
    """
    if low_pass_hz >= sampling_hz / 2:
        raise SignalError(
            f"the low-pass is {low_pass_hz:g} Hz but with a volume every {1 / sampling_hz:g} s it "
            f"must be below {sampling_hz / 2:g} Hz: lower --bold-low-pass-hz, or set it to 0."
        )
    kept = np.ones(len(series), bool) if kept is None else np.asarray(kept, bool)
    confounds = np.empty((len(series), 0)) if confounds is None else confounds
    n_passed = passed_components(kept.sum(), sampling_hz, high_pass_hz, low_pass_hz)
    if n_passed <= confounds.shape[1]:
        raise SignalError(
            f"{kept.sum()} volumes hold {n_passed} independent values in the pass band, and "
            f"{confounds.shape[1]} confounds are to be regressed out, "
            "which leaves no signal: use fewer confounds or a wider band."
        )
    has_data = np.isfinite(series[kept]).all(axis=0)
    unit = np.abs(confounds).max(axis=0, initial=1e-300)
    both = fill_censored(np.hstack([series[:, has_data], confounds / unit]), kept)
    ends = np.flatnonzero(kept)[[0, -1]]
    both[ends[0] : ends[1] + 1] = clean(
        both[ends[0] : ends[1] + 1],
        detrend=True,
        standardize=None,
        low_pass=low_pass_hz or None,
        high_pass=high_pass_hz or None,
        t_r=1 / sampling_hz,
    )
    signal, nuisance = np.split(both[kept], [has_data.sum()], axis=1)
    cleaned = np.full(series.shape, np.nan)
    cleaned[np.ix_(kept, has_data)] = _regress_out(signal, nuisance)
    return cleaned


def _regress_out(signal, nuisance):
    """Return what the columns of ``nuisance``, of unit size, do not explain of ``signal``."""
    centred = nuisance - nuisance.mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > 1e-10  # a constant leaves rounding errors
    design = centred[:, varies] / spread[varies]
    return signal - design @ np.linalg.lstsq(design, signal)[0]


def dvars(bold):
    """Compute DVARS: the root mean square over voxels of the volume-to-volume change [1]_.

    Parameters
    ----------
    bold : ndarray of float, shape (n_times, n_voxels)

    Returns
    -------
    change : ndarray of float, shape (n_times,), in the unit of ``bold``
        NaN for the first volume.
    standardised : ndarray of float, shape (n_times,)
        DVARS divided by its expected value under stationary noise [2]_.

    References
    ----------
    .. [1] Power et al., 2012, NeuroImage 59(3). https://doi.org/10.1016/j.neuroimage.2011.10.018
    .. [2] Nichols, 2013, Notes on creating a standardized version of DVARS. arXiv:1704.01469
    """
    step = np.diff(bold, axis=0)
    change = np.concatenate([[np.nan], np.sqrt((step**2).mean(axis=1))])
    low, high = np.percentile(bold, [25, 75], axis=0)
    spread = (high - low) / 1.349  # of a normal distribution
    centred = bold - bold.mean(axis=0)
    power = (centred**2).sum(axis=0)
    lagged = (centred[1:] * centred[:-1]).sum(axis=0)
    correlation = np.divide(lagged, power, out=np.zeros_like(power), where=power > 0)
    expected = np.sqrt(np.mean(2 * (1 - correlation) * spread**2))
    return change, change / expected if expected > 0 else np.full_like(change, np.nan)


def tsnr(bold):
    """Compute the temporal signal-to-noise ratio, after removing a quadratic trend.

    Parameters
    ----------
    bold : ndarray of float, shape (n_times, n_voxels)

    Returns
    -------
    ratio : ndarray of float, shape (n_voxels,)
        Temporal mean over standard deviation; NaN for constant voxels.

    References
    ----------
    .. [1] Triantafyllou et al., 2005, NeuroImage 26(1).
       https://doi.org/10.1016/j.neuroimage.2005.01.007
    """
    time = np.linspace(-1, 1, len(bold))
    trend = np.linalg.qr(np.stack([np.ones_like(time), time, time**2], axis=1))[0]
    spread = (bold - trend @ (trend.T @ bold)).std(axis=0, ddof=3)
    mean = bold.mean(axis=0)
    varies = spread > 1e-9 * np.abs(mean)  # a constant leaves rounding errors, not noise
    return np.divide(mean, spread, out=np.full(len(spread), np.nan), where=varies)


def acompcor(bold, n_components, *, sampling_hz, high_pass_hz=0.008):
    """Compute anatomical CompCor: principal components of voxels without neural signal [1]_.

    Parameters
    ----------
    bold : ndarray of float, shape (n_times, n_voxels)
        Voxels of white matter and cerebrospinal fluid.
    n_components : int
    sampling_hz : float
    high_pass_hz : float
        Cut-off of the cosine filter that removes slow drifts first.

    Returns
    -------
    components : ndarray of float, shape (n_times, at most n_components), of unit variance

    References
    ----------
    .. [1] Behzadi et al., 2007, NeuroImage 37(1). https://doi.org/10.1016/j.neuroimage.2007.04.042
    """
    varying = bold[:, bold.std(axis=0) > 0]
    if not varying.shape[1] or not n_components:
        return np.empty((len(bold), 0))
    filtered = clean(
        varying,
        detrend=True,
        standardize="zscore_sample",
        filter="cosine",
        high_pass=high_pass_hz,
        t_r=1 / sampling_hz,
    )
    left = np.linalg.svd(filtered, full_matrices=False)[0][:, :n_components]
    return left / left.std(axis=0)
