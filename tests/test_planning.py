"""Planning is linear in the participants, and one participant is planned without the others."""

import cProfile
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from skeleton import write

from brainfm.config import BoldConfig, RunConfig, Settings
from brainfm.stages.query import plan
from brainfm.stages.query.plan import plan_participant
from brainfm.stages.query.validate import preflight

SETTINGS = Settings(bold=BoldConfig(fmri_engine="builtin"))
TWO = replace(SETTINGS, run=RunConfig(participant_label=("0001", "0002")))
SIZES = (20, 50, 200)


@pytest.fixture(scope="module")
def write_dataset():
    sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
    from planning import write_dataset

    sys.path.pop(0)
    return write_dataset


@pytest.fixture(scope="module")
def raw(write_dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("planning") / "raw"
    write_dataset(folder, range(1, SIZES[0] + 1))
    return folder


def plan_all(raw, out, settings=SETTINGS):
    checks = preflight(raw, out, settings)
    assert not checks.problems
    given = {"settings": settings, "engine": "builtin", "model": lambda: "x"}
    return {
        label: plan_participant(out, checks.runs_by_participant[label], **given)
        for label in checks.participants
    }


def count_calls(function, *arguments):
    """Count the calls of Python and C functions while a function runs."""
    profile = cProfile.Profile()
    profile.runcall(function, *arguments)
    return sum(entry.callcount for entry in profile.getstats())


def test_calls_grow_in_proportion_to_the_participants(raw, write_dataset, tmp_path):
    plan_all(raw, tmp_path / "out")  # imports and caches
    calls, written = [], SIZES[0]
    for size in SIZES:
        write_dataset(raw, range(written + 1, size + 1))
        written = size
        calls.append(count_calls(plan_all, raw, tmp_path / "out"))
    growth = (calls[2] - calls[1]) / (calls[1] - calls[0])
    assert growth == pytest.approx((SIZES[2] - SIZES[1]) / (SIZES[1] - SIZES[0]), rel=0.02)


_RECORD_AND_RUN = """
import json, sys
opened = []
def record(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and arguments and arguments[0]:
        opened.append(str(arguments[0]))
sys.addaudithook(record)
from brainfm.cli.run import main
code = main(sys.argv[1:])
print(json.dumps({"code": code, "opened": opened, "modules": list(sys.modules)}))
"""


def test_one_participant_is_planned_without_opening_another_or_importing_torch(raw, tmp_path):
    words = [str(raw), str(tmp_path / "out"), "participant", "--dry-run", "--participant-label"]
    command = [sys.executable, "-c", _RECORD_AND_RUN, *words, "0002", "--fmri-engine", "builtin"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0
    inside = {path for path in found["opened"] if path.startswith(str(raw / "sub-"))}
    assert str(raw / "sub-0002" / "func") in inside
    assert all(path.startswith(str(raw / "sub-0002")) for path in inside)
    heavy = {"torch", "sklearn", "nilearn", "mne", "bids", "nipype"}
    assert not heavy & set(found["modules"])


class TestHashing:
    @pytest.fixture
    def hashed(self, monkeypatch):
        runs = []
        original = plan.key_of_source
        monkeypatch.setattr(
            plan, "key_of_source", lambda run, others: runs.append(run) or original(run, others)
        )
        return runs

    def test_nothing_is_hashed_without_an_earlier_call(self, raw, tmp_path, hashed):
        plans = plan_all(raw, tmp_path / "out", TWO)
        assert not hashed
        assert all(one.preprocess and one.embed for own in plans.values() for one in own)

    def test_only_runs_with_results_are_hashed(self, raw, tmp_path, hashed):
        name = "sub-0001_task-rest_run-2_bold"
        entries = {name: {"outputs": {"sub-0001/func/x_embedding.npy": "0"}, "keys": {}}}
        write(tmp_path / "out" / "sub-0001" / "status.json", {"recordings": entries})
        plan_all(raw, tmp_path / "out", TWO)
        assert [run.name for run in hashed] == [name]

    def test_keys_are_computed_once_when_they_are_needed(self, raw, tmp_path, hashed):
        run_plan = plan_all(raw, tmp_path / "out", TWO)["0001"][0]
        assert set(run_plan.keys) == {"source", "preprocessed", "embedded"}
        assert run_plan.keys == run_plan.keys
        assert len(hashed) == 1


def test_each_image_is_opened_by_nibabel_once(raw, tmp_path, monkeypatch):
    import nibabel as nib

    opened, load = [], nib.load
    monkeypatch.setattr(nib, "load", lambda path: opened.append(os.fspath(path)) or load(path))
    preflight(raw, tmp_path / "out", TWO)
    images = [path for path in opened if path.startswith(str(raw))]
    assert len(images) == len(set(images)) > 0
