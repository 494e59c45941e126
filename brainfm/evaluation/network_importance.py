"""Connectivity of brain networks as features, and its importance for predictions."""

import numpy as np
import pandas as pd

from brainfm.errors import SignalError
from brainfm.evaluation.permutation_importance import group_importance
from brainfm.models.features.classical import ConnectivityFeatures

#: A parcel farther than this from every parcel of the reference has no network.
_MAX_DISTANCE_MM = 20.0
NO_NETWORK = "other"


def nearest_networks(positions, reference_positions, reference_networks):
    """Assign each parcel to the network of the nearest parcel of a reference atlas.

    Parameters
    ----------
    positions : ndarray of float, shape (n_parcels, 3), in MNI millimetres
    reference_positions : ndarray of float, shape (n_reference, 3), in MNI millimetres
    reference_networks : sequence of str, length n_reference

    Returns
    -------
    networks : list of str
        "other" where the nearest is more than 20 mm away (deep grey matter, cerebellum).
    """
    distance = np.linalg.norm(positions[:, None] - reference_positions, axis=2)
    nearest = np.asarray(reference_networks)[distance.argmin(axis=1)]
    return np.where(distance.min(axis=1) <= _MAX_DISTANCE_MM, nearest, NO_NETWORK).tolist()


class NetworkConnectivity(ConnectivityFeatures):
    """Connectivity of the parcels of some networks to all parcels.

    Parameters
    ----------
    network_of : dict of str to str
        Network of each parcel, by name.
    networks : sequence of str
        An edge is selected if at least one end is in one of them.
    kind : {"pearson", "partial"}
    """

    def __init__(self, network_of, networks, kind="pearson"):
        super().__init__(kind)
        self.network_of = network_of
        self.networks = networks

    @property
    def edges_(self):
        """Names of both ends of each feature, ndarray of str, shape (n_features, 2)."""
        return self.channels_[self._ends()[self._is_selected()]]

    def _ends(self):
        """Numbers of both channels of each pair, (n_pairs, 2)."""
        return np.transpose(np.triu_indices(len(self.channels_), k=1))

    def _is_selected(self):
        inside = np.isin([self.network_of[name] for name in self.channels_], list(self.networks))
        return inside[self._ends()].any(axis=1)

    def _transform_arrays(self, matrices):
        selected = self._is_selected()
        if not selected.any():
            raise SignalError(
                f"no parcel common to all recordings is in {', '.join(self.networks)}: choose from "
                f"{', '.join(sorted({self.network_of[name] for name in self.channels_}))}."
            )
        return super()._transform_arrays(matrices)[:, selected]

    def get_feature_names_out(self, input_features=None):
        """Return ``parcel~parcel`` of each edge, ndarray of str, shape (n_features,)."""
        return super().get_feature_names_out()[self._is_selected()]


def network_importance(features, head, table, y, folds, *, task, n_shuffles=10, seed=0):
    """Compute the importance of pairs of networks, and the pattern of edges.

    Parameters
    ----------
    features : NetworkConnectivity
    head : estimator
        See :func:`brainfm.evaluation.permutation_importance.group_importance`.
    table : RecordingTable of n_rows rows
    y : ndarray of str or float, shape (n_rows,)
    folds : Folds
    task : {"classification", "regression"}
    n_shuffles, seed : int

    Returns
    -------
    pairs : DataFrame
        ``network``, ``other``, ``n_edges``, ``drop`` of the primary score when all edges between
        the two networks are permuted (mean over shuffles), and its standard deviation
        ``drop_sd``; sorted by ``drop``, largest first.
    edges : DataFrame
        ``parcel``, ``other``, and ``pattern``.

    Raises
    ------
    SignalError
        If the recordings have fewer than two parcels in common, or none of the networks.
    """
    X = features.fit_transform(table)  # on the channels that all rows have
    names, pair_of = _pairs(features)
    drop, pattern = group_importance(
        X, pair_of, head, y, folds,
        scaler=features.scaler, task=task, n_shuffles=n_shuffles, seed=seed,
    )  # fmt: skip
    pairs = pd.DataFrame(names, columns=["network", "other"]).assign(
        n_edges=np.bincount(pair_of), drop=drop.mean(axis=1), drop_sd=drop.std(axis=1, ddof=1)
    )
    edges = pd.DataFrame(features.edges_, columns=["parcel", "other"]).assign(pattern=pattern)
    return pairs.sort_values("drop", ascending=False, ignore_index=True), edges


def _pairs(features):
    """Names of the pairs of networks, and the number of the pair of each edge."""
    of_edge = [tuple(sorted(features.network_of[end] for end in edge)) for edge in features.edges_]
    names = sorted(set(of_edge))
    return names, np.array([names.index(pair) for pair in of_edge])
