"""What is watched in every batch, whatever is learned: does the encoder still tell people apart?"""

import math

import torch


def watch(summary, people):
    """Describe the summaries of a batch, so that a collapse is seen in the epoch it happens.

    Parameters
    ----------
    summary : Tensor, shape (2 * n_rows, dim)
        Of crop one of every row, then of crop two of every row.
    people : tuple of str, length n_rows
        Who is recorded in each row; empty if it is not known.

    Returns
    -------
    metrics : dict of str to float
        ``effective_rank`` (1: collapsed), ``summary_explained`` (how well one crop tells the
        summary of the other; 0 is as good as the mean) and, where people are known,
        ``person_found`` (share of crops whose nearest neighbour is of the same person) beside
        ``person_by_chance`` (what a random neighbour would give).
    """
    summary = summary.detach().float()
    if not summary.isfinite().all():  # the loss says so better than a singular value could
        return {}
    one, two = summary.chunk(2)
    metrics = {
        "effective_rank": effective_rank(summary),
        "summary_explained": explained(one, two),
    }
    if people:
        metrics["person_found"], metrics["person_by_chance"] = same_person(summary, people)
    return metrics


def explained(prediction, target):
    """Share of the variance of ``target`` that is predicted; 0 for its mean, at most 1.

    NaN where the target does not vary, as with a single recording.
    """
    error = (prediction - target).square().mean()
    variance = (target - target.mean(dim=0)).square().mean()
    return float((1 - error / variance).detach()) if variance > 1e-6 else math.nan


def effective_rank(points):
    """Exponential of the entropy of the singular values: 1 when all points have collapsed.

    Parameters
    ----------
    points : Tensor, shape (n, dim)
    """
    values = torch.linalg.svdvals(points - points.mean(dim=0))
    share = values / values.sum().clamp_min(1e-12)
    return float((-(share * share.clamp_min(1e-12).log()).sum()).exp())


def same_person(summary, people):
    """Share of crops whose nearest neighbour among the others is of the same person, and chance.

    Parameters
    ----------
    summary : Tensor, shape (2 * n_rows, dim)
    people : tuple of str, length n_rows

    Returns
    -------
    found, by_chance : float
        ``by_chance`` is the share of the other crops that are of the same person.
    """
    codes = {person: code for code, person in enumerate(dict.fromkeys(people))}
    who = torch.tensor([codes[person] for person in people], device=summary.device).repeat(2)
    same = who[:, None] == who
    nearest = torch.cdist(summary, summary).fill_diagonal_(torch.inf).argmin(dim=1)
    found = same.gather(1, nearest[:, None]).float().mean()
    return float(found), float((same.sum(dim=1) - 1).float().mean() / (len(who) - 1))
