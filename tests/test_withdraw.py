"""Who is withdrawn from a corpus is gone, and nobody else is."""

import pytest
from derivatives import labels, stored, write_two_datasets

from brainfm import add_to_corpus, read_corpus, readmit_participant, withdraw_participant
from brainfm.errors import MissingInput, NothingSelected
from brainfm.stages.corpus.build import build_corpus
from brainfm.storage import corpus as storage
from brainfm.storage.derivatives.recordings import find_recordings


@pytest.fixture
def corpus(tmp_path):
    return tmp_path / "corpus"


@pytest.fixture
def two(tmp_path):
    return write_two_datasets(tmp_path)


def test_withdrawing_leaves_no_byte_behind_and_touches_nobody_else(two, corpus):
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
    assert len(before) - len(kept) == 6  # each a signal, what is prepared, and positions
    assert kept.items() <= before.items()


def test_withdrawing_is_for_good_until_it_is_undone(two, corpus):
    whole = add_to_corpus(two, corpus).read_bytes()
    withdraw_participant(corpus, "One", "01")
    assert withdraw_participant(corpus, "One", "01") == 0
    for build in (add_to_corpus, build_corpus):
        build(two, corpus)
        assert len(labels(corpus)) == 5
    readmit_participant(corpus, "One", "01")
    assert len(labels(corpus)) == 5
    assert add_to_corpus(two, corpus).read_bytes() == whole


def test_withdrawing_cut_short_is_finished_by_the_same_call(two, corpus, monkeypatch):
    add_to_corpus(two, corpus)
    monkeypatch.setattr(storage, "sweep", lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        withdraw_participant(corpus, "One", "01")
    monkeypatch.undo()
    withdraw_participant(corpus, "One", "01")
    assert len(list((corpus / "recordings").iterdir())) == len(labels(corpus)) == 5


def test_withdrawing_takes_what_a_killed_job_left(two, corpus):
    add_to_corpus(two, corpus)
    person = storage._person("One", "01")
    for name in (f"recordings/{person}-0.npy", f"recordings/.partial-x/{person}-1.npy"):
        (corpus / name).parent.mkdir(exist_ok=True)
        (corpus / name).write_bytes(b"left")
    withdraw_participant(corpus, "One", "01")
    assert not list(corpus.rglob(f"{person}*"))


def test_withdrawing_holds_for_a_job_that_had_stored_before(two, corpus):
    add_to_corpus(two[1], corpus)
    one = find_recordings(two[1])[0]
    stored = storage.store_recording(corpus, one, "x")
    withdraw_participant(corpus, "Second", "01")
    storage.store_recording(corpus, one, "x")
    storage.merge_rows(corpus, [stored])
    assert len(labels(corpus)) == len(list((corpus / "recordings").iterdir())) == 1


def test_who_never_was_there_is_told_and_kept_out(two, corpus, caplog):
    add_to_corpus(two[0], corpus, participant="01")
    assert withdraw_participant(corpus, "One", "02") == 0
    assert "had no recording of sub-02" in caplog.text
    add_to_corpus(two[0], corpus)
    assert {key[1] for key in labels(corpus)} == {"01", "03"}


def test_an_unknown_dataset_is_refused_with_those_there_are(two, corpus):
    with pytest.raises(MissingInput, match=r"build the corpus first"):
        withdraw_participant(corpus, "One", "01")
    add_to_corpus(two, corpus)
    with pytest.raises(NothingSelected, match=r"no dataset 'Won'; it has: One, Second"):
        withdraw_participant(corpus, "Won", "01")
    with pytest.raises(NothingSelected, match=r"sub-03 of One was not withdrawn"):
        readmit_participant(corpus, "One", "03")
