"""Synthetic EEG and BOLD from known sources.

For tests, for the demonstration of paired recordings and for checking what an analysis recovers.
Every file made from it is labelled as synthetic; no recording of a person is used.
"""

import numpy as np
from scipy.ndimage import affine_transform
from scipy.signal import butter, fftconvolve, sosfiltfilt
from scipy.stats import gamma

from brainfm.errors import SignalError

#: Length of the haemodynamic response, in seconds.
HRF_S = 32.0


def haemodynamic_response(sampling_hz):
    """Return the canonical double-gamma response, peak 1.

    Parameters
    ----------
    sampling_hz : float
        Samples per second of the result.

    Returns
    -------
    response : ndarray of float, shape (n_times,), without unit
        32 s from the neural event on.

    References
    ----------
    .. [1] Friston et al., 1998, NeuroImage 7(1). https://doi.org/10.1006/nimg.1997.0306
    """
    times = np.arange(0, HRF_S, 1 / sampling_hz)
    response = gamma.pdf(times, 6) - gamma.pdf(times, 16) / 6
    return response / response.max()


def convolve_response(neural, sampling_hz):
    """Convolve neural activity with the haemodynamic response.

    Parameters
    ----------
    neural : ndarray of float, shape (n_times,) or (n_times, n_sources), without unit
        The first :data:`HRF_S` seconds are a lead-in and are cut off.
    sampling_hz : float

    Returns
    -------
    bold : ndarray of float, shape (n_times - HRF_S * sampling_hz, ...), mean 0, variance 1

    Raises
    ------
    SignalError
        If ``neural`` is not longer than the response.
    """
    lead = round(HRF_S * sampling_hz)
    if len(neural) <= lead:
        raise SignalError(
            f"neural activity lasts {len(neural) / sampling_hz:g} s; expected more than "
            f"{HRF_S:g} s: start it that much before the first volume."
        )
    response = haemodynamic_response(sampling_hz)
    response = response.reshape(-1, *[1] * (neural.ndim - 1))
    return _standardised(fftconvolve(neural, response, axes=0)[lead : len(neural)])


def alpha_envelope(n_times, sampling_hz, generator):
    """Draw the slow amplitude envelope of an alpha rhythm.

    Parameters
    ----------
    n_times : int
    sampling_hz : float
    generator : numpy.random.Generator

    Returns
    -------
    envelope : ndarray of float, shape (n_times,), mean 1, never below 0
        Fluctuates between 0.01 and 0.1 Hz.
    """
    slow = _standardised(_band_noise(n_times, (0.01, 0.1), sampling_hz, generator))
    envelope = np.maximum(1 + 0.5 * slow, 0)
    return envelope / envelope.mean()


def alpha_rhythm(envelope, sampling_hz, alpha_hz, generator):
    """Draw a narrow-band rhythm with a given envelope.

    Parameters
    ----------
    envelope : ndarray of float, shape (n_times,)
        Amplitude over time, in the unit of the result.
    sampling_hz, alpha_hz : float
        ``alpha_hz`` is the mean frequency; it wanders by about 0.3 Hz.
    generator : numpy.random.Generator

    Returns
    -------
    rhythm : ndarray of float, shape (n_times,), in the unit of ``envelope``
    """
    wander = _standardised(_band_noise(len(envelope), (0.05, 0.5), sampling_hz, generator))
    frequency_hz = alpha_hz + 0.3 * wander
    phase = 2 * np.pi * np.cumsum(frequency_hz) / sampling_hz
    return envelope * np.sin(phase + generator.uniform(0, 2 * np.pi))


