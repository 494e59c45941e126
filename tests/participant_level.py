"""Status files and fixtures of the participant level with stand-in engines."""

import json

import pytest
from fake_engines import stand_ins
from skeleton import write_skeleton

from brainfm.cli.run import main


@pytest.fixture
def raw(tmp_path):
    return write_skeleton(tmp_path / "raw")


@pytest.fixture
def brainfm(raw, monkeypatch):
    """Function that runs the participant level in this process and returns its exit code."""
    for place, stand_in in stand_ins():
        monkeypatch.setattr(place, stand_in)
    for name in ("FAIL", "KILL", "WAIT_S", "REPORT_FAILS"):
        monkeypatch.delenv(f"BRAINFM_FAKE_{name}", raising=False)

    def run(*words, out=None, data=None, nprocs="1"):
        data, out = str(data or raw), str(out or raw.parent / "out")
        return main([data, out, "participant", "--nprocs", nprocs, *words])

    run.out = raw.parent / "out"
    return run


def status(out, label="01"):
    return json.loads((out / f"sub-{label}" / "status.json").read_text())


def state(out, name, label="01"):
    return status(out, label)["recordings"][name]["state"]
