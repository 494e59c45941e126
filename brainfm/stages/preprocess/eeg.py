"""Preprocessing of a raw EEG run."""

import logging
import time
from dataclasses import dataclass, field

import mne
import numpy as np

from brainfm.errors import DataError
from brainfm.signal.bad_channels import find_bad_channels
from brainfm.signal.eeg import alpha_peak_hz, line_noise_ratio, relative_alpha
from brainfm.signal.montage import fit_sphere
from brainfm.stages.preprocess.eeg_ica import Components, find_components
from brainfm.stages.preprocess.eeg_qc import OCCIPITAL, write_summary
from brainfm.stages.preprocess.eeg_sidecar import channels_table, sidecar_of
from brainfm.storage.bids.electrodes import electrode_positions
from brainfm.storage.bids.read_eeg import EegRun, read_eeg_run
from brainfm.storage.derivatives.write_eeg import write_eeg_derivative

log = logging.getLogger("brainfm")

_LOUDEST_V = 10e-3
_QUIETEST_V = 1e-9
#: Highest low-pass as a share of the Nyquist frequency, below the anti-aliasing filter.
_NYQUIST_SHARE = 15 / 16
_NOTCH_HZ = 1.0
#: With fewer good channels, bad channels are not interpolated but marked as bad.
_FEWEST_TO_INTERPOLATE = 4
_AVERAGE_CENTRE_M = (0.0, 0.0, 0.04)
_HIGHEST_HARMONIC_HZ = 105.0


@dataclass(frozen=True, kw_only=True)
class CleanEeg:
    """A cleaned run with the results of each step.

    Parameters
    ----------
    run : EegRun
        The raw run.
    clean, filtered : mne.io.BaseRaw
        Result, and signal before ICA in the reference of the recording; in volts.
    bad : dict of str to str
        Reason of each bad channel.
    components : Components
    filters : dict
        Cut-off frequencies that were used.
    quality : dict
        Metrics of ``*_qc.json``.
    """

    run: EegRun
    clean: mne.io.BaseRaw
    filtered: mne.io.BaseRaw
    bad: dict
    components: Components
    filters: dict
    quality: dict = field(default_factory=dict)


def preprocess_eeg(eeg_file, out_dir, config, *, seed=0, sloppy=False, summary_file=None):
    """Clean one raw EEG run and write it with its sidecars and quality metrics.

    Parameters
    ----------
    eeg_file : path
        In a BIDS dataset.
    out_dir : path
        Root of the derivative dataset.
    config : brainfm.config.EegConfig
    seed : int
        Random seed of the ICA.
    sloppy : bool
        Fast and rough, for tests.
    summary_file : path, optional
        Where to save what :func:`~brainfm.stages.preprocess.eeg_figures.draw_eeg_figures` draws.

    Returns
    -------
    Path
        The cleaned recording (``.vhdr``).

    Raises
    ------
    MissingInput, DataError
        If the recording cannot be read or is not fit for use; the text names the file.
    """
    cleaned = clean_eeg(eeg_file, config, seed=seed, sloppy=sloppy)
    if summary_file:
        write_summary(summary_file, cleaned)
    return write_eeg_derivative(
        cleaned.run,
        cleaned.clean,
        out_dir,
        sidecar=sidecar_of(cleaned, config, seed),
        channels=channels_table(cleaned),
        quality=cleaned.quality,
    )


def clean_eeg(eeg_file, config, *, seed=0, sloppy=False):
    """Clean one raw EEG run: notch, band-pass, bad channels, ICA, reference, resampling.

    Parameters
    ----------
    eeg_file, config, seed, sloppy
        See :func:`preprocess_eeg`.

    Returns
    -------
    CleanEeg
    """
    start = time.monotonic()
    run = read_eeg_run(eeg_file, line_hz=config.line_hz)
    broken = _blank_broken(run.raw)
    notched, filters = _notch_filter(run, config)
    band_hz = filters["high_pass_hz"], filters["low_pass_hz"]
    filtered = notched.copy().filter(*band_hz, verbose="error")
    bad = _find_bad(run, filtered, broken, config)
    for raw in (notched, filtered):
        raw.info["bads"] = list(bad)
    components = find_components(notched, threshold=config.ica_threshold, seed=seed, sloppy=sloppy)
    _log_result(run, bad, components)
    clean = _finish(filtered, components, config)
    cleaned = CleanEeg(
        run=run, clean=clean, filtered=filtered, bad=bad, components=components, filters=filters
    )
    cleaned.quality.update(_quality(cleaned))
    log.info("%s: cleaned in %.1f s", run.stem, time.monotonic() - start)
    return cleaned


def _blank_broken(raw):
    """Set channels with samples that are not finite to zero, and return their names."""
    broken = np.flatnonzero(~np.isfinite(raw.get_data()).all(axis=1))
    raw.apply_function(np.zeros_like, picks=broken) if len(broken) else None
    return [raw.ch_names[index] for index in broken]


def _notch_filter(run, config):
    """Remove line noise and its harmonics; return the cut-off frequencies of all filters."""
    nyquist = run.raw.info["sfreq"] / 2
    highest = min(nyquist - 2 * _NOTCH_HZ, _HIGHEST_HARMONIC_HZ)
    notches_hz = np.arange(run.line_hz, highest, run.line_hz)
    raw = run.raw.copy()
    if len(notches_hz):
        raw.notch_filter(notches_hz, notch_widths=_NOTCH_HZ, verbose="error")
    filters = {
        "notches_hz": [float(hz) for hz in notches_hz],
        "high_pass_hz": config.high_pass_hz,
        "low_pass_hz": min(config.low_pass_hz, _NYQUIST_SHARE * nyquist),
    }
    if filters["low_pass_hz"] < config.low_pass_hz:
        log.warning(
            "%s: sampled at %g Hz, so the low-pass is %g Hz instead of %g Hz",
            run.stem,
            2 * nyquist,
            filters["low_pass_hz"],
            config.low_pass_hz,
        )
    return raw, filters


