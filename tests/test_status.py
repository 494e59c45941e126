"""Locks, keys and the status file."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from skeleton import write, write_mri, write_skeleton

from brainfm.config import BoldConfig, EegConfig, RunConfig, Settings
from brainfm.errors import CannotCreateOutput, TemporaryFailure
from brainfm.storage import lock as lock_module
from brainfm.storage.bids.query import raw_runs
from brainfm.storage.derivatives import status as status_module
from brainfm.storage.derivatives.status import (
    assign_outputs,
    is_intact,
    key_of_settings,
    key_of_source,
    read_status,
    sha256_of,
    status_to_show,
    write_status,
)
from brainfm.storage.lock import WorkLock


class TestLock:
    def test_it_is_held_by_one_and_free_again_after_release(self, tmp_path):
        lock = WorkLock(tmp_path, "sub-01").acquire()
        with pytest.raises(TemporaryFailure, match=rf"by process {os.getpid()} on .* or remove"):
            WorkLock(tmp_path, "sub-01").acquire()
        WorkLock(tmp_path, "sub-02").acquire().release()
        lock.release()
        WorkLock(tmp_path, "sub-01").acquire().release()

    def test_the_lock_of_a_dead_process_is_taken_over(self, tmp_path):
        code = (
            "import os, sys; from brainfm.storage.lock import WorkLock\n"
            "WorkLock(sys.argv[1], 'sub-01').acquire(); os._exit(9)"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
        lock = WorkLock(tmp_path, "sub-01")
        assert lock.path.is_file()
        assert not lock.is_held
        lock.acquire().release()

    def test_the_lock_of_another_machine_counts_as_long_as_it_is_touched(self, tmp_path):
        path = WorkLock(tmp_path, "sub-01").path
        write(path, {"pid": 1, "host": "node7", "boot": "x", "namespace": 1, "started": "1"})
        with pytest.raises(TemporaryFailure, match="process 1 on node7"):
            WorkLock(tmp_path, "sub-01").acquire()
        long_ago = time.time() - lock_module.STALE_AFTER_S - 1
        os.utime(path, (long_ago, long_ago))
        WorkLock(tmp_path, "sub-01").acquire().release()

    def test_a_lock_taken_over_by_another_is_not_released_by_the_first(self, tmp_path):
        lock = WorkLock(tmp_path, "sub-01").acquire()
        write(lock.path, {"pid": 1, "host": "node7"})
        lock.release()
        assert lock.path.is_file()

    def test_a_file_is_locked_by_one_thread_at_a_time(self, tmp_path):
        held, most = [], []

        def work(number):
            with lock_module.exclusive(tmp_path / "new" / ".lock"):
                held.append(number)
                most.append(len(held))
                time.sleep(0.01)
                held.remove(number)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(work, range(8)))
        assert most == [1] * 8

    def test_a_folder_that_cannot_be_written_cannot_be_locked(self, tmp_path):
        (tmp_path / "file").write_text("")
        with (
            pytest.raises(CannotCreateOutput, match=r"cannot be locked .*: choose a folder"),
            lock_module.exclusive(tmp_path / "file" / ".lock"),
        ):
            pass


class TestKeys:
    def key(self, raw, name="sub-01_task-rest_eeg", **sections):
        runs = raw_runs(raw, participants=["01"])
        run = next(run for run in runs if run.name == name)
        others = [runs[0].path] if run.modality == "bold" else []
        settings = key_of_settings(run.modality, Settings(**sections), "builtin")
        return key_of_source(run, others), settings

    @pytest.fixture
    def raw(self, tmp_path):
        return write_skeleton(tmp_path / "raw", ("01",))

    def test_a_key_does_not_depend_on_the_folder(self, raw, tmp_path):
        before = self.key(raw)
        raw.rename(tmp_path / "moved")
        assert self.key(tmp_path / "moved") == before

    def test_a_key_depends_on_settings_of_its_section_seed_and_sloppy(self, raw):
        before = self.key(raw)
        assert self.key(raw, eeg=EegConfig(low_pass_hz=40)) != before
        assert self.key(raw, run=RunConfig(random_seed=1)) != before
        assert self.key(raw, run=RunConfig(sloppy=True)) != before
        assert self.key(raw, bold=BoldConfig(n_dummy=1)) == before
        assert self.key(raw, run=RunConfig(nprocs=7, verbose=2)) == before

    def test_a_key_depends_on_the_sidecars(self, raw):
        before = self.key(raw)
        folder = raw / "sub-01" / "eeg"
        (folder / "sub-01_task-rest_events.tsv").write_text("onset\tduration\n1\t0\n")
        events = self.key(raw)
        (folder / "sub-01_electrodes.tsv").write_text("name\tx\ty\tz\n")
        assert len({before, events, self.key(raw)}) == 3

    def test_a_key_of_bold_depends_on_the_t1w_image(self, raw):
        name = "sub-01_task-rest_bold"
        before = self.key(raw, name)
        write_mri(raw, "01", task="other", seed=5)
        assert self.key(raw, name) != before


class TestOutputs:
    @pytest.fixture
    def raw_and_out(self, tmp_path):
        raw, out = tmp_path / "raw" / "sub-1", tmp_path / "out" / "sub-1"
        files = [raw / "func" / name for name in (
            "sub-1_task-a_bold.nii", "sub-1_task-a_run-2_bold.nii", "sub-1_dir-AP_task-b_bold.nii",
        )]  # fmt: skip
        files += [out / name for name in (
            "func/sub-1_task-a_desc-x_bold.nii", "func/sub-1_task-a_run-2_space-M_desc-x_bold.nii",
            "func/sub-1_task-a_run-3_desc-x_bold.nii", "func/sub-1_task-b_dir-AP_desc-x_bold.nii",
            "figures/sub-1_task-a_desc-carpet_bold.png", "figures/sub-1_task-a_desc-psd_eeg.png",
        )]  # fmt: skip
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        return raw.parent, out.parent

    def test_each_file_belongs_to_the_run_whose_entities_it_carries(self, raw_and_out):
        raw, out = raw_and_out
        runs = raw_runs(raw, participants=["1"])
        assert {run.stem: list(assign_outputs(out, run)) for run in runs} == {
            "sub-1_task-a": [
                "sub-1/figures/sub-1_task-a_desc-carpet_bold.png",
                "sub-1/func/sub-1_task-a_desc-x_bold.nii",
            ],
            "sub-1_task-a_run-2": ["sub-1/func/sub-1_task-a_run-2_space-M_desc-x_bold.nii"],
            "sub-1_dir-AP_task-b": ["sub-1/func/sub-1_task-b_dir-AP_desc-x_bold.nii"],
        }

    def test_each_file_is_hashed_once(self, raw_and_out, monkeypatch):
        raw, out = raw_and_out
        hashed = []
        monkeypatch.setattr(status_module, "sha256_of", lambda path: hashed.append(path) or "0")
        for run in raw_runs(raw, participants=["1"]):
            assign_outputs(out, run)
        assert len(hashed) == len(set(hashed)) == 4

    def test_changed_and_missing_files_are_noticed(self, tmp_path):
        (tmp_path / "a").write_text("1")
        outputs = {"a": sha256_of(tmp_path / "a")}
        assert is_intact(tmp_path, outputs)
        (tmp_path / "a").write_text("2")
        assert not is_intact(tmp_path, outputs)
        (tmp_path / "a").unlink()
        assert not is_intact(tmp_path, outputs)
        assert not is_intact(tmp_path, {})


class TestStatusFile:
    def test_it_is_read_as_written_with_state_and_version(self, tmp_path):
        status = read_status(tmp_path, "01")
        status["recordings"]["x"] = {"state": "done"}
        write_status(tmp_path, status, state="done")
        again = read_status(tmp_path, "01")
        assert again["state"] == "done"
        assert again["recordings"] == {"x": {"state": "done"}}
        assert again["brainfm_version"]

    def test_an_unlocked_running_status_is_shown_as_interrupted(self, tmp_path):
        recordings = {"a": {"state": "running"}, "b": {"state": "done"}}
        status = {"participant": "01", "recordings": recordings}
        write_status(tmp_path, status, state="running")
        lock = WorkLock(tmp_path, "sub-01").acquire()
        assert status_to_show(tmp_path, "01")["state"] == "running"
        lock.release()
        shown = status_to_show(tmp_path, "01")
        assert shown["state"] == shown["recordings"]["a"]["state"] == "interrupted"
        assert shown["recordings"]["b"]["state"] == "done"
        assert read_status(tmp_path, "01")["state"] == "running"

    @pytest.mark.parametrize("content", ["{", "[]", json.dumps({"recordings": 3})])
    def test_a_damaged_status_is_treated_as_missing(self, tmp_path, content):
        path = tmp_path / "sub-01" / "status.json"
        path.parent.mkdir()
        path.write_text(content)
        assert read_status(tmp_path, "01") == {"participant": "01", "recordings": {}}
