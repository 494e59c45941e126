"""Parcel time series and connectivity of a preprocessed BOLD run."""

import logging
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from brainfm.errors import DataError, SignalError
from brainfm.files import write_json, write_tsv
from brainfm.signal.bold import (
    clean_series,
    fill_censored,
    passed_components,
    percent_change,
    reduce_confounds,
)
from brainfm.signal.connectivity import pearson
from brainfm.signal.volumes import check_magnitude, replace_missing
from brainfm.storage.atlas import labels_on_grid, load_atlas
from brainfm.storage.bids.names import entities_of
from brainfm.storage.derivatives.confounds import is_censored, plan_denoising
from brainfm.storage.derivatives.names import derivative_path
from brainfm.storage.parcel_series import parcel_series

log = logging.getLogger("brainfm")

_RELMAT = {
    "RelationshipMeasure": "Pearson correlation",
    "Weighted": True,
    "Directed": False,
    "ValidDiagonal": True,
    "StorageFormat": "Full",
    "NonNegative": False,
}


@dataclass(frozen=True, kw_only=True)
class PreprocessedBold:
    """Files of a run in template space, of any preprocessing software.

    Parameters
    ----------
    bold_file, mask_file, confounds_file : Path
        Run, brain mask, and confounds with the column names of fMRIPrep.
    repetition_time_s : float

    Outputs are named after the raw run ``source_file``; ``sources`` are BIDS URIs.
    """

    bold_file: Path
    mask_file: Path
    confounds_file: Path
    repetition_time_s: float
    source_file: Path
    sources: tuple[str, ...] = ()


def standardise_bold(run, out_dir, config):
    """Write parcel series and connectivity of one run.

    Parameters
    ----------
    run : PreprocessedBold
    out_dir : path
        Root of the derivative dataset.
    config : BoldConfig

    Returns
    -------
    timeseries : Path of ``*_desc-denoised_timeseries.tsv``, in percent signal change
    metrics : dict
        Counts of parcels, of volumes (n_dropped, n_censored, n_kept), minutes_kept, and of degrees
        of freedom (n_confounds, n_confound_components, n_passed_components, degrees_of_freedom).

    Raises
    ------
    DataError
        If the files do not fit together, the table lacks confounds of the strategy, or too little
        time is left after censoring.
    SignalError
        If the run is too short for its filter.
    """
    atlas = load_atlas(config.atlas)
    plan = plan_denoising(run.confounds_file, config, run.repetition_time_s)
    series, coverage = _covered_series(run, atlas, config.min_coverage)
    if plan.n_dropped + len(plan.kept) != len(series):
        raise DataError(
            f"{run.confounds_file.name} has {plan.n_dropped + len(plan.kept)} rows but "
            f"{run.bold_file.name} has {len(series)} volumes: are they of the same run?"
        )
    series = percent_change(series[plan.n_dropped :], plan.kept)
    cleaned, metrics = _denoise(series, plan, config, run.repetition_time_s)
    metrics["n_parcels"] = len(atlas.names)
    metrics["n_parcels_covered"] = int(np.isfinite(cleaned[plan.kept]).all(axis=0).sum())
    _tell(run, plan, metrics)
    path = _names(out_dir, run, atlas)
    for desc, values, text in (
        ("pearson", cleaned, "denoised signals of parcels"),
        ("preproc", series, "signals of parcels before confounds, filter and censoring"),
    ):
        matrix = pd.DataFrame(pearson(values), columns=list(atlas.names))
        matrix.insert(0, "Node", atlas.names)
        sidecar = {"Description": f"Correlation between the {text}", **_RELMAT}
        _write(partial(path, desc=desc, suffix="relmat"), matrix, sidecar)
    table = pd.DataFrame(cleaned, columns=list(atlas.names))
    sidecar = _sidecar(run, atlas, config) | {"Coverage": coverage, **metrics}
    sidecar |= _sidecar_of_denoising(plan, config, run.repetition_time_s)
    return _write(partial(path, desc="denoised", suffix="timeseries"), table, sidecar), metrics


