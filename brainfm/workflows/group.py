"""The group level: corpus, pretraining, embeddings, evaluation, report; each resumes."""

from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from brainfm.config import Settings
from brainfm.models.checkpoint import checkpoint_key, training_participants
from brainfm.models.embedder import BrainEmbedder
from brainfm.stages.corpus import build_corpus
from brainfm.stages.embed import embed_recording
from brainfm.stages.evaluate import evaluate_outputs
from brainfm.stages.pretrain import pretrain_corpus
from brainfm.stages.report_group import write_group_report
from brainfm.storage.recordings import find_recordings
from brainfm.storage.status import sha256_of
from brainfm.storage.steps import StepBook


@dataclass(frozen=True, kw_only=True)
class Group:
    """What the group level works on.

    ``roots`` are folders of standardised recordings: the output and other derivatives;
    ``tables`` the ``participants.tsv`` files that describe their people.
    """

    output_dir: Path
    roots: tuple[Path, ...]
    tables: tuple[Path, ...]
    settings: Settings


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
    book = StepBook(group.output_dir)
    try:
        manifest = _corpus(group, book)
        checkpoint = _pretrain(group, book, manifest)
        embeddings = _embed(group, book, manifest, checkpoint)
        evaluation = _evaluate(group, book, manifest, checkpoint)
        made_from = [manifest, *embeddings, *evaluation]
        facts = {"from": _checksums(made_from), "checkpoint": checkpoint_key(checkpoint)}
        (report,) = book.run("publish", facts, lambda: [write_group_report(group.output_dir)])
    except BaseException as error:
        book.fail(error)
        raise
    book.close()
    return report, book.seconds


def read_participants(tables):
    """Read ``participants.tsv`` files as one table, or None when there is none."""
    frames = [pd.read_csv(path, sep="\t", dtype={"participant_id": str}) for path in tables]
    return pd.concat(frames, ignore_index=True) if frames else None


def _corpus(group, book):
    corpus_dir = group.output_dir / "group" / "corpus"
    found = [r for root in group.roots for r in find_recordings(root)]
    facts = {"recordings": _checksums(sorted(Path(r.source) for r in found), whole=True)}
    (manifest,) = book.run("corpus", facts, lambda: [build_corpus(list(group.roots), corpus_dir)])
    return manifest


def _pretrain(group, book, manifest):
    settings = group.settings
    facts = {
        "corpus": sha256_of(manifest),
        "settings": asdict(settings.pretrain),
        "seed": settings.run.random_seed,
        "sloppy": settings.run.sloppy,
    }

    def make():
        checkpoint = pretrain_corpus(
            manifest.parent,
            group.output_dir / "models",
            settings.pretrain,
            settings.run.random_seed,
        )
        return sorted(path for path in Path(checkpoint).rglob("*") if path.is_file())

    return book.run("pretrain", facts, make)[0].parent


def _embed(group, book, manifest, checkpoint):
    facts = {"corpus": sha256_of(manifest), "checkpoint": checkpoint_key(checkpoint)}

    def make():
        own = find_recordings(group.output_dir)
        return [embed_recording(r.source, group.output_dir, checkpoint) for r in own]

    return book.run("embed", facts, make)


def _evaluate(group, book, manifest, checkpoint):
    config = group.settings.evaluate
    if not (config.target or config.contrast):
        return []
    facts = {
        "corpus": sha256_of(manifest),
        "checkpoint": checkpoint_key(checkpoint),
        "settings": asdict(config),
        "participants": _checksums(group.tables),
        "seed": group.settings.run.random_seed,
    }

    def make():
        evaluate_outputs(
            group.output_dir,
            config,
            recordings=[r for root in group.roots for r in find_recordings(root)],
            participants=read_participants(group.tables),
            embedder=BrainEmbedder.from_pretrained(checkpoint),
            seen=training_participants(checkpoint),
            seed=group.settings.run.random_seed,
        )
        folder = group.output_dir / "group"
        names = ("evaluation.json", "scores.tsv", "folds.tsv", "null.tsv")
        return [folder / name for name in names]

    return book.run("evaluate", facts, make)


def _checksums(paths, *, whole=False):
    """Hash files; ``whole`` also those that share the name up to the extension."""
    files = [p for path in paths for p in (path.parent.glob(f"{path.stem}.*") if whole else [path])]
    return [(path.name, sha256_of(path)) for path in sorted(files)]
