"""Which bands, and which electrodes in them, a prediction from EEG rests on."""

import logging

import numpy as np
import pandas as pd

from brainfm.errors import SignalError
from brainfm.evaluation.permutation_importance import group_importance
from brainfm.models.features.classical import BandPowerFeatures, linear_head
from brainfm.signal.eeg import BANDS_HZ

_log = logging.getLogger("brainfm")


def band_importance(asked, seed):
    """Tell what log band power says of a question.

    Parameters
    ----------
    asked : brainfm.stages.evaluate.design.EvaluationDesign
    seed : int

    Returns
    -------
    bands : DataFrame
        ``band``, and ``drop`` of the primary score when the power of all electrodes in it is
        exchanged among test rows, with its deviation ``drop_sd``.
    sensors : DataFrame
        ``channel``, ``band``, ``pattern``, and ``x``, ``y``, ``z`` in metres of the head. Both
        tables are empty unless an EEG question has two classes or a number.
    """
    task = asked.question.task
    is_two = task == "regression" or len(np.unique(asked.y)) == 2
    if asked.question.modality != "eeg" or not is_two:
        return pd.DataFrame(columns=["band"]), pd.DataFrame(columns=["channel"])
    features = BandPowerFeatures()
    try:
        read = features.fit_transform(asked.table)
    except SignalError as error:  # montages may differ, and training rows alone be alike
        _log.warning("which bands it rests on cannot be told: %s", error)
        return pd.DataFrame(columns=["band"]), pd.DataFrame(columns=["channel"])
    n_channels = len(features.channels_)
    drop, pattern = group_importance(
        read, np.tile(np.arange(len(BANDS_HZ)), n_channels), linear_head(task), asked.y,
        asked.folds, scaler=features.scaler, task=task, seed=seed,
    )  # fmt: skip
    bands = pd.DataFrame({
        "band": list(BANDS_HZ), "drop": drop.mean(axis=1), "drop_sd": drop.std(axis=1, ddof=1),
    })  # fmt: skip
    sensors = pd.DataFrame({
        "channel": np.repeat(features.channels_, len(BANDS_HZ)),
        "band": list(BANDS_HZ) * n_channels,
        "pattern": pattern,
    })  # fmt: skip
    first = asked.table.recordings[0]
    place = dict(zip(first.channels, first.positions, strict=True))
    sensors[["x", "y", "z"]] = [place[name] for name in sensors["channel"]]
    return bands, sensors
