"""The corpus: stored once, resumed, split by participant."""

import json

import numpy as np
import pandas as pd
import pytest

from brainfm.errors import DataError, MissingInput, NothingSelected
from brainfm.stages.corpus import build_corpus
from brainfm.storage.corpus import read_corpus, read_manifest, split_of


def _write_series(root, participant, *, seed=0, task="rest"):
    folder = root / f"sub-{participant}" / "func"
    folder.mkdir(parents=True)
    series = np.random.default_rng(seed).standard_normal((20, 3))
    frame = pd.DataFrame(series, columns=["a", "b", "c"])
    frame["c"] = "n/a"
    stem = folder / f"sub-{participant}_task-{task}_atlas-X_timeseries"
    frame.to_csv(stem.with_suffix(".tsv"), sep="\t", index=False)
    places = {"a": [10, 20, 30], "b": [-10, 20, 30], "c": [0, 50, 30]}
    stem.with_suffix(".json").write_text(json.dumps({"RepetitionTime": 2.2, "Positions": places}))
    return stem.with_suffix(".tsv")


@pytest.fixture
def dataset(tmp_path):
    for seed, participant in enumerate(["01", "02"]):
        _write_series(tmp_path / "data", participant, seed=seed)
    return tmp_path / "data"


def test_what_is_read_is_what_was_stored(dataset, tmp_path):
    build_corpus([dataset], tmp_path / "corpus")
    recording = read_corpus(tmp_path / "corpus")[0]
    table = pd.read_csv(
        dataset / "sub-01/func/sub-01_task-rest_atlas-X_timeseries.tsv", sep="\t"
    ).to_numpy(np.float32)
    np.testing.assert_allclose(recording.signal, table)
    assert recording.sampling_hz == 1 / 2.2
    assert recording.mask.tolist() == [True, True, False]
    assert recording.positions[1].tolist() == [-10, 20, 30]
    assert (recording.participant, recording.task, recording.session) == ("01", "rest", None)


def test_building_again_reads_and_writes_nothing_anew(dataset, tmp_path):
    manifest = build_corpus([dataset], tmp_path / "corpus")
    before = manifest.read_bytes()
    stored = {p: p.stat().st_mtime_ns for p in (tmp_path / "corpus/recordings").iterdir()}
    assert build_corpus([dataset], tmp_path / "corpus").read_bytes() == before
    assert stored == {p: p.stat().st_mtime_ns for p in (tmp_path / "corpus/recordings").iterdir()}


def test_a_changed_recording_is_stored_anew_and_a_withdrawn_one_leaves(dataset, tmp_path):
    build_corpus([dataset], tmp_path / "corpus")
    first = read_manifest(tmp_path / "corpus")
    for path in (dataset / "sub-01/func").iterdir():
        path.unlink()
    (dataset / "sub-01/func").rmdir()
    _write_series(dataset, "01", seed=9)
    for path in (dataset / "sub-02/func").iterdir():
        path.unlink()
    build_corpus([dataset], tmp_path / "corpus")
    second = read_manifest(tmp_path / "corpus")
    assert second["participant"].tolist() == ["01"]
    assert second["checksum"][0] != first["checksum"][0]


def test_a_build_cut_short_before_the_manifest_goes_on(dataset, tmp_path):
    manifest = build_corpus([dataset], tmp_path / "corpus")
    before = manifest.read_bytes()
    manifest.unlink()
    assert build_corpus([dataset], tmp_path / "corpus").read_bytes() == before


def test_splits_are_by_participant_and_stay_when_the_corpus_grows():
    labels = [str(number) for number in range(2000)]
    splits = [split_of("data", label) for label in labels]
    assert splits == [split_of("data", label) for label in labels]
    assert 0.17 < splits.count("validation") / len(splits) < 0.23


def test_no_recordings_are_refused_with_the_folders_and_the_way_out(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(NothingSelected, match=r"no standardised recording under .*data: run the"):
        build_corpus([tmp_path / "data"], tmp_path / "corpus")


def test_a_corpus_that_is_not_there_says_what_to_do(tmp_path):
    with pytest.raises(MissingInput, match=r"manifest.tsv does not exist: build the corpus first"):
        read_corpus(tmp_path)


def test_a_broken_signal_file_is_named(dataset, tmp_path):
    build_corpus([dataset], tmp_path / "corpus")
    recording = read_corpus(tmp_path / "corpus")[0]
    next((tmp_path / "corpus/recordings").glob(recording.source)).write_bytes(b"\x93NUMPY")
    with pytest.raises(DataError, match=r"\.npy cannot be read .*build the corpus again"):
        _ = recording.signal
