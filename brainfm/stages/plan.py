"""Decide what is left to do for a participant: what is done and still whole is not done again."""

from dataclasses import dataclass
from pathlib import Path

from brainfm.storage.bids import RawRun, t1w_for
from brainfm.storage.status import is_intact, key_of, key_of_input, read_status

_STANDARDISED = {"bold": "_desc-denoised_timeseries.tsv", "eeg": "_desc-preproc_eeg.vhdr"}


@dataclass(frozen=True, kw_only=True)
class Task:
    """One recording and what must be done for it.

    ``stale`` says that files of an earlier, finished call were changed or lost, so that what
    the work folder remembers of it must not be believed.
    """

    run: RawRun
    t1w: RawRun | None
    key: str
    embed_key: str
    preprocess: bool
    embed: bool
    stale: bool = False
    standardised: Path | None = None

    @property
    def is_done(self):
        """True when nothing is left to do."""
        return not (self.preprocess or self.embed)


def plan_participant(output_dir, recordings, runs, *, settings, engine, model_key):
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
    model_key : str
        Checksum of the checkpoint that embeds.

    Returns
    -------
    list of Task
    """
    status = read_status(output_dir, recordings[0].participant)
    tasks = []
    for run in recordings:
        t1w = t1w_for(run, runs) if run.modality == "bold" and engine != "derivatives" else None
        key = key_of_input(run, t1w, settings=settings, engine=engine)
        embed_key = key_of({"input": key, "model": model_key})
        before = status["recordings"].get(run.name, {})
        tasks.append(_task(output_dir, run, t1w, keys=(key, embed_key), before=before))
    return tasks


def _task(output_dir, run, t1w, *, keys, before):
    outputs = before.get("outputs") or {}
    embedded = {name: sha for name, sha in outputs.items() if "_embedding." in name}
    cleaned = {name: sha for name, sha in outputs.items() if name not in embedded}
    was_done = before.get("state") == "done"
    preprocessed = was_done and before.get("key") == keys[0] and is_intact(output_dir, cleaned)
    embeds = preprocessed and before.get("embed_key") == keys[1] and is_intact(output_dir, embedded)
    standardised = [name for name in cleaned if name.endswith(_STANDARDISED[run.modality])]
    preprocessed = preprocessed and bool(standardised)
    return Task(
        run=run,
        t1w=t1w,
        key=keys[0],
        embed_key=keys[1],
        preprocess=not preprocessed,
        embed=not (preprocessed and embeds),
        stale=was_done and not (preprocessed and embeds),
        standardised=Path(output_dir) / standardised[0] if preprocessed else None,
    )
