"""Runner of the group level: steps in a row, each skipped when its inputs are unchanged.

Corpus, pretraining, embeddings, evaluation and report need each other's results for all
participants, so there is nothing for a Nipype workflow to run in parallel.
"""

import logging
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from brainfm.config import STEPS, Settings
from brainfm.errors import DataError, MissingInput
from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.models.checkpoint.participants import learned_labels
from brainfm.models.features.embedder import BrainEmbedder
from brainfm.stages.corpus.build import replace_corpus, source_checksum
from brainfm.stages.corpus.duplicates import check_duplicates
from brainfm.stages.corpus.included import included_recordings
from brainfm.stages.embed.recording import embed_recording, remove_embeddings
from brainfm.stages.evaluate.design import build_design
from brainfm.stages.evaluate.n_jobs import n_jobs_for
from brainfm.stages.evaluate.run import evaluate_outputs
from brainfm.stages.evaluate.tables import FILES, remove_outdated_evaluation
from brainfm.stages.pretrain.run import pretrain_corpus, split_corpus
from brainfm.stages.report.group import write_group_report
from brainfm.storage.bids.participants import read_participants
from brainfm.storage.cache.results import ResultCache
from brainfm.storage.cache.steps import StepCache
from brainfm.storage.corpus.recordings import read_corpus
from brainfm.storage.derivatives.recordings import find_files, mean_fd_of
from brainfm.storage.derivatives.selection import Selection
from brainfm.storage.derivatives.status import key_of, sha256_of

log = logging.getLogger("brainfm")


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
        Tables of participants and their JSON files; see
        :func:`brainfm.storage.bids.participants.find_tables`.
    settings : Settings
    steps : tuple of str
        Of :data:`brainfm.config.STEPS`.
    selection : Selection
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
    steps: tuple[str, ...] = STEPS
    selection: Selection = Selection()
    nprocs: int = 1
    memory_gb: float = 4.0

    @property
    def corpus_dir(self):
        """Folder of the corpus."""
        return self.output_dir / "group" / "corpus"

    @property
    def manifest(self):
        """Path of the manifest of the corpus."""
        return self.corpus_dir / "manifest.tsv"

    @cached_property
    def included(self):
        """Selected recordings under all roots, without withdrawn and excluded ones."""
        return included_recordings(self.roots, self.corpus_dir, self.selection)

    @property
    def recordings(self):
        """List of the included recordings."""
        return self.included.recordings

    @cached_property
    def source_checksums(self):
        """Labels and hash of the source of each recording."""
        return [[*one.key, one.modality, source_checksum(one)] for one in self.recordings]


def run_group_steps(context):
    """Run the chosen steps; each only when its inputs, settings or files have changed.

    Parameters
    ----------
    context : GroupContext

    Returns
    -------
    report : Path or None
        None if no report is written.
    seconds : dict of str to float
        Time of each step; 0 for a step that was skipped.

    Raises
    ------
    BrainFMError
        If the target or contrast cannot be evaluated, a step lacks what an earlier one leaves, or
        a step fails.
    """
    cache, report = StepCache(context.output_dir), None
    if set(context.steps) - {"report"}:
        check_duplicates(context.recordings)
        _check_design(context)
        _check_corpus(context, cache)
    try:
        if set(context.steps) - {"report"}:
            _run_before_report(context, cache)
        if "report" in context.steps:
            report = _report(context, cache)
    except BaseException as error:
        cache.fail(error)
        raise
    cache.close()
    return report, cache.seconds


def _run_before_report(context, cache):
    context.included.write_excluded(context.output_dir / "group" / "excluded.tsv")
    if "corpus" in context.steps:
        cache.run("corpus", _corpus_inputs(context), lambda: [_corpus(context)])
    if "pretrain" in context.steps:
        if context.settings.pretrain.phenotypes:
            _check_design(context, trained_on=split_corpus(context.corpus_dir)[0].recordings)
        _embed(context, cache, _pretrain(context, cache))
    _evaluate(context, cache, _group_model(context, cache))


def _report(context, cache):
    """Write the report again if a step or a participant has changed."""
    outputs = {name: step.get("outputs") for name, step in cache.steps.items() if name != "publish"}
    more = ("sub-*/status.json", "group/excluded.tsv")
    inputs = {"from": [outputs, *(_checksums(context.output_dir.glob(one)) for one in more)]}
    return cache.run("publish", inputs, lambda: [write_group_report(context.output_dir)])[0]


def _check_corpus(context, cache):
    """Refuse to pretrain on a corpus that is absent or of other recordings."""
    if "corpus" in context.steps or "pretrain" not in context.steps:
        return
    if not context.manifest.is_file():
        raise MissingInput(
            f"--steps pretrain needs a corpus, and there is none in {context.corpus_dir}: add "
            "corpus to --steps."
        )
    if not cache.is_current("corpus", _corpus_inputs(context)):
        raise DataError(
            f"the corpus in {context.corpus_dir} is not of the recordings selected now: add corpus "
            "to --steps."
        )


def _check_design(context, trained_on=()):
    """Refuse an evaluation that is not possible before a model is trained for it.

    ``trained_on`` are recordings whose labels the pretraining will use.
    """
    config, phenotypes = context.settings.evaluate, context.settings.pretrain.phenotypes
    if not _is_asked(context):
        return
    recordings = context.recordings
    training = load_checkpoint(context.settings.model.model).training
    groups = {one.group for one in recordings}
    learned = {one.group: ", ".join(phenotypes) for one in trained_on}
    build_design(
        config,
        recordings,
        participants=read_participants(context.tables),
        learned=learned | learned_labels(training, groups),
        seed=context.settings.run.random_seed,
    )


