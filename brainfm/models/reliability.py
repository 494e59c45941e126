"""What differs within a recording is turned down, so that what differs between people stands out.

Two halves of one recording show the same person in the same state: along directions in which
their vectors differ, a difference between two people tells little. Such directions are found from
the halves of the training recordings, without labels, and turned down; the rest is left alone.
This is within-class covariance normalisation with the recording as the class.

References
----------
.. [1] Hatch et al., 2006, Interspeech: Within-class covariance normalization for SVM-based speaker
   recognition. https://doi.org/10.21437/Interspeech.2006-183
.. [2] Finn et al., 2015, Nature Neuroscience 18. https://doi.org/10.1038/nn.4135
"""

import numpy as np
import torch
from torch import nn

#: Directions turned down at most.
N_DIRECTIONS = 128
#: A direction keeps half its power when its variance within recordings is this share of the mean
#: over all directions found; less turns down more.
_STIFFNESS = 0.2
_LEAST_SD = 1e-6


class Reliability(nn.Module):
    """Centre a vector, scale its parts, and turn down what differs within recordings.

    Before :meth:`learn` it returns vectors as they are.

    Parameters
    ----------
    width : int
        Length of a vector.
    """

    def __init__(self, width):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("directions", torch.zeros(N_DIRECTIONS, width))
        self.register_buffer("turned_down", torch.zeros(N_DIRECTIONS))

    def forward(self, vectors):
        """Return vectors (n, width) of the same shape."""
        scaled = (vectors - self.mean) / self.scale
        return scaled - (scaled @ self.directions.T * self.turned_down) @ self.directions

    @torch.no_grad()
    def learn(self, whole, halves, parts, shares):
        """Learn from training recordings.

        Parameters
        ----------
        whole : ndarray of float, shape (n, width)
            Vectors of whole recordings.
        halves : ndarray of float, shape (2, n, width)
            Vectors of their first and their second halves.
        parts : dict of str to slice
            Parts of a vector; within each, columns keep their relative size.
        shares : dict of str to float
            How much each part counts: relative mean square length.
        """
        mean = whole.mean(axis=0)
        scale = np.ones(len(mean))
        unit = len(mean) / sum(shares[name] for name in parts)
        for name, part in parts.items():
            length = np.sqrt(np.square(whole[:, part] - mean[part]).sum(axis=1).mean())
            scale[part] = max(length, _LEAST_SD) / np.sqrt(shares[name] * unit)
        apart = (halves[0] - halves[1]) / 2 / scale
        _, values, directions = np.linalg.svd(apart, full_matrices=False)
        variance = (values**2 / len(apart))[:N_DIRECTIONS]
        stiff = _STIFFNESS * max(variance.mean(), _LEAST_SD)
        n_found = len(variance)
        self.mean.copy_(torch.as_tensor(mean))
        self.scale.copy_(torch.as_tensor(scale))
        self.directions.zero_()[:n_found] = torch.as_tensor(directions[:n_found])
        gain = np.sqrt(stiff / (variance + stiff))
        self.turned_down.zero_()[:n_found] = torch.as_tensor(1 - gain)
