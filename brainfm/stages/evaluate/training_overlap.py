"""Who a model was trained on, and whose labels it has learned."""

from brainfm.models.checkpoint.load_save import participant_hash


def training_of(model):
    """What an embedder, loaded or pretrained here, was trained on; a dict, empty where unknown."""
    checkpoint = getattr(model, "checkpoint_", None)
    return checkpoint.info.get("training", {}) if checkpoint else getattr(model, "training_", {})


def seen_by(training, recordings, named=()):
    """Find those whose recordings a model was trained on.

    Parameters
    ----------
    training : dict
        As checkpoints hold it: ``participants`` are hashes.
    recordings : list of Recording
    named : container of str
        More of them, by name.

    Returns
    -------
    people : set of str
        ``dataset/participant``.
    """
    known = set(training.get("participants", ()))
    people = {f"{one.dataset}/{one.participant}" for one in recordings}
    return {one for one in people if one in named or participant_hash(one) in known}


def learned_by(training, recordings, named=()):
    """Return which labels a model has learned of whom, by ``dataset/participant``."""
    labels = ", ".join(training.get("phenotypes") or ())
    return dict.fromkeys(seen_by(training, recordings, named), labels) if labels else {}
