"""Hyperparameter search: shared studies, failed trials and killed workers."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from brains import bold

from brainfm.config import PretrainConfig
from brainfm.errors import ModelError
from brainfm.models.encoder.encoder import BrainEncoder, EncoderConfig
from brainfm.models.encoder.windows import prepare
from brainfm.models.training.identifiability import split_half_identifiability
from brainfm.stages.pretrain.hyperparameter_search import suggest_settings, tune
from brainfm.storage.corpus.changes import merge_rows
from brainfm.storage.corpus.recordings import store_recording

CONFIG = PretrainConfig(preset="nano", max_epochs=1, batch_size=8)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    everyone = [bold(number, n_channels=6, n_times=130) for number in range(14)]
    merge_rows(folder, [store_recording(folder, one, "made up") for one in everyone])
    return folder


def test_the_best_settings_of_a_study_are_a_settings_file(corpus, tmp_path):
    best = tune(corpus, tmp_path, CONFIG, n_trials=2, device="cpu")
    trials = pd.read_csv(tmp_path / "trials.tsv", sep="\t")
    assert list(trials["state"]) == ["complete", "complete"]
    assert trials["learning_rate"].nunique() == 2
    winner = trials.loc[trials["split_half_identifiability"].idxmax()]
    assert best.bold_window_s == winner["bold_window_s"]
    assert best.bold_window_s % 12 == 0
    settings = tomllib.loads((tmp_path / "best.toml").read_text())
    assert PretrainConfig(**settings["pretrain"]) == best
    assert tune(corpus, tmp_path, CONFIG, n_trials=2, device="cpu") == best
    assert len(pd.read_csv(tmp_path / "trials.tsv", sep="\t")) == 2


def test_a_failed_trial_does_not_stop_the_others(corpus, tmp_path):
    def fail_first(trial, config, modalities):
        if trial.number == 0:
            return replace(config, bold_window_s=50.0)
        return suggest_settings(trial, config, modalities)

    tune(corpus, tmp_path, CONFIG, n_trials=2, device="cpu", suggest=fail_first)
    trials = pd.read_csv(tmp_path / "trials.tsv", sep="\t")
    assert list(trials["state"]) == ["fail", "complete"]


def test_an_error_is_raised_when_all_trials_fail(corpus, tmp_path):
    def fail(trial, config, modalities):
        return replace(config, bold_window_s=50.0)

    with pytest.raises(ModelError, match=r"all trials failed, see the log for the reasons"):
        tune(corpus, tmp_path, CONFIG, n_trials=1, device="cpu", suggest=fail)


WORKER = """
import sys
from brainfm.config import PretrainConfig
from brainfm.stages.pretrain.hyperparameter_search import tune
tune(sys.argv[1], sys.argv[2], PretrainConfig(preset="nano", max_epochs=int(sys.argv[3])),
     n_trials=4, device="cpu")
"""


def test_a_killed_worker_does_not_stop_the_other_one(corpus, tmp_path):
    def work(n_epochs):
        command = [sys.executable, "-c", WORKER, corpus, tmp_path, str(n_epochs)]
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    doomed, other = work(n_epochs=100_000), work(n_epochs=1)
    journal, mark = tmp_path / "study.journal", f'"process":{doomed.pid}'
    deadline = time.monotonic() + 200
    while not (journal.exists() and mark in journal.read_text().replace(" ", "")):
        assert doomed.poll() is None, doomed.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(doomed.pid, signal.SIGKILL)
    doomed.communicate()
    _, said = other.communicate()
    assert other.returncode == 0, said
    tune(corpus, tmp_path, CONFIG, n_trials=5, device="cpu")
    trials = pd.read_csv(tmp_path / "trials.tsv", sep="\t")
    assert sorted(trials["state"]).count("fail") == 1
    assert (trials["state"] == "complete").sum() >= 3
    assert not (trials["state"] == "running").any()


def test_an_encoder_identifies_the_halves_of_distinct_recordings():
    config = EncoderConfig.preset("nano")
    torch.manual_seed(0)
    encoder = BrainEncoder(config).eval()
    rows = [{"bold": prepare(bold(seed, n_times=200))} for seed in range(8)]
    people = [str(seed) for seed in range(8)]
    assert split_half_identifiability(encoder, rows, people) > 0.7
    rng = np.random.default_rng(0)
    noise = [
        {"bold": replace(row["bold"], signal=rng.standard_normal((10, 100)).astype("float32"),
                         positions=rows[0]["bold"].positions[:10])}
        for row in rows
    ]  # fmt: skip
    assert split_half_identifiability(encoder, noise, people) == pytest.approx(0.5, abs=0.25)
    assert np.isnan(split_half_identifiability(encoder, rows, ["same"] * 8))


def test_a_corpus_without_validation_split_is_refused(tmp_path):
    few = [bold(number, n_channels=6) for number in range(3)]
    merge_rows(tmp_path / "few", [store_recording(tmp_path / "few", one, "x") for one in few])
    with pytest.raises(ModelError, match=r"fewer than two participants, so trials cannot"):
        tune(tmp_path / "few", tmp_path / "out", CONFIG, n_trials=1)
    assert not Path(tmp_path / "out").exists()
