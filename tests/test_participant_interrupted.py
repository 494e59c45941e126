"""Killed, stopped and simultaneous calls of the participant level. The engines are stand-ins."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_engines import calls
from participant_level import status

from brainfm.storage.lock import WorkLock

TESTS = Path(__file__).parent


class TestOneProcessPerParticipant:
    def test_a_locked_participant_is_skipped(self, brainfm, capsys):
        brainfm.out.mkdir()
        lock = WorkLock(brainfm.out, "sub-01").acquire()
        assert brainfm() == 75
        assert f"sub-01 is being processed by process {os.getpid()} on" in capsys.readouterr().err
        assert not (brainfm.out / "sub-01").exists()
        assert status(brainfm.out, "02")["state"] == "done"
        lock.release()
        assert brainfm() == 0


SCRIPT = """
import fake_engines, sys
fake_engines.install()
from brainfm.cli.run import main
sys.exit(main(sys.argv[1:]))
"""


class TestKilling:
    def start(self, raw, *words, **environment):
        command = [sys.executable, "-c", SCRIPT, str(raw), str(raw.parent / "out"), "participant"]
        return subprocess.Popen(
            [*command, *words],
            cwd=TESTS,
            env={key: value for key, value in {**os.environ, **environment}.items() if value},
            start_new_session=True,
            stderr=subprocess.PIPE,
            text=True,
        )

    @pytest.mark.parametrize("after", [2, 6])
    def test_a_rerun_finishes_after_a_kill_at_any_point(self, raw, brainfm, after):
        process = self.start(raw, "--nprocs", "2", BRAINFM_FAKE_WAIT_S="0.2")
        deadline = time.monotonic() + 60
        while len(calls(brainfm.out)) < after and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        done = {p: p.read_bytes() for p in (brainfm.out).glob("sub-*/*/*") if p.is_file()}
        kept = [
            name
            for label in ("01", "02")
            if (brainfm.out / f"sub-{label}" / "status.json").is_file()
            for name, entry in status(brainfm.out, label)["recordings"].items()
            if entry["state"] == "done"
        ]
        before = len(calls(brainfm.out))
        assert brainfm() == 0
        assert {p: p.read_bytes() for p in done} == done
        again = calls(brainfm.out)[before:]
        assert not [name for name in kept if name.endswith("_eeg") and f"{name}.edf" in again]
        assert status(brainfm.out)["state"] == status(brainfm.out, "02")["state"] == "done"
        assert not list(brainfm.out.rglob(".partial-*"))

    def test_a_stop_by_the_scheduler_ends_at_once_with_75_and_frees_the_locks(self, raw, brainfm):
        process = self.start(raw, "--nprocs", "2", BRAINFM_FAKE_WAIT_S="600")
        while len(calls(brainfm.out)) < 2:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=120)  # a busy machine ends nothing at once
        assert process.returncode == 75
        assert "stopped (SIGTERM); run the same command again" in said
        assert status(brainfm.out)["state"] == "failed"
        assert not list((brainfm.out / "logs" / "locks").iterdir())
        assert brainfm() == 0

    def test_different_participants_of_one_output_run_at_the_same_time(self, raw, brainfm):
        words = ["--nprocs", "1", "--participant-label"]
        fake = {"BRAINFM_FAKE_WAIT_S": "0.3", "HOME": ""}  # as in a container that hides it
        jobs = [self.start(raw, *words, label, **fake) for label in ("01", "02")]
        for job in jobs:
            _, said = job.communicate(timeout=60)
            assert job.returncode == 0, said
        assert brainfm("--dry-run") == 0
        assert status(brainfm.out)["state"] == status(brainfm.out, "02")["state"] == "done"

    def test_nothing_is_written_outside_output_and_work(self, raw, tmp_path):
        home = tmp_path / "home"
        home.mkdir()
        for path in [*raw.rglob("*"), raw]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        job = self.start(raw, "--nprocs", "1", "-w", str(tmp_path / "scratch"), HOME=str(home))
        assert job.wait(timeout=60) == 0, job.stderr.read()
        assert list(home.iterdir()) == []
        assert not (tmp_path / "out" / "work").exists()
