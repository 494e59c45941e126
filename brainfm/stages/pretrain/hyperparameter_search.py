"""Search the settings of pretraining, such as learning rate and window length, with Optuna.

Any number of workers can join a study, which is stored in one file. A trial that fails, or whose
worker is killed, is marked as failed and the others continue.

References
----------
.. [1] Akiba et al., 2019, KDD '19. https://doi.org/10.1145/3292500.3330701
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
from brainfm.models.training.identifiability import split_half_identifiability
from brainfm.stages.pretrain.run import make_pretrainer, split_corpus

try:
    import optuna
except ModuleNotFoundError as error:
    raise UsageError(
        "the hyperparameter search needs the package optuna: pip install 'brainfm[train]'."
    ) from error

log = logging.getLogger("brainfm")
_DONE = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.FAIL)


def suggest_settings(trial, config, modalities):
    """Draw the settings of one trial.

    Parameters
    ----------
    trial : optuna.Trial
    config : brainfm.config.PretrainConfig
        Settings that are not searched.
    modalities : set of {"bold", "eeg"}
        Modalities in the corpus, whose window lengths are searched.

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
    """Run trials of the study in ``out_dir`` until it has ``n_trials`` trials.

    Parameters
    ----------
    corpus_dir : path
        Trials are trained on its training split. They maximise
        :func:`brainfm.models.training.identifiability.split_half_identifiability` on its
        validation split.
    out_dir : path
        Shared by all workers. Holds ``study.journal``, ``trials.tsv`` (all trials) and, after a
        successful trial, ``best.toml``, a settings file for ``--config-file``.
    config : brainfm.config.PretrainConfig
        Settings that are not searched; each trial is trained for ``max_epochs`` epochs.
    n_trials : int
        Number of trials of all workers together, including failed ones; slightly more if several
        workers end at once.
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
        If the validation split has fewer than two participants, or if all trials failed.
    """
    training, validation = split_corpus(corpus_dir)
    if len(set(validation.groups)) < 2:
        raise ModelError(
            f"the validation split of {corpus_dir} has fewer than two participants, so trials "
            "cannot be compared: add more participants to the corpus."
        )
    study = _join(Path(out_dir))

    def run(trial):
        _record_worker(trial)
        study.sampler = optuna.samplers.TPESampler(seed=seed * 10_007 + trial.number)
        modalities = {one.modality for one in training.recordings}
        settings = suggest(trial, config, modalities)
        trial.set_user_attr("settings", _searched(settings))
        return _score(training, validation, settings, seed, device)

    while _n_done(study) < n_trials:
        study.optimize(run, n_trials=1, catch=(Exception,))
        _write(study, Path(out_dir))
    return _best(study, config)


def _searched(settings):
    """All settings but the phenotypes, which the search does not use."""
    return {name: value for name, value in asdict(settings).items() if name != "phenotypes"}


def _join(out_dir):
    out_dir.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.journal
    path = str(out_dir / "study.journal")
    # A lock file also works on network file systems.
    backend = storage.JournalFileBackend(path, lock_obj=storage.JournalFileOpenLock(path))
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(backend),
        study_name="pretraining",
        direction="maximize",
        load_if_exists=True,
    )


def _record_worker(trial):
    trial.set_user_attr("host", socket.gethostname())
    trial.set_user_attr("process", os.getpid())
    trial.set_user_attr("started", psutil.Process().create_time())


def _n_done(study):
    """Count the finished trials, after marking those of killed workers of this host as failed."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        worker = trial.user_attrs
        if worker.get("host") == socket.gethostname() and not _is_alive(worker):
            log.warning("trial %d: the worker was killed", trial.number)
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL, skip_if_finished=True)
    return len(study.get_trials(deepcopy=False, states=_DONE))


def _is_alive(worker):
    try:
        return psutil.Process(worker["process"]).create_time() == worker["started"]
    except (psutil.NoSuchProcess, KeyError):
        return False


def _score(training, validation, settings, seed, device):
    pretrainer = make_pretrainer(settings, device=device, random_state=seed).fit(training)
    rows = [{one.modality: prepare(one) for one in row} for row in validation]
    return split_half_identifiability(pretrainer.encoder_, rows, validation.groups)


def _write(study, out_dir):
    trials = study.get_trials(deepcopy=False)
    rows = [
        {
            "trial": one.number,
            "state": one.state.name.lower(),
            "split_half_identifiability": one.value,
            **one.user_attrs.get("settings", {}),
        }
        for one in trials
    ]
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
            "all trials failed, see the log for the reasons. Remove the study to start again."
        ) from error