def network_sources(networks, n_times, *, coupling, generator):
    """Draw neural activity of parcels with a shared source in each network.

    Parameters
    ----------
    networks : sequence of str, length n_parcels
        Network of each parcel.
    n_times : int
    coupling : float, 0 to 1
        Expected correlation of two parcels of one network; between networks it is 0.
    generator : numpy.random.Generator

    Returns
    -------
    neural : ndarray of float, shape (n_times, n_parcels), without unit
    """
    names, member = np.unique(list(networks), return_inverse=True)
    shared = generator.standard_normal((n_times, len(names)))
    own = generator.standard_normal((n_times, len(member)))
    return np.sqrt(coupling) * shared[:, member] + np.sqrt(1 - coupling) * own


def dipole_leadfield(electrodes_mm, sources_mm, orientations=None):
    """Compute the lead field of current dipoles in an unbounded homogeneous conductor.

    Without skull and scalp: each source has a smooth topography with the right location and
    sign, which does not suffice to localise real sources.

    Parameters
    ----------
    electrodes_mm : ndarray of float, shape (n_channels, 3)
    sources_mm : ndarray of float, shape (n_sources, 3)
        In the same space as the electrodes, origin inside the head.
    orientations : ndarray of float, shape (n_sources, 3), optional
        Direction of each dipole; away from the origin by default.

    Returns
    -------
    leadfield : ndarray of float, shape (n_channels, n_sources), without unit
        Scaled so that the largest value of every source is 1.

    Raises
    ------
    SignalError
        If an electrode lies on a source.

    References
    ----------
    .. [1] Nunez & Srinivasan, 2006, Electric Fields of the Brain, chapter 6.
       https://doi.org/10.1093/acprof:oso/9780195050387.001.0001
    """
    sources_mm = np.asarray(sources_mm, dtype=float)
    moment = sources_mm if orientations is None else np.asarray(orientations, dtype=float)
    moment = moment / np.linalg.norm(moment, axis=1, keepdims=True)
    away = np.asarray(electrodes_mm, dtype=float)[:, None] - sources_mm  # (channels, sources, 3)
    distance = np.linalg.norm(away, axis=2)
    if distance.min() == 0:
        raise SignalError("an electrode and a source share a position: move one of them.")
    field = (away * moment).sum(axis=2) / distance**3
    return field / np.abs(field).max(axis=0)


def pink_noise(n_times, n_channels, generator):
    """Draw noise with a 1/f power spectrum.

    Parameters
    ----------
    n_times, n_channels : int
    generator : numpy.random.Generator

    Returns
    -------
    noise : ndarray of float, shape (n_times, n_channels), mean 0, variance 1
    """
    spectrum = np.fft.rfft(generator.standard_normal((n_times, n_channels)), axis=0)
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))[:, None]
    spectrum[0] = 0
    return _standardised(np.fft.irfft(spectrum, n_times, axis=0))


def blinks(n_times, sampling_hz, generator, *, every_s=4.0):
    """Draw the time course of eye blinks: bumps of 0.3 s, peak about 1.

    Parameters
    ----------
    n_times : int
    sampling_hz : float
    generator : numpy.random.Generator
    every_s : float
        Mean interval between blinks.

    Returns
    -------
    course : ndarray of float, shape (n_times,), without unit
    """
    gaps = generator.exponential(every_s - 0.5, int(2 * n_times / sampling_hz / every_s) + 8) + 0.5
    onsets = (np.cumsum(gaps) * sampling_hz).astype(int)
    onsets = onsets[onsets < n_times]
    train = np.zeros(n_times)
    train[onsets] = generator.uniform(0.7, 1.3, len(onsets))
    return fftconvolve(train, np.hanning(max(3, round(0.3 * sampling_hz))))[:n_times]


def line_noise(n_times, n_channels, sampling_hz, line_hz, generator):
    """Draw line noise: one sine with a random gain and sign for each channel.

    Parameters
    ----------
    n_times, n_channels : int
    sampling_hz, line_hz : float
    generator : numpy.random.Generator

    Returns
    -------
    noise : ndarray of float, shape (n_times, n_channels), amplitude about 1
    """
    sine = np.sin(2 * np.pi * line_hz * np.arange(n_times) / sampling_hz)
    return sine[:, None] * generator.normal(1, 0.3, n_channels)


