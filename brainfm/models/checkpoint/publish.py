"""Publishing of checkpoints: add scores, upload to the Hugging Face Hub."""

import tempfile
from pathlib import Path

import pandas as pd

from brainfm.errors import ModelError
from brainfm.models.checkpoint import hub
from brainfm.models.checkpoint.load_save import checkpoint_texts, copy_checkpoint, load_checkpoint
from brainfm.models.checkpoint.model_card import finished_card, score_rows


def add_scores(folder, scores):
    """Add scores to the ``config.json`` and the card of a checkpoint; the weights do not change.

    Parameters
    ----------
    folder : path
    scores : DataFrame
        See :func:`brainfm.models.checkpoint.model_card.score_rows`. They replace former
        scores.

    Returns
    -------
    folder : Path

    Raises
    ------
    ModelError
        If there is no complete checkpoint, or the table has other columns.
    """
    info, card = checkpoint_texts(folder)
    info["scores"] = score_rows(pd.DataFrame(scores))
    return copy_checkpoint(folder, folder, info=info, card=finished_card(card, info))


def publish_checkpoint(folder, repo_id, *, private=True, token=None):
    """Upload a checkpoint to the Hugging Face Hub, after loading it as a check.

    Parameters
    ----------
    folder : path
        Or the name of a packaged checkpoint.
    repo_id : str
        ``org/name``; created if it does not exist.
    private : bool
        Visible to members of ``org`` only. Pass False if the licence of the recordings allows
        publication.
    token : str, optional
        With write access; by default ``HF_TOKEN`` or that of ``hf auth login``.

    Returns
    -------
    name : str
        ``org/name@commit``, for ``BrainEmbedder.from_pretrained``.

    Raises
    ------
    ModelError
        If the checkpoint is not complete, the Hub refuses, the repository is public although
        ``private`` is True, or ``huggingface_hub`` is not installed.
    TemporaryFailure
        If the Hub cannot be reached.
    """
    named = hub.split_name(repo_id)
    if named is None or "@" in repo_id:
        raise ModelError(f"{repo_id!r} is not the name of a repository; expected org/name.")
    checkpoint = load_checkpoint(folder)
    info, card = checkpoint_texts(folder)
    card = finished_card(card, info).replace(
        f'from_pretrained("{checkpoint.name}")', f'from_pretrained("{repo_id}")'
    )
    with tempfile.TemporaryDirectory() as temporary:
        ready = copy_checkpoint(folder, Path(temporary) / "checkpoint", info=info, card=card)
        message = f"{checkpoint.name}, sha256 {checkpoint.sha256[:12]}"
        commit = hub.upload(ready, repo_id, private=private, token=token, message=message)
    return f"{repo_id}@{commit}"
