"""Each number of a vector counts as much as it is reliable.

Two halves of one recording show the same person in the same state. How much of what differs
between recordings comes back in the other half is the *reliability* of a number; it is found from
the halves of the training recordings, without labels. A standardised number times its reliability
is the best guess of what it would be in an endless recording.

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
#: What one number shows is averaged with its part as if the part had come from so many recordings.
_PRIOR_RECORDINGS = 2


class Reliability(nn.Module):
    """Centre a vector, standardise its numbers and weigh them by reliability and share.

    Before :meth:`learn` it returns vectors as they are.

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
        """Return vectors (n, width) of the same shape."""
        return (vectors - self.mean) * self.weight

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
            Parts of a vector. One that does not vary is only centred.
        shares : dict of str to float
            How much each part counts: relative mean square length.
        """
        centred, weight = whole - whole.mean(axis=0), np.ones(whole.shape[1])
        unit = len(weight) / sum(shares[name] for name in parts)
        for name, part in parts.items():
            variance = _pooled(np.square(centred[:, part]).mean(axis=0), len(whole))
            if variance.max() <= _LEAST_VARIANCE:  # of one recording, say: nothing to go by
                continue
            weight[part] = reliability_of(halves[..., part]) / np.sqrt(variance)
            length = np.square(centred[:, part] * weight[part]).sum(axis=1).mean()
            weight[part] *= np.sqrt(shares[name] * unit / length)
        self.mean.copy_(torch.as_tensor(whole.mean(axis=0)))
        self.weight.copy_(torch.as_tensor(weight))


def reliability_of(halves):
    """Reliability of each number of a part over whole recordings, from their two halves.

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
    """Draw what each number shows to the mean of all: few recordings tell little of one."""
    total = n_recordings * values + _PRIOR_RECORDINGS * values.mean()
    return np.maximum(total / (n_recordings + _PRIOR_RECORDINGS), _LEAST_VARIANCE)
