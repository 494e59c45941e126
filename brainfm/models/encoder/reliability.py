"""Reliability of each number of a vector, estimated from the halves of recordings.

Two halves of one recording show the same participant in the same state. The *reliability* of a
number is the share of its variance between recordings that both halves have in common; it is
estimated from the halves of the training recordings, without labels. A standardised number times
its reliability is the regressed estimate of its true score.

References
----------
.. [1] Kelley, 1927, Interpretation of Educational Measurements (regressed estimate of true scores).
.. [2] Spearman, 1910; Brown, 1910, British Journal of Psychology 3 (reliability of a whole test
   from that of its halves). https://doi.org/10.1111/j.2044-8295.1910.tb00206.x
"""

import numpy as np
import torch
from torch import nn

_LEAST_VARIANCE = 1e-12
_LEAST_RELIABILITY = 0.02
#: Estimates are shrunk to the mean of their part as if that came from this many recordings.
_PRIOR_RECORDINGS = 2


class Reliability(nn.Module):
    """Centre vectors, standardise their numbers and weight them by reliability and part.

    Before :meth:`fit` it returns vectors unchanged.

    Parameters
    ----------
    width : int
        Length of a vector.
    """

    def __init__(self, width):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("weight", torch.ones(width))

    def forward(self, vectors):
        """Weight vectors.

        Parameters
        ----------
        vectors : Tensor, shape (n, width)

        Returns
        -------
        weighted : Tensor, shape (n, width)
        """
        return (vectors - self.mean) * self.weight

    @torch.no_grad()
    def fit(self, whole, halves, parts, part_weights):
        """Estimate means and weights from training recordings.

        Parameters
        ----------
        whole : ndarray of float, shape (n, width)
            Vectors of whole recordings.
        halves : ndarray of float, shape (2, n, width)
            Vectors of their first and their second halves.
        parts : dict of str to slice
            Parts of a vector. One that does not vary is only centred.
        part_weights : dict of str to float
            Relative mean square length of each part.
        """
        centred, weight = whole - whole.mean(axis=0), np.ones(whole.shape[1])
        unit = len(weight) / sum(part_weights[name] for name in parts)
        for name, part in parts.items():
            variance = _pooled(np.square(centred[:, part]).mean(axis=0), len(whole))
            if variance.max() <= _LEAST_VARIANCE:  # as with a single recording
                continue
            weight[part] = reliability_of(halves[..., part]) / np.sqrt(variance)
            length = np.square(centred[:, part] * weight[part]).sum(axis=1).mean()
            weight[part] *= np.sqrt(part_weights[name] * unit / length)
        self.mean.copy_(torch.as_tensor(whole.mean(axis=0)))
        self.weight.copy_(torch.as_tensor(weight))


def reliability_of(halves):
    """Estimate the reliability of each number of a part from two halves of recordings.

    Parameters
    ----------
    halves : ndarray of float, shape (2, n, width)

    Returns
    -------
    reliability : ndarray of float, shape (width,)
        Share of the variance of the mean of both halves that is not error, 0.02 to 1.
    """
    both = halves.mean(axis=0)
    error = np.square(halves[0] - halves[1]).mean(axis=0) / 4
    total = np.maximum(both.var(axis=0), _LEAST_VARIANCE)
    share = np.clip(1 - error / total, _LEAST_RELIABILITY, 1)
    return _pooled(share, len(both))


def _pooled(values, n_recordings):
    """Shrink values to their mean, the more the fewer recordings they are from."""
    total = n_recordings * values + _PRIOR_RECORDINGS * values.mean()
    return np.maximum(total / (n_recordings + _PRIOR_RECORDINGS), _LEAST_VARIANCE)
