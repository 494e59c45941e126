"""The corpus: contents, concurrent jobs, interruptions and bad input."""

import errno
import multiprocessing
import os
import resource
import signal
import time

import numpy as np
import pytest
from derivatives import (
    holes,
    labels,
    stored,
    write_clean_eeg,
    write_dataset,
    write_series,
    write_two_datasets,
)

from brainfm import add_to_corpus, read_corpus, withdraw_participant
from brainfm.errors import (
    CannotCreateOutput,
    DataError,
    MissingInput,
    NothingSelected,
    ReadWriteFailed,
    SignalError,
)
from brainfm.files import atomic
from brainfm.models.encoder import windows
from brainfm.models.encoder.windows import prepare
from brainfm.recording import RecordingTable
from brainfm.stages.corpus import build as stage
from brainfm.stages.corpus.build import build_corpus
from brainfm.storage.corpus import recordings as storage
from brainfm.storage.corpus.manifest import read_manifest, signal_path, split_of
from brainfm.storage.derivatives.recordings import find_recordings
from brainfm.storage.lock import exclusive

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def corpus(tmp_path):
    return tmp_path / "corpus"


@pytest.fixture
def two(tmp_path):
    return write_two_datasets(tmp_path)


def in_processes(*calls):
    """Run calls at the same time, each in a process of its own."""
    ready = FORK.Barrier(len(calls))

    def run(call):
        ready.wait()
        call()

    jobs = [FORK.Process(target=run, args=(call,)) for call in calls]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0] * len(jobs)


def wait_for(condition, job):
    while not condition():
        assert job.is_alive()
        time.sleep(0.01)


class TestContent:
    def test_signals_and_layouts_are_those_of_the_datasets(self, two, corpus):
        add_to_corpus(two, corpus)
        found = {one.key: one for root in two for one in find_recordings(root, modality="bold")}
        assert len(read_corpus(corpus)) == 7
        for one in RecordingTable(read_corpus(corpus)[i : i + 1] for i in range(7)).recordings:
            if one.modality == "bold":
                other = found[one.key]
                np.testing.assert_array_equal(one.signal, other.signal)
                np.testing.assert_array_equal(one.positions, other.positions)
                assert one.sampling_hz == other.sampling_hz
                assert one.channels == other.channels

    def test_bad_channels_stay_masked(self, two, corpus):
        add_to_corpus(two, corpus)
        first = next(one for one in read_corpus(corpus) if one.modality == "eeg")
        assert list(first.mask) == [False, True, True, True, True]
        assert np.abs(first.signal).max() < 1e-3  # volts

    def test_the_manifest_describes_every_recording(self, two, corpus):
        frame = read_manifest(add_to_corpus(two, corpus).parent)
        assert set(frame["dataset"]) == {"One", "Second"}
        assert sorted(set(frame["modality"])) == ["bold", "eeg"]
        assert set(frame[frame["modality"] == "bold"]["layout"].str.split("-").str[0]) == {"X"}
        assert set(frame[frame["modality"] == "eeg"]["sampling_hz"]) == {128.0, 200.0}
        for row in frame.to_dict("records"):
            shape = np.load(signal_path(corpus, row)).shape
            assert (row["n_times"], row["n_channels"]) == shape
        one_file_each = {p.stem for p in (corpus / "recordings").iterdir()}
        assert len(one_file_each) == len(frame)

    def test_any_sampling_rate_and_atlas_gives_windows_of_one_shape(self, two, corpus):
        add_to_corpus(two, corpus)
        rng = np.random.default_rng(0)
        for one in read_corpus(corpus):
            signal, positions, _ = windows.random_crop(prepare(one), rng, max_channels=128)
            spec = windows.SPECS[one.modality]
            assert signal.shape[1:] == (spec.n_patches, spec.patch)
            assert len(signal) == len(positions)
            assert np.isfinite(signal).all()


