"""Withdrawing removes one participant from a corpus and nobody else."""

import pytest
from derivatives import labels, stored, write_two_datasets

from brainfm import add_to_corpus, read_corpus, readmit_participant, withdraw_participant
from brainfm.errors import MissingInput, NothingSelected
from brainfm.stages.corpus.build import build_corpus
from brainfm.storage.corpus import changes
from brainfm.storage.corpus.changes import merge_rows
from brainfm.storage.corpus.manifest import participant_prefix
from brainfm.storage.corpus.recordings import store_recording
from brainfm.storage.derivatives.recordings import find_recordings


@pytest.fixture
def corpus(tmp_path):
    return tmp_path / "corpus"


@pytest.fixture
def two(tmp_path):
    return write_two_datasets(tmp_path)


def test_withdrawing_deletes_all_files_of_one_participant_only(two, corpus):
    add_to_corpus(two, corpus)
    everyone = {one.source: one.key[:2] for one in read_corpus(corpus)}
    before = stored(corpus)
    assert withdraw_participant(corpus, "One", "sub-01") == 2
    assert ("One", "01") not in {key[:2] for key in labels(corpus)}
    gone = {name.removesuffix(".npy") for name, who in everyone.items() if who == ("One", "01")}
    assert len(gone) == 2
    for path in corpus.rglob("*"):
        assert not any(path.name.startswith(name) for name in gone)
    kept = stored(corpus)
    assert len(before) - len(kept) == 6  # a signal, a prepared signal and a layout each
    assert kept.items() <= before.items()


def test_withdrawn_participants_are_not_added_until_readmitted(two, corpus):
    whole = add_to_corpus(two, corpus).read_bytes()
    withdraw_participant(corpus, "One", "01")
    assert withdraw_participant(corpus, "One", "01") == 0
    for build in (add_to_corpus, build_corpus):
        build(two, corpus)
        assert len(labels(corpus)) == 5
    readmit_participant(corpus, "One", "01")
    assert len(labels(corpus)) == 5
    assert add_to_corpus(two, corpus).read_bytes() == whole


def test_an_interrupted_withdrawal_is_completed_by_the_same_call(two, corpus, monkeypatch):
    add_to_corpus(two, corpus)
    monkeypatch.setattr(changes, "remove_leftovers", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        withdraw_participant(corpus, "One", "01")
    monkeypatch.undo()
    withdraw_participant(corpus, "One", "01")
    assert len(list((corpus / "recordings").iterdir())) == len(labels(corpus)) == 5


def test_withdrawing_deletes_partial_files_of_killed_jobs(two, corpus):
    add_to_corpus(two, corpus)
    prefix = participant_prefix("One", "01")
    for name in (f"recordings/{prefix}-0.npy", f"recordings/.partial-x/{prefix}-1.npy"):
        (corpus / name).parent.mkdir(exist_ok=True)
        (corpus / name).write_bytes(b"left")
    withdraw_participant(corpus, "One", "01")
    assert not list(corpus.rglob(f"{prefix}*"))


def test_rows_stored_before_the_withdrawal_are_not_merged(two, corpus):
    add_to_corpus(two[1], corpus)
    one = find_recordings(two[1])[0]
    stored = store_recording(corpus, one, "x")
    withdraw_participant(corpus, "Second", "01")
    store_recording(corpus, one, "x")
    merge_rows(corpus, [stored])
    assert len(labels(corpus)) == len(list((corpus / "recordings").iterdir())) == 1


def test_withdrawing_an_absent_participant_warns_and_excludes_it(two, corpus, caplog):
    add_to_corpus(two[0], corpus, participant="01")
    assert withdraw_participant(corpus, "One", "02") == 0
    assert "had no recording of sub-02" in caplog.text
    add_to_corpus(two[0], corpus)
    assert {key[1] for key in labels(corpus)} == {"01", "03"}


def test_an_unknown_dataset_is_refused_with_the_known_ones(two, corpus):
    with pytest.raises(MissingInput, match=r"build the corpus first"):
        withdraw_participant(corpus, "One", "01")
    add_to_corpus(two, corpus)
    with pytest.raises(NothingSelected, match=r"no dataset 'Won'; it has: One, Second"):
        withdraw_participant(corpus, "Won", "01")
    with pytest.raises(NothingSelected, match=r"sub-03 of One is not withdrawn"):
        readmit_participant(corpus, "One", "03")
