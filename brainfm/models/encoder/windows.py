"""Windows: recordings at one sampling rate and scale, cut into patches, with padding masked."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import detrend, firwin
from torch.nn.utils.rnn import pad_sequence

from brainfm.errors import ModelError, SignalError
from brainfm.signal.censored_frames import interpolate_censored

#: Version of :func:`prepare`. Raise it whenever the same recording gives other numbers than before:
#: signals prepared by another version are not used again.
PREPARATION_VERSION = 1
#: EEG with a scale outside these volts is in another unit.
_EEG_SCALE_V = (1e-8, 5e-3)
#: Seconds at the ends of EEG are cut off if their spread is below this fraction of the median.
_SILENT_FRACTION = 0.2


@dataclass(frozen=True, kw_only=True)
class WindowSpec:
    """Parameters of the preparation and the windows of one modality.

    Parameters
    ----------
    sampling_hz : float
    patch_s : float
        Length of a patch.
    n_patches : int
        Patches of a window.
    clip : float
        Largest absolute value of a scaled signal.
    position_unit : float
        Positions are divided by it, so that a head is about 1 in size.
    low_pass_hz : float, optional
        None where half the sampling rate is the only limit.
    """

    sampling_hz: float
    patch_s: float
    n_patches: int
    clip: float
    position_unit: float
    low_pass_hz: float | None = None

    @property
    def patch(self):
        """Number of samples of one patch."""
        return round(self.patch_s * self.sampling_hz)

    @property
    def window_s(self):
        """Length of one window in seconds."""
        return self.patch_s * self.n_patches


SPECS = {
    "bold": WindowSpec(sampling_hz=0.5, patch_s=12, n_patches=10, clip=5, position_unit=100.0),
    "eeg": WindowSpec(
        sampling_hz=100, patch_s=1, n_patches=10, clip=15, position_unit=0.1, low_pass_hz=40
    ),
}


@dataclass(frozen=True, kw_only=True)
class PreparedSignal:
    """Prepared recording: usable channels only, resampled and scaled.

    Parameters
    ----------
    signal : ndarray of float32, shape (n_channels, n_times), without unit
    positions : ndarray of float32, shape (n_channels, 3), about 1 in size
    modality : {"bold", "eeg"}
    log_scale : float
        Log10 of the divisor of the signal in microvolts; 0 for BOLD.
    """

    signal: np.ndarray
    positions: np.ndarray
    modality: str
    log_scale: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Windows:
    """A batch of windows of one modality, padded to a common number of channels.

    Parameters
    ----------
    signal : Tensor, shape (n_windows, n_channels, n_patches, patch)
    positions : Tensor, shape (n_windows, n_channels, 3)
    channels : Tensor of bool, shape (n_windows, n_channels)
        False where padded.
    patches : Tensor of bool, shape (n_windows, n_patches)
        False where padded.
    """

    signal: torch.Tensor
    positions: torch.Tensor
    channels: torch.Tensor
    patches: torch.Tensor

    def __len__(self):
        return len(self.signal)

    def __getitem__(self, rows):
        return replace(self, **{name: value[rows] for name, value in vars(self).items()})

    def to(self, device):
        """Return the same windows on another device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in vars(self)})

    @property
    def usable(self):
        """Tensor of bool, shape (n_windows, n_channels, n_patches): False where padded."""
        return self.channels[:, :, None] & self.patches[:, None, :]


def prepare(recording):
    """Resample and scale one recording.

    BOLD: linear trend removed, 0.5 Hz, each channel z-scored over the run, clipped at 5.
    EEG: channel means removed, silent ends cut off, low-passed at 40 Hz, 100 Hz, divided by one
    robust scale of the whole recording (so that differences between channels stay), clipped at 15.

    Parameters
    ----------
    recording : Recording
        EEG in volts, BOLD in any unit. Channels that are masked, constant or not finite are
        left out; censored frames of BOLD (NaN in all channels) are interpolated linearly.

    Returns
    -------
    prepared : PreparedSignal

    Raises
    ------
    ModelError
        If no channel is usable, the recording is shorter than one patch, fewer than half of its
        frames are left after censoring, or EEG is not in volts.
    """
    return recording.cache(recording, _prepare) if recording.cache else _prepare(recording)