def rigid_matrix(parameters):
    """Return the matrix of a rigid transform.

    Parameters
    ----------
    parameters : ndarray of float, shape (6,)
        Translations x, y, z in mm, then rotations about x, y, z in rad, applied in the order
        x, y, z about the origin.

    Returns
    -------
    matrix : ndarray of float, shape (4, 4)
    """
    matrix = np.eye(4)
    for axis, angle in enumerate(parameters[3:]):
        rotation, (i, j) = np.eye(4), [k for k in range(3) if k != axis]
        rotation[i, i] = rotation[j, j] = np.cos(angle)
        rotation[i, j], rotation[j, i] = -np.sin(angle), np.sin(angle)
        matrix = rotation @ matrix
    matrix[:3, 3] = parameters[:3]
    return matrix


def head_motion(n_volumes, generator, *, largest_mm=0.4, largest_rad=0.004):
    """Draw a slow drift of the head relative to the first volume.

    Parameters
    ----------
    n_volumes : int
    generator : numpy.random.Generator
    largest_mm, largest_rad : float
        Bounds of translations and rotations.

    Returns
    -------
    parameters : ndarray of float, shape (n_volumes, 6), in mm and rad
    """
    walk = np.cumsum(generator.standard_normal((n_volumes, 6)), axis=0)
    walk -= walk[0]
    walk /= max(np.abs(walk).max(), 1e-12)
    return walk * ([largest_mm] * 3 + [largest_rad] * 3)


def move_volume(volume, affine, matrix, *, shape, target_affine, order=1):
    """Sample a volume after a movement of its contents.

    Parameters
    ----------
    volume : ndarray of float, shape (nx, ny, nz)
    affine, target_affine : ndarray of float, shape (4, 4)
        Voxel to mm of ``volume`` and of the result.
    matrix : ndarray of float, shape (4, 4)
        Maps points of ``volume`` to moved points, both in mm.
    shape : tuple of int
        Voxels of the result.
    order : int
        Spline order; 0 for labels.

    Returns
    -------
    moved : ndarray of float, shape ``shape``
        0 outside ``volume``.
    """
    back = np.linalg.inv(affine) @ np.linalg.inv(matrix) @ target_affine
    return affine_transform(volume, back[:3, :3], back[:3, 3], output_shape=shape, order=order)


def bold_volumes(contrast, labels, series, *, percent, noise, generator):
    """Modulate the parcels of a static image over time.

    Parameters
    ----------
    contrast : ndarray of float, shape (nx, ny, nz)
        Mean intensity of each voxel.
    labels : ndarray of int, shape (nx, ny, nz)
        Parcel of each voxel, 1 to n_parcels; 0 is none.
    series : ndarray of float, shape (n_times, n_parcels), variance 1
    percent : float
        Standard deviation of a parcel, in percent of the mean intensity.
    noise : float
        Standard deviation of the thermal noise, in the unit of ``contrast``.
    generator : numpy.random.Generator

    Yields
    ------
    volume : ndarray of float, shape (nx, ny, nz)
        One for each row of ``series``.
    """
    for sample in series:
        change = np.concatenate([[0.0], sample * percent / 100])[labels]
        yield contrast * (1 + change) + noise * generator.standard_normal(contrast.shape)


def _band_noise(n_times, band_hz, sampling_hz, generator):
    """Draw noise between two frequencies; padded to avoid edge effects."""
    pad = round(sampling_hz * 3 / band_hz[0])
    white = generator.standard_normal(n_times + 2 * pad)
    filtered = sosfiltfilt(butter(2, band_hz, "bandpass", fs=sampling_hz, output="sos"), white)
    return filtered[pad : pad + n_times]


def _standardised(values):
    return (values - values.mean(axis=0)) / values.std(axis=0)
