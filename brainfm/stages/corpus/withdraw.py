"""Withdrawal of participants from a corpus, and their readmission."""

import logging
from pathlib import Path

from brainfm.errors import NothingSelected
from brainfm.storage.corpus import changes
from brainfm.storage.corpus.manifest import read_manifest, read_withdrawn

log = logging.getLogger("brainfm")


def withdraw_participant(corpus_dir, dataset, participant):
    """Delete all files of a participant in a corpus and exclude it from later additions.

    After an interruption, the same call completes the withdrawal. The source dataset and
    checkpoints trained before are not changed; pretrain again to remove the participant from a
    model.

    Parameters
    ----------
    corpus_dir : path
    dataset, participant : str
        As in ``manifest.tsv``; the participant with or without ``sub-``.

    Returns
    -------
    n_removed : int
        Number of removed recordings; 0 if the participant had none in the corpus.

    Raises
    ------
    MissingInput
        If there is no corpus.
    NothingSelected
        If the corpus has no such dataset.
    """
    participant = _label(corpus_dir, dataset, participant)
    n_removed = changes.withdraw(corpus_dir, dataset, participant)
    if not n_removed:
        log.warning("%s had no recording of sub-%s of %s", corpus_dir, participant, dataset)
    log.info("withdrew sub-%s of %s: %d recordings", participant, dataset, n_removed)
    return n_removed


def readmit_participant(corpus_dir, dataset, participant):
    """Undo :func:`withdraw_participant`; the next addition of the dataset adds the participant.

    Parameters
    ----------
    corpus_dir : path
    dataset, participant : str
        As for :func:`withdraw_participant`.

    Raises
    ------
    MissingInput
        If there is no corpus.
    NothingSelected
        If the participant is not withdrawn.
    """
    participant = _label(corpus_dir, dataset, participant)
    if (dataset, participant) not in read_withdrawn(corpus_dir):
        raise NothingSelected(f"sub-{participant} of {dataset} is not withdrawn: check its label.")
    changes.readmit(corpus_dir, dataset, participant)


def _label(corpus_dir, dataset, participant):
    known = {*read_manifest(corpus_dir)["dataset"]}
    known |= {name for name, _ in read_withdrawn(corpus_dir)}
    if dataset not in known:
        raise NothingSelected(
            f"{Path(corpus_dir) / 'manifest.tsv'} has no dataset {dataset!r}; it has: "
            f"{', '.join(sorted(known)) or 'none'}."
        )
    return participant.removeprefix("sub-")
