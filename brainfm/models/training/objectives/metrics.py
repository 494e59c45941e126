"""Metrics of every batch, whatever the objective, that show a collapse of the embeddings."""

import math

import torch


def batch_metrics(summary, participants):
    """Describe the summaries of a batch, so that a collapse shows in the epoch it happens.

    Parameters
    ----------
    summary : Tensor, shape (2 * n_rows, dim)
        Of the first crop of every row, then of the second crop of every row.
    participants : tuple of str, length n_rows
        Participant of each row; empty if unknown.

    Returns
    -------
    metrics : dict of str to float
        ``effective_rank`` (1: collapsed), ``summary_explained`` (explained variance of the summary
        of one crop given the other) and, where participants are known, ``person_found`` (fraction
        of crops whose nearest neighbour is of the same participant) beside ``person_by_chance``
        (that of a random neighbour).
    """
    summary = summary.detach().float()
    if not summary.isfinite().all():  # the loss reports it better than a singular value could
        return {}
    one, two = summary.chunk(2)
    metrics = {
        "effective_rank": effective_rank(summary),
        "summary_explained": explained_variance(one, two),
    }
    if participants:
        found, by_chance = nearest_neighbour_accuracy(summary, participants)
        metrics |= {"person_found": found, "person_by_chance": by_chance}
    return metrics


def explained_variance(prediction, target):
    """Compute the fraction of the variance of ``target`` that is predicted.

    Parameters
    ----------
    prediction, target : Tensor, shape (n, n_targets)

    Returns
    -------
    fraction : float
        0 for the mean of the target, at most 1; NaN where the target does not vary, as with a
        single recording.
    """
    error = (prediction - target).square().mean()
    variance = (target - target.mean(dim=0)).square().mean()
    return float((1 - error / variance).detach()) if variance > 1e-6 else math.nan


def effective_rank(points):
    """Compute the exponential of the entropy of the singular values.

    Parameters
    ----------
    points : Tensor, shape (n, dim)

    Returns
    -------
    rank : float
        1 when all points have collapsed.

    References
    ----------
    .. [1] Roy and Vetterli, 2007, EUSIPCO, The effective rank: a measure of effective
       dimensionality.
    """
    values = torch.linalg.svdvals(points - points.mean(dim=0))
    fraction = values / values.sum().clamp_min(1e-12)
    return float((-(fraction * fraction.clamp_min(1e-12).log()).sum()).exp())


def nearest_neighbour_accuracy(summary, participants):
    """Compute the fraction of crops whose nearest neighbour is of the same participant.

    Parameters
    ----------
    summary : Tensor, shape (2 * n_rows, dim)
    participants : tuple of str, length n_rows

    Returns
    -------
    found : float
    by_chance : float
        Fraction of the other crops that are of the same participant.
    """
    codes = {name: code for code, name in enumerate(dict.fromkeys(participants))}
    owner = torch.tensor([codes[name] for name in participants], device=summary.device).repeat(2)
    same = owner[:, None] == owner
    nearest = torch.cdist(summary, summary).fill_diagonal_(torch.inf).argmin(dim=1)
    found = same.gather(1, nearest[:, None]).float().mean()
    return float(found), float((same.sum(dim=1) - 1).float().mean() / (len(owner) - 1))
