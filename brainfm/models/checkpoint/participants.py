"""Participants of the training recordings: a model holds hashes of them, and the labels it learned.

``training`` is the section of that name in ``config.json``: the hashes under ``participants`` and
the names of the learned labels under ``phenotypes``. It is empty where nothing is stated.
"""

import hashlib
import re

_DOI = re.compile(r" \(doi:[^/]*\)(?=/[^/]*$)")


def participant_hash(group):
    """Hash the name of one participant, so that a checkpoint does not hold it.

    The DOI of the dataset is left out, so that a model recognises a participant wherever the DOI
    is not known.

    Parameters
    ----------
    group : str
        ``dataset/participant``, as :attr:`brainfm.RecordingTable.groups` gives it.

    Returns
    -------
    digest : str of 16 hexadecimal digits
    """
    return hashlib.sha256(_DOI.sub("", str(group)).encode("utf8")).hexdigest()[:16]


def participants_hash(hashes):
    """Hash the hashes of all training participants into one.

    Parameters
    ----------
    hashes : iterable of str
        See :func:`participant_hash`; their order does not matter.

    Returns
    -------
    digest : str of 64 hexadecimal digits
    """
    return hashlib.sha256("\n".join(sorted(hashes)).encode("ascii")).hexdigest()


def training_of(model):
    """Return the training section of an embedder.

    Parameters
    ----------
    model : BrainEmbedder, BrainPretrainer or any transformer
        Loaded from a checkpoint, or fitted.

    Returns
    -------
    training : dict
    """
    checkpoint = getattr(model, "checkpoint_", None)
    return checkpoint.training if checkpoint else getattr(model, "training_", {})


def seen_in_training(training, groups):
    """Find the participants whose recordings a model was trained on.

    Parameters
    ----------
    training : dict
    groups : iterable of str
        ``dataset/participant``.

    Returns
    -------
    seen : set of str
    """
    known = frozenset(training.get("participants", ()))
    return {group for group in groups if participant_hash(group) in known}


def learned_labels(training, groups):
    """Find the participants whose labels a model was trained on.

    Parameters
    ----------
    training : dict
    groups : iterable of str
        ``dataset/participant``.

    Returns
    -------
    labels : dict of str to str
        Names of the labels, separated by commas, by ``dataset/participant``.
    """
    labels = ", ".join(training.get("phenotypes") or ())
    return dict.fromkeys(seen_in_training(training, groups), labels) if labels else {}
