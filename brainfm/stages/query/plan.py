"""Decide what is left to do for a participant: what is done and still whole is not done again."""

from dataclasses import dataclass
from pathlib import Path

import torch

from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.storage.bids.query import RawRun, t1w_for
from brainfm.storage.derivatives.fmriprep import find_fmriprep_run
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

    ``keys`` hash what the files are made from: ``source`` the input, ``preprocessed`` the input
    and the settings, ``embedded`` these and the model. ``stale`` says that the input has
    changed, or that files of an earlier call were changed or lost, so that what the work folder
    remembers must not be believed.
    """

    run: RawRun
    t1w: RawRun | None
    engine: str
    keys: dict[str, str]
    preprocess: bool
    embed: bool
    stale: bool = False
    standardised: Path | None = None

    @property
    def upstream(self):
        """Name of the part of the workflow that several recordings of a participant share."""
        if self.run.modality != "bold" or self.engine == "derivatives":
            return None
        if self.engine == "fmriprep":
            return f"sub-{self.run.participant}_fmriprep"
        return self.t1w.name

    @property
    def is_done(self):
        """True when nothing is left to do."""
        return not (self.preprocess or self.embed)


def model_key(name_or_path):
    """Return the identity of a checkpoint that can be loaded.

    One thread: worker processes are forked from this one, and a pool of threads would not
    survive that.

    Raises
    ------
    ModelError
        If there is no such checkpoint or it does not fit.
    """
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return load_checkpoint(name_or_path).identity
    finally:
        torch.set_num_threads(n_threads)


def plan_participant(output_dir, recordings, runs, *, settings, engine, model, derivatives):
    """Compare each recording with the status of earlier calls.

    Parameters
    ----------
    output_dir : Path
    recordings : list of RawRun
        BOLD and EEG runs of one participant.
    runs : iterable of RawRun
        All runs of the preflight, for the T1w images.
    settings : brainfm.config.Settings
    engine : str
        Who preprocesses raw fMRI.
    model : str
        Identity of the checkpoint that embeds; see :func:`model_key`.
    derivatives : dict of str to Path

    Returns
    -------
    list of RunPlan
    """
    status = read_status(output_dir, recordings[0].participant)
    tasks = []
    for run in recordings:
        t1w = t1w_for(run, runs) if run.modality == "bold" else None
        source = key_of_source(run, _files_besides(run, t1w, engine, derivatives))
        chosen = key_of_settings(run.modality, settings, engine)
        preprocessed = key_of({"source": source, "settings": chosen})
        embedded = key_of({"preprocessed": preprocessed, "model": model})
        keys = {"source": source, "preprocessed": preprocessed, "embedded": embedded}
        before = status["recordings"].get(run.name, {})
        parts = {"run": run, "t1w": t1w, "engine": engine, "keys": keys}
        tasks.append(_compare(output_dir, parts, before))
    return tasks


def _files_besides(run, t1w, engine, derivatives):
    """Return what a recording is made from besides its raw files."""
    if run.modality == "bold" and engine == "derivatives":
        return list(vars(find_fmriprep_run(derivatives["fmriprep"], run.path)).values())
    return [t1w.path] if t1w else []


def _compare(output_dir, parts, before):
    keys = parts["keys"]
    outputs, old = before.get("outputs") or {}, before.get("keys") or {}
    embeddings = {name: sha for name, sha in outputs.items() if "_embedding." in name}
    cleaned = {name: sha for name, sha in outputs.items() if name not in embeddings}
    standardised = before.get("standardised")
    whole = standardised in cleaned and is_intact(output_dir, cleaned)
    preprocessed = whole and old.get("preprocessed") == keys["preprocessed"]
    embedded = preprocessed and old.get("embedded") == keys["embedded"]
    return RunPlan(
        **parts,
        preprocess=not preprocessed,
        embed=not (embedded and is_intact(output_dir, embeddings)),
        stale=bool(outputs and not whole) or old.get("source", keys["source"]) != keys["source"],
        standardised=Path(output_dir) / standardised if preprocessed else None,
    )
