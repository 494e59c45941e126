"""Parts of an encoder that are fitted to the training recordings without gradients.

Before training: the positions of the anchors, and the principal components that
connectivity-preserving regression predicts. After training: mean covariances of the anchors, and
the reliability of each number of a vector.
"""

import copy

import numpy as np
import torch
from sklearn.cluster import KMeans

from brainfm.models.encoder import readout
from brainfm.models.encoder.windows import SPECS, n_whole_patches, split_halves
from brainfm.models.training.objectives.connectivity import N_COMPONENTS


def _by_modality(rows):
    """List the prepared signals of each modality that any row has."""
    found = {name: [row[name] for row in rows if name in row] for name in SPECS}
    return {name: signals for name, signals in found.items() if signals}


@torch.no_grad()
def fit_anchors(encoder, rows, *, seed):
    """Place the anchors at the channels of the training recordings by k-means, in place.

    A modality with fewer distinct channel positions than anchors keeps its default anchors.

    Parameters
    ----------
    encoder : BrainEncoder
    rows : list of dict of str to PreparedSignal
    seed : int
    """
    for name, signals in _by_modality(rows).items():
        positions = np.concatenate([one.positions for one in signals])
        positions = np.unique(positions.round(3), axis=0)
        centres = encoder.tokens[name].anchors.centres
        if len(positions) >= len(centres):
            found = KMeans(len(centres), n_init=1, random_state=seed).fit(positions)
            centres.copy_(torch.as_tensor(found.cluster_centers_, dtype=torch.float32))


@torch.no_grad()
def fit_references(encoder, rows):
    """Set the mean covariances of the anchors over the training recordings, in place.

    Parameters
    ----------
    encoder : BrainEncoder
    rows : list of dict of str to PreparedSignal
    """
    for name, signals in _by_modality(rows).items():
        covariances = [readout.anchor_covariances(encoder, one) for one in signals]
        mean = torch.as_tensor(np.mean(covariances, axis=0), dtype=torch.float32)
        getattr(encoder, f"reference_{name}").copy_(mean)


def fit_reliability(encoder, rows, part_weights):
    """Estimate the reliability of each number of a vector from the halves of recordings, in place.

    Parameters
    ----------
    encoder : BrainEncoder
    rows : list of dict of str to PreparedSignal
    part_weights : dict of str to float
        See :data:`brainfm.models.encoder.readout.PART_WEIGHTS`.
    """
    for name, signals in _by_modality(rows).items():
        pairs = [split_halves(one) for one in signals if n_whole_patches(one) >= 2]
        if pairs:
            whole, *both = (
                np.stack([readout.features(encoder, one) for one in ones])
                for ones in (signals, *zip(*pairs, strict=True))
            )
            parts = readout.part_slices(encoder.config, name)
            encoder.reliability[name].fit(whole, np.stack(both), parts, part_weights)


class ConnectivityPCA:
    """Principal components of the connectivity of each modality, scaled to unit mean variance.

    The anchors are those of the encoder before training, so that the targets do not change.

    Parameters
    ----------
    encoder : BrainEncoder
    rows : list of dict of str to PreparedSignal
        Training recordings.
    """

    def __init__(self, encoder, rows):
        self.initial = copy.deepcopy(encoder)
        self.mean, self.axes = {}, {}
        for name, signals in _by_modality(rows).items():
            values = [readout.connectivity_targets(self.initial, one) for one in signals]
            self.mean[name] = np.mean(values, axis=0)
            centred = values - self.mean[name]
            axes = np.linalg.svd(centred, full_matrices=False)[2][:N_COMPONENTS]
            spread = np.sqrt(np.mean((centred @ axes.T) ** 2))
            self.axes[name] = axes / max(spread, 1e-12)

    def __call__(self, rows):
        return [{name: self._one(name, row[name]) for name in row} for row in rows]

    def _one(self, name, prepared):
        values = readout.connectivity_targets(self.initial, prepared)
        scores = self.axes[name] @ (values - self.mean[name])
        return np.pad(scores, (0, N_COMPONENTS - len(scores)))
