"""Summary of a cleaned EEG: the small arrays its figures are drawn from."""

import pickle
from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np

from brainfm.files import write_bytes
from brainfm.signal.eeg import BANDS_HZ, TOTAL_HZ, band_power, spectrum

EXCERPT_S = 10.0
_FINEST_HZ = 0.5


@dataclass(frozen=True, kw_only=True)
class EegSummary:
    """Arrays for the figures of one run; voltages in volts.

    Parameters
    ----------
    stem : str
    info : mne.Info
    bad : dict of str to str
        Reason of each bad channel.
    without_position : tuple of str
        Channels left out because they have no position.
    line_hz : float
    filters : dict
    spectra : dict
        ``before`` and ``after``: frequencies (Hz) and densities of raw and cleaned recording.
    occipital : tuple of int
    band_share : ndarray of float, shape (n_channels, n_bands)
        Relative band power.
    excerpt : dict
        ``before`` and ``after``, both average-referenced and band-passed: they differ only by
        the components removed and the channels interpolated.
    components : dict
        Among them ``maps``, of shape (n_channels_fitted, n_components).
    """

    stem: str
    info: mne.Info
    bad: dict
    without_position: tuple[str, ...]
    line_hz: float
    filters: dict
    spectra: dict
    occipital: tuple[int, ...]
    band_share: np.ndarray
    excerpt: dict
    components: dict


def summarise(cleaned, occipital):
    """Compute the arrays the figures are drawn from.

    Parameters
    ----------
    cleaned : brainfm.stages.preprocess.eeg.CleanEeg
    occipital : iterable of str

    Returns
    -------
    EegSummary
    """
    run, clean = cleaned.run, cleaned.clean
    names = clean.ch_names
    powers = band_power(clean.get_data().T, clean.info["sfreq"], {**BANDS_HZ, "total": TOTAL_HZ})
    return EegSummary(
        stem=run.stem,
        info=clean.info,
        bad=cleaned.bad,
        without_position=run.without_position,
        line_hz=run.line_hz,
        filters=cleaned.filters,
        spectra={"before": _spectrum(run.raw), "after": _spectrum(clean)},
        occipital=tuple(names.index(name) for name in occipital if name in names),
        band_share=np.divide(
            powers[:, :-1],
            powers[:, -1:],
            out=np.full(powers[:, :-1].shape, np.nan),
            where=powers[:, -1:] > 0,
        ),
        excerpt=_excerpt(cleaned),
        components=_components(cleaned),
    )


def write_summary(path, summary):
    """Pickle a summary for :func:`read_summary`.

    Parameters
    ----------
    path : path
    summary : EegSummary

    Returns
    -------
    path : Path
    """
    return write_bytes(path, pickle.dumps(summary))


def read_summary(path):
    """Read a summary that :func:`write_summary` wrote in the work folder of the same run.

    Parameters
    ----------
    path : path

    Returns
    -------
    EegSummary
    """
    return pickle.loads(Path(path).read_bytes())  # noqa: S301


def _spectrum(raw):
    return spectrum(raw.get_data().T, raw.info["sfreq"], window_s=1 / _FINEST_HZ)


def _excerpt(cleaned):
    """Return the ten seconds with the largest change by the removal of components."""
    sampling_hz = cleaned.clean.info["sfreq"]
    before = cleaned.filtered.copy().set_eeg_reference("average", verbose="error")
    before = before.resample(sampling_hz, verbose="error").get_data().T
    after = cleaned.clean.get_data().T
    n_times = min(len(before), len(after))
    n_window = min(n_times, int(EXCERPT_S * sampling_hz))
    good = [i for i, name in enumerate(cleaned.clean.ch_names) if name not in cleaned.bad]
    change = ((before[:n_times, good] - after[:n_times, good]) ** 2).sum(axis=1)
    starts = np.arange(0, n_times - n_window + 1, max(1, int(sampling_hz)))
    sums = np.concatenate([[0], change.cumsum()])
    start = int(starts[(sums[starts + n_window] - sums[starts]).argmax()])
    window = slice(start, start + n_window)
    return {
        "times_s": np.arange(start, start + n_window) / sampling_hz,
        "before": before[window].astype(np.float32),
        "after": after[window].astype(np.float32),
    }


def _components(cleaned):
    found = cleaned.components
    if found.skipped:
        return {"skipped": found.skipped, "removed": (), "labels": [], "described": []}
    picked = cleaned.filtered.copy().pick(found.ica.ch_names, verbose="error")
    picked.set_eeg_reference("average", verbose="error")
    sources = found.ica.get_sources(picked).get_data().T  # (n_times, n_components)
    return {
        "skipped": None,
        "removed": found.removed,
        "labels": found.labels,
        "described": found.describe(),
        "maps": found.ica.get_components(),
        "info": picked.info,
        "spectra": spectrum(sources, picked.info["sfreq"]),
    }
