"""Pretrain a model on a corpus and write a checkpoint."""

import hashlib
import json
import logging
import shutil
from dataclasses import asdict
from pathlib import Path

from brainfm import __version__
from brainfm.errors import ModelError, NothingSelected
from brainfm.files import read_json
from brainfm.models.estimators.pretrainer import BrainPretrainer
from brainfm.models.training.distributed import is_first_process
from brainfm.models.training.objectives import DEFAULT_WEIGHTS
from brainfm.recording import RecordingTable
from brainfm.stages.evaluate.participants_table import phenotypes_by_row
from brainfm.storage.corpus.manifest import read_manifest
from brainfm.storage.corpus.recordings import read_corpus

log = logging.getLogger("brainfm")

#: With fewer participants in the corpus there is no validation split.
_FEWEST_TO_SPLIT = 8
_WITH_LABELS = {**DEFAULT_WEIGHTS, "phenotypes": 0.5}


def pretrain_corpus(
    corpus_dir,
    out_dir,
    config,
    seed=0,
    *,
    participants=None,
    licence=None,
    device="auto",
    loop=None,
):
    """Pretrain on the training split of a corpus and write ``out_dir/<config.model_name>``.

    After an interruption, the same call resumes from the last saved state; once finished, it does
    nothing. With several processes, the first one writes.

    Parameters
    ----------
    corpus_dir : path
        As :func:`brainfm.add_to_corpus` writes it.
    out_dir : path
        Folder of the checkpoint folders.
    config : brainfm.config.PretrainConfig
    seed : int
    participants : DataFrame, optional
        ``participants.tsv``, with the phenotypes of ``config``.
    licence : str, optional
        Licence of the weights, which depends on that of the data.
    device : {"auto", "cpu", "cuda"}
    loop : brainfm.models.training.lightning_loop.LightningLoop, optional
        Training loop for several processes or machines; by default, the single-process loop.

    Returns
    -------
    checkpoint : Path
        Folder with ``model.safetensors``, ``config.json``, ``history.json`` and ``README.md``.

    Raises
    ------
    NothingSelected
        If the corpus is empty.
    ModelError
        If the corpus has a single participant or a recording that cannot be used, if the loss is
        not finite, or if a phenotype does not vary.
    UsageError, DataError
        If ``participants`` does not have the columns of the phenotypes.
    TemporaryFailure
        If ``loop`` was stopped by a signal; its state is saved.
    """
    folder = Path(out_dir) / config.model_name
    training, validation = split_corpus(corpus_dir)
    labels, validation_labels = (
        phenotypes_by_row(table, participants, config.phenotypes)
        for table in (training, validation)
    )
    other = [licence, loop and loop.recipe, labels.to_json(), validation_labels.to_json()]
    key = _run_key(corpus_dir, config, seed, other)
    if _run_of(folder) == key:
        log.info("%s is finished, from the same corpus and settings", folder)
        return folder
    resume_dir = Path(out_dir) / f".resume-{key}"
    pretrainer = make_pretrainer(
        config,
        objective=_WITH_LABELS if config.phenotypes else "default",
        resume_dir=resume_dir,
        loop=loop,
        device=device,
        random_state=seed,
    ).fit(training, labels, validation=(validation, validation_labels) if len(validation) else None)
    if not is_first_process():
        return folder
    if len(validation):
        pretrainer.validate(validation, validation_labels)
    pretrainer.training_["run"] = key
    pretrainer.save(folder, licence=licence)
    shutil.rmtree(resume_dir, ignore_errors=True)
    return folder


def make_pretrainer(config, **options):
    """Make an unfitted pretrainer from settings.

    Parameters
    ----------
    config : brainfm.config.PretrainConfig
    **options
        Further arguments of :class:`brainfm.BrainPretrainer`.

    Returns
    -------
    pretrainer : BrainPretrainer
    """
    return BrainPretrainer(
        config.preset,
        tokenizer=config.tokenizer,
        max_epochs=config.max_epochs,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        window_s={"bold": config.bold_window_s, "eeg": config.eeg_window_s},
        **options,
    )


def split_corpus(corpus_dir):
    """Read the training and the validation split of a corpus.

    Parameters
    ----------
    corpus_dir : path

    Returns
    -------
    training, validation : RecordingTable
        With fewer than 8 participants, all are in ``training`` and ``validation`` is empty.

    Raises
    ------
    MissingInput
        If there is no corpus.
    NothingSelected
        If the corpus is empty.
    ModelError
        If the corpus has a single participant, or fewer than two training recordings.
    """
    training = read_corpus(corpus_dir, split="train")
    validation = read_corpus(corpus_dir, split="validation")
    participants = {one.key[:2] for one in [*training, *validation]}
    if not participants:
        raise NothingSelected(f"the corpus {corpus_dir} is empty: nothing to pretrain on.")
    if len(participants) == 1:
        raise ModelError(
            f"the corpus {corpus_dir} has one participant; pretraining needs at least two: "
            "add another dataset."
        )
    if len(participants) < _FEWEST_TO_SPLIT:
        log.info("fewer than %d participants: no validation split", _FEWEST_TO_SPLIT)
        training, validation = [*training, *validation], []
    if len(training) < 2:
        raise ModelError(
            f"the training split of {corpus_dir} has {len(training)} recordings; pretraining needs "
            "at least two: add another dataset."
        )
    return RecordingTable.from_recordings(training), RecordingTable.from_recordings(validation)


def _run_key(corpus_dir, config, seed, other):
    read_manifest(corpus_dir)  # raises if the folder is not a corpus
    digest = hashlib.sha256((Path(corpus_dir) / "manifest.tsv").read_bytes())
    settings = [__version__, asdict(config), seed, other]
    digest.update(json.dumps(settings, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _run_of(folder):
    """Key of the run that made a checkpoint; None if there is none."""
    path = folder / "config.json"
    return read_json(path).get("training", {}).get("run") if path.is_file() else None