class TestAdding:
    def test_adding_again_stores_nothing(self, two, corpus, monkeypatch):
        before = add_to_corpus(two, corpus).read_bytes()
        files = stored(corpus)
        monkeypatch.setattr(stage, "store_recording", None)
        assert add_to_corpus(two, corpus).read_bytes() == before
        assert stored(corpus) == files

    def test_any_order_gives_the_same_manifest(self, two, corpus, tmp_path):
        add_to_corpus(two[1], corpus)
        assert len(read_corpus(corpus)) == 2
        one_by_one = add_to_corpus(two[0], corpus).read_bytes()
        assert build_corpus(two, tmp_path / "other").read_bytes() == one_by_one

    def test_changed_recordings_replace_the_old_files(self, two, corpus):
        add_to_corpus(two, corpus)
        before = stored(corpus)
        write_series(two[0], "01", seed=99, tr_s=2.2)
        add_to_corpus(two[0], corpus)
        after = stored(corpus)
        assert len(after) == len(before)
        assert len(before.keys() - after.keys()) == 3  # signal, prepared, positions

    def test_a_change_of_other_files_of_a_recording_is_noticed(self, two, corpus):
        (two[0] / "participants.tsv").write_text("participant_id\tsite\nsub-01\tnorth\n")
        storage_rows = read_manifest(add_to_corpus(two, corpus).parent)
        write_clean_eeg(two[0], "01", places=1.02)
        rows = read_manifest(add_to_corpus(two, corpus).parent)
        assert (rows["checksum"] != storage_rows["checksum"]).tolist().count(True) == 1

    def test_labels_select_recordings(self, two, corpus):
        add_to_corpus(two, corpus, modality="eeg", participant="sub-01")
        assert labels(corpus) == {("One", "01", "rest", "eeg")}

    def test_building_removes_all_other_recordings(self, two, corpus):
        build_corpus(two, corpus)
        build_corpus(two[1:], corpus)
        assert {row[0] for row in labels(corpus)} == {"Second"}
        assert len(list((corpus / "recordings").iterdir())) == 2

    def test_refuses_a_run_under_a_second_atlas(self, two, corpus):
        add_to_corpus(two, corpus)
        write_series(two[0], "01", atlas="Y")
        with pytest.raises(DataError, match=r"atlas-X.* and .*atlas-Y.* have the same labels"):
            add_to_corpus(two, corpus)
        with pytest.raises(DataError, match=r"in the corpus with atlas X.* Select X with atlas="):
            add_to_corpus(two, corpus, atlas="Y")
        assert len(labels(corpus)) == 7