def _denoise(series, plan, config, repetition_time_s):
    """Clean the series, with fewer regressors in short runs, and count degrees of freedom."""
    band = {
        "sampling_hz": 1 / repetition_time_s,
        "high_pass_hz": config.high_pass_hz,
        "low_pass_hz": config.low_pass_hz,
    }
    n_passed = passed_components(plan.kept.sum(), **band)
    confounds = plan.confounds.fillna(plan.confounds[plan.kept].mean()).fillna(0)
    confounds = fill_censored(confounds.to_numpy(float), plan.kept)
    regressors = reduce_confounds(confounds, n_passed // 2)
    cleaned = clean_series(series, regressors, kept=plan.kept, **band)
    n_kept = int(plan.kept.sum())
    return cleaned, {
        "n_dropped": plan.n_dropped,
        "n_censored": len(plan.kept) - n_kept,
        "n_kept": n_kept,
        "minutes_kept": round(plan.minutes(repetition_time_s), 3),
        "n_confounds": confounds.shape[1],
        "n_confound_components": regressors.shape[1],
        "n_passed_components": n_passed,
        "degrees_of_freedom": n_passed - regressors.shape[1],
    }


def _tell(run, plan, metrics):
    name = Path(run.source_file).name
    for note in plan.notes:
        log.warning("%s: %s", name, note)
    log.info(
        "%s: %d volumes removed at the start, %d of %d censored, %.1f min left",
        name, plan.n_dropped, metrics["n_censored"], len(plan.kept), metrics["minutes_kept"],
    )  # fmt: skip


def _covered_series(run, atlas, min_coverage):
    """Average the voxels of each parcel; NaN where its coverage is below ``min_coverage``."""
    bold = nib.load(run.bold_file, keep_file_open=True)
    grid = bold.slicer[..., :1]
    labels = labels_on_grid(atlas.image, grid)
    inside = labels_on_grid(nib.load(run.mask_file), grid) > 0
    series, coverage = parcel_series(bold, labels, inside, len(atlas.names))
    if coverage.max() < min_coverage:
        raise DataError(f"{run.bold_file.name}: {_why_uncovered(bold)}")
    series[:, coverage < min_coverage] = np.nan
    return series, dict(zip(atlas.names, np.round(coverage, 3).tolist(), strict=True))


def _why_uncovered(bold):
    """Say why no parcel has voxels that are above 0 in every volume."""
    data = np.asarray(bold.dataobj, dtype=np.float32)
    try:
        data, empty = replace_missing(data)
        check_magnitude(data.mean(axis=3), "the mean of the run")
    except SignalError as error:
        return str(error)
    if len(empty):
        return (
            f"volume {empty[0] + 1} of {data.shape[3]} is empty (zeros, NaN or one value): "
            "leave it out before preprocessing, or exclude the run."
        )
    return "no parcel is covered; expected a brain in the space of the atlas: check the image."


def _sidecar(run, atlas, config):
    return {
        "Description": "Denoised mean signal of each parcel",
        "SamplingFrequency": 1 / run.repetition_time_s,
        "RepetitionTime": run.repetition_time_s,
        "Units": "percent signal change",
        "Atlas": atlas.entities,
        "Positions": dict(zip(atlas.names, atlas.positions.round(2).tolist(), strict=True)),
        "PositionsUnits": "mm",
        "Networks": dict(zip(atlas.names, atlas.networks, strict=True)),
        "SoftwareFilters": {
            "HighPass": {"CutOff (Hz)": config.high_pass_hz},
            "LowPass": {"CutOff (Hz)": config.low_pass_hz},
        },
        "Sources": list(run.sources),
    }


def _sidecar_of_denoising(plan, config, repetition_time_s):
    """Describe what was regressed out and left out; rows of censored volumes are ``n/a``."""
    n_kept = int(plan.kept.sum())
    thresholds = {
        "FramewiseDisplacement": config.fd_threshold_mm,
        "StandardisedDVARS": config.std_dvars_threshold,
    }
    return {
        "StartTime": round(plan.n_dropped * repetition_time_s, 6),
        "Confounds": list(plan.confounds),
        "Denoising": {
            "Strategy": config.denoising,
            "VolumesDroppedAtStart": plan.n_dropped,
            "VolumesCensored": len(plan.kept) - n_kept,
            "VolumesKept": n_kept,
            "MinutesKept": round(plan.minutes(repetition_time_s), 3),
            "CensoredRows": np.flatnonzero(~plan.kept).tolist(),
            "CensoredAbove": thresholds if is_censored(config) else {},
            "Notes": list(plan.notes),
        },
    }


def _write(path, table, sidecar):
    write_json(path(extension=".json"), sidecar)
    return write_tsv(path(extension=".tsv"), table)


def _names(out_dir, run, atlas):
    """Name outputs after the raw run, the space of its images and the atlas."""
    labels = entities_of(run.bold_file)
    labels = {key: labels[key] for key in ("space", "cohort", "res") if key in labels}
    labels |= entities_of(f"{atlas.entities}_dseg.tsv")
    return partial(derivative_path, out_dir, run.source_file, datatype="func", **labels)
