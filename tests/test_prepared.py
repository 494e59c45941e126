"""Prepared signals of a corpus: made once, mapped, and never those of something else."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from derivatives import write_two_datasets

from brainfm import add_to_corpus, read_corpus
from brainfm.errors import DataError
from brainfm.models.encoder import windows
from brainfm.models.encoder.windows import prepare
from brainfm.recording import Recording


@pytest.fixture
def corpus(tmp_path):
    return tmp_path / "corpus"


@pytest.fixture
def two(tmp_path):
    return write_two_datasets(tmp_path)


def test_prepared_signals_are_those_of_the_recording_to_the_bit(two, corpus):
    add_to_corpus(two, corpus)
    for one in read_corpus(corpus):
        held, kept = windows._prepare(one), prepare(one)
        np.testing.assert_array_equal(kept.signal, held.signal)
        np.testing.assert_array_equal(kept.positions, held.positions)
        assert (kept.log_scale, kept.modality) == (held.log_scale, held.modality)
        for half, other in zip(windows.split_halves(kept), windows.split_halves(held), strict=True):
            np.testing.assert_array_equal(half.signal, other.signal)


def test_prepared_signals_are_made_once_and_never_held(two, corpus, monkeypatch):
    add_to_corpus(two, corpus)
    monkeypatch.setattr(windows, "_prepare", None)
    for one in read_corpus(corpus):
        kept = prepare(one)
        assert len(pickle.dumps(kept)) < 2000 < kept.signal.nbytes


def test_prepared_signals_are_made_again_when_lost_or_of_other_parameters(two, corpus, monkeypatch):
    add_to_corpus(two, corpus)
    one = read_corpus(corpus)[0]
    for path in (corpus / "prepared").iterdir():
        path.unlink()
    assert np.abs(prepare(one).signal).max() > 1
    monkeypatch.setitem(windows.SPECS, "bold", replace(windows.SPECS["bold"], clip=0.5))
    assert np.abs(prepare(one).signal).max() == 0.5
    assert len(list((corpus / "prepared").iterdir())) == 2


def test_signals_prepared_by_another_version_are_not_used(two, corpus, monkeypatch):
    add_to_corpus(two, corpus)
    one = read_corpus(corpus)[0]
    before = prepare(one)
    monkeypatch.setattr(windows, "PREPARATION_VERSION", windows.PREPARATION_VERSION + 1)
    monkeypatch.setitem(
        windows._SCALERS, one.modality, lambda signal, *_: (np.ones_like(signal), 0.0)
    )
    assert (prepare(one).signal == 1).all()
    assert not (before.signal == 1).all()


@pytest.mark.parametrize(
    ("modality", "numbers"),
    [
        ("bold", [-0.844926, 0.226319, 1.955949, 0.0]),
        ("eeg", [1.695905, -0.515952, -1.274244, 1.439808]),
    ],
)
def test_the_version_of_the_preparation_is_raised_when_its_numbers_change(modality, numbers):
    rng = np.random.default_rng(0)
    slow = np.cumsum(rng.normal(size=(4000, 3)), axis=0) * 1e-6
    one = Recording.from_array(
        slow[:400] if modality == "bold" else slow,
        sampling_hz={"bold": 0.4, "eeg": 200.0}[modality],
        positions=rng.uniform(-0.05, 0.05, size=(3, 3)) * {"bold": 1000, "eeg": 1}[modality],
        modality=modality,
    )
    found = prepare(one)
    sample = [*found.signal[:, 50], found.log_scale]
    assert windows.PREPARATION_VERSION == 1
    np.testing.assert_allclose(sample, numbers, rtol=1e-4)


def test_prepared_signals_of_a_changed_recording_are_never_those_of_the_old_one(two, corpus):
    add_to_corpus(two, corpus)
    one = read_corpus(corpus)[0]
    fewer = one.mask.copy()
    fewer[:4] = False
    assert len(prepare(replace(one, mask=fewer)).signal) == len(prepare(one).signal) - 4
    half = one.signal[:40]
    cut = replace(one, read=lambda: half, shape=half.shape)
    assert prepare(cut).signal.shape[1] < prepare(one).signal.shape[1]


def test_prepared_signals_are_held_in_memory_where_nothing_may_be_written(two, corpus, caplog):
    add_to_corpus(two, corpus)
    for path in (corpus / "prepared").iterdir():
        path.unlink()
    (corpus / "prepared").rmdir()
    (corpus / "prepared").write_text("in the way, as a read-only disk is")
    one = read_corpus(corpus)[0]
    np.testing.assert_array_equal(prepare(one).signal, windows._prepare(one).signal)
    assert "prepared signals stay in memory" in caplog.text


def test_prepared_signals_that_are_broken_are_named(two, corpus):
    add_to_corpus(two, corpus)
    for path in (corpus / "prepared").iterdir():
        path.write_bytes(b"\0" * 4)
    with pytest.raises(DataError, match=r"safetensors cannot be read .*it is computed again"):
        prepare(read_corpus(corpus)[0])
