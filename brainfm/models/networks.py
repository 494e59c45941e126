"""Connectivity of a few networks to the whole brain, and which of it a prediction rests on."""

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from brainfm.errors import SignalError
from brainfm.models.baselines import ConnectivityFeatures
from brainfm.models.heads import RowSpace
from brainfm.models.scores import judged

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

    def _apply(self, matrices):
        kept = self._kept()
        if not kept.any():
            raise SignalError(
                f"no parcel that all recordings have is of {', '.join(self.networks)}; there are: "
                f"{', '.join(sorted({self.network_of[name] for name in self.channels_}))}."
            )
        return super()._apply(matrices)[:, kept]


def network_importance(features, head, table, y, folds, *, task, n_shuffles=10, seed=0):
    """Tell which pairs of networks, and which edges, predictions rest on.

    *Permutation importance*: how much the score falls when all edges between two networks are
    exchanged together among the test rows. *Pattern*: how each edge goes with what the head says in
    the training rows; unlike the weights of a linear model, it can be read as activation [1]_.

    Parameters
    ----------
    features : NetworkConnectivity
    head : estimator
        Of two classes, or of a number.
    table, y, folds
        As for :func:`brainfm.models.evaluation.cross_predict`.
    task : {"classification", "regression"}
    n_shuffles, seed : int

    Returns
    -------
    pairs : DataFrame
        ``network``, ``other``, ``n_edges``, ``drop`` of the primary score (mean over shuffles) and
        its standard deviation ``drop_sd``; the largest drop first.
    edges : DataFrame
        ``parcel``, ``other``, and ``pattern`` (mean over folds, in standard deviations of the edge
        for one of what the head says).

    References
    ----------
    .. [1] Haufe et al., 2014, NeuroImage 87. https://doi.org/10.1016/j.neuroimage.2013.10.067
    """
    features = features.fit_measured(features.measure(table))  # the names of channels all have
    names, pair_of = _pairs(features)
    read = features.transform(table)
    shuffled = np.full((len(names) + 1, n_shuffles, max(folds.repeat) + 1, len(y)), np.nan)
    patterns, rng = [], np.random.default_rng(seed)
    for (train, test), repeat in zip(folds.pairs, folds.repeat, strict=True):
        scaler = clone(features.scaler).fit(read[train])
        seen, new = scaler.transform(read[train]), scaler.transform(read[test])
        fitted = make_pipeline(RowSpace(), clone(head)).fit(seen, y[train])
        patterns.append(_pattern(seen, _says(fitted, seen)))
        for pair in range(len(names) + 1):
            for number in range(n_shuffles if pair else 1):
                changed = new.copy()
                if pair:
                    columns = pair_of == pair - 1
                    changed[:, columns] = new[rng.permutation(len(new))][:, columns]
                shuffled[pair, number, repeat, test] = _says(fitted, changed)
    scores = np.array([[_score(y, one, folds, task) for one in each] for each in shuffled[1:]])
    drops = _score(y, shuffled[0, 0], folds, task) - scores
    pairs = pd.DataFrame(names, columns=["network", "other"]).assign(
        n_edges=np.bincount(pair_of), drop=drops.mean(axis=1), drop_sd=drops.std(axis=1, ddof=1)
    )
    edges = pd.DataFrame(features.edges_, columns=["parcel", "other"])
    edges["pattern"] = np.mean(patterns, axis=0)
    return pairs.sort_values("drop", ascending=False, ignore_index=True), edges


def _pairs(features):
    """Names of the pairs of networks, and which of them each edge is of."""
    of_edge = [tuple(sorted(features.network_of[end] for end in edge)) for edge in features.edges_]
    names = sorted(set(of_edge))
    return names, np.array([names.index(pair) for pair in of_edge])


def _says(fitted, rows):
    """Log odds of the second class, or the predicted value; shape (n_rows,)."""
    return fitted.decision_function(rows) if hasattr(fitted, "classes_") else fitted.predict(rows)


def _pattern(seen, said):
    """Covariance of each column with what the head says, over that of what it says."""
    centred = said - said.mean()
    columns = (seen - seen.mean(axis=0)) / np.maximum(seen.std(axis=0), 1e-12)
    return columns.T @ centred / len(said) / max(centred.std(), 1e-12)


def _score(y, said, folds, task):
    """Primary score of log odds or values (n_repeats, n_rows)."""
    if task == "classification":
        chance = 1 / (1 + np.exp(-said))
        predicted = np.stack([1 - chance, chance], axis=-1)
    else:
        predicted = said[..., None]
    return judged(y, predicted, folds, task).primary()[0]
