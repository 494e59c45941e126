"""Checkpoints: whole, checked when loaded, and they know who they were trained on."""

import hashlib
import json
import logging
import pickle
import subprocess
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from brainfm.errors import CannotCreateOutput, ModelError, ReadWriteFailed
from brainfm.models.checkpoint import load_save as module
from brainfm.models.checkpoint.load_save import (
    load_checkpoint,
    save_checkpoint,
)
from brainfm.models.checkpoint.locate import packaged_checkpoints, pin_revision
from brainfm.models.checkpoint.participants import participant_hash
from brainfm.models.checkpoint.publish import add_scores
from brainfm.models.encoder.encoder import BrainEncoder, EncoderConfig


def nano(seed=3):
    torch.manual_seed(seed)
    return BrainEncoder(EncoderConfig.preset("nano"))


@pytest.fixture
def saved(tmp_path):
    info = {
        "modalities": ["bold"],
        "training": {
            "participants": [participant_hash("ds/01")],
            "n_participants": 13,
            "datasets": ["One", "Two"],
            "participants_by_dataset": {"One": 12, "Two": 1},
        },
        "licence": "CC0",
    }
    return save_checkpoint(tmp_path / "one", nano(), info, history=[{"loss": 1.0}], card="# Card\n")


def test_what_is_loaded_is_what_was_saved(saved):
    found = load_checkpoint(saved)
    assert found.matched == 1
    assert found.name == "one"
    assert found.info["licence"] == "CC0"
    assert found.sha256 == hashlib.sha256((saved / "model.safetensors").read_bytes()).hexdigest()
    assert pin_revision(saved) == saved
    assert {path.name for path in saved.iterdir()} == {
        "model.safetensors", "config.json", "history.json", "README.md",
    }  # fmt: skip
    for name, value in nano().state_dict().items():
        torch.testing.assert_close(found.encoder.state_dict()[name], value)


def test_training_participants_are_stored_as_hashes(saved):
    assert load_checkpoint(saved).seen_in_training(["ds/01", "ds/02"]) == [True, False]
    assert "ds/01" not in (saved / "config.json").read_text()


def test_its_identity_follows_weights_sizes_and_training_but_not_name_or_scores(saved, tmp_path):
    found = load_checkpoint(saved)
    same = save_checkpoint(tmp_path / "same", nano(), {**found.info, "licence": None, "scores": []})
    assert load_checkpoint(same).identity == found.identity
    heads = {**found.info["encoder"], "heads": 4}  # the tensors are those of 2 heads
    others = [
        save_checkpoint(tmp_path / "weights", nano(4), found.info),
        save_checkpoint(tmp_path / "sizes", nano(), {**found.info, "encoder": heads}),
        save_checkpoint(tmp_path / "training", nano(), {**found.info, "training": {}}),
    ]
    assert len({found.identity, *(load_checkpoint(one).identity for one in others)}) == 4


class TestReport:
    def test_it_is_one_line(self, saved):
        assert str(load_checkpoint(saved).report) == (
            f"one (sha256 {load_checkpoint(saved).sha256[:12]}); 100 % of the tensors and 100 % of "
            "the parameters matched; trained on BOLD of 13 participants from One (12), Two (1); "
            "licence CC0"
        )

    def test_it_is_logged_once_and_never_printed(self, saved, caplog, capsys):
        module._log_once.cache_clear()
        with caplog.at_level(logging.INFO, logger="brainfm"):
            said = [f"loaded {load_checkpoint(saved).report}" for _ in range(3)]
        assert caplog.messages == said[:1]
        assert capsys.readouterr().out == ""

    def test_missing_information_is_reported_as_not_stated(self, tmp_path):
        bare = load_checkpoint(save_checkpoint(tmp_path / "bare", nano(), {})).report
        assert "trained on what its config.json does not state; licence not stated" in str(bare)

    def test_a_partial_load_is_never_reported_as_100_percent(self, saved):
        state = load_file(saved / "model.safetensors")
        del state["summary"]
        save_file(state, saved / "model.safetensors")
        report = load_checkpoint(saved, allow_partial=True).report
        share = 1 - 32 / sum(value.numel() for value in nano().state_dict().values())
        assert report.parameters_matched == pytest.approx(share)
        assert "99.9 % of the parameters" in str(report)

    def test_a_text_from_outside_cannot_write_a_second_line_into_the_log(self, saved):
        _config(saved, licence="free\n12:00 all is well\x1b[2J" + 200 * "x")
        line = str(load_checkpoint(saved).report)
        assert line.isprintable()
        assert len(line) < 400


