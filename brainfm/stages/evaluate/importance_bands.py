"""Importance of frequency bands and electrodes for predictions from log band power of EEG."""

import logging

import numpy as np
import pandas as pd

from brainfm.errors import SignalError
from brainfm.evaluation.permutation_importance import group_importance
from brainfm.models.features.classical import BandPowerFeatures, linear_head
from brainfm.signal.eeg import BANDS_HZ

_log = logging.getLogger("brainfm")


def band_importance(design, seed):
    """Compute the importance of frequency bands and electrodes.

    Parameters
    ----------
    design : brainfm.stages.evaluate.design.EvaluationDesign
    seed : int

    Returns
    -------
    bands : DataFrame
        ``band``, ``drop`` of the primary score when the power of all electrodes in the band is
        permuted among the test rows, and its standard deviation ``drop_sd``.
    sensors : DataFrame
        ``channel``, ``band``, ``pattern`` [1]_, and ``x``, ``y``, ``z`` in metres (head). Both
        tables are empty unless the target of EEG is binary or numeric.

    References
    ----------
    .. [1] Haufe et al., 2014, NeuroImage 87. https://doi.org/10.1016/j.neuroimage.2013.10.067
    """
    task = design.target.task
    has_pattern = task == "regression" or len(np.unique(design.y)) == 2
    if design.target.modality != "eeg" or not has_pattern:
        return pd.DataFrame(columns=["band"]), pd.DataFrame(columns=["channel"])
    features = BandPowerFeatures()
    try:
        X = features.fit_transform(design.table)
    except SignalError as error:  # of all rows; the training rows of a fold may share channels
        _log.warning("the importance of frequency bands was not computed: %s", error)
        return pd.DataFrame(columns=["band"]), pd.DataFrame(columns=["channel"])
    n_channels = len(features.channels_)
    drop, pattern = group_importance(
        X, np.tile(np.arange(len(BANDS_HZ)), n_channels), linear_head(task), design.y,
        design.folds, scaler=features.scaler, task=task, seed=seed,
    )  # fmt: skip
    bands = pd.DataFrame({
        "band": list(BANDS_HZ), "drop": drop.mean(axis=1), "drop_sd": drop.std(axis=1, ddof=1),
    })  # fmt: skip
    sensors = pd.DataFrame({
        "channel": np.repeat(features.channels_, len(BANDS_HZ)),
        "band": list(BANDS_HZ) * n_channels,
        "pattern": pattern,
    })  # fmt: skip
    first = design.table.recordings[0]
    position_of = dict(zip(first.channels, first.positions, strict=True))
    sensors[["x", "y", "z"]] = [position_of[name] for name in sensors["channel"]]
    return bands, sensors
