"""Failures of steps: one structured value from the node to the exit code."""

import errno
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from fake_engines import Make
from nipype.pipeline.plugins.tools import create_pyscript

from brainfm.errors import (
    DataError,
    Failure,
    MissingInput,
    ReadWriteFailed,
    StepFailed,
    TemporaryFailure,
    is_disk_error,
    worst_exit_code,
)
from brainfm.files import write_text
from brainfm.interfaces.fmriprep import FMRIPrep
from brainfm.workflows.step import Step, read_failure, remove_failure


@pytest.fixture
def step(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINFM_FAKE_FAIL", "nothing")
    raw = write_text(tmp_path / "sub-01" / "eeg" / "sub-01_task-rest_eeg.edf", "signal")
    (tmp_path / "logs").mkdir()
    interface = Make(in_file=str(raw), out_dir=str(tmp_path), ending="_clean.txt")
    return Step(interface, name="clean", base_dir=str(tmp_path / "work"))


def raising(error):
    def run(interface, runtime):
        raise error

    return run


class TestRecord:
    @pytest.mark.parametrize(
        ("error", "exit_code"),
        [
            (DataError("flat"), 65),
            (TemporaryFailure("busy"), 75),
            (MemoryError("too large"), 75),
            (OSError(errno.ENOSPC, "No space left on device"), 74),
            (OSError(errno.EDQUOT, "Disk quota exceeded"), 74),
            (FileNotFoundError(errno.ENOENT, "No such file"), 1),
            (OSError("Duplicate node name clean found."), 1),
            (ValueError("No space left on device"), 1),
        ],
        ids=repr,
    )
    def test_it_holds_the_class_the_message_and_the_exit_code(
        self, step, monkeypatch, error, exit_code
    ):
        monkeypatch.setattr(Make, "_run_interface", raising(error))
        with pytest.raises(Exception, match="clean"):
            step.run()
        expected = Failure(
            error=type(error).__name__, message=str(error), exit_code=exit_code, step="clean"
        )
        assert read_failure(step) == expected
        assert "raise error" in read_failure(step).traceback

    def test_a_missing_output_is_recorded_with_the_error_of_nipype(self, step, monkeypatch):
        monkeypatch.setattr(
            Make, "_run_interface", lambda self, runtime: self._results.update(out_file="/gone")
        )
        with pytest.raises(Exception, match="clean"):
            step.run()
        assert read_failure(step).error != "NodeExecutionError"

    def test_an_error_of_nipype_outside_the_interface_is_recorded_too(self, step, monkeypatch):
        monkeypatch.setattr(
            "nipype.pipeline.engine.nodes.savepkl", raising(OSError(errno.ENOSPC, "full"))
        )
        with pytest.raises(OSError, match="full"):
            step.run()
        assert read_failure(step).exit_code == 74

    def test_a_job_of_a_cluster_leaves_the_same_record(self, step, monkeypatch):
        monkeypatch.setenv("BRAINFM_FAKE_FAIL", "sub-01")
        monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
        step.config = {"execution": {"matplotlib_backend": "Agg"}}
        done = subprocess.run([sys.executable, create_pyscript(step)], cwd=step.base_dir)
        assert done.returncode == 0
        failure = read_failure(step)
        assert (failure.error, failure.exit_code) == ("SignalError", 65)
        assert failure.message.startswith("sub-01_task-rest_eeg.edf is flat; expected a signal")

    def test_there_is_none_after_success_or_after_its_removal(self, step, monkeypatch):
        monkeypatch.setattr(Make, "_run_interface", raising(DataError("flat")))
        with pytest.raises(Exception, match="clean"):
            step.run()
        remove_failure(step)
        assert read_failure(step) is None
        monkeypatch.undo()
        step.run()
        assert read_failure(step) is None


def test_only_error_numbers_of_the_disk_make_a_disk_error():
    assert is_disk_error(OSError(errno.EROFS, "Read-only file system"))
    assert is_disk_error(ReadWriteFailed("x"))
    assert not is_disk_error(PermissionError(errno.EACCES, "No space left on device"))
    assert not is_disk_error(DataError("No space left on device"))


def test_a_temporary_failure_determines_the_exit_code_first():
    errors = [MissingInput("a"), ReadWriteFailed("b"), TemporaryFailure("c")]
    failures = [Failure.from_exception(error) for error in errors]
    codes = [worst_exit_code(failures[:number]) for number in range(4)]
    assert codes == [0, 1, 74, 75]


class TestFMRIPrep:
    def run(self, folder, monkeypatch, script):
        program = folder / "fmriprep"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        monkeypatch.chdir(folder)
        FMRIPrep(bids_dir=str(folder), output_dir=str(Path(folder) / "out")).run()

    def test_its_exit_code_and_last_lines_are_reported(self, tmp_path, monkeypatch):
        with pytest.raises(
            StepFailed, match=r"(?s)exit code 3; see its messages .*out.*no licence"
        ):
            self.run(tmp_path, monkeypatch, "echo no licence >&2; exit 3")

    def test_a_killed_program_is_a_temporary_failure(self, tmp_path, monkeypatch):
        with pytest.raises(TemporaryFailure, match="was killed, most likely because memory ran"):
            self.run(tmp_path, monkeypatch, "kill -9 $$")
