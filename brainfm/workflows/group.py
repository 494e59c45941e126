"""The group level: corpus, pretraining, embeddings, evaluation, report; each resumes."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd

from brainfm.config import Settings
from brainfm.models.checkpoint import load_checkpoint
from brainfm.models.embedder import BrainEmbedder
from brainfm.stages.ask import ask
from brainfm.stages.corpus import build_corpus, source_checksum
from brainfm.stages.embed import embed_recording
from brainfm.stages.evaluate import evaluate_outputs
from brainfm.stages.evaluation_files import FILES
from brainfm.stages.pretrain import pretrain_corpus
from brainfm.stages.report_group import write_group_report
from brainfm.storage.corpus import read_withdrawn
from brainfm.storage.files import read_tsv
from brainfm.storage.kept import Kept
from brainfm.storage.recordings import find_recordings
from brainfm.storage.status import sha256_of
from brainfm.storage.steps import StepBook


@dataclass(frozen=True, kw_only=True)
class Group:
    """What the group level works on.

    ``roots`` are folders of standardised recordings: the output and other derivatives;
    ``tables`` the ``participants.tsv`` files that describe their people; ``work_dir`` keeps what a
    killed step had done; ``nprocs`` is how many processes may work at the same time.
    """

    output_dir: Path
    work_dir: Path
    roots: tuple[Path, ...]
    tables: tuple[Path, ...]
    settings: Settings
    nprocs: int = 1


def run_group(group):
    """Run all steps, each only when something it is made from has changed.

    Parameters
    ----------
    group : Group

    Returns
    -------
    report : Path
    seconds : dict of str to float
        Of each step; 0 for those with nothing to do.
    """
    _check_question(group)
    book = StepBook(group.output_dir)
    try:
        manifest = _corpus(group, book)
        checkpoint = _pretrain(group, book, manifest)
        embeddings = _embed(group, book, manifest, checkpoint)
        evaluation = _evaluate(group, book, manifest, checkpoint)
        statuses = sorted(group.output_dir.glob("sub-*/status.json"))
        facts = {"from": _checksums([manifest, *embeddings, *evaluation, *statuses])}
        (report,) = book.run("publish", facts, lambda: [write_group_report(group.output_dir)])
    except BaseException as error:
        book.fail(error)
        raise
    book.close()
    return report, book.seconds


def read_participants(tables):
    """Read ``participants.tsv`` files as one table, or None when there is none."""
    frames = [read_tsv(path, dtype={"participant_id": str}) for path in tables]
    return pd.concat(frames, ignore_index=True) if frames else None


def _check_question(group):
    """Refuse a question that cannot be answered before anything is trained for it."""
    config = group.settings.evaluate
    if config.target or config.contrast:
        recordings = [r for root in group.roots for r in find_recordings(root)]
        seed = group.settings.run.random_seed
        ask(config, recordings, participants=read_participants(group.tables), seed=seed)


def _corpus(group, book):
    corpus_dir = group.output_dir / "group" / "corpus"
    found = [r for root in group.roots for r in find_recordings(root)]
    facts = {
        "recordings": [source_checksum(recording) for recording in found],
        "withdrawn": sorted(read_withdrawn(corpus_dir)),
    }
    (manifest,) = book.run("corpus", facts, lambda: [build_corpus(list(group.roots), corpus_dir)])
    return manifest


def _pretrain(group, book, manifest):
    config, seed = group.settings.pretrain, group.settings.run.random_seed
    if group.settings.run.sloppy:
        config = replace(config, preset="nano", max_epochs=min(config.max_epochs, 2))
    facts = {"corpus": sha256_of(manifest), "settings": asdict(config), "seed": seed}
    if config.phenotypes:
        facts["participants"] = _checksums(group.tables)

    def make():
        checkpoint = pretrain_corpus(
            manifest.parent,
            group.output_dir / "models",
            config,
            seed,
            participants=read_participants(group.tables),
            device=group.settings.model.device,
        )
        return sorted(path for path in Path(checkpoint).rglob("*") if path.is_file())

    return book.run("pretrain", facts, make)[0].parent


def _embed(group, book, manifest, checkpoint):
    facts = {"corpus": sha256_of(manifest), "checkpoint": load_checkpoint(checkpoint).sha256}

    def make():
        config = group.settings.model
        # Another name than the packaged checkpoint, whose embeddings stand in the same folders.
        loaded = load_checkpoint(checkpoint)
        loaded = replace(loaded, name=f"group-{loaded.name}")
        paths = [
            embed_recording(
                recording.source,
                group.output_dir,
                loaded,
                batch_size=config.batch_size,
                device=config.device,
            )
            for recording in find_recordings(group.output_dir)
        ]
        return [*paths, *(path.with_suffix(".json") for path in paths)]

    return book.run("embed", facts, make)


def _evaluate(group, book, manifest, checkpoint):
    config, n_jobs = group.settings.evaluate, group.nprocs
    if not (config.target or config.contrast):
        return []
    if group.settings.run.sloppy:
        n_jobs = 1  # other processes start as long as they would save
        config = replace(
            config,
            n_permutations=min(config.n_permutations, 20),
            n_episodes=min(config.n_episodes, 3),
        )
    facts = {
        "corpus": sha256_of(manifest),
        "model": load_checkpoint(group.settings.model.model).sha256,
        "checkpoint": load_checkpoint(checkpoint).sha256,
        "settings": asdict(config),
        "participants": _checksums(group.tables),
        "seed": group.settings.run.random_seed,
    }

    def make():
        recordings = [r for root in group.roots for r in find_recordings(root)]
        kept = Kept(group.work_dir / "evaluate", facts)
        evaluate_outputs(
            group.output_dir,
            config,
            recordings=recordings,
            participants=read_participants(group.tables),
            embedder=_embedder(group, group.settings.model.model),
            own=_embedder(group, checkpoint),
            kept=kept,
            n_jobs=n_jobs,
            seed=group.settings.run.random_seed,
        )
        kept.forget()
        return [group.output_dir / "group" / name for name in FILES]

    return book.run("evaluate", facts, make)


def _embedder(group, model):
    config = group.settings.model
    return BrainEmbedder.from_pretrained(model, device=config.device, batch_size=config.batch_size)


def _checksums(paths):
    return [(path.name, sha256_of(path)) for path in sorted(paths)]
