"""Importance of brain networks for predictions from functional connectivity."""

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


def check_networks(networks, target, y):
    """Check ``--networks`` against the atlas and the target.

    Parameters
    ----------
    networks : sequence of str
    target : brainfm.stages.evaluate.target.EvaluationTarget
    y : ndarray of str or float, shape (n_rows,)

    Raises
    ------
    UsageError
        If a network is unknown, the modality is EEG, or there are more than two classes.
    """
    if not networks:
        return
    known = list(dict.fromkeys(load_atlas(_REFERENCE).networks))
    unknown = [name for name in networks if name not in known]
    if unknown:
        raise UsageError(f"--networks has {', '.join(unknown)}; the atlas has {', '.join(known)}.")
    if target.modality != "bold":
        raise UsageError(
            "--networks needs parcel series of fMRI, but the recordings are EEG: omit it."
        )
    n_classes = len(np.unique(y))
    if target.task == "classification" and n_classes != 2:
        raise UsageError(
            f"--networks needs two classes or a numeric target; {target.name} has {n_classes} "
            "classes: omit --networks, or choose another target."
        )


def network_method(networks, design):
    """Make the method that predicts from the connectivity of some networks.

    Parameters
    ----------
    networks : sequence of str
    design : brainfm.stages.evaluate.design.EvaluationDesign

    Returns
    -------
    method : Method
    """
    features = NetworkConnectivity(networks_by_parcel(design.table), tuple(networks))
    return Method(
        name=f"connectivity of {', '.join(networks)}",
        kind="classical",
        features=(features,),
        head=TunedLinearHead(design.target.task),
    )


def whole_brain_method(design):
    """Make the method that predicts from the connectivity of all networks.

    Parameters
    ----------
    design : brainfm.stages.evaluate.design.EvaluationDesign

    Returns
    -------
    method : Method or None
        None unless the target of BOLD is binary or numeric.
    """
    has_pattern = design.target.task == "regression" or len(np.unique(design.y)) == 2
    if design.target.modality != "bold" or not has_pattern:
        return None
    return network_method(tuple(dict.fromkeys(networks_by_parcel(design.table).values())), design)


def networks_by_parcel(table):
    """Assign each parcel of the recordings to the network of the nearest atlas parcel.

    Parameters
    ----------
    table : RecordingTable

    Returns
    -------
    network_of : dict of str to str
        Network by name of the parcel.
    """
    atlas = load_atlas(_REFERENCE)
    network_of = {}
    for one in table.recordings:
        new = [index for index, name in enumerate(one.channels) if name not in network_of]
        positions = one.positions[new]
        networks = nearest_networks(positions, atlas.positions, atlas.networks) if new else []
        network_of |= dict(zip(np.array(one.channels)[new].tolist(), networks, strict=True))
    return network_of


def network_importance_tables(method, design, seed):
    """Compute the importance of pairs of networks and of edges.

    Parameters
    ----------
    method : Method or None
        From :func:`network_method` or :func:`whole_brain_method`.
    design : brainfm.stages.evaluate.design.EvaluationDesign
    seed : int

    Returns
    -------
    pairs, edges : DataFrame
        See :func:`brainfm.evaluation.network_importance.network_importance`; ``edges`` with the
        positions of both parcels in MNI millimetres. Both are empty without a method.
    """
    if method is None:
        return pd.DataFrame(columns=["network"]), pd.DataFrame(columns=["parcel"])
    task = design.target.task
    try:
        pairs, edges = network_importance(
            method.features[0], linear_head(task), design.table, design.y, design.folds,
            task=task, seed=seed,
        )  # fmt: skip
    except SignalError as error:  # of all rows; the training rows of a fold may share parcels
        _log.warning("the importance of networks was not computed: %s", error)
        return network_importance_tables(None, design, seed)
    first = design.table.recordings[0]
    position_of = dict(zip(first.channels, first.positions, strict=True))
    for end in ("parcel", "other"):
        edges[[f"{end}_{axis}" for axis in "xyz"]] = [position_of[name] for name in edges[end]]
    return pairs, edges
