"""Tune: the settings of pretraining, learning rate and window length among them, by Optuna.

Any number of workers, started by any means, join the study that lies in one file. A trial that
fails, or whose worker is killed, is noted as failed and the others go on.
"""

import logging
import os
import socket
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from brainfm.errors import ModelError, UsageError
from brainfm.files import write_text, write_tsv
from brainfm.models.encoder.windows import prepare
from brainfm.models.estimators.pretrainer import BrainPretrainer
from brainfm.models.training.identifiability import split_half_identifiability
from brainfm.stages.pretrain.run import split_corpus

try:
    import optuna
except ModuleNotFoundError as error:
    raise UsageError(
        "tuning needs the package optuna, which is not here: pip install 'brainfm[train]'."
    ) from error

log = logging.getLogger("brainfm")
_DONE = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL)


def suggest_settings(trial, config, modalities):
    """Draw the settings of one trial.

    Parameters
    ----------
    trial : optuna.Trial
    config : brainfm.config.PretrainConfig
        What is not tuned.
    modalities : set of str
        Windows of an absent modality are not tuned.

    Returns
    -------
    config : brainfm.config.PretrainConfig
    """
    drawn = {
        "learning_rate": trial.suggest_float("learning_rate", 2e-4, 1e-2, log=True),
        "batch_size": trial.suggest_categorical("batch_size", [8, 16, 32, 64]),
    }
    if "bold" in modalities:
        drawn["bold_window_s"] = trial.suggest_float("bold_window_s", 48, 240, step=24)
    if "eeg" in modalities:
        drawn["eeg_window_s"] = trial.suggest_float("eeg_window_s", 2, 30, step=2)
    return replace(config, **drawn)


def tune(corpus_dir, out_dir, config, *, n_trials, seed=0, device="auto", suggest=suggest_settings):
    """Work on the study in ``out_dir`` until it has ``n_trials`` trials.

    Parameters
    ----------
    corpus_dir : path
        A trial learns from its training split; on its validation split
        :func:`brainfm.models.training.identifiability.split_half_identifiability` is made as large
        as possible.
    out_dir : path
        Shared by all workers. Holds ``study.journal``, ``trials.tsv`` (all trials) and, once a
        trial went well, ``best.toml``, a settings file for ``--config-file``.
    config : brainfm.config.PretrainConfig
        What is not tuned; each trial trains for its ``max_epochs``.
    n_trials : int
        Of all workers together, failed ones included; some more if several end at once.
    seed : int
    device : {"auto", "cpu", "cuda"}
    suggest : callable, optional
        ``suggest(trial, config, modalities)`` returns the settings of one trial.

    Returns
    -------
    best : brainfm.config.PretrainConfig
        Settings of the best trial.

    Raises
    ------
    ModelError
        If nobody is kept apart for validation, or all trials failed.
    """
    training, validation = split_corpus(corpus_dir)
    if len(set(validation.groups)) < 2:
        raise ModelError(
            f"the validation split of {corpus_dir} has fewer than two people: tuning has nothing "
            "to compare trials on."
        )
    study = _join(Path(out_dir))

    def run(trial):
        _note_worker(trial)
        study.sampler = optuna.samplers.TPESampler(seed=seed * 10_007 + trial.number)
        modalities = {one.modality for one in training.recordings}
        settings = suggest(trial, config, modalities)
        trial.set_user_attr("settings", _drawn(settings))
        return _score(training, validation, settings, seed, device)

    while _n_done(study) < n_trials:
        study.optimize(run, n_trials=1, catch=(Exception,))
        _write(study, Path(out_dir))
    return _best(study, config)


def _drawn(settings):
    """All settings but the labels, which tuning leaves alone: it is judged without them."""
    return {name: value for name, value in asdict(settings).items() if name != "phenotypes"}


def _join(out_dir):
    out_dir.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.journal
    path = str(out_dir / "study.journal")
    # The lock is a file of its own, which also holds on network disks.
    backend = storage.JournalFileBackend(path, lock_obj=storage.JournalFileOpenLock(path))
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        study_name="pretraining",
        direction="maximize",
        load_if_exists=True,
    )


def _note_worker(trial):
    trial.set_user_attr("host", socket.gethostname())
    trial.set_user_attr("process", os.getpid())
    trial.set_user_attr("started", psutil.Process().create_time())


def _n_done(study):
    """Count finished trials, after those of dead workers of this machine are noted as failed."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        worker = trial.user_attrs
        if worker.get("host") == socket.gethostname() and not _is_alive(worker):
            log.warning("trial %d: its worker was killed", trial.number)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)
    return len(study.get_trials(deepcopy=False, states=_DONE))


def _is_alive(worker):
    try:
        return psutil.Process(worker["process"]).create_time() == worker["started"]
    except (psutil.NoSuchProcess, KeyError):
        return False


def _score(training, validation, settings, seed, device):
    pretrainer = BrainPretrainer(
        settings.preset,
        max_epochs=settings.max_epochs,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        window_s={"bold": settings.bold_window_s, "eeg": settings.eeg_window_s},
        device=device,
        random_state=seed,
    ).fit(training)
    rows = [{one.modality: prepare(one) for one in row} for row in validation]
    return split_half_identifiability(pretrainer.encoder_, rows, validation.groups)


def _write(study, out_dir):
    trials = study.get_trials(deepcopy=False)
    rows = [
        {"trial": one.number, "state": one.state.name.lower(), "split_half_identifiability":
        one.value,
         **one.user_attrs.get("settings", {})}
        for one in trials
    ]  # fmt: skip
    write_tsv(out_dir / "trials.tsv", pd.DataFrame(rows))
    done = [one for one in trials if one.value is not None and np.isfinite(one.value)]
    if done:
        best = max(done, key=lambda one: one.value)
        lines = [
            f"# trial {best.number}: split_half_identifiability {best.value:.4f}",
            "[pretrain]",
        ]
        lines += [f"{k} = {v!r}" for k, v in best.user_attrs["settings"].items()]
        write_text(out_dir / "best.toml", "\n".join(lines).replace("'", '"') + "\n")


def _best(study, config):
    try:
        return replace(config, **study.best_trial.user_attrs["settings"])
    except ValueError as error:
        raise ModelError(
            "all trials failed; the log says why. Remove the study to begin anew."
        ) from error
