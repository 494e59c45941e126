"""Networks of the parcels of recordings, by the atlas that ships, and a method that reads them."""

import logging

import numpy as np
import pandas as pd

from brainfm.errors import SignalError, UsageError
from brainfm.evaluation.cross_validation import Method
from brainfm.evaluation.network_importance import (
    NetworkConnectivity,
    nearest_networks,
    network_importance,
)
from brainfm.models.estimators.heads import TunedLinearHead
from brainfm.models.features.classical import linear_head
from brainfm.storage.atlas import load_atlas

_REFERENCE = "Schaefer100"
_log = logging.getLogger("brainfm")


def check_networks(networks, question, y):
    """Refuse networks that do not exist, or that the modality has not.

    Raises
    ------
    UsageError
        With the networks there are.
    """
    if not networks:
        return
    known = list(dict.fromkeys(load_atlas(_REFERENCE).networks))
    unknown = [name for name in networks if name not in known]
    if unknown:
        raise UsageError(f"--networks has {', '.join(unknown)}; the atlas has {', '.join(known)}.")
    if question.modality != "bold":
        raise UsageError(
            "--networks needs parcel series of fMRI, but the question is asked of EEG."
        )
    n_classes = len(np.unique(y))
    if question.task == "classification" and n_classes != 2:
        raise UsageError(
            f"--networks needs two classes or a number; {question.name} has {n_classes} classes."
        )


def network_method(networks, asked):
    """Make the method that reads the connectivity of some networks.

    Parameters
    ----------
    networks : sequence of str
    asked : brainfm.stages.evaluate.design.EvaluationDesign

    Returns
    -------
    method : Method
    """
    features = NetworkConnectivity(networks_of(asked.table), tuple(networks))
    return Method(
        name=f"connectivity of {', '.join(networks)}",
        kind="classical",
        features=(features,),
        head=TunedLinearHead(asked.question.task),
    )


def whole_brain_method(asked):
    """Pearson connectivity by pairs of networks; None where no pattern of it can be drawn."""
    is_two = asked.question.task == "regression" or len(np.unique(asked.y)) == 2
    if asked.question.modality != "bold" or not is_two:
        return None
    return network_method(tuple(dict.fromkeys(networks_of(asked.table).values())), asked)


def networks_of(table):
    """Network of each parcel of the recordings, by name; by the nearest parcel of the atlas."""
    atlas = load_atlas(_REFERENCE)
    found = {}
    for one in table.recordings:
        new = [index for index, name in enumerate(one.channels) if name not in found]
        positions = one.positions[new]
        named = nearest_networks(positions, atlas.positions, atlas.networks) if new else []
        found |= dict(zip(np.array(one.channels)[new].tolist(), named, strict=True))
    return found


def importance_of(method, asked, seed):
    """See :func:`brainfm.evaluation.network_importance.network_importance`; with positions of the
    parcels.

    Both tables are empty without a method of networks.
    """
    if method is None:
        return pd.DataFrame(columns=["network"]), pd.DataFrame(columns=["parcel"])
    task = asked.question.task
    try:
        pairs, edges = network_importance(
            method.features[0], linear_head(task), asked.table, asked.y, asked.folds,
            task=task, seed=seed,
        )  # fmt: skip
    except SignalError as error:  # atlases may differ, and training rows alone be alike
        _log.warning("which networks it rests on cannot be told: %s", error)
        return importance_of(None, asked, seed)
    first = asked.table.recordings[0]
    place = dict(zip(first.channels, first.positions, strict=True))
    for end in ("parcel", "other"):
        edges[[f"{end}_{axis}" for axis in "xyz"]] = [place[name] for name in edges[end]]
    return pairs, edges
