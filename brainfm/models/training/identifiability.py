"""One number for an encoder, whatever it was trained with: does it know a recording again?"""

import numpy as np
import torch

from brainfm.models.encoder.windows import all_windows, halves, n_whole_patches


@torch.inference_mode()
def split_half_identifiability(encoder, rows, people):
    """How surely the second half of a recording is told from those of other people.

    It compares encoders of different objectives, sizes and window lengths, which losses do not.
    What is the same in both halves need not be of interest: a scanner is, too.

    Parameters
    ----------
    encoder : BrainEncoder
    rows : list of dict of str to Prepared
        One entry a row: its modalities.
    people : sequence of str
        Who is recorded in each row.

    Returns
    -------
    share : float
        Share of other people's halves that lie further from a half than the other half of its
        own recording, mean over recordings and modalities: 0.5 is chance, 1 is always. NaN if no
        modality has recordings of two people.
    """
    people, shares = np.asarray(people), []
    for name in dict.fromkeys(name for row in rows for name in row):
        mine = [i for i, row in enumerate(rows) if name in row and n_whole_patches(row[name]) > 1]
        if not mine:
            continue
        one, two = torch.stack([_halves(encoder, rows[i][name]) for i in mine], dim=1)
        distance = torch.cdist(one - one.mean(dim=0), two - two.mean(dim=0)).numpy()
        own, others = np.diag(distance), people[mine][:, None] != people[mine]
        for away in (distance, distance.T):
            further = away > own[:, None]
            shares += [further[i, others[i]].mean() for i in range(len(mine)) if others[i].any()]
    return float(np.mean(shares)) if shares else float("nan")


def _halves(encoder, prepared):
    """Mean summaries of the first and of the second half, (2, dim)."""
    n_patches = encoder.config.n_patches_of(prepared.modality)
    summaries = [
        encoder({prepared.modality: all_windows(half, n_patches)}).summary.mean(dim=0)
        for half in halves(prepared)
    ]
    return torch.stack(summaries)
