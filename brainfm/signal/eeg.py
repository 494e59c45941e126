"""Spectra and band powers of EEG."""

import numpy as np
from scipy.signal import welch

from brainfm.errors import SignalError

#: Frequency bands: name to (low, high) in Hz, without the upper edge.
BANDS_HZ = {
    "delta": (1.0, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 45.0),
}
#: Band of the total power in relative powers, in Hz.
TOTAL_HZ = (1.0, 45.0)


def spectrum(signal, sampling_hz, *, window_s=2.0):
    """Estimate the power spectral density of each channel with Welch's method.

    Hann windows of ``window_s`` that overlap by half; a shorter signal is one window.

    Parameters
    ----------
    signal : ndarray of float, shape (n_times, n_channels), in volts
    sampling_hz : float
    window_s : float

    Returns
    -------
    frequencies_hz : ndarray of float, shape (n_frequencies,)
    density : ndarray of float, shape (n_frequencies, n_channels), in V^2/Hz
        A channel that is not finite throughout is all NaN.

    Raises
    ------
    SignalError
        If the signal is not two-dimensional, empty, or the sampling rate is not positive.

    References
    ----------
    .. [1] Welch, 1967, IEEE Trans. Audio Electroacoust. 15(2).
       https://doi.org/10.1109/TAU.1967.1161901
    """
    signal = _checked(signal, sampling_hz)
    n_window = min(len(signal), max(2, round(window_s * sampling_hz)))
    return welch(signal, fs=sampling_hz, nperseg=n_window, axis=0)


def band_power(signal, sampling_hz, bands=BANDS_HZ):
    """Compute the power of each channel in each frequency band.

    Parameters
    ----------
    signal : ndarray of float, shape (n_times, n_channels), in volts
    sampling_hz : float
    bands : dict of str to (float, float)
        Edges in Hz.

    Returns
    -------
    power : ndarray of float, shape (n_channels, n_bands), in V^2
        Absolute power: the spectral density summed over the band. NaN where a band reaches
        above half the sampling rate, and for channels that are not finite throughout.

    Raises
    ------
    SignalError
        See :func:`spectrum`.
    """
    frequencies_hz, density = spectrum(signal, sampling_hz)
    columns = [_power_between(frequencies_hz, density, low, high) for low, high in bands.values()]
    return np.stack(columns, axis=1)


def relative_power(signal, sampling_hz, bands=BANDS_HZ):
    """Compute the power in each frequency band relative to 1 to 45 Hz.

    Parameters
    ----------
    signal : ndarray of float, shape (n_times, n_channels), in volts
    sampling_hz : float
    bands : dict of str to (float, float)
        Edges in Hz.

    Returns
    -------
    share : ndarray of float, shape (n_channels, n_bands), 0 to 1
        NaN as in :func:`band_power`, and for channels without power.

    Raises
    ------
    SignalError
        See :func:`spectrum`.
    """
    powers = band_power(signal, sampling_hz, {**bands, "total": TOTAL_HZ})
    power, total = powers[:, :-1], powers[:, -1:]
    return np.divide(power, total, out=np.full(power.shape, np.nan), where=total > 0)


def relative_alpha(signal, sampling_hz):
    """Compute the power in the alpha band (8 to 13 Hz) relative to 1 to 45 Hz.

    Parameters
    ----------
    signal : ndarray of float, shape (n_times, n_channels), in volts
    sampling_hz : float

    Returns
    -------
    share : ndarray of float, shape (n_channels,), 0 to 1
        NaN for channels without power or with samples that are not finite.

    Raises
    ------
    SignalError
        See :func:`spectrum`.
    """
    return relative_power(signal, sampling_hz, {"alpha": BANDS_HZ["alpha"]})[:, 0]


def aperiodic(signal, sampling_hz):
    """Fit a power law to the spectrum of each channel, 2 to 30 Hz without 7 to 14 Hz.

    Parameters
    ----------
    signal : ndarray of float, shape (n_times, n_channels), in volts
    sampling_hz : float

    Returns
    -------
    law : ndarray of float, shape (n_channels, 2)
        Offset (log10 of V^2/Hz at 1 Hz) and exponent (1 to 2 at rest, higher is steeper); NaN
        for channels without power or with samples that are not finite.

    Raises
    ------
    SignalError
        See :func:`spectrum`.

    References
    ----------
    .. [1] Donoghue et al., 2020, Nature Neuroscience 23. https://doi.org/10.1038/s41593-020-00744-x
    """
    frequencies_hz, density = spectrum(signal, sampling_hz)
    law = np.full((density.shape[1], 2), np.nan)
    usable = np.isfinite(density).all(axis=0) & (_power_between(frequencies_hz, density, 2, 30) > 0)
    if usable.any():
        floor = np.finfo(float).tiny
        slope, level = _power_law(frequencies_hz, np.maximum(density[:, usable], floor))
        law[usable] = np.stack([level / np.log(10), -slope], axis=1)
    return law