class TestSeveralJobs:
    def test_jobs_that_add_different_datasets_lose_nothing(self, tmp_path, corpus, monkeypatch):
        monkeypatch.setattr(stage, "_MERGE_EVERY", 1)  # many changes of the manifest
        roots = [
            write_dataset(tmp_path / name, name, [f"{n:02d}" for n in range(5)], n_channels=4)
            for name in ("A", "BB", "CCC", "DDDD")
        ]
        in_processes(*[lambda root=root: add_to_corpus(root, corpus) for root in roots])
        assert len(labels(corpus)) == 20
        alone = build_corpus(roots, tmp_path / "alone")
        assert (corpus / "manifest.tsv").read_bytes() == alone.read_bytes()
        for one in read_corpus(corpus):
            assert prepare(one).signal.shape == (4, 80)

    def test_jobs_that_add_one_dataset_store_it_once(self, two, corpus):
        in_processes(*[lambda: add_to_corpus(two, corpus)] * 3)
        assert len(labels(corpus)) == len(list((corpus / "recordings").iterdir())) == 7

    def test_a_participant_withdrawn_by_another_job_is_not_added(self, two, corpus, monkeypatch):
        build_corpus(two, corpus)
        monkeypatch.setattr(stage, "_MERGE_EVERY", 1)
        for path in two[0].rglob("*_timeseries.tsv"):
            path.write_text(path.read_text().replace("0.1", "0.2"))  # all must be stored again
        in_processes(
            lambda: withdraw_participant(corpus, "One", "01"),
            lambda: add_to_corpus(two[0], corpus),
            lambda: add_to_corpus(two[1], corpus),
        )
        assert not any(key[:2] == ("One", "01") for key in labels(corpus))
        assert len(labels(corpus)) == 5
        add_to_corpus(two, corpus)
        assert len(list((corpus / "recordings").iterdir())) == 5

    @pytest.mark.parametrize("n_stored", [0, 1, 3])
    def test_a_killed_job_is_resumed(self, two, corpus, tmp_path, monkeypatch, n_stored):
        write = storage.write_npy

        def wait(path, array):
            if len(list(path.parent.glob("*.npy"))) == n_stored:
                with atomic(path) as partial:
                    partial.write_bytes(b"half")
                    (tmp_path / "waiting").touch()
                    time.sleep(600)
            return write(path, array)

        monkeypatch.setattr(stage, "_MERGE_EVERY", 2)
        monkeypatch.setattr(storage, "write_npy", wait)
        job = FORK.Process(target=add_to_corpus, args=(two, corpus))
        job.start()
        wait_for((tmp_path / "waiting").exists, job)
        os.kill(job.pid, signal.SIGKILL)
        job.join()
        monkeypatch.undo()
        if n_stored == 3:
            assert len(read_corpus(corpus)) == 2  # the last good state
        whole = build_corpus(two, tmp_path / "whole")
        assert add_to_corpus(two, corpus).read_bytes() == whole.read_bytes()
        monkeypatch.setattr("brainfm.files._ABANDONED_AFTER_S", 0.0)
        add_to_corpus(two, corpus)
        assert {p.name for p in corpus.rglob("*")} == {p.name for p in whole.parent.rglob("*")}

    def test_a_killed_job_releases_its_lock(self, two, corpus):
        def hold():
            with exclusive(corpus / ".lock"):
                (corpus / "held").touch()
                time.sleep(600)

        corpus.mkdir()
        job = FORK.Process(target=hold)
        job.start()
        wait_for((corpus / "held").exists, job)
        os.kill(job.pid, signal.SIGKILL)
        add_to_corpus(two, corpus)
        job.join()
        assert len(labels(corpus)) == 7


