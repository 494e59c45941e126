"""Parcel time series and connectivity of a preprocessed BOLD run."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from brainfm.errors import DataError
from brainfm.files import read_tsv, write_json, write_tsv
from brainfm.signal.bold import (
    clean_series,
    parcel_means,
    passed_components,
    percent_change,
    reduce_confounds,
)
from brainfm.signal.connectivity import pearson
from brainfm.signal.motion import FRISTON24
from brainfm.storage.atlas import labels_on_grid, load_atlas
from brainfm.storage.bids.names import entities_of
from brainfm.storage.derivatives.names import derivative_path

_RELMAT = {
    "Description": "Correlation between the denoised signals of parcels",
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
        n_parcels, n_parcels_covered, n_confounds, n_confound_components, n_passed_components.

    Raises
    ------
    DataError
        If the files do not fit together.
    SignalError
        If the run is too short for its filter.
    """
    atlas = load_atlas(config.atlas)
    series, coverage = _covered_series(run, atlas, config.min_coverage)
    confounds = read_confounds(run.confounds_file, config.n_acompcor)
    if len(confounds) != len(series):
        raise DataError(
            f"{run.confounds_file.name} has {len(confounds)} rows but {run.bold_file.name} has "
            f"{len(series)} volumes: are they of the same run?"
        )
    series, confounds = series[config.n_dummy :], confounds.iloc[config.n_dummy :]
    band = {
        "sampling_hz": 1 / run.repetition_time_s,
        "high_pass_hz": config.high_pass_hz,
        "low_pass_hz": config.low_pass_hz,
    }
    n_passed = passed_components(len(series), **band)
    regressors = reduce_confounds(confounds.to_numpy(float), n_passed // 2)
    cleaned = clean_series(percent_change(series), regressors, **band)
    metrics = {
        "n_parcels": len(atlas.names),
        "n_parcels_covered": int(np.isfinite(cleaned).all(axis=0).sum()),
        "n_confounds": confounds.shape[1],
        "n_confound_components": regressors.shape[1],
        "n_passed_components": n_passed,
    }
    path = _names(out_dir, run, atlas)
    matrix = pd.DataFrame(pearson(cleaned), columns=list(atlas.names))
    matrix.insert(0, "Node", atlas.names)
    _write(partial(path, desc="pearson", suffix="relmat"), matrix, _RELMAT)
    details = {"Confounds": list(confounds), "Coverage": coverage, **metrics}
    table = pd.DataFrame(cleaned, columns=list(atlas.names))
    sidecar = _sidecar(run, atlas, config) | details
    return _write(partial(path, desc="denoised", suffix="timeseries"), table, sidecar), metrics


def read_confounds(path, n_acompcor):
    """Read the confounds that are regressed out: 24 motion parameters and aCompCor.

    Parameters
    ----------
    path : path
        ``*_desc-confounds_timeseries.tsv`` of fMRIPrep or of the built-in engine.
    n_acompcor : int
        Number of aCompCor components.

    Returns
    -------
    DataFrame
        24 motion parameters [1]_, then aCompCor [2]_; NaN for ``n/a``.

    Raises
    ------
    DataError
        If a motion column is missing.

    References
    ----------
    .. [1] Friston et al., 1996, Magn. Reson. Med. 35(3). https://doi.org/10.1002/mrm.1910350312
    .. [2] Behzadi et al., 2007, NeuroImage 37(1). https://doi.org/10.1016/j.neuroimage.2007.04.042
    """
    frame = read_tsv(path)
    absent = [name for name in FRISTON24 if name not in frame]
    if absent:
        raise DataError(
            f"{path} has no column {', '.join(absent[:3])} ({len(absent)} in all): expected the "
            "confounds as fMRIPrep names them."
        )
    components = [name for name in frame if name.startswith("a_comp_cor_")][:n_acompcor]
    return frame[[*FRISTON24, *components]]


def _covered_series(run, atlas, min_coverage):
    """Average the voxels of each parcel; NaN where its coverage is below ``min_coverage``."""
    bold = nib.load(run.bold_file)
    grid = bold.slicer[..., :1]
    labels = labels_on_grid(atlas.image, grid)
    inside = labels_on_grid(nib.load(run.mask_file), grid) > 0
    voxels = np.asarray(bold.dataobj, dtype=np.float32)[labels > 0].T  # (n_times, n_voxels)
    scanned = inside[labels > 0] & (voxels.min(axis=0) > 0)
    parcel = labels[labels > 0]
    size = np.bincount(parcel, minlength=len(atlas.names) + 1)[1:]
    found = np.bincount(parcel[scanned], minlength=len(atlas.names) + 1)[1:]
    coverage = np.divide(found, size, out=np.zeros(len(size)), where=size > 0)
    series = parcel_means(voxels[:, scanned], parcel[scanned], len(atlas.names))
    series[:, coverage < min_coverage] = np.nan
    return series, dict(zip(atlas.names, np.round(coverage, 3).tolist(), strict=True))


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


def _write(path, table, sidecar):
    write_json(path(extension=".json"), sidecar)
    return write_tsv(path(extension=".tsv"), table)


def _names(out_dir, run, atlas):
    """Name outputs after the raw run, the space of its images and the atlas."""
    labels = entities_of(run.bold_file)
    labels = {key: labels[key] for key in ("space", "cohort", "res") if key in labels}
    labels |= entities_of(f"{atlas.entities}_dseg.tsv")
    return partial(derivative_path, out_dir, run.source_file, datatype="func", **labels)