def alpha_peak_hz(signal, sampling_hz):
    """Find the individual alpha peak above the aperiodic background.

    The mean spectrum of all channels (each scaled to the same power) is divided by a power law
    fitted from 2 to 30 Hz without 7 to 14 Hz; the highest local maximum between 7 and 13 Hz
    that stands out by at least 20 % is the peak.

    Parameters
    ----------
    signal : ndarray of float, shape (n_times, n_channels), in volts
        Usually the occipital channels.
    sampling_hz : float

    Returns
    -------
    peak_hz : float
        NaN when there is no such peak, or no channel with power.

    Raises
    ------
    SignalError
        See :func:`spectrum`.
    """
    frequencies_hz, density = spectrum(signal, sampling_hz, window_s=4.0)
    power = _power_between(frequencies_hz, density, *TOTAL_HZ)
    usable = power > 0  # False for NaN
    if not usable.any():
        return np.nan
    mean = (density[:, usable] / power[usable]).mean(axis=1)
    slope, level = _power_law(frequencies_hz, mean)
    inside = (frequencies_hz >= 6.5) & (frequencies_hz <= 13.5)
    above = np.log(mean[inside]) - (slope * np.log(frequencies_hz[inside]) + level)
    is_peak = (above[1:-1] > above[:-2]) & (above[1:-1] >= above[2:]) & (above[1:-1] > np.log(1.2))
    if not is_peak.any():
        return np.nan
    height = np.where(is_peak, above[1:-1], -np.inf)
    return float(frequencies_hz[inside][1:-1][height.argmax()])


def line_noise_ratio(signal, sampling_hz, line_hz):
    """Compute the power at the line frequency relative to neighbouring frequencies.

    Parameters
    ----------
    signal : ndarray of float, shape (n_times, n_channels), in volts
    sampling_hz : float
    line_hz : float

    Returns
    -------
    ratio : float
        Median over channels of the density within 1 Hz of the line frequency, over the density
        3 to 6 Hz to either side. About 1 without line noise, near 0 after a notch filter. NaN
        if the line frequency is above half the sampling rate.

    Raises
    ------
    SignalError
        See :func:`spectrum`.
    """
    if line_hz + 1 > sampling_hz / 2:
        return np.nan
    frequencies_hz, density = spectrum(signal, sampling_hz)
    away_hz = np.abs(frequencies_hz - line_hz)
    at_line = density[away_hz <= 1].mean(axis=0)
    beside = density[(away_hz >= 3) & (away_hz <= 6)].mean(axis=0)
    usable = beside > 0
    return float(np.median(at_line[usable] / beside[usable])) if usable.any() else np.nan


def _power_law(frequencies_hz, density):
    """Fit log density over log frequency, excluding the alpha band; return slope and offset."""
    fitted = ((frequencies_hz >= 2) & (frequencies_hz < 7)) | (
        (frequencies_hz > 14) & (frequencies_hz <= 30)
    )
    return np.polyfit(np.log(frequencies_hz[fitted]), np.log(density[fitted]), 1)


def _power_between(frequencies_hz, density, low_hz, high_hz):
    """Sum (n_frequencies, n_channels) over a band, to (n_channels,)."""
    inside = (frequencies_hz >= low_hz) & (frequencies_hz < high_hz)
    if not inside.any() or high_hz > frequencies_hz[-1] + 1e-6:
        return np.full(density.shape[1], np.nan)
    return density[inside].sum(axis=0) * (frequencies_hz[1] - frequencies_hz[0])


def _checked(signal, sampling_hz):
    signal = np.asarray(signal, dtype=float)
    if signal.ndim != 2 or len(signal) < 2:
        raise SignalError(
            f"signal has shape {signal.shape}; expected (n_times, n_channels) with at least two "
            "samples: pass one recording at a time."
        )
    if not sampling_hz > 0:
        raise SignalError(f"sampling_hz is {sampling_hz}; expected samples per second above 0.")
    return signal