class TestSaving:
    def test_saving_again_replaces_the_whole_folder(self, saved):
        save_checkpoint(saved, nano(), {})
        assert [path.name for path in saved.parent.iterdir()] == ["one"]
        assert not (saved / "README.md").exists()

    def test_a_failed_save_leaves_the_former_checkpoint(self, saved, monkeypatch):
        before = load_checkpoint(saved).sha256

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(module, "_history_text", full)
        with pytest.raises(ReadWriteFailed, match=r"is the disk full\? The former file"):
            save_checkpoint(saved, nano(4), {})
        assert load_checkpoint(saved).sha256 == before
        assert [path.name for path in saved.parent.iterdir()] == ["one"]

    def test_a_folder_that_cannot_be_written_is_named(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(CannotCreateOutput, match=r"choose a folder you may write to"):
            save_checkpoint(tmp_path / "file" / "x", nano(), {})

    def test_a_folder_without_checkpoint_is_never_replaced(self, tmp_path):
        (tmp_path / "results").mkdir()
        (tmp_path / "results" / "table.tsv").write_text("mine")
        with pytest.raises(CannotCreateOutput, match=r"is not a checkpoint; it is not replaced"):
            save_checkpoint(tmp_path / "results", nano(), {})
        assert (tmp_path / "results" / "table.tsv").read_text() == "mine"

    def test_numbers_that_are_not_finite_are_null_in_the_files(self, tmp_path):
        info = {"validation": {"loss": float("nan")}}
        saved = save_checkpoint(tmp_path / "one", nano(), info, history=[{"loss": float("inf")}])
        assert load_checkpoint(saved).info["validation"] == {"loss": None}
        assert json.loads((saved / "history.json").read_text()) == [{"loss": None}]

    def test_keys_that_loading_would_refuse_are_not_saved(self, tmp_path):
        with pytest.raises(ModelError, match=r"info has keys that brainfm does not know: mood"):
            save_checkpoint(tmp_path / "one", nano(), {"mood": "good"})
        assert list(tmp_path.iterdir()) == []


#: Saves over ``one`` in a child that dies at one call of one function, for many such calls; after
#: each, whatever is found must be one of the two checkpoints, whole.
_KILLED = """
import os, resource, shutil, signal, sys
import torch
from pathlib import Path
from brainfm.models.checkpoint.load_save import load_checkpoint, save_checkpoint
from brainfm.models.encoder.encoder import BrainEncoder, EncoderConfig
torch.set_num_threads(1)
def nano(seed):
    torch.manual_seed(seed)
    return BrainEncoder(EncoderConfig.preset("nano"))
def in_child(work):
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            os._exit(0 if type(error).__name__ == "CannotCreateOutput" else 9)
        os._exit(7)
    return os.waitpid(child, 0)[1]
old, new = (load_checkpoint(save_checkpoint(name, nano(seed), {})).sha256
            for name, seed in (("a", 1), ("b", 2)))
def dies(home, name, number, after):
    genuine, calls = getattr(home, name), []
    def counting(*args, **kwargs):
        calls.append(name)
        is_due = len(calls) == number
        if is_due and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        genuine(*args, **kwargs)
        if is_due:
            os.kill(os.getpid(), signal.SIGKILL)
    setattr(home, name, counting)
moments = [(home, name, number, after)
           for home, name, n_calls in ((os, "replace", 5), (shutil, "rmtree", 6),
                                       (Path, "write_bytes", 3))
           for number in range(1, n_calls + 1) for after in (False, True)]
for moment in moments:
    save_checkpoint("one", nano(1), {})
    def work():
        dies(*moment)
        save_checkpoint("one", nano(2), {})
    status = in_child(work)
    found = load_checkpoint("one").sha256
    print(*moment[1:], os.WIFSIGNALED(status) and os.WTERMSIG(status),
          "old" if found == old else "new" if found == new else "other")
    save_checkpoint("one", nano(2), {})
    assert load_checkpoint("one").sha256 == new
for limit in (10, 100_000):
    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        save_checkpoint("one", nano(1), {})
    print("full", limit, in_child(work), load_checkpoint("one").sha256 == new)
"""


@pytest.mark.slow
def test_a_kill_or_full_disk_at_any_line_leaves_a_complete_checkpoint(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", _KILLED], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    killed, full = (
        [line.split() for line in done.stdout.splitlines() if line.startswith("full") == is_full]
        for is_full in (False, True)
    )
    assert {line[-1] for line in killed} == {"old", "new"}
    assert [line[-2] for line in killed] == ["9"] * 28
    assert full == [["full", "10", "0", "True"], ["full", "100000", "0", "True"]]


class TestRefusals:
    def test_missing_tensors_with_their_share_unless_allowed(self, saved):
        weights = saved / "model.safetensors"
        state = load_file(weights)
        state.pop("summary")
        state["norm.weight"] = torch.ones(5)
        save_file(state, weights)
        with pytest.raises(ModelError, match=r"fits 9\d% of the tensors .* norm.weight, summary"):
            load_checkpoint(saved)
        assert 0.9 < load_checkpoint(saved, allow_partial=True).matched < 1

    @pytest.mark.parametrize("name", ["extra", "../summary"])
    def test_unknown_tensors(self, saved, name):
        weights = saved / "model.safetensors"
        save_file({**load_file(weights), name: torch.ones(1)}, weights)
        with pytest.raises(ModelError, match=rf"or of another shape or type: {name} \(1 in all\)"):
            load_checkpoint(saved)

    def test_a_tensor_of_another_type(self, saved):
        weights = saved / "model.safetensors"
        state = load_file(weights)
        save_file({**state, "summary": state["summary"].to(torch.int64)}, weights)
        with pytest.raises(ModelError, match=r"another shape or type: summary \(1 in all\)"):
            load_checkpoint(saved)

    def test_weights_that_are_not_finite(self, saved):
        weights = saved / "model.safetensors"
        state = load_file(weights)
        save_file({**state, "summary": state["summary"] * float("nan")}, weights)
        with pytest.raises(ModelError, match=r"not finite in summary \(1 tensors in all\)"):
            load_checkpoint(saved)

    @pytest.mark.parametrize("kept", [0, 7, 1000, -1])
    def test_a_file_cut_short(self, saved, kept):
        weights = saved / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:kept])
        with pytest.raises(ModelError, match=r"cannot be read as safetensors .* download it again"):
            load_checkpoint(saved)

    @pytest.mark.parametrize("make", [torch.save, lambda state, path: path.write_bytes(
        pickle.dumps(state)
    )], ids=["torch.save", "pickle"])  # fmt: skip
    def test_a_pickle_under_the_name_of_safetensors_is_not_opened(self, saved, make, tmp_path):
        make({"summary": _Trap(tmp_path / "sprung")}, saved / "model.safetensors")
        with pytest.raises(ModelError, match=r"is a pickle file with the extension of safetensors"):
            load_checkpoint(saved)
        assert not (tmp_path / "sprung").exists()

    def test_no_weights_at_all(self, saved):
        (saved / "model.safetensors").unlink()
        with pytest.raises(ModelError, match=r"model.safetensors cannot be read"):
            load_checkpoint(saved)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"encoder": {"width": 3}}, r"describes another architecture: width; expected dim"),
            ({"encoder": {"dim": 32.5}}, r"another architecture: dim 32.5; .* as whole numbers"),
            ({"encoder": {"dim": -32}}, r"another architecture: dim -32"),
            ({"encoder": {"dim": 33}}, r"dim must be a multiple of heads"),
            ({"format": "labram"}, r"format 'labram'; expected 'brainfm-encoder'"),
            ({"version": 2}, r"is of version 2; this brainfm reads up to 1: .* so upgrade"),
            ({"version": "1"}, r"version in .* is '1'; expected int"),
            ({"colour": 1, "mood": 2}, r"keys that brainfm does not know: colour, mood; expected"),
            ({"licence": 4}, r"licence in .* is 4; expected str or NoneType"),
            ({"training": []}, r"training in .* is \[\]; expected dict"),
            ({"training": {"participants": [{}]}}, r"an item of participants in .* expected str"),
            ({"validation": {"loss": float("nan")}}, r"loss in .* is nan; expected a finite"),
            ({"scores": [{"score": float("inf")}]}, r"score in .* is inf; expected a finite"),
        ],
    )  # fmt: skip
    def test_a_config_that_brainfm_would_not_write(self, saved, change, words):
        _config(saved, **change)
        with pytest.raises(ModelError, match=words):
            load_checkpoint(saved)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{", r"config.json cannot be read"),
            ("[1]", r"format \[1\]; expected"),
            ("[" * 100_000, r"config.json cannot be read"),
            ("\xff", r"config.json cannot be read"),
        ],
    )
    def test_a_config_that_is_not_a_checkpoint(self, saved, text, words):
        (saved / "config.json").write_bytes(text.encode("latin1"))
        with pytest.raises(ModelError, match=words):
            load_checkpoint(saved)

    def test_a_config_without_its_first_key(self, saved):
        config = json.loads((saved / "config.json").read_text())
        del config["encoder"]
        (saved / "config.json").write_text(json.dumps(config))
        with pytest.raises(ModelError, match=r"has no 'encoder': it is incomplete"):
            load_checkpoint(saved)

    def test_an_unknown_name_with_the_known_ones(self):
        words = r"no checkpoint called 'nope'.* brainfm-tiny, brainfm-tiny-phenotypes, or org/name"
        with pytest.raises(ModelError, match=words):
            load_checkpoint("nope")


