"""Summary of a cleaned EEG: the small arrays its figures are drawn from."""

import pickle
from types import SimpleNamespace

import numpy as np

from brainfm.files import write_bytes
from brainfm.signal.eeg import relative_power, spectrum

OCCIPITAL = ("O1", "Oz", "O2")
_EXCERPT_S = 10.0
_FINEST_HZ = 0.5


def write_summary(path, cleaned):
    """Write the arrays the figures are drawn from, as a pickle in the work folder of the run.

    Parameters
    ----------
    path : path
    cleaned : brainfm.stages.preprocess.eeg.CleanEeg

    Returns
    -------
    path : Path
        File with a SimpleNamespace; voltages are in volts.

        - ``stem``, ``info``, ``bad``, ``filters``, ``without_position``, ``line_hz``: of the run
        - ``spectra``: ``before`` and ``after``, frequencies (Hz) and densities of the raw and the
          cleaned recording
        - ``occipital``: indices of :data:`OCCIPITAL`
        - ``band_share``: relative band power, shape (n_channels, n_bands)
        - ``excerpt``: ``before`` and ``after``, both average-referenced and band-passed: they
          differ only by the components removed and the channels interpolated
        - ``components``: among them ``maps``, of shape (n_channels_fitted, n_components)
    """
    run, clean = cleaned.run, cleaned.clean
    names = clean.ch_names
    summary = SimpleNamespace(
        stem=run.stem,
        info=clean.info,
        bad=cleaned.bad,
        without_position=run.without_position,
        line_hz=run.line_hz,
        filters=cleaned.filters,
        spectra={"before": _spectrum(run.raw), "after": _spectrum(clean)},
        occipital=[names.index(name) for name in OCCIPITAL if name in names],
        band_share=relative_power(clean.get_data().T, clean.info["sfreq"]),
        excerpt=_excerpt(cleaned),
        components=_components(cleaned),
    )
    return write_bytes(path, pickle.dumps(summary))


def _spectrum(raw):
    return spectrum(raw.get_data().T, raw.info["sfreq"], window_s=1 / _FINEST_HZ)


def _excerpt(cleaned):
    """Return the ten seconds with the largest change by the removal of components."""
    sampling_hz = cleaned.clean.info["sfreq"]
    before = cleaned.filtered.copy().set_eeg_reference("average", verbose="error")
    before = before.resample(sampling_hz, verbose="error").get_data().T
    after = cleaned.clean.get_data().T
    n_times = min(len(before), len(after))
    n_window = min(n_times, int(_EXCERPT_S * sampling_hz))
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
    summary = {"skipped": found.skipped, "described": found.describe()}
    if found.skipped:
        return summary
    picked = cleaned.filtered.copy().pick(found.ica.ch_names, verbose="error")
    picked.set_eeg_reference("average", verbose="error")
    sources = found.ica.get_sources(picked).get_data().T  # (n_times, n_components)
    return {
        **summary,
        "maps": found.ica.get_components(),
        "info": picked.info,
        "spectra": spectrum(sources, picked.info["sfreq"]),
    }
