"""What an encoder takes from its training recordings without a gradient, before and after learning.

Before: where its places are, and the principal components that connectivity-preserving regression
predicts. After: mean covariances of the places, and how reliable each number of a vector is.
"""

import copy

import numpy as np
import torch
from sklearn.cluster import KMeans

from brainfm.models.encoder import readout
from brainfm.models.encoder.windows import SPECS, halves, n_whole_patches
from brainfm.models.training.objectives.connectivity import N_STATISTICS


@torch.no_grad()
def fit_anchors(encoder, rows, *, seed):
    """Put the places where the channels of the training recordings are (k-means).

    A modality with fewer distinct channel positions than places keeps the even spread.
    """
    for name in SPECS:
        prepared = [row[name].positions for row in rows if name in row]
        if not prepared:
            continue
        positions = np.unique(np.concatenate(prepared).round(3), axis=0)
        centres = encoder.tokens[name].places.centres
        if len(positions) >= len(centres):
            found = KMeans(len(centres), n_init=1, random_state=seed).fit(positions)
            centres.copy_(torch.as_tensor(found.cluster_centers_, dtype=torch.float32))


@torch.no_grad()
def set_references(encoder, rows):
    """Keep the mean covariances of the places over the training recordings in the encoder."""
    for name in SPECS:
        covariances = [readout.place_covariances(encoder, row[name]) for row in rows if name in row]
        if covariances:
            mean = torch.as_tensor(np.mean(covariances, axis=0), dtype=torch.float32)
            getattr(encoder, f"reference_{name}").copy_(mean)


def learn_reliability(encoder, rows, shares=readout.SHARES):
    """Learn how reliable each number of a vector is from the two halves of each training recording.

    ``shares`` say how much each part of a vector counts.
    """
    for name in SPECS:
        prepared = [row[name] for row in rows if name in row]
        pairs = [halves(one) for one in prepared if n_whole_patches(one) >= 2]
        if pairs:
            whole, *both = (
                np.stack([readout.features(encoder, one) for one in ones])
                for ones in (prepared, *zip(*pairs, strict=True))
            )
            parts = readout.part_slices(encoder.config, name)
            encoder.reliability[name].learn(whole, np.stack(both), parts, shares)


class StatisticsReduction:
    """First principal components of each modality's statistics, at unit mean variance.

    The places are those the encoder starts with, so that the targets stay the same in training.
    """

    def __init__(self, encoder, rows):
        self.start = copy.deepcopy(encoder)
        self.mean, self.axes = {}, {}
        for name in SPECS:
            values = [
                readout.connectivity_targets(self.start, row[name]) for row in rows if name in row
            ]
            if values:
                self.mean[name] = np.mean(values, axis=0)
                centred = values - self.mean[name]
                axes = np.linalg.svd(centred, full_matrices=False)[2][:N_STATISTICS]
                spread = np.sqrt(np.mean((centred @ axes.T) ** 2))
                self.axes[name] = axes / max(spread, 1e-12)

    def __call__(self, rows):
        return [{name: self._one(name, row[name]) for name in row} for row in rows]

    def _one(self, name, prepared):
        values = readout.connectivity_targets(self.start, prepared)
        scores = self.axes[name] @ (values - self.mean[name])
        return np.pad(scores, (0, N_STATISTICS - len(scores)))