def _is_asked(context):
    config = context.settings.evaluate
    return "evaluate" in context.steps and bool(config.target or config.contrast)


def _corpus_inputs(context):
    return {"recordings": context.source_checksums}


def _corpus(context):
    return replace_corpus(context.recordings, context.corpus_dir)


def _pretrain_inputs(context):
    config, seed = _pretrain_config(context.settings), context.settings.run.random_seed
    inputs = {"corpus": sha256_of(context.manifest), "settings": asdict(config), "seed": seed}
    return inputs | ({"participants": _checksums(context.tables)} if config.phenotypes else {})


def _pretrain(context, cache):
    """Return the folder of the checkpoint."""

    def make():
        checkpoint = pretrain_corpus(
            context.corpus_dir,
            context.output_dir / "models",
            _pretrain_config(context.settings),
            context.settings.run.random_seed,
            participants=read_participants(context.tables),
            device=context.settings.model.device,
        )
        return sorted(path for path in Path(checkpoint).rglob("*") if path.is_file())

    return cache.run("pretrain", _pretrain_inputs(context), make)[0].parent


def _pretrain_config(settings):
    config = settings.pretrain
    if settings.run.sloppy:
        config = replace(config, preset="nano", max_epochs=min(config.max_epochs, 2))
    return config


def _group_model(context, cache):
    """Folder of the checkpoint that this call or an earlier one pretrained on this corpus."""
    if "pretrain" not in cache.steps or not context.manifest.is_file():
        return None
    is_current = cache.is_current("pretrain", _pretrain_inputs(context))
    if is_current and cache.is_current("corpus", _corpus_inputs(context)):
        return context.output_dir / "models" / _pretrain_config(context.settings).model_name
    log.warning(
        "the model that an earlier call pretrained is not used, because its recordings or settings "
        "differ from those of this call; add pretrain to --steps to train another one"
    )
    return None


def _embed(context, cache, checkpoint):
    identity = load_checkpoint(checkpoint).identity
    inputs = {"corpus": sha256_of(context.manifest), "checkpoint": identity}

    def make():
        config = context.settings.model
        # The packaged checkpoint may have the same name, and its embeddings the same folders.
        loaded = load_checkpoint(checkpoint)
        loaded = replace(loaded, name=f"group-{loaded.name}")
        sources = [one.source for one in context.recordings]
        own = {str(path) for path in find_files([context.output_dir], Selection())[0]}
        remove_embeddings(sorted(own.difference(sources)), context.output_dir, loaded.name)
        options = {"batch_size": config.batch_size, "device": config.device}
        paths = [
            embed_recording(source, context.output_dir, loaded, **options)
            for source in sources
            if source in own
        ]
        return [*paths, *(path.with_suffix(".json") for path in paths)]

    return cache.run("embed", inputs, make)


def _evaluate(context, cache, checkpoint):
    """Evaluate the target or contrast; without one, remove an outdated evaluation."""
    config, seed = _evaluate_config(context.settings), context.settings.run.random_seed
    models = [context.settings.model.model, *([checkpoint] if checkpoint else [])]
    identities = [load_checkpoint(model).identity for model in models]
    data = {"recordings": key_of({"sources": context.source_checksums}), "models": identities}
    if not _is_asked(context):
        return _remove_outdated(context, cache, data)
    recordings = context.recordings
    inputs = {
        **data,
        "selection": [context.included.describe(), context.included.excluded_participants()],
        "settings": asdict(config),
        "participants": _checksums(context.tables),
        "motion": [mean_fd_of(one) for one in recordings],  # not in the sources
        "seed": seed,
    }
    # With sloppy settings, starting other processes takes longer than they save.
    max_jobs = 1 if context.settings.run.sloppy else context.nprocs
    n_jobs = n_jobs_for(recordings, max_jobs=max_jobs, memory_gb=context.memory_gb)

    def make():
        results = ResultCache(context.work_dir / "evaluate", inputs)
        evaluate_outputs(
            context.output_dir,
            config,
            recordings=_from_corpus(context, cache),
            included=context.included,
            participants=read_participants(context.tables),
            embedder=_embedder(context, models[0]),
            in_domain=_embedder(context, checkpoint) if checkpoint else None,
            cache=results,
            n_jobs=n_jobs,
            seed=seed,
        )
        results.clear()
        return [context.output_dir / "group" / name for name in FILES]

    cache.run("evaluate", inputs, make, provenance=data)


def _from_corpus(context, cache):
    """Recordings whose signals are mapped from the corpus where it is of them: text is slow."""
    if not cache.is_current("corpus", _corpus_inputs(context)):
        return context.recordings
    stored = {(*one.key, one.modality): one for one in read_corpus(context.corpus_dir)}
    return [
        replace(one, read=same.read, cache=same.cache)
        for one in context.recordings
        for same in [stored[(*one.key, one.modality)]]
    ]


def _remove_outdated(context, cache, data):
    made_from = cache.provenance("evaluate")
    if made_from and set(made_from.get("models", ())) <= set(data["models"]):
        data = data | {"models": made_from["models"]}  # a model that was added outdates nothing
    if remove_outdated_evaluation(context.output_dir, made_from, data):
        del cache.steps["evaluate"]


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
    return [(path.name, sha256_of(path)) for path in sorted(paths) if path.exists()]
