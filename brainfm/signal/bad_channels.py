"""Detection of bad EEG channels.

The criteria differ from those of PREP (pyprep 0.9): on eyes-closed recordings the deviation and
spectrum criteria of PREP mark O1, Oz and O2 as bad because of their strong alpha rhythm. Here only
flat channels, channels uncorrelated with every other channel, and channels of outlying amplitude
**outside** the alpha band are bad; eye and muscle activity is left to the ICA.
"""

import numpy as np
from scipy.signal import butter, sosfiltfilt

from brainfm.errors import SignalError

_FLAT_SHARE = 0.02  # of the median amplitude of all channels
_FLAT_V = 0.05e-6
_ROBUST_Z = 5.0
_LOUD_RATIO = 2.5
_NOISY_RATIO = 3.0
_MIN_CORRELATION = 0.4
_MAX_BROKEN_SHARE = 0.7
_WINDOW_S = 4.0
_FEWEST_COMPARED = 8


def find_bad_channels(signal, sampling_hz):
    """Find flat, loud, noisy and uncorrelated channels.

    - flat: amplitude below 2 % of the median channel, or below 0.05 µV.
    - loud: amplitude from 14 to 30 Hz at least 2.5 times the median and 5 robust standard
      deviations above it; alpha rhythm and slow eye movements are outside this band.
    - noisy: the same above 30 Hz, at least 3 times the median, which exceeds the muscle activity
      of temporal channels in most people.
    - uncorrelated: from 1 to 30 Hz, the largest absolute correlation with any other channel is
      below 0.4 in more than 70 % of the four-second windows. (In windows of one second, as
      in PREP, slow drifts correlate by chance.)

    With fewer than eight channels that are not flat, only flat channels are found.

    Parameters
    ----------
    signal : ndarray of float, shape (n_times, n_channels), in volts
        High-pass filtered and without line noise, in the reference of the recording.
    sampling_hz : float

    Returns
    -------
    bad : dict of str to ndarray of int
        Channel indices of each reason: flat, loud, noisy, uncorrelated. A flat channel has no other
        reason.

    Raises
    ------
    SignalError
        If the signal is not two-dimensional, holds fewer than two windows, or not all samples
        are finite.

    References
    ----------
    .. [1] Bigdely-Shamlo et al., 2015, Front. Neuroinform. 9:16 (the correlation criterion).
       https://doi.org/10.3389/fninf.2015.00016
    """
    signal = _checked(signal, sampling_hz)
    amplitude = _amplitude(signal)
    flat = amplitude < max(_FLAT_V, _FLAT_SHARE * np.median(amplitude))
    beta = _amplitude(_band(signal, sampling_hz, 14.0, 30.0))
    fast = _amplitude(_band(signal, sampling_hz, 30.0))
    found = {
        "flat": flat,
        "loud": _outstanding(beta, _LOUD_RATIO, ~flat),
        "noisy": _outstanding(fast, _NOISY_RATIO, ~flat),
        "uncorrelated": _uncorrelated(_band(signal, sampling_hz, 1.0, 30.0), sampling_hz, ~flat),
    }
    return {reason: np.flatnonzero(channels) for reason, channels in found.items()}


def _amplitude(signal):
    """Robust standard deviation of each channel, from the quartiles."""
    low, high = np.percentile(signal, [25, 75], axis=0)
    return 0.7413 * (high - low)


def _outstanding(value, ratio, usable):
    """Mark channels far above the others; too few channels have no reliable median."""
    if usable.sum() < _FEWEST_COMPARED:
        return np.zeros(len(value), dtype=bool)
    log = np.log(np.maximum(value, 1e-20))
    middle = np.median(log[usable])
    spread = max(1.4826 * np.median(np.abs(log[usable] - middle)), 0.05)
    return usable & (log > middle + np.log(ratio)) & (log > middle + _ROBUST_Z * spread)


def _uncorrelated(signal, sampling_hz, usable):
    bad = np.zeros(signal.shape[1], dtype=bool)
    index = np.flatnonzero(usable)
    if len(index) < _FEWEST_COMPARED:
        return bad
    n_window = int(_WINDOW_S * sampling_hz)
    n_windows = len(signal) // n_window
    windows = signal[: n_windows * n_window, index].reshape(n_windows, n_window, len(index))
    windows = windows - windows.mean(axis=1, keepdims=True)
    norm = np.sqrt((windows**2).sum(axis=1))  # (n_windows, n_channels)
    scaled = windows / np.maximum(norm, 1e-20)[:, None]
    correlation = np.abs(scaled.transpose(0, 2, 1) @ scaled)  # (n_windows, channels, channels)
    correlation[:, np.arange(len(index)), np.arange(len(index))] = 0
    broken = (correlation.max(axis=2) < _MIN_CORRELATION).mean(axis=0)
    bad[index] = broken > _MAX_BROKEN_SHARE
    return bad


def _band(signal, sampling_hz, low_hz, high_hz=np.inf):
    """Filter with zero phase; an upper edge near or above the Nyquist frequency is ignored."""
    highest_hz = 0.95 * (sampling_hz / 2)
    if low_hz >= highest_hz:
        return np.zeros_like(signal)
    edges, kind = (low_hz, "highpass") if high_hz >= highest_hz else ((low_hz, high_hz), "bandpass")
    return sosfiltfilt(butter(4, edges, kind, fs=sampling_hz, output="sos"), signal, axis=0)


def _checked(signal, sampling_hz):
    signal = np.asarray(signal, dtype=float)
    if signal.ndim != 2 or len(signal) < 2 * _WINDOW_S * sampling_hz:
        raise SignalError(
            f"signal has shape {signal.shape} at {sampling_hz:g} Hz; expected (n_times, "
            "n_channels) of at least eight seconds."
        )
    if not np.isfinite(signal).all():
        raise SignalError("signal holds samples that are not finite: exclude those channels first.")
    return signal
