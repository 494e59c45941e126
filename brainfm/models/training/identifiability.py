"""Identifiability: one score for an encoder of any objective, from the halves of recordings."""

import numpy as np
import torch

from brainfm.models.encoder.windows import all_windows, n_whole_patches, split_halves


@torch.inference_mode()
def split_half_identifiability(encoder, rows, participants):
    """Measure how well the halves of a recording are matched against those of other participants.

    It compares encoders of different objectives, sizes and window lengths, which losses do not.
    Whatever both halves have in common raises it, including the scanner.

    Parameters
    ----------
    encoder : BrainEncoder
    rows : list of dict of str to PreparedSignal
        One entry a row: its modalities.
    participants : sequence of str
        Participant of each row.

    Returns
    -------
    score : float
        Fraction of the halves of other participants that are further away than the other half of
        the same recording, mean over recordings and modalities: 0.5 is chance, 1 is best. NaN if
        no modality has recordings of two participants.

    References
    ----------
    .. [1] Finn et al., 2015, Nat Neurosci 18(11). https://doi.org/10.1038/nn.4135
    """
    participants, fractions = np.asarray(participants), []
    for name in dict.fromkeys(name for row in rows for name in row):
        used = [i for i, row in enumerate(rows) if name in row and n_whole_patches(row[name]) > 1]
        if not used:
            continue
        one, two = torch.stack([_halves(encoder, rows[i][name]) for i in used], dim=1)  # n d each
        distance = torch.cdist(one - one.mean(dim=0), two - two.mean(dim=0)).numpy()
        own, others = np.diag(distance), participants[used][:, None] != participants[used]
        for distances in (distance, distance.T):
            further = distances > own[:, None]
            fractions += [further[i, others[i]].mean() for i in range(len(used)) if others[i].any()]
    return float(np.mean(fractions)) if fractions else float("nan")


def _halves(encoder, prepared):
    """Mean summaries of the first and of the second half, (2, dim)."""
    n_patches = encoder.config.n_patches_of(prepared.modality)
    summaries = [
        encoder({prepared.modality: all_windows(half, n_patches)}).summary.mean(dim=0)
        for half in split_halves(prepared)
    ]
    return torch.stack(summaries)
