"""What is done with a checkpoint that stands in a folder: add scores to it, publish it."""

import tempfile
from pathlib import Path

import pandas as pd

from brainfm.errors import ModelError
from brainfm.models.checkpoint import hub
from brainfm.models.checkpoint.load_save import checkpoint_texts, copy_checkpoint, load_checkpoint
from brainfm.models.checkpoint.model_card import finished_card, score_rows


def add_scores(folder, scores):
    """Put scores into the ``config.json`` and the card of a checkpoint; the weights stay.

    Parameters
    ----------
    folder : path
    scores : DataFrame
        See :func:`brainfm.models.checkpoint.model_card.score_rows`. They replace those that stand
        there.

    Returns
    -------
    folder : Path

    Raises
    ------
    ModelError
        If there is no whole checkpoint, or the table is not as expected.
    """
    info, card = checkpoint_texts(folder)
    info["scores"] = score_rows(pd.DataFrame(scores))
    return copy_checkpoint(folder, folder, info=info, card=finished_card(card, info))


def publish_checkpoint(folder, repo_id, *, private=True, token=None):
    """Send a checkpoint to the Hugging Face Hub, after loading it to see that it is whole.

    Parameters
    ----------
    folder : path
        Or the name of a packaged checkpoint.
    repo_id : str
        ``org/name``; made if it is not there.
    private : bool
        Only who has access to ``org`` can see it. Publish with False when the licence of the
        recordings allows that.
    token : str, optional
        With the right to write; by default ``HF_TOKEN`` or that of ``hf auth login``.

    Returns
    -------
    name : str
        ``org/name@commit``: what ``BrainEmbedder.from_pretrained`` takes, always these bytes.

    Raises
    ------
    ModelError
        If the checkpoint is not whole, the Hub refuses, the repository is public although
        ``private`` is True, or ``huggingface_hub`` is not installed.
    TemporaryFailure
        If the Hub cannot be reached.
    """
    named = hub.split_name(repo_id)
    if named is None or "@" in repo_id:
        raise ModelError(f"{repo_id!r} is no name of a repository; expected org/name.")
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
