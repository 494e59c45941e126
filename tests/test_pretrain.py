"""Pretraining on a corpus: learning, resuming, loading and refusals."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from brains import bold
from derivatives import write_clean_eeg, write_series

from brainfm import (
    BrainEmbedder,
    BrainPretrainer,
    add_to_corpus,
    load_recordings,
    read_corpus,
    withdraw_participant,
)
from brainfm.cli.pretrain import main
from brainfm.config import PretrainConfig
from brainfm.errors import DataError, MissingInput, ModelError, NothingSelected, UsageError
from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.models.encoder.readout import features
from brainfm.models.encoder.windows import all_windows, prepare
from brainfm.recording import RecordingTable
from brainfm.stages.corpus.build import build_corpus
from brainfm.stages.evaluate.participants_table import phenotypes_by_row
from brainfm.stages.pretrain import run as pretrain
from brainfm.stages.pretrain.run import pretrain_corpus
from brainfm.storage.corpus.manifest import split_of

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


def test_pretraining_learns_and_its_checkpoint_can_be_loaded(corpus, data, tmp_path):
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


def test_the_checkpoint_identifies_its_training_participants(corpus, data, tmp_path):
    folder = pretrain_corpus(corpus, tmp_path / "models", CONFIG, 0, device="cpu")
    checkpoint = load_checkpoint(folder)
    groups = sorted(set(load_recordings(data).groups))
    seen = checkpoint.seen_in_training(groups)
    assert seen == [split_of(*group.split("/")) == "train" for group in groups]
    found = checkpoint.info
    assert found["validation"]["loss"] > 0
    assert found["training"]["n_participants"] == sum(seen) < 14


def test_the_same_call_gives_the_same_bytes(corpus, tmp_path):
    one, two, other = (
        pretrain_corpus(corpus, tmp_path / name, CONFIG, seed, device="cpu")
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes(), path.name
    assert load_checkpoint(one).sha256 != load_checkpoint(other).sha256


def test_an_interrupted_run_is_resumed(corpus, tmp_path, monkeypatch, caplog):
    whole = pretrain_corpus(corpus, tmp_path / "whole", CONFIG, 0, device="cpu")

    def full(*_, **__):
        raise OSError("stopped before the checkpoint was written")

    monkeypatch.setattr(pretrain.BrainPretrainer, "save", full)
    with pytest.raises(OSError, match="stopped before"):
        pretrain_corpus(corpus, tmp_path / "again", CONFIG, 0, device="cpu")
    monkeypatch.undo()
    with caplog.at_level("INFO", logger="brainfm"):
        again = pretrain_corpus(corpus, tmp_path / "again", CONFIG, 0, device="cpu")
    assert "resumed after epoch 3" in caplog.text
    assert load_checkpoint(again).sha256 == load_checkpoint(whole).sha256


def test_the_state_of_another_objective_is_refused_and_kept(data, tmp_path):
    table = load_recordings(data)
    folder = tmp_path / "state"
    folder.mkdir()
    (folder / "notes.txt").write_text("of somebody else")
    settings = {"max_epochs": 2, "batch_size": 4, "resume_dir": folder, "device": "cpu"}
    BrainPretrainer("nano", objective="connectivity", **settings).fit(table)
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    assert {path.name for path in kept} == {
        "notes.txt", "2-module.safetensors", "2-optimizer.pt", "2-history.json",
    }  # fmt: skip
    with pytest.raises(ModelError, match=r"another architecture or objective.*another resume_dir"):
        BrainPretrainer("nano", objective="masked", **settings).fit(table)
    assert {path: path.read_bytes() for path in folder.iterdir()} == kept


def test_the_checkpoint_stores_the_window_length(corpus, data, tmp_path):
    config = replace(CONFIG, max_epochs=1, bold_window_s=48.0)
    folder = pretrain_corpus(corpus, tmp_path / "models", config, 0, device="cpu")
    checkpoint = load_checkpoint(folder)
    assert checkpoint.encoder.config.n_patches_of("bold") == 4
    assert checkpoint.encoder.config.n_patches_of("eeg") == 10
    assert len(checkpoint.info["training"]["participants"]) > 2
    one = prepare(load_recordings(data).recordings[0])
    found = features(checkpoint.encoder, one)[:32]
    by_hand = checkpoint.encoder({"bold": all_windows(one, 4)}).summary.mean(dim=0)
    np.testing.assert_allclose(found, by_hand.detach(), rtol=1e-4, atol=1e-5)


def test_a_window_of_partial_patches_is_refused(corpus, tmp_path):
    config = replace(CONFIG, bold_window_s=50.0)
    with pytest.raises(ModelError, match=r"window_s of bold is 50; expected whole patches, a mul"):
        pretrain_corpus(corpus, tmp_path / "models", config, 0, device="cpu")


def test_small_corpora_have_no_validation_split(tmp_path):
    corpus = build_corpus([write_people(tmp_path / "few", 3)], tmp_path / "corpus").parent
    folder = pretrain_corpus(corpus, tmp_path / "models", CONFIG, 0, device="cpu")
    assert load_checkpoint(folder).info["training"]["n_participants"] == 3


def test_an_empty_or_single_participant_corpus_is_refused(data, tmp_path):
    write_series(data, "00", task="film")
    corpus = add_to_corpus(data, tmp_path / "corpus", participant="00").parent
    assert len(read_corpus(corpus)) == 2
    with pytest.raises(ModelError, match=r"has one participant; .* at least two: add another"):
        pretrain_corpus(corpus, tmp_path / "models", CONFIG, 0, device="cpu")
    withdraw_participant(corpus, "data", "00")
    with pytest.raises(NothingSelected, match=r"the corpus .* is empty: nothing to pretrain on"):
        pretrain_corpus(corpus, tmp_path / "models", CONFIG, 0, device="cpu")
    with pytest.raises(MissingInput, match=r"build the corpus first"):
        pretrain_corpus(tmp_path / "nowhere", tmp_path / "models", CONFIG, 0)
    assert not (tmp_path / "models").exists()


def test_sampling_rates_and_modalities_may_be_mixed(tmp_path):
    root = tmp_path / "mixed"
    for number, tr_s in enumerate([0.8, 2.0, 3.0]):
        write_series(root, f"b{number}", seed=number, tr_s=tr_s, n_channels=10 + number)
        write_clean_eeg(root, f"e{number}", seed=number, sampling_hz=100 + 28 * number)
    corpus = add_to_corpus(root, tmp_path / "corpus").parent
    folder = pretrain_corpus(corpus, tmp_path / "models", CONFIG, 0, device="cpu")
    found = load_checkpoint(folder).info["training"]
    assert found["n_recordings"] == {"bold": 3, "eeg": 3}
    assert np.isfinite(
        [epoch["train_loss"] for epoch in json.loads((folder / "history.json").read_text())]
    ).all()


def test_training_from_a_corpus_is_training_from_memory(corpus, data):
    def weights(recordings):
        fitted = BrainPretrainer("nano", max_epochs=1, batch_size=8, device="cpu").fit(recordings)
        return torch.cat([value.flatten() for value in fitted.encoder_.state_dict().values()])

    from_disk = weights(read_corpus(corpus))
    in_memory = weights(load_recordings(data).recordings)
    torch.testing.assert_close(from_disk, in_memory, rtol=1e-4, atol=1e-5)


class TestWithLabels:
    people = pd.DataFrame({
        "participant_id": [f"sub-{n:02d}" for n in range(14)],
        "age": [*range(20, 33), "n/a"],
        "sex": ["F", "M"] * 7,
    })  # fmt: skip
    config = replace(CONFIG, phenotypes=("age", "sex"))

    def test_name_card_and_log_name_the_phenotypes(self, corpus, tmp_path):
        folder = pretrain_corpus(
            corpus, tmp_path, self.config, participants=self.people, device="cpu"
        )
        assert folder.name == "brainfm-nano-phenotypes"
        assert "with the labels age, sex of its participants" in (folder / "README.md").read_text()
        assert "participants and their age, sex from" in str(load_checkpoint(folder).report)
        last = json.loads((folder / "history.json").read_text())[-1]
        assert {"phenotype_age_explained", "valid_phenotype_sex_M_explained"} <= set(last)

    def test_other_labels_start_another_run(self, corpus, tmp_path):
        def weights(people):
            folder = pretrain_corpus(
                corpus, tmp_path, self.config, participants=people, device="cpu"
            )
            return load_checkpoint(folder).sha256

        older = self.people.assign(age=[n**2 for n in range(14)])
        assert weights(self.people) != weights(older)

    def test_a_missing_column_is_refused_before_training(self, corpus, tmp_path):
        with pytest.raises(UsageError, match=r"has no column 'age'; it has: sex"):
            pretrain_corpus(
                corpus, tmp_path, self.config, participants=self.people[["participant_id", "sex"]]
            )
        assert not list(tmp_path.glob("brainfm-*"))

    def test_missing_labels_are_refused(self):
        pretrainer = BrainPretrainer("nano", objective="phenotypes")
        with pytest.raises(ModelError, match=r"predicts phenotypes and y is NoneType; expected a"):
            pretrainer.fit([bold(0), bold(1)])
        with pytest.raises(ModelError, match=r"of shape \(3, 1\).*each of the 2 rows of X"):
            pretrainer.fit([bold(0), bold(1)], pd.DataFrame({"age": [1, 2, 3]}))

    def test_random_numbers_depend_on_the_seed_only(self):
        y = pd.DataFrame({"age": range(6)})

        def weights(seed):
            torch.manual_seed(seed)
            pretrainer = BrainPretrainer("nano", objective="phenotypes", max_epochs=1)
            return pretrainer.fit([bold(n) for n in range(6)], y).encoder_.state_dict()

        one, other = weights(1), weights(2)
        assert all(torch.equal(one[name], other[name]) for name in one)

    def test_a_label_of_two_datasets_is_refused(self):
        table = RecordingTable([(bold(0, dataset="A"),), (bold(0, dataset="B"),)])
        with pytest.raises(DataError, match="sub-00 is in A and in B"):
            phenotypes_by_row(table, self.people, ["age"])

    @pytest.mark.parametrize("words", [["--phenotypes", "age"], ["--participants", "x.tsv"]])
    def test_columns_and_their_table_go_together(self, corpus, tmp_path, capsys, words):
        assert main([str(corpus), str(tmp_path), *words]) == 64
        assert "must be given together; add the missing one" in capsys.readouterr().err
