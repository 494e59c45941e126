"""Checkpoints: whole, checked when loaded, and they know who they were trained on."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from brainfm.errors import CannotCreateOutput, ModelError
from brainfm.models import checkpoint as module
from brainfm.models.checkpoint import (
    checkpoint_key,
    load_checkpoint,
    packaged_checkpoints,
    participant_hash,
    save_checkpoint,
    training_participants,
)
from brainfm.models.encoder import BrainEncoder, EncoderConfig


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(3)
    encoder = BrainEncoder(EncoderConfig.preset("nano"))
    info = {"training": {"participants": [participant_hash("ds/01")]}, "licence": "CC0"}
    return save_checkpoint(tmp_path / "one", encoder, info, history=[{"loss": 1.0}], card="# Card")


def test_what_is_loaded_is_what_was_saved(saved):
    found = load_checkpoint(saved)
    torch.manual_seed(3)
    encoder = BrainEncoder(EncoderConfig.preset("nano"))
    assert found.matched == 1
    assert found.name == "one"
    assert found.info["licence"] == "CC0"
    assert found.sha256 == checkpoint_key(saved)
    assert {path.name for path in saved.iterdir()} == {
        "model.safetensors", "config.json", "history.json", "README.md",
    }  # fmt: skip
    for name, value in encoder.state_dict().items():
        torch.testing.assert_close(found.encoder.state_dict()[name], value)


def test_it_knows_its_training_participants_but_not_their_names(saved):
    assert load_checkpoint(saved).seen_in_training(["ds/01", "ds/02"]) == [True, False]
    people = training_participants(saved)
    assert "ds/01" in people
    assert "other/01" not in people
    assert "ds/01" not in (saved / "config.json").read_text()


def test_saving_again_replaces_the_whole_and_leaves_nothing_behind(saved):
    encoder = BrainEncoder(EncoderConfig.preset("nano"))
    save_checkpoint(saved, encoder, {})
    assert {path.name for path in saved.parent.iterdir()} == {"one"}
    assert not (saved / "README.md").exists()


def test_a_failed_save_leaves_what_stood_there(saved, monkeypatch):
    before = checkpoint_key(saved)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(module.ReadWriteFailed, match=r"is the disk full\? What stood there before"):
        save_checkpoint(saved, BrainEncoder(EncoderConfig.preset("nano")), {})
    assert checkpoint_key(saved) == before
    assert {path.name for path in saved.parent.iterdir()} == {"one"}


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCreateOutput, match=r"choose another folder"):
        save_checkpoint(tmp_path / "file" / "x", BrainEncoder(EncoderConfig.preset("nano")), {})


def test_missing_tensors_are_refused_with_their_share_unless_allowed(saved):
    weights = saved / "model.safetensors"
    state = load_file(weights)
    state.pop("summary")
    state["norm.weight"] = torch.ones(5)
    save_file(state, weights)
    with pytest.raises(ModelError, match=r"fits 9\d% of the tensors .* norm.weight, summary"):
        load_checkpoint(saved)
    assert 0.9 < load_checkpoint(saved, allow_partial=True).matched < 1


def test_tensors_nobody_knows_are_refused(saved):
    weights = saved / "model.safetensors"
    save_file({**load_file(weights), "extra": torch.ones(1)}, weights)
    with pytest.raises(ModelError, match=r"unknown or of another shape: extra \(1 in all\)"):
        load_checkpoint(saved)


def _config(saved, **change):
    path = saved / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def test_another_architecture_or_format_is_refused(saved):
    _config(saved, encoder={"width": 3})
    with pytest.raises(ModelError, match=r"describes another architecture"):
        load_checkpoint(saved)
    _config(saved, format="labram")
    with pytest.raises(ModelError, match=r"format 'labram'; expected 'brainfm-encoder'"):
        load_checkpoint(saved)


def test_broken_files_are_refused(saved):
    (saved / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ModelError, match=r"cannot be read as safetensors"):
        load_checkpoint(saved)
    (saved / "config.json").write_text("{")
    with pytest.raises(ModelError, match=r"config.json cannot be read"):
        load_checkpoint(saved)


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(ModelError, match=r"no checkpoint called 'nope'.* one that ships: brainfm"):
        load_checkpoint("nope")


def test_what_ships_is_trained_small_and_licensed():
    assert "brainfm-tiny" in packaged_checkpoints()
    found = load_checkpoint("brainfm-tiny")
    assert found.matched == 1
    assert found.info["licence"] == "CC BY-NC-SA 4.0"
    assert len(found.info["training"]["participants"]) > 500
    random = BrainEncoder(found.encoder.config).state_dict()
    moved = [not torch.equal(random[k], v) for k, v in found.encoder.state_dict().items()]
    assert sum(moved) > 0.9 * len(moved)