class TestBadInput:
    def test_all_unusable_files_are_named_and_the_others_are_added(self, two, corpus):
        before = labels(add_to_corpus(two[1], corpus).parent)
        short = write_series(two[0], "01", n_times=4)
        empty = write_series(two[0], "02", edit=holes)
        write_clean_eeg(two[0], "02", scale=1e6)
        with pytest.raises(DataError) as refusal:
            add_to_corpus(two, corpus)
        said = str(refusal.value)
        assert "3 of 7 recordings cannot be used; the others are in the corpus" in said
        assert f"{short}: " in said
        assert "it is too short for this model" in said
        assert f"{empty}: " in said
        assert "all 20 are masked, constant or NaN" in said
        assert "brainfm takes EEG in volts: multiply by 1e-6" in said
        good = {("One", "03", "rest", "bold"), ("One", "01", "rest", "eeg")}
        assert labels(corpus) == before | good
        assert len(list((corpus / "recordings").iterdir())) == 4

    def test_bad_files_of_withdrawn_participants_are_skipped(self, two, corpus):
        add_to_corpus(two, corpus)
        write_series(two[0], "01", n_times=4)
        withdraw_participant(corpus, "One", "01")
        add_to_corpus(two, corpus)
        assert len(labels(corpus)) == 5

    @pytest.mark.parametrize(
        ("spoil", "error", "words"),
        [
            (lambda root: write_clean_eeg(root, "01", places=1000.0), SignalError,
             r"sub-01_task.*: a position lies .* metres, not millimetres"),
            (lambda root: write_series(root, "01", scale_mm=0.001), SignalError,
             r"sub-01_task.*: .*these look like metres: multiply by 1000"),
            (lambda root: (root / "sub-01/eeg/sub-01_electrodes.tsv").unlink(), MissingInput,
             r"no \*_electrodes.tsv for sub-01.*position of each electrode"),
            (lambda root: next(root.glob("sub-01/func/*.tsv")).write_text("p0\tp1\n"), DataError,
             r"sub-01.* 2 column names and 0 values in its first row"),
        ],
    )  # fmt: skip
    def test_an_invalid_description_changes_nothing(self, two, corpus, spoil, error, words):
        before = add_to_corpus(two, corpus).read_bytes()
        files = stored(corpus)
        spoil(two[0])
        with pytest.raises(error, match=words):
            add_to_corpus(two, corpus)
        assert (corpus / "manifest.tsv").read_bytes() == before
        assert stored(corpus) == files

    @pytest.mark.parametrize("which", ["recordings", "prepared", "manifest", "layouts"])
    def test_a_full_disk_keeps_the_last_good_state(self, two, corpus, monkeypatch, which):
        before = add_to_corpus(two[1], corpus).read_bytes()
        replace_file = os.replace

        def full(source, target):
            if which in str(target):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            replace_file(source, target)

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(ReadWriteFailed, match=r"No space left on device.*is the disk full\?"):
            add_to_corpus(two, corpus)
        monkeypatch.undo()
        assert (corpus / "manifest.tsv").read_bytes() == before
        assert all(np.isfinite(one.signal).all() for one in read_corpus(corpus))
        assert not list(corpus.rglob(".partial-*"))
        add_to_corpus(two, corpus)
        assert len(labels(corpus)) == 7

    @pytest.mark.parametrize("n_bytes", [100, 2000, 7000])
    def test_every_failed_write_is_reported(self, two, corpus, n_bytes):
        """The signals here have 6.5 kB, the prepared signals 7 kB, the manifest 1 kB."""
        before = add_to_corpus(two[1], corpus).read_bytes()

        def cramped():
            resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
            with pytest.raises(CannotCreateOutput, match=r"written .*File too large.* unchanged"):
                add_to_corpus(two, corpus)

        in_processes(cramped)
        assert (corpus / "manifest.tsv").read_bytes() == before
        assert not list(corpus.rglob(".partial-*"))

    def test_folders_without_recordings_are_named(self, tmp_path, corpus):
        (tmp_path / "data").mkdir()
        with pytest.raises(
            NothingSelected, match=r"no standardised recording under .*data is selected: run"
        ):
            add_to_corpus(tmp_path / "data", corpus)
        assert not corpus.exists()

    def test_a_missing_corpus_is_refused(self, tmp_path):
        with pytest.raises(MissingInput, match=r"manifest.tsv does not exist: build the corpus"):
            read_corpus(tmp_path)

    def test_a_damaged_signal_is_named_and_stored_again_after_removal(self, two, corpus):
        add_to_corpus(two, corpus)
        one = read_corpus(corpus)[0]
        path = corpus / "recordings" / one.source
        path.write_bytes(b"\x93NUMPY")
        with pytest.raises(DataError, match=r"\.npy cannot be read .*build the corpus again"):
            _ = one.signal
        path.unlink()
        add_to_corpus(two, corpus)
        assert np.isfinite(read_corpus(corpus)[0].signal).all()


def test_splits_depend_on_the_participant_only():
    people = [str(number) for number in range(2000)]
    splits = [split_of("data", label) for label in people]
    assert splits == [split_of("data", label) for label in people]
    assert 0.17 < splits.count("validation") / len(splits) < 0.23


def test_splits_have_different_participants(two, corpus):
    add_to_corpus(two, corpus)
    parts = {name: read_corpus(corpus, split=name) for name in ("train", "validation")}
    people = [{one.key[:2] for one in part} for part in parts.values()]
    assert not people[0] & people[1]
    assert sum(map(len, parts.values())) == 7
