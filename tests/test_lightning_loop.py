"""Large pretraining: killed, stopped or shared among processes, it ends with the same weights."""

import importlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from brains import bold, eeg
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from brainfm import BrainPretrainer, RecordingTable
from brainfm.cli.pretrain import main
from brainfm.errors import ModelError, ReadWriteFailed, TemporaryFailure, UsageError
from brainfm.models.training.lightning_loop import LightningLoop
from brainfm.models.training.loop import Crops
from brainfm.storage.corpus.changes import merge_rows
from brainfm.storage.corpus.recordings import store_recording

JOB_SCRIPT = Path(__file__).parent.parent / "docs" / "user_guide" / "pretrain.sbatch"
NAME = "brainfm-nano-phenotypes"
#: All that draws numbers or reads tokens.
MIX = {"masked": 1.0, "crops": 0.5, "connectivity": 0.5}


def people(numbers):
    """BOLD of everybody, and EEG of every third."""
    recordings = [bold(number, n_channels=10, n_times=70) for number in numbers]
    also = [eeg(number, n_channels=6, duration_s=12, task="eyes") for number in numbers[::3]]
    return recordings + also


def words(corpus):
    """Options of a short run that also predicts age, which draws numbers."""
    return [
        *("--preset", "nano", "--max-epochs", "3", "--batch-size", "4", "--device", "cpu"),
        *("--phenotypes", "age", "--participants", str(corpus / "people.tsv")),
    ]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    everyone = people(range(14))
    merge_rows(folder, [store_recording(folder, one, "made up") for one in everyone])
    ages = [f"sub-{number:02d}\t{20 + number}\n" for number in range(14)]
    (folder / "people.tsv").write_text("participant_id\tage\n" + "".join(ages))
    return folder


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """Weights and history of a run that nothing interrupts."""
    out = tmp_path_factory.mktemp("whole")
    assert main([str(corpus), str(out), *words(corpus)]) == 0
    return out / NAME


def pretrain(tmp_path, *, loop=None, **parameters):
    settings = {"max_epochs": 3, "batch_size": 4, "device": "cpu", "max_channels": 8, **parameters}
    table = RecordingTable.from_recordings(people(range(8)))
    apart = RecordingTable.from_recordings(people(range(20, 23)))
    pretrainer = BrainPretrainer("nano", objective=MIX, resume_dir=tmp_path, loop=loop, **settings)
    return pretrainer.fit(table, validation=apart)


def same_weights(one, two):
    states = [fitted.encoder_.state_dict() for fitted in (one, two)]
    return all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def signal_once(monkeypatch, number, *, after):
    """Send this process a signal when the crop number ``after`` is cut."""
    cut, calls = Crops.__getitem__, []

    def cut_and_signal(self, index):
        calls.append(index)
        if len(calls) == after:
            os.kill(os.getpid(), number)
        return cut(self, index)

    monkeypatch.setattr(Crops, "__getitem__", cut_and_signal)


def test_both_loops_learn_the_same_weights_to_the_bit(tmp_path):
    one = pretrain(tmp_path / "notebook")
    two = pretrain(tmp_path / "lightning", loop=LightningLoop())
    assert same_weights(one, two)
    assert one.history_ == two.history_
    assert one.history_[-1]["valid_loss"] < one.history_[0]["valid_loss"]