def _prepare(recording):
    spec = SPECS[recording.modality]
    signal = recording.signal
    if recording.modality == "bold":
        try:
            signal = interpolate_censored(signal)
        except SignalError as error:
            raise ModelError(f"{recording!r}: {error}") from error
    duration_s = len(signal) / recording.sampling_hz
    if duration_s + 1e-6 < spec.patch_s:
        raise ModelError(
            f"{recording!r} lasts {duration_s:.3g} s but one patch of "
            f"{recording.modality} is {spec.patch_s:g} s: it is too short for this model."
        )
    signal = np.array(signal.T, order="C")  # a copy, contiguous along time
    with np.errstate(invalid="ignore"):
        spread = np.ptp(signal, axis=1)  # NaN or infinite if a sample is
    usable = recording.mask & np.isfinite(spread) & (spread > 0)
    if not usable.any():
        raise ModelError(
            f"{recording!r} has no usable channel: all {len(usable)} are masked, constant or NaN."
        )
    signal = signal if usable.all() else signal[usable]
    scaled, log_scale = _SCALERS[recording.modality](signal, recording, spec)
    np.clip(scaled, -spec.clip, spec.clip, out=scaled)
    return PreparedSignal(
        signal=np.ascontiguousarray(scaled, dtype=np.float32),
        positions=(recording.positions[usable] / spec.position_unit).astype(np.float32),
        modality=recording.modality,
        log_scale=log_scale,
    )


def n_whole_patches(prepared):
    """Count the whole patches of a prepared recording.

    Parameters
    ----------
    prepared : PreparedSignal

    Returns
    -------
    n_patches : int
    """
    return prepared.signal.shape[1] // SPECS[prepared.modality].patch


def split_halves(prepared):
    """Split a recording into its first and second half, of equally many whole patches.

    Parameters
    ----------
    prepared : PreparedSignal

    Returns
    -------
    halves : tuple of PreparedSignal, length 2
    """
    length = n_whole_patches(prepared) // 2 * SPECS[prepared.modality].patch
    signal = prepared.signal
    # Not replace(): a MappedSignal has other fields.
    shared = {name: getattr(prepared, name) for name in ("positions", "modality", "log_scale")}
    halves = signal[:, :length], signal[:, length : 2 * length]
    return tuple(PreparedSignal(signal=half, **shared) for half in halves)


def all_windows(prepared, n_patches=None):
    """Cut a recording into consecutive windows that cover all whole patches.

    The last window ends with the recording and may overlap the one before; a recording shorter
    than a window is padded and masked.

    Parameters
    ----------
    prepared : PreparedSignal
    n_patches : int, optional
        Patches of a window; by default as in ``SPECS``.

    Returns
    -------
    windows : Windows
    """
    spec = SPECS[prepared.modality]
    n_patches = n_patches or spec.n_patches
    n_whole = n_whole_patches(prepared)
    starts = list(range(0, n_whole - n_patches + 1, n_patches)) or [0]
    if n_whole - starts[-1] > n_patches:
        starts.append(n_whole - n_patches)
    return collate([cut_window(prepared, start * spec.patch, n_patches) for start in starts])