def _find_bad(run, filtered, broken, config):
    """Return the reason of each bad channel, or refuse a recording with too many."""
    signal = filtered.get_data().T  # (n_times, n_channels)
    _check_unit(run, signal)
    names = np.array(filtered.ch_names)
    bad = dict.fromkeys(filtered.info["bads"], "marked bad in channels.tsv")
    bad.update(dict.fromkeys(broken, "not all samples are finite"))
    others = np.flatnonzero(~np.isin(names, list(bad)))
    found = find_bad_channels(signal[:, others], filtered.info["sfreq"]) if len(others) else {}
    for reason, indices in found.items():
        for name in names[others[indices]]:
            bad.setdefault(str(name), reason)
    if len(bad) > config.max_bad_share * len(names) or len(names) - len(bad) < 2:
        raise DataError(
            f"{run.path}: {len(bad)} of {len(names)} channels are bad "
            f"({', '.join(f'{name} {reason}' for name, reason in list(bad.items())[:4])}, ...); "
            f"expected at most {config.max_bad_share:.0%}: exclude the recording, or raise "
            "--eeg-max-bad-share."
        )
    return bad


def _check_unit(run, signal):
    """Refuse amplitudes that cannot be EEG in volts; medians are robust to single channels."""
    amplitude_v = np.median(np.abs(signal), axis=0)
    middle_v = float(np.median(amplitude_v))
    if not amplitude_v.any():
        raise DataError(f"{run.path}: all samples of all channels are 0; expected a signal.")
    if middle_v > _LOUDEST_V or 0 < middle_v < _QUIETEST_V:
        raise DataError(
            f"{run.path}: the median amplitude is {middle_v:.3g} V; expected EEG of about 1e-5 V. "
            "The unit in the file's header seems wrong (microvolts taken for volts, or the "
            "reverse): correct the header or the units in channels.tsv."
        )


def _log_result(run, bad, components):
    log.info("%s: %d bad channels %s", run.stem, len(bad), ", ".join(bad))
    if components.skipped:
        log.warning("%s: ICA skipped: %s", run.stem, components.skipped)
    else:
        n_all, n_removed = len(components.labels), len(components.removed)
        log.info("%s: %d of %d ICA components removed", run.stem, n_removed, n_all)


def _finish(filtered, components, config):
    """Remove components, interpolate bad channels, average reference, resample."""
    clean = filtered.copy().set_eeg_reference("average", verbose="error")
    if components.removed:
        components.ica.apply(clean, exclude=list(components.removed), verbose="error")
    n_good = len(clean.ch_names) - len(clean.info["bads"])
    if clean.info["bads"] and n_good >= _FEWEST_TO_INTERPOLATE:
        clean.interpolate_bads(reset_bads=True, origin=_head_centre(clean), verbose="error")
        clean.set_eeg_reference("average", verbose="error")
    return clean.resample(config.sampling_hz, verbose="error")


def _head_centre(raw):
    """Return the centre of the sphere through the electrodes, or of an average head."""
    centre, radius = fit_sphere(electrode_positions(raw.info))
    return _AVERAGE_CENTRE_M if radius is None else tuple(centre)


def _quality(cleaned):
    raw, clean, components = cleaned.run.raw, cleaned.clean, cleaned.components
    signal, sampling_hz = clean.get_data().T, clean.info["sfreq"]
    occipital = [clean.ch_names.index(name) for name in OCCIPITAL if name in clean.ch_names]
    alpha = relative_alpha(signal[:, occipital], sampling_hz) if occipital else [np.nan]
    peak_hz = alpha_peak_hz(signal[:, occipital], sampling_hz) if occipital else np.nan
    line_hz = cleaned.run.line_hz
    before = line_noise_ratio(raw.get_data().T, raw.info["sfreq"], line_hz)
    return {
        "n_channels": len(clean.ch_names),
        "n_bad_channels": len(cleaned.bad),
        "bad_channels": list(cleaned.bad),
        "bad_channel_reasons": list(cleaned.bad.values()),
        "bad_channels_not_interpolated": clean.info["bads"],
        "channels_without_position": list(cleaned.run.without_position),
        "other_channels": list(cleaned.run.other_channels),
        "positions_from": cleaned.run.origin_of_positions,
        "n_ica_components": len(components.labels),
        "n_ica_removed": len(components.removed),
        "ica_labels": components.labels,
        "ica_skipped": components.skipped,
        "line_noise_ratio_before": before,
        "line_noise_ratio_after": line_noise_ratio(signal, sampling_hz, line_hz),
        "alpha_relative_occipital": float(np.mean(alpha)),
        "alpha_peak_hz": peak_hz,
        "amplitude_median_uv": float(1e6 * np.median(signal.std(axis=0))),
        "duration_s": float(raw.n_times / raw.info["sfreq"]),
        "raw_sampling_hz": raw.info["sfreq"],
        "sampling_hz": sampling_hz,
        "low_pass_hz": cleaned.filters["low_pass_hz"],
    }
