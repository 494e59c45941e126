"""Withdraw: take a participant out of a corpus, and keep them out."""

import logging
from pathlib import Path

from brainfm.errors import NothingSelected
from brainfm.storage import corpus

log = logging.getLogger("brainfm")


def withdraw_participant(corpus_dir, dataset, participant):
    """Remove all bytes of a participant from a corpus; datasets added later leave them out.

    The same call again finishes what was interrupted. The dataset they came from and checkpoints
    trained before are not touched: pretrain again.

    Parameters
    ----------
    corpus_dir : path
    dataset, participant : str
        As in ``manifest.tsv``; the participant with or without ``sub-``.

    Returns
    -------
    n_removed : int
        Recordings that left; 0 if the participant had none in the corpus.

    Raises
    ------
    MissingInput
        If there is no corpus.
    NothingSelected
        If the corpus has no such dataset.
    """
    participant = _label(corpus_dir, dataset, participant)
    n_removed = corpus.withdraw(corpus_dir, dataset, participant)
    if not n_removed:
        log.warning("%s had no recording of sub-%s of %s", corpus_dir, participant, dataset)
    log.info("withdrew sub-%s of %s: %d recordings", participant, dataset, n_removed)
    return n_removed


def readmit_participant(corpus_dir, dataset, participant):
    """Undo :func:`withdraw_participant`: the next call that adds the dataset brings them back.

    Raises
    ------
    MissingInput
        If there is no corpus.
    NothingSelected
        If the participant was not withdrawn.
    """
    participant = _label(corpus_dir, dataset, participant)
    if (dataset, participant) not in corpus.read_withdrawn(corpus_dir):
        raise NothingSelected(f"sub-{participant} of {dataset} was not withdrawn.")
    corpus.readmit(corpus_dir, dataset, participant)


def _label(corpus_dir, dataset, participant):
    known = {*corpus.read_manifest(corpus_dir)["dataset"]}
    known |= {name for name, _ in corpus.read_withdrawn(corpus_dir)}
    if dataset not in known:
        raise NothingSelected(
            f"{Path(corpus_dir) / 'manifest.tsv'} has no dataset {dataset!r}; it has: "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    return participant.removeprefix("sub-")