def test_a_run_killed_with_9_ends_with_the_weights_of_one_that_was_not(corpus, whole, tmp_path):
    command = [sys.executable, "-m", "brainfm.cli.pretrain", corpus, tmp_path, *words(corpus)]
    running = subprocess.Popen([*command, "--keep-every-s", "0"], stderr=subprocess.PIPE)
    while not list(tmp_path.glob(".resume-*/last.ckpt")):
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    running.stderr.close()
    assert not (tmp_path / NAME).exists()
    assert main([str(corpus), str(tmp_path), *words(corpus)]) == 0
    for name in ("model.safetensors", "history.json"):
        assert (tmp_path / NAME / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGUSR1, 1), (signal.SIGTERM, 25), (signal.SIGUSR1, 33)],
    ids=["in the first step", "within an epoch", "in the last step of an epoch"],
)
def test_a_stopped_run_saves_its_state_and_resumes(
    corpus, whole, tmp_path, monkeypatch, capsys, number, after
):
    signal_once(monkeypatch, number, after=after)
    assert main([str(corpus), str(tmp_path), *words(corpus)]) == 75
    assert f"stopped by {number.name}: the state is in" in capsys.readouterr().err
    monkeypatch.undo()
    assert main([str(corpus), str(tmp_path), *words(corpus)]) == 0
    for name in ("model.safetensors", "history.json"):
        assert (tmp_path / NAME / name).read_bytes() == (whole / name).read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {NAME, "tensorboard"}


def test_a_finished_run_is_not_run_again(corpus, whole, monkeypatch, caplog):
    monkeypatch.setattr(BrainPretrainer, "fit", None)
    with caplog.at_level("INFO", logger="brainfm"):
        assert main([str(corpus), str(whole.parent), *words(corpus)]) == 0
    assert "is finished, from the same corpus and settings" in caplog.text


def test_two_processes_learn_what_one_learns_from_the_same_batches(corpus, whole, tmp_path):
    command = [sys.executable, "-m", "brainfm.cli.pretrain", corpus, tmp_path, *words(corpus)]
    done = subprocess.run([*command, "--n-processes", "2"], capture_output=True, text=True)
    folder = tmp_path / NAME
    assert folder.exists(), done.stderr
    ours, theirs = (json.loads((one / "history.json").read_text()) for one in (folder, whole))
    assert len(ours) == len(theirs) == 3
    for epoch, other in zip(ours, theirs, strict=True):
        assert epoch["train_loss"] == pytest.approx(other["train_loss"], rel=1e-5)
        assert epoch["valid_loss"] == pytest.approx(other["valid_loss"], rel=1e-5)
    weights = load_file(whole / "model.safetensors")
    for name, value in load_file(folder / "model.safetensors").items():
        # Axes of a decomposition may turn; what it is made from is compared.
        if not name.startswith("reliability"):
            torch.testing.assert_close(value, weights[name], rtol=0, atol=2e-4)


def test_bfloat16_learns_nearly_the_same(tmp_path):
    one = pretrain(tmp_path / "32", loop=LightningLoop())
    two = pretrain(tmp_path / "16", loop=LightningLoop(precision="bf16"))
    assert not same_weights(one, two)
    assert all(value.dtype == torch.float32 for value in two.encoder_.state_dict().values())
    losses = [[epoch["train_loss"] for epoch in fitted.history_] for fitted in (one, two)]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0.02)


def test_it_stops_early_and_returns_the_best_weights(tmp_path):
    loop = LightningLoop(patience=2)
    stopped = pretrain(tmp_path, loop=loop, max_epochs=10, learning_rate=0.0)
    assert len(stopped.history_) == 3  # the first is the best, and two more are not better
    again = pretrain(tmp_path, loop=loop, max_epochs=10, learning_rate=0.0)
    assert len(again.history_) == 3
    assert same_weights(stopped, again)


def test_tensorboard_shows_each_step_once_although_the_run_was_stopped(tmp_path, monkeypatch):
    signal_once(monkeypatch, signal.SIGTERM, after=40)
    loop = LightningLoop(log_dir=tmp_path / "log")
    with pytest.raises(TemporaryFailure, match=r"the state is in .* run the same command again"):
        pretrain(tmp_path, loop=loop, batch_size=2)
    monkeypatch.undo()
    fitted = pretrain(tmp_path, loop=loop, batch_size=2)
    shown = EventAccumulator(str(tmp_path / "log")).Reload()
    wanted = {"train_loss", "valid_loss", "effective_rank", "person_found", "step_loss",
              "person_by_chance", "summary_explained", "connectivity_eeg_explained"}  # fmt: skip
    assert wanted <= set(shown.Tags()["scalars"])
    losses = [event.value for event in shown.Scalars("train_loss")]
    assert losses == pytest.approx([epoch["train_loss"] for epoch in fitted.history_])


