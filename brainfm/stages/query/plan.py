"""Plan the work on a participant: what is done and still whole is not done again."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from brainfm.storage.bids.choose_t1w import t1w_for, t1w_images
from brainfm.storage.bids.query import RawRun
from brainfm.storage.derivatives.status import (
    is_intact,
    key_of,
    key_of_settings,
    key_of_source,
    read_status,
)


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """One recording and what must be done for it.

    Parameters
    ----------
    run : RawRun
    t1w : RawRun or None
        Image that a BOLD run is normalised with; see
        :func:`brainfm.storage.bids.choose_t1w.t1w_for`.
    n_t1w : int
        Images of the participant that it is chosen from.
    engine : {"derivatives", "fmriprep", "builtin"}
    hash_inputs : callable
        Returns :attr:`keys`; files are read at its first call only.
    preprocess, embed : bool
    stale : bool
        The input has changed, or files of an earlier call were changed or lost, so that the
        cache in the work folder must not be used.
    standardised : Path or None
        The preprocessed recording, when it is complete.
    """

    run: RawRun
    t1w: RawRun | None
    engine: str
    hash_inputs: Callable
    preprocess: bool = True
    embed: bool = True
    stale: bool = False
    standardised: Path | None = None
    n_t1w: int = 0

    @property
    def keys(self):
        """Hashes of what the files are made from.

        ``source`` of the input, ``preprocessed`` of the input and the settings, ``embedded`` of
        these and the model; computed when first needed, since whole files are read.
        """
        return self.hash_inputs()

    @property
    def upstream(self):
        """Name of the part of the workflow that several recordings of a participant share."""
        if self.run.modality != "bold" or self.engine == "derivatives":
            return None
        if self.engine == "fmriprep":
            return f"sub-{self.run.participant}_fmriprep"
        return self.t1w.name

    @property
    def uses_t1w(self):
        """True when the built-in engine normalises the run with its T1w image."""
        return bool(self.t1w) and self.engine == "builtin"

    @property
    def is_done(self):
        """True when nothing is left to do."""
        return not (self.preprocess or self.embed)


def model_key(name_or_path):
    """Load a checkpoint, which checks that it fits, and return its identity.

    With one thread: worker processes are forked from this one, and a pool of threads would not
    survive that.

    Parameters
    ----------
    name_or_path : str or path

    Returns
    -------
    identity : str
        See :attr:`brainfm.models.checkpoint.load_save.Checkpoint.identity`.

    Raises
    ------
    ModelError
        If there is no such checkpoint or it does not fit.
    """
    import torch

    from brainfm.models.checkpoint.load_save import load_checkpoint

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return load_checkpoint(name_or_path).identity
    finally:
        torch.set_num_threads(n_threads)


def plan_participant(output_dir, runs, *, settings, engine, model):
    """Compare each recording of a participant with the status of earlier calls.

    Files are hashed only where an earlier call left something that could be used again.

    Parameters
    ----------
    output_dir : Path
    runs : list of RawRun
        All runs of the participant, T1w images included.
    settings : brainfm.config.Settings
    engine : {"derivatives", "fmriprep", "builtin"}
        What preprocesses raw fMRI.
    model : str
        Identity of the checkpoint that embeds; see :func:`model_key`.

    Returns
    -------
    plans : list of RunPlan

    Raises
    ------
    OSError
        If a file cannot be read.
    """
    entries = read_status(output_dir, runs[0].participant)["recordings"]
    chosen = {"settings": settings, "engine": engine, "model": model}
    plans = []
    for run in [run for run in runs if run.modality != "t1w"]:
        t1w = t1w_for(run, runs) if run.modality == "bold" else None
        hash_inputs = cache(partial(_hash_inputs, run, t1w, **chosen))
        done = _compare(output_dir, entries.get(run.name, {}), hash_inputs)
        done |= {"hash_inputs": hash_inputs, "n_t1w": len(t1w_images(runs))}
        plans.append(RunPlan(run=run, t1w=t1w, engine=engine, **done))
    return plans


def _hash_inputs(run, t1w, *, settings, engine, model):
    source = key_of_source(run, [t1w.path] if t1w and engine != "derivatives" else [])
    chosen = key_of_settings(run.modality, settings, engine)
    preprocessed = key_of({"source": source, "settings": chosen})
    embedded = key_of({"preprocessed": preprocessed, "model": model()})
    return {"source": source, "preprocessed": preprocessed, "embedded": embedded}


def _compare(output_dir, entry, hash_inputs):
    """Return what is left to do after an earlier call, as arguments of :class:`RunPlan`."""
    outputs, old = entry.get("outputs") or {}, entry.get("keys") or {}
    if not outputs and "source" not in old:
        return {}
    keys = hash_inputs()
    embeddings = {name: sha for name, sha in outputs.items() if "_embedding." in name}
    cleaned = {name: sha for name, sha in outputs.items() if name not in embeddings}
    standardised = entry.get("standardised")
    whole = standardised in cleaned and is_intact(output_dir, cleaned)
    preprocessed = whole and old.get("preprocessed") == keys["preprocessed"]
    embedded = preprocessed and old.get("embedded") == keys["embedded"]
    return {
        "preprocess": not preprocessed,
        "embed": not (embedded and is_intact(output_dir, embeddings)),
        "stale": bool(outputs and not whole) or old.get("source", keys["source"]) != keys["source"],
        "standardised": Path(output_dir) / standardised if preprocessed else None,
    }