def random_crop(prepared, rng, *, max_channels=None, n_patches=None):
    """Cut one window at a random time, from a random subset of channels.

    Parameters
    ----------
    prepared : PreparedSignal
    rng : numpy.random.Generator
    max_channels : int, optional
        Draw a random number of channels, half of them at least and ``max_channels`` at most;
        by default all are taken.
    n_patches : int, optional
        Patches of the window; by default as in ``SPECS``.

    Returns
    -------
    window : tuple
        See :func:`cut_window`.
    """
    spec = SPECS[prepared.modality]
    n_patches = n_patches or spec.n_patches
    n_channels, n_times = prepared.signal.shape
    start = int(rng.integers(max(n_times - n_patches * spec.patch, 0) + 1))
    if max_channels is None:
        return cut_window(prepared, start, n_patches)
    n_drawn = min(int(rng.integers((n_channels + 1) // 2, n_channels + 1)), max_channels)
    chosen = np.sort(rng.permutation(n_channels)[:n_drawn])
    signal, positions, patches = cut_window(prepared, start, n_patches)
    return signal[chosen], positions[chosen], patches


def cut_window(prepared, start, n_patches=None):
    """Cut the window that begins at sample ``start``; patches beyond the end are masked.

    Parameters
    ----------
    prepared : PreparedSignal
    start : int
    n_patches : int, optional
        Patches of the window; by default as in ``SPECS``.

    Returns
    -------
    signal : ndarray of float32, shape (n_channels, n_patches, patch)
    positions : ndarray of float32, shape (n_channels, 3)
    patches : ndarray of bool, shape (n_patches,)
        False beyond the end of the recording.
    """
    spec = SPECS[prepared.modality]
    n_patches = n_patches or spec.n_patches
    piece = prepared.signal[:, start : start + n_patches * spec.patch]
    n_whole = piece.shape[1] // spec.patch
    signal = np.zeros((len(piece), n_patches, spec.patch), dtype=np.float32)
    signal[:, :n_whole] = piece[:, : n_whole * spec.patch].reshape(len(piece), n_whole, spec.patch)
    return signal, prepared.positions, np.arange(n_patches) < n_whole


def collate(windows):
    """Stack windows of one modality, padding channels.

    Parameters
    ----------
    windows : list of tuple
        See :func:`cut_window`.

    Returns
    -------
    batch : Windows
    """
    signal, positions, patches = zip(*windows, strict=True)
    n_channels = torch.tensor([len(one) for one in signal])
    return Windows(
        signal=pad_sequence([torch.from_numpy(one) for one in signal], batch_first=True),
        positions=pad_sequence([torch.tensor(one) for one in positions], batch_first=True),
        channels=torch.arange(n_channels.max()) < n_channels[:, None],
        patches=torch.from_numpy(np.stack(patches)),
    )


def resample(signal, sampling_hz, target_hz, low_pass_hz=None):
    """Resample along time with a linear-phase low-pass (windowed sinc) in the Fourier domain.

    Parameters
    ----------
    signal : ndarray of float, shape (n_channels, n_times)
        Zero mean, since the ends are padded with zeros.
    sampling_hz, target_hz : float
    low_pass_hz : float, optional
        Cut-off; by default 0.9 times the lower of the two Nyquist frequencies.

    Returns
    -------
    resampled : ndarray of float, shape (n_channels, ceil(n_times * target_hz / sampling_hz))
    """
    ratio = Fraction(target_hz / sampling_hz).limit_denominator(500)
    nyquist_hz = min(target_hz, sampling_hz) / 2
    if low_pass_hz is None and ratio == 1:
        return signal
    n_times = signal.shape[1]
    cut_off_hz = min(low_pass_hz or nyquist_hz, 0.9 * nyquist_hz)
    half_length = int(np.ceil(2 * sampling_hz / (nyquist_hz - cut_off_hz)))
    taps = firwin(2 * half_length + 1, cut_off_hz, fs=sampling_hz)
    # Pad with zeros to a length that the filter and the ratio of rates fit into.
    n_blocks = next_fast_len(math.ceil((n_times + 2 * half_length) / ratio.denominator), real=True)
    n_padded, n_resampled = n_blocks * ratio.denominator, n_blocks * ratio.numerator
    n_bins = min(n_padded, n_resampled) // 2 + 1
    delay = np.exp(2j * np.pi * np.arange(n_bins) * half_length / n_padded)
    response = (rfft(taps, n_padded)[:n_bins] * delay).real * float(ratio)
    workers = torch.get_num_threads()
    spectrum = rfft(signal, n_padded, workers=workers)[:, :n_bins]
    spectrum *= response.astype(signal.dtype)
    return irfft(spectrum, n_resampled, workers=workers)[:, : math.ceil(n_times * ratio)]


def _scale_bold(signal, recording, spec):
    signal = resample(detrend(signal), recording.sampling_hz, spec.sampling_hz)
    spread = signal.std(axis=1, keepdims=True)
    least = 1e-6 * spread.max()
    return (signal - signal.mean(axis=1, keepdims=True)) / np.maximum(spread, least), 0.0


def _scale_eeg(signal, recording, spec):
    signal -= signal.mean(axis=1, keepdims=True)
    signal = _without_silent_ends(signal, recording, spec)
    signal = resample(signal, recording.sampling_hz, spec.sampling_hz, spec.low_pass_hz)
    spread = _quantile(signal, 0.75) - _quantile(signal, 0.25)
    scale_v = float(np.median(spread)) / 1.349  # standard deviation of a normal distribution
    if not _EEG_SCALE_V[0] < scale_v < _EEG_SCALE_V[1]:
        raise ModelError(
            f"{recording!r} varies by {scale_v:.2g} V; expected 1e-8 to 5e-3 V. Is it in "
            "microvolts? brainfm takes EEG in volts: multiply by 1e-6."
        )
    signal /= np.float32(scale_v)
    return signal, float(np.log10(scale_v * 1e6))


def _quantile(signal, q):
    """Nearest-rank quantile of each channel; np.quantile takes seven times as long."""
    rank = round(q * (signal.shape[1] - 1))
    return np.partition(signal, rank, axis=1)[:, rank]


def _without_silent_ends(signal, recording, spec):
    """Cut off seconds at both ends in which most channels are nearly constant.

    Files are often padded with zeros to a whole record, which filters then blur; the duration of
    the silence would encode the duration of the recording.
    """
    second = max(round(recording.sampling_hz * spec.patch_s), 1)
    n_seconds = signal.shape[1] // second
    pieces = signal[:, : n_seconds * second].reshape(len(signal), n_seconds, second)
    power = np.einsum("cst,cst->cs", pieces, pieces) / second  # without the copy that std makes
    variance = np.maximum(power - pieces.mean(axis=2) ** 2, 0)
    spread = np.sqrt(np.median(variance, axis=0))
    loud = np.flatnonzero(spread > _SILENT_FRACTION * np.median(spread))
    if not len(loud):
        return signal
    end = signal.shape[1] if loud[-1] == n_seconds - 1 else (loud[-1] + 1) * second
    return signal[:, loud[0] * second : end]


_SCALERS = {"bold": _scale_bold, "eeg": _scale_eeg}