def test_a_progress_bar_is_shown_on_a_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    pretrain(tmp_path, loop=LightningLoop(), max_epochs=1)
    shown = capsys.readouterr().out
    assert "Epoch 0" in shown
    assert "it/s" in shown


def test_a_loss_that_is_not_finite_is_refused_with_the_participants_of_the_batch(tmp_path):
    for loop in (None, LightningLoop()):
        with pytest.raises(ModelError, match=r"the loss is nan on the batch with made-up/0"):
            pretrain(tmp_path / str(loop), loop=loop, learning_rate=1e30)


def test_a_full_disk_leaves_the_last_good_state(tmp_path, monkeypatch):
    whole = pretrain(tmp_path / "whole", loop=LightningLoop())
    folder = tmp_path / "full"
    signal_once(monkeypatch, signal.SIGTERM, after=20)
    with pytest.raises(TemporaryFailure):
        pretrain(folder, loop=LightningLoop())
    monkeypatch.undo()
    good = (folder / "last.ckpt").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(good) // 2, limits[1]))
    try:
        with pytest.raises(ReadWriteFailed, match=r"is the disk full\? The last complete state"):
            pretrain(folder, loop=LightningLoop())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (folder / "last.ckpt").read_bytes() == good
    assert not list(folder.glob(".partial*"))
    assert same_weights(pretrain(folder, loop=LightningLoop()), whole)


def test_the_history_reports_identification_at_chance(tmp_path):
    table = [bold(seed, n_channels=10, participant="01", run=str(seed)) for seed in range(4)]
    fitted = BrainPretrainer(
        "nano", max_epochs=1, device="cpu", resume_dir=tmp_path, loop=LightningLoop()
    ).fit(table)
    assert fitted.history_[-1]["person_found"] == fitted.history_[-1]["person_by_chance"] == 1


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"precision": "16"}, r"loop.precision is '16'; expected one of 32, bf16"),
        ({"n_processes": 0}, r"n_processes is 0; expected at least 1"),
        ({"patience": 0}, r"patience is 0; expected at least 1"),
    ],
)
def test_invalid_settings_are_refused(wrong, words):
    with pytest.raises(UsageError, match=words):
        LightningLoop(**wrong)


def test_a_loop_without_a_state_folder_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"give the pretrainer a resume_dir"):
        pretrain(None, loop=LightningLoop())


def test_without_the_extra_the_error_names_what_to_install(monkeypatch):
    for name in ("lightning_import", "lightning_checkpoint", "lightning_loop"):
        monkeypatch.delitem(sys.modules, f"brainfm.models.training.{name}")
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(UsageError, match=r"package lightning.* pip install 'brainfm\[train\]'"):
        importlib.import_module("brainfm.models.training.lightning_loop")


@pytest.mark.parametrize("code", [0, 1, 75])
def test_the_job_script_is_requeued_only_after_a_stop_signal(tmp_path, code):
    stubs = {"srun": f'echo "$@" >> srun.log; exit {code}', "scontrol": 'echo "$@" >> scontrol.log'}
    for name, line in stubs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "2", "SLURM_JOB_ID": "7"}
    done = subprocess.run(
        ["bash", JOB_SCRIPT, "my corpus", "out", "--preset", "nano"],
        cwd=tmp_path,
        env={**job, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == code
    said = (tmp_path / "srun.log").read_text()
    assert "--n-nodes 1 --n-processes 2 --preset nano" in said
    assert (tmp_path / "scontrol.log").exists() == (code == 75)


def test_the_options_of_the_job_script_exist(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    known = capsys.readouterr().out
    flags = re.findall(r"(?<=\s)--[a-z-]+", JOB_SCRIPT.read_text().partition("shift 2")[2])
    assert flags == ["--n-nodes", "--n-processes"]
    assert all(flag in known for flag in flags)
