"""The group level: corpus, pretraining, embeddings, evaluation, report; each resumes."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from brainfm.config import Settings
from brainfm.files import read_participants
from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.models.checkpoint.participants import learned_labels
from brainfm.models.features.embedder import BrainEmbedder
from brainfm.stages.corpus.build import build_corpus, check_duplicates, source_checksum
from brainfm.stages.embed.recording import embed_recording, remove_embeddings
from brainfm.stages.evaluate.design import build_design
from brainfm.stages.evaluate.n_jobs import n_jobs_for
from brainfm.stages.evaluate.run import evaluate_outputs
from brainfm.stages.evaluate.tables import FILES, remove_outdated_evaluation
from brainfm.stages.pretrain.run import pretrain_corpus, split_corpus
from brainfm.stages.report.group import write_group_report
from brainfm.storage.cache.results import ResultCache
from brainfm.storage.cache.steps import StepCache
from brainfm.storage.corpus.manifest import read_withdrawn
from brainfm.storage.derivatives.recordings import find_recordings, mean_fd_of
from brainfm.storage.derivatives.status import sha256_of


@dataclass(frozen=True, kw_only=True)
class Group:
    """What the group level works on.

    ``roots`` are folders of standardised recordings: the output and other derivatives;
    ``tables`` the ``participants.tsv`` files that describe their people; ``work_dir`` keeps what a
    killed step had done; ``nprocs`` is how many processes may work at the same time, in
    ``memory_gb`` together.
    """

    output_dir: Path
    work_dir: Path
    roots: tuple[Path, ...]
    tables: tuple[Path, ...]
    settings: Settings
    nprocs: int = 1
    memory_gb: float = 4.0


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
    book = StepCache(group.output_dir)
    try:
        manifest = _corpus(group, book)
        if group.settings.pretrain.phenotypes:
            _check_question(group, trained_on=split_corpus(manifest.parent)[0].recordings)
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


def _recordings(group, roots=None):
    """Recordings under the roots, always in the same order, without those of withdrawn people."""
    withdrawn = read_withdrawn(group.output_dir / "group" / "corpus")
    found = [one for root in roots or group.roots for one in find_recordings(root)]
    kept = [one for one in found if (one.dataset, one.participant) not in withdrawn]
    return sorted(kept, key=lambda one: (*map(str, one.key), one.modality))


def _withdrawn_sources(group):
    """Standardised recordings in the output folder of participants who have withdrawn."""
    kept = {one.source for one in _recordings(group, [group.output_dir])}
    return [one.source for one in find_recordings(group.output_dir) if one.source not in kept]


def _check_question(group, trained_on=()):
    """Refuse a question that cannot be answered, before anything is trained for it.

    ``trained_on`` are recordings whose labels will be learned.
    """
    config, phenotypes = group.settings.evaluate, group.settings.pretrain.phenotypes
    if not (config.target or config.contrast):
        return
    recordings = _recordings(group)
    known = load_checkpoint(group.settings.model.model).training
    groups = {f"{one.dataset}/{one.participant}" for one in recordings}
    learned = {f"{one.dataset}/{one.participant}": ", ".join(phenotypes) for one in trained_on}
    build_design(
        config,
        recordings,
        participants=read_participants(group.tables),
        learned=learned | learned_labels(known, groups),
        seed=group.settings.run.random_seed,
    )


def _corpus(group, book):
    corpus_dir = group.output_dir / "group" / "corpus"
    facts = {
        "recordings": [source_checksum(recording) for recording in _recordings(group)],
        "withdrawn": sorted(read_withdrawn(corpus_dir)),
    }

    def make():
        manifest = build_corpus(list(group.roots), corpus_dir)
        check_duplicates(manifest)
        return [manifest]

    return book.run("corpus", facts, make)[0]


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
    facts = {"corpus": sha256_of(manifest), "checkpoint": load_checkpoint(checkpoint).identity}

    def make():
        config = group.settings.model
        # Another name than the packaged checkpoint, whose embeddings stand in the same folders.
        loaded = load_checkpoint(checkpoint)
        loaded = replace(loaded, name=f"group-{loaded.name}")
        remove_embeddings(_withdrawn_sources(group), group.output_dir, loaded.name)
        paths = [
            embed_recording(
                recording.source,
                group.output_dir,
                loaded,
                batch_size=config.batch_size,
                device=config.device,
            )
            for recording in _recordings(group, [group.output_dir])
        ]
        return [*paths, *(path.with_suffix(".json") for path in paths)]

    return book.run("embed", facts, make)


def _evaluate(group, book, manifest, checkpoint):
    config, seed = group.settings.evaluate, group.settings.run.random_seed
    if group.settings.run.sloppy:
        config = replace(
            config,
            n_permutations=min(config.n_permutations, 20),
            n_episodes=min(config.n_episodes, 3),
        )
    data = {
        "corpus": sha256_of(manifest),
        "models": [
            load_checkpoint(model).identity for model in (group.settings.model.model, checkpoint)
        ],
    }
    if not (config.target or config.contrast):
        made_from = book.steps.get("evaluate", {}).get("noted")
        if remove_outdated_evaluation(group.output_dir, made_from, data):
            del book.steps["evaluate"]
        return []
    recordings = _recordings(group)
    motion = [mean_fd_of(one) for one in recordings]  # of files that the corpus does not hold
    people = _checksums(group.tables)
    facts = {
        **data, "settings": asdict(config), "participants": people, "motion": motion, "seed": seed,
    }  # fmt: skip

    # With sloppy settings other processes start as long as they would save.
    max_jobs = 1 if group.settings.run.sloppy else group.nprocs
    n_jobs = n_jobs_for(recordings, max_jobs=max_jobs, memory_gb=group.memory_gb)

    def make():
        kept = ResultCache(group.work_dir / "evaluate", facts)
        evaluate_outputs(
            group.output_dir,
            config,
            recordings=recordings,
            participants=read_participants(group.tables),
            embedder=_embedder(group, group.settings.model.model),
            own=_embedder(group, checkpoint),
            kept=kept,
            n_jobs=n_jobs,
            seed=seed,
        )
        kept.forget()
        return [group.output_dir / "group" / name for name in FILES]

    return book.run("evaluate", facts, make, noted=data)


def _embedder(group, model):
    config = group.settings.model
    return BrainEmbedder.from_pretrained(model, device=config.device, batch_size=config.batch_size)


def _checksums(paths):
    return [(path.name, sha256_of(path)) for path in sorted(paths)]
