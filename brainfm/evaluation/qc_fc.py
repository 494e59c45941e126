"""QC-FC: how strongly motion of participants shows in their functional connectivity."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import false_discovery_control, rankdata
from scipy.stats import t as student

from brainfm.errors import SignalError

#: Fewest participants of a correlation with motion.
FEWEST_PARTICIPANTS = 10


@dataclass(frozen=True, kw_only=True)
class QcFc:
    """Association of connectivity with motion over participants.

    Parameters
    ----------
    correlations : ndarray of float, shape (n_edges,)
        Pearson correlation of each edge with mean framewise displacement; NaN for edges that fewer
        than 10 participants have.
    n_participants : int
        Participants with a known mean framewise displacement.
    median_absolute : float
        Median of the absolute correlations.
    share_significant : float
        Share of edges, 0 to 1, that are significant at a false discovery rate of 0.05.
    distance_dependence : float
        Spearman correlation between the correlations and the distances of the edges; negative
        where motion raises the connectivity of near parcels above that of distant ones.
    """

    correlations: np.ndarray
    n_participants: int
    median_absolute: float
    share_significant: float
    distance_dependence: float


def qc_fc(connectivity, mean_fd, distances):
    """Correlate each edge with mean framewise displacement over participants [1]_, [2]_.

    Parameters
    ----------
    connectivity : ndarray of float, shape (n_participants, n_edges)
        For example :func:`brainfm.signal.connectivity.upper_triangle` of their matrices; NaN where
        a participant lacks an edge.
    mean_fd : ndarray of float, shape (n_participants,), in millimetres
        NaN where it is not known; such participants are left out.
    distances : ndarray of float, shape (n_edges,), in millimetres
        Euclidean distance between the two parcels of each edge.

    Returns
    -------
    QcFc

    Raises
    ------
    SignalError
        If the shapes do not fit together, or fewer than 10 participants have a known motion.

    References
    ----------
    .. [1] Ciric et al., 2017, NeuroImage 154. https://doi.org/10.1016/j.neuroimage.2017.03.020
    .. [2] Parkes et al., 2018, NeuroImage 171. https://doi.org/10.1016/j.neuroimage.2017.12.073
    """
    edges, motion, distances = (np.asarray(x, float) for x in (connectivity, mean_fd, distances))
    if edges.ndim != 2 or edges.shape != (len(motion), len(distances)):
        raise SignalError(
            f"connectivity has shape {edges.shape}; expected ({len(motion)}, {len(distances)}): a "
            "row for each mean_fd and a column for each distance."
        )
    known = np.isfinite(motion)
    if known.sum() < FEWEST_PARTICIPANTS:
        raise SignalError(
            f"{known.sum()} participants have a mean framewise displacement; expected "
            f"{FEWEST_PARTICIPANTS} or more for the correlation of connectivity with motion."
        )
    r, n = _correlations(edges[known], motion[known])
    found = np.isfinite(r)
    t = r[found] * np.sqrt((n[found] - 2) / np.maximum(1 - r[found] ** 2, 1e-12))
    p = 2 * student.sf(np.abs(t), n[found] - 2)
    near = found & np.isfinite(distances)
    return QcFc(
        correlations=r,
        n_participants=int(known.sum()),
        median_absolute=float(np.median(np.abs(r[found]))) if found.any() else np.nan,
        share_significant=float((false_discovery_control(p) < 0.05).mean()) if len(p) else np.nan,
        distance_dependence=_spearman(r[near], distances[near]),
    )


def _correlations(edges, motion):
    """Correlate each column with motion over the rows it has, and count these rows."""
    has = np.isfinite(edges)
    n = has.sum(axis=0)
    size = np.maximum(n, 1)
    x = np.where(has, motion[:, None], 0.0)
    x = np.where(has, x - x.sum(axis=0) / size, 0.0)
    y = np.where(has, edges, 0.0)
    y = np.where(has, y - y.sum(axis=0) / size, 0.0)
    norm = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    enough = (n >= FEWEST_PARTICIPANTS) & (norm > 1e-12)
    r = np.divide((x * y).sum(axis=0), norm, out=np.full(len(n), np.nan), where=enough)
    return np.clip(r, -1, 1), n


def _spearman(first, second):
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(first), rankdata(second))[0, 1])
