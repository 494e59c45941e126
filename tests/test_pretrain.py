"""Corpus to checkpoint: a short pretraining that learns, resumes and is loaded again."""

import json

import numpy as np
import pandas as pd
import pytest
from brains import bold

from brainfm import BrainEmbedder, load_recordings
from brainfm.config import PretrainConfig
from brainfm.errors import MissingInput, ModelError
from brainfm.models.checkpoint import load_checkpoint, training_participants
from brainfm.stages import pretrain
from brainfm.stages.corpus import build_corpus
from brainfm.stages.pretrain import pretrain_corpus
from brainfm.storage.corpus import split_of

CONFIG = PretrainConfig(preset="nano", max_epochs=3, batch_size=8)


def write_people(root, n_people):
    for seed in range(n_people):
        recording = bold(seed, n_channels=18)
        folder = root / f"sub-{seed:02d}" / "func"
        folder.mkdir(parents=True)
        path = folder / f"sub-{seed:02d}_task-rest_atlas-X_timeseries.tsv"
        frame = pd.DataFrame(recording.signal, columns=[f"p{index}" for index in range(18)])
        frame.to_csv(path, sep="\t", index=False)
        places = dict(zip(frame, recording.positions.tolist(), strict=True))
        sidecar = {"SamplingFrequency": 0.5, "Positions": places}
        path.with_suffix(".json").write_text(json.dumps(sidecar))
    return root


@pytest.fixture
def data(tmp_path):
    return write_people(tmp_path / "data", 14)


@pytest.fixture
def corpus(data, tmp_path):
    return build_corpus([data], tmp_path / "corpus").parent


def test_it_learns_and_what_it_writes_is_loaded_again(corpus, data, tmp_path):
    folder = pretrain_corpus(corpus, tmp_path / "models", CONFIG, 0, licence="CC0", device="cpu")
    assert folder == tmp_path / "models" / "brainfm-nano"
    history = json.loads((folder / "history.json").read_text())
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    card = (folder / "README.md").read_text()
    assert "# brainfm-nano" in card
    assert "Licence of the weights**: CC0" in card
    number = load_checkpoint(folder).info["training"]["n_participants"]
    assert f"of {number} participants, from data ({number})." in card
    vectors = BrainEmbedder.from_pretrained(folder).transform(load_recordings(data))
    assert np.isfinite(vectors).all()
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"brainfm-nano"}


def test_it_knows_who_it_was_trained_on_and_nobody_else(corpus, data, tmp_path):
    folder = pretrain_corpus(corpus, tmp_path / "models", CONFIG, 0, device="cpu")
    people = training_participants(folder)
    for group in load_recordings(data).groups:
        assert (group in people) == (split_of(*group.split("/")) == "train")
    found = load_checkpoint(folder).info
    assert found["validation"]["loss"] > 0
    assert found["training"]["n_participants"] == len(people) < 14


def test_the_same_call_gives_the_same_files_to_the_byte(corpus, tmp_path):
    one, two, other = (
        pretrain_corpus(corpus, tmp_path / name, CONFIG, seed, device="cpu")
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name
    assert load_checkpoint(one).sha256 != load_checkpoint(other).sha256


def test_a_stopped_run_is_taken_up(corpus, tmp_path, monkeypatch, caplog):
    whole = pretrain_corpus(corpus, tmp_path / "whole", CONFIG, 0, device="cpu")

    def full(*_, **__):
        raise OSError("stopped before the checkpoint was written")

    monkeypatch.setattr(pretrain.BrainPretrainer, "save", full)
    with pytest.raises(OSError, match="stopped before"):
        pretrain_corpus(corpus, tmp_path / "again", CONFIG, 0, device="cpu")
    monkeypatch.undo()
    with caplog.at_level("INFO", logger="brainfm"):
        again = pretrain_corpus(corpus, tmp_path / "again", CONFIG, 0, device="cpu")
    assert "taken up after epoch 3" in caplog.text
    assert load_checkpoint(again).sha256 == load_checkpoint(whole).sha256


def test_few_people_are_all_trained_on(tmp_path):
    corpus = build_corpus([write_people(tmp_path / "few", 3)], tmp_path / "corpus").parent
    folder = pretrain_corpus(corpus, tmp_path / "models", CONFIG, 0, device="cpu")
    assert load_checkpoint(folder).info["training"]["n_participants"] == 3


def test_one_recording_or_no_corpus_is_refused(tmp_path):
    corpus = build_corpus([write_people(tmp_path / "one", 1)], tmp_path / "corpus").parent
    with pytest.raises(ModelError, match=r"at least two recordings"):
        pretrain_corpus(corpus, tmp_path / "models", CONFIG, 0, device="cpu")
    with pytest.raises(MissingInput, match=r"build the corpus first"):
        pretrain_corpus(tmp_path / "nowhere", tmp_path / "models", CONFIG, 0)
