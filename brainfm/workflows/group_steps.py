"""Runner of the group level: five steps in a row, each skipped when its inputs are unchanged.

Corpus, pretraining, embeddings, evaluation and report need each other's results for all
participants, so there is nothing for a Nipype workflow to run in parallel.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from brainfm.config import Settings
from brainfm.files import read_participants
from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.models.checkpoint.participants import learned_labels
from brainfm.models.features.embedder import BrainEmbedder
from brainfm.stages.corpus.build import build_corpus, check_duplicates, source_checksum
from brainfm.stages.corpus.withdraw import included_recordings
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
from brainfm.storage.derivatives.recordings import mean_fd_of
from brainfm.storage.derivatives.status import sha256_of


@dataclass(frozen=True, kw_only=True)
class GroupContext:
    """Inputs of all steps of the group level.

    Parameters
    ----------
    output_dir, work_dir : Path
        Intermediate results of an interrupted evaluation stay in ``work_dir``.
    roots : tuple of Path
        Folders of standardised recordings: the output and other derivatives.
    tables : tuple of Path
        ``participants.tsv`` files.
    settings : Settings
    nprocs : int
        Processes that run at the same time.
    memory_gb : float
        Memory of all processes together, in GB.
    """

    output_dir: Path
    work_dir: Path
    roots: tuple[Path, ...]
    tables: tuple[Path, ...]
    settings: Settings
    nprocs: int = 1
    memory_gb: float = 4.0

    @property
    def corpus_dir(self):
        """Folder of the corpus."""
        return self.output_dir / "group" / "corpus"

    @property
    def recordings(self):
        """Standardised recordings under all roots, without those of withdrawn participants."""
        return included_recordings(self.roots, self.corpus_dir)[0]


def run_group_steps(context):
    """Run all steps; each only when its inputs, settings or files have changed.

    Parameters
    ----------
    context : GroupContext

    Returns
    -------
    report : Path
    seconds : dict of str to float
        Time of each step; 0 for a step that was skipped.

    Raises
    ------
    BrainFMError
        If the target or contrast cannot be evaluated, or a step fails.
    """
    _check_design(context)
    cache = StepCache(context.output_dir)
    try:
        manifest = _corpus(context, cache)
        if context.settings.pretrain.phenotypes:
            _check_design(context, trained_on=split_corpus(manifest.parent)[0].recordings)
        checkpoint = _pretrain(context, cache, manifest)
        embeddings = _embed(context, cache, manifest, checkpoint)
        evaluation = _evaluate(context, cache, manifest, checkpoint)
        statuses = sorted(context.output_dir.glob("sub-*/status.json"))
        inputs = {"from": _checksums([manifest, *embeddings, *evaluation, *statuses])}
        (report,) = cache.run("publish", inputs, lambda: [write_group_report(context.output_dir)])
    except BaseException as error:
        cache.fail(error)
        raise
    cache.close()
    return report, cache.seconds


def _check_design(context, trained_on=()):
    """Refuse an evaluation that is not possible before a model is trained for it.

    ``trained_on`` are recordings whose labels the pretraining will use.
    """
    config, phenotypes = context.settings.evaluate, context.settings.pretrain.phenotypes
    if not (config.target or config.contrast):
        return
    recordings = context.recordings
    training = load_checkpoint(context.settings.model.model).training
    groups = {f"{one.dataset}/{one.participant}" for one in recordings}
    learned = {f"{one.dataset}/{one.participant}": ", ".join(phenotypes) for one in trained_on}
    build_design(
        config,
        recordings,
        participants=read_participants(context.tables),
        learned=learned | learned_labels(training, groups),
        seed=context.settings.run.random_seed,
    )


def _corpus(context, cache):
    inputs = {
        "recordings": [source_checksum(recording) for recording in context.recordings],
        "withdrawn": sorted(read_withdrawn(context.corpus_dir)),
    }

    def make():
        manifest = build_corpus(context.roots, context.corpus_dir)
        check_duplicates(manifest)
        return [manifest]

    return cache.run("corpus", inputs, make)[0]


def _pretrain(context, cache, manifest):
    config, seed = context.settings.pretrain, context.settings.run.random_seed
    if context.settings.run.sloppy:
        config = replace(config, preset="nano", max_epochs=min(config.max_epochs, 2))
    inputs = {"corpus": sha256_of(manifest), "settings": asdict(config), "seed": seed}
    if config.phenotypes:
        inputs["participants"] = _checksums(context.tables)

    def make():
        checkpoint = pretrain_corpus(
            manifest.parent,
            context.output_dir / "models",
            config,
            seed,
            participants=read_participants(context.tables),
            device=context.settings.model.device,
        )
        return sorted(path for path in Path(checkpoint).rglob("*") if path.is_file())

    return cache.run("pretrain", inputs, make)[0].parent


def _embed(context, cache, manifest, checkpoint):
    inputs = {"corpus": sha256_of(manifest), "checkpoint": load_checkpoint(checkpoint).identity}

    def make():
        config = context.settings.model
        # The packaged checkpoint may have the same name, and its embeddings the same folders.
        loaded = load_checkpoint(checkpoint)
        loaded = replace(loaded, name=f"group-{loaded.name}")
        included, withdrawn = included_recordings([context.output_dir], context.corpus_dir)
        remove_embeddings([one.source for one in withdrawn], context.output_dir, loaded.name)
        options = {"batch_size": config.batch_size, "device": config.device}
        paths = [
            embed_recording(one.source, context.output_dir, loaded, **options) for one in included
        ]
        return [*paths, *(path.with_suffix(".json") for path in paths)]

    return cache.run("embed", inputs, make)


def _evaluate(context, cache, manifest, checkpoint):
    config, seed = _evaluate_config(context.settings), context.settings.run.random_seed
    models = (context.settings.model.model, checkpoint)
    identities = [load_checkpoint(model).identity for model in models]
    data = {"corpus": sha256_of(manifest), "models": identities}
    if not (config.target or config.contrast):
        made_from = cache.provenance("evaluate")
        if remove_outdated_evaluation(context.output_dir, made_from, data):
            del cache.steps["evaluate"]
        return []
    recordings = context.recordings
    motion = [mean_fd_of(one) for one in recordings]  # not in the corpus
    participants = _checksums(context.tables)
    inputs = {
        **data, "settings": asdict(config), "participants": participants, "motion": motion,
        "seed": seed,
    }  # fmt: skip

    # With sloppy settings, starting other processes takes longer than they save.
    max_jobs = 1 if context.settings.run.sloppy else context.nprocs
    n_jobs = n_jobs_for(recordings, max_jobs=max_jobs, memory_gb=context.memory_gb)

    def make():
        results = ResultCache(context.work_dir / "evaluate", inputs)
        evaluate_outputs(
            context.output_dir,
            config,
            recordings=recordings,
            participants=read_participants(context.tables),
            embedder=_embedder(context, models[0]),
            in_domain=_embedder(context, checkpoint),
            cache=results,
            n_jobs=n_jobs,
            seed=seed,
        )
        results.clear()
        return [context.output_dir / "group" / name for name in FILES]

    return cache.run("evaluate", inputs, make, provenance=data)


def _evaluate_config(settings):
    config = settings.evaluate
    if not settings.run.sloppy:
        return config
    n_permutations, n_episodes = min(config.n_permutations, 20), min(config.n_episodes, 3)
    return replace(config, n_permutations=n_permutations, n_episodes=n_episodes)


def _embedder(context, model):
    config = context.settings.model
    return BrainEmbedder.from_pretrained(model, device=config.device, batch_size=config.batch_size)


def _checksums(paths):
    return [(path.name, sha256_of(path)) for path in sorted(paths)]