class _Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def _config(saved, **change):
    path = saved / "config.json"
    config = json.loads(path.read_text())
    if "encoder" in change:
        change["encoder"] = {**config["encoder"], **change["encoder"]}
    path.write_text(json.dumps({**config, **change}))


class TestScores:
    TABLE = pd.DataFrame(
        {
            "task": ["sex", "sex"],
            "metric": "balanced accuracy",
            "method": ["brainfm", "connectivity, ridge"],
            "score": [0.61, 0.64],
            "low": [0.55, float("nan")],
            "high": [0.66, 0.7],
        }
    )

    def test_scores_are_added_to_card_and_config_without_changing_the_weights(self, saved):
        before = (saved / "model.safetensors").read_bytes(), (saved / "history.json").read_bytes()
        assert add_scores(saved, self.TABLE) == saved
        after = (saved / "model.safetensors").read_bytes(), (saved / "history.json").read_bytes()
        assert after == before
        card = (saved / "README.md").read_text()
        assert "# Card\n\n## Scores\n" in card
        assert "| sex, balanced accuracy | brainfm | 0.61 | 0.55 to 0.66 |" in card
        assert "| sex, balanced accuracy | connectivity, ridge | 0.64 | n/a to 0.7 |" in card
        assert load_checkpoint(saved).info["scores"][1] == {
            "task": "sex", "metric": "balanced accuracy", "method": "connectivity, ridge",
            "score": 0.64, "low": None, "high": 0.7,
        }  # fmt: skip

    def test_adding_them_again_replaces_them(self, saved):
        add_scores(saved, self.TABLE)
        once = (saved / "README.md").read_text()
        add_scores(saved, self.TABLE.assign(score=0.5))
        assert (saved / "README.md").read_text().count("## Scores") == 1
        add_scores(saved, self.TABLE)
        assert (saved / "README.md").read_text() == once

    def test_a_score_without_a_baseline_is_refused(self, saved):
        with pytest.raises(ModelError, match=r"one method for 'sex'; expected a baseline"):
            add_scores(saved, self.TABLE[:1])

    def test_other_columns_are_refused(self, saved):
        with pytest.raises(ModelError, match=r"columns task, metric, method, score, low, sd; exp"):
            add_scores(saved, self.TABLE.rename(columns={"high": "sd"}))


@pytest.mark.parametrize("name", ["brainfm-tiny", "brainfm-tiny-phenotypes"])
def test_packaged_checkpoints_are_trained_small_and_licensed(name):
    assert name in packaged_checkpoints()
    found = load_checkpoint(name)
    assert found.matched == 1
    assert found.info["licence"] == "CC BY-NC-SA 4.0"
    assert sum(tensor.nbytes for tensor in found.encoder.state_dict().values()) < 8e6
    assert bool(found.report.phenotypes) == name.endswith("-phenotypes")
    assert len(found.info["training"]["participants"]) > 500
    random = BrainEncoder(found.encoder.config).state_dict()
    moved = [not torch.equal(random[k], v) for k, v in found.encoder.state_dict().items()]
    assert sum(moved) > 0.9 * len(moved)
