"""Connectivity of a few networks to the whole brain, and which of it a prediction rests on."""

import numpy as np
import pandas as pd

from brainfm.errors import SignalError
from brainfm.evaluation.permutation_importance import group_importance
from brainfm.models.features.classical import ConnectivityFeatures

#: What lies farther from every parcel of the reference than this is of no network.
_FARTHEST_MM = 20.0
NO_NETWORK = "other"


def nearest_networks(positions, reference_positions, reference_networks):
    """Name the network of each parcel: that of the nearest parcel of a reference atlas.

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
    apart = np.linalg.norm(positions[:, None] - reference_positions, axis=2)
    nearest = apart.argmin(axis=1)
    return [
        reference_networks[index] if apart[row, index] <= _FARTHEST_MM else NO_NETWORK
        for row, index in enumerate(nearest)
    ]


class NetworkConnectivity(ConnectivityFeatures):
    """Connectivity of the parcels of some networks to all parcels.

    Parameters
    ----------
    network_of : dict of str to str
        Network of each parcel, by name.
    networks : sequence of str
        Those whose edges are kept; an edge has at least one end in them.
    kind : {"pearson", "partial"}
    """

    def __init__(self, network_of, networks, kind="pearson"):
        super().__init__(kind)
        self.network_of = network_of
        self.networks = networks

    @property
    def edges_(self):
        """Names of both ends of each feature, ndarray of str, shape (n_features, 2)."""
        rows, columns = np.triu_indices(len(self.channels_), k=1)
        return np.stack([self.channels_[rows], self.channels_[columns]], axis=1)[self._kept()]

    def _kept(self):
        inside = np.isin([self.network_of[name] for name in self.channels_], list(self.networks))
        rows, columns = np.triu_indices(len(self.channels_), k=1)
        return inside[rows] | inside[columns]

    def _transform_arrays(self, matrices):
        kept = self._kept()
        if not kept.any():
            raise SignalError(
                f"no parcel that all recordings have is of {', '.join(self.networks)}; there are: "
                f"{', '.join(sorted({self.network_of[name] for name in self.channels_}))}."
            )
        return super()._transform_arrays(matrices)[:, kept]

    def get_feature_names_out(self, input_features=None):
        """Return ``one~other`` of each edge, ndarray of str, shape (n_features,)."""
        return super().get_feature_names_out()[self._kept()]


def network_importance(features, head, table, y, folds, *, task, n_shuffles=10, seed=0):
    """Tell which pairs of networks, and which edges, predictions rest on.

    Parameters
    ----------
    features : NetworkConnectivity
    head, y, folds, task, n_shuffles, seed
        See :func:`brainfm.evaluation.permutation_importance.group_importance`.
    table : RecordingTable

    Returns
    -------
    pairs : DataFrame
        ``network``, ``other``, ``n_edges``, ``drop`` of the primary score when all edges between
        two networks are exchanged (mean over shuffles) and its standard deviation ``drop_sd``; the
        largest drop first.
    edges : DataFrame
        ``parcel``, ``other``, and ``pattern``.
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
    """Names of the pairs of networks, and which of them each edge is of."""
    of_edge = [tuple(sorted(features.network_of[end] for end in edge)) for edge in features.edges_]
    names = sorted(set(of_edge))
    return names, np.array([names.index(pair) for pair in of_edge])
