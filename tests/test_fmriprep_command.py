"""The command that runs fMRIPrep, as its manual spells it."""

import stat

import pytest

from brainfm.errors import UsageError
from brainfm.interfaces.fmriprep import FMRIPrep


@pytest.fixture
def folders(tmp_path):
    for name in ("raw", "out", "work", "bin"):
        (tmp_path / name).mkdir()
    return tmp_path


def _program(folders, name):
    path = folders / "bin" / name
    path.write_text("#!/bin/sh\nexit 0\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _interface(folders, **inputs):
    return FMRIPrep(
        bids_dir=str(folders / "raw"),
        output_dir=str(folders / "out"),
        work_dir=str(folders / "work"),
        participant_label=["01", "02"],
        **inputs,
    )


def test_fmriprep_on_path_is_called_with_positional_arguments_first(folders, monkeypatch):
    monkeypatch.setenv("PATH", str(folders / "bin"))
    words = _interface(folders, nprocs=4, omp_nthreads=2).cmdline.split()
    assert words[:4] == ["fmriprep", str(folders / "raw"), str(folders / "out"), "participant"]
    text = " ".join(words)
    for option in (
        "--participant-label 01 02",
        f"-w {folders / 'work'}",
        "--nprocs 4",
        "--omp-nthreads 2",
        "--output-spaces MNI152NLin2009cAsym:res-2",
        "--fs-no-reconall",
        "--notrack",
    ):
        assert option in text


def test_apptainer_sees_the_input_read_only_and_the_output_writable(folders, monkeypatch):
    _program(folders, "apptainer")
    monkeypatch.setenv("PATH", str(folders / "bin"))
    command = _interface(folders, container="fmriprep.sif").cmdline
    raw, out = folders / "raw", folders / "out"
    assert command.startswith("apptainer run --cleanenv --containall ")
    assert f"-B {raw}:{raw}:ro" in command
    assert f"-B {out}:{out}:rw" in command
    assert f" fmriprep.sif {raw} {out} participant" in command


def test_docker_runs_as_the_calling_user(folders, monkeypatch):
    _program(folders, "docker")
    monkeypatch.setenv("PATH", str(folders / "bin"))
    command = _interface(folders, container="docker://nipreps/fmriprep:25.2.3").cmdline
    assert command.startswith("docker run --rm --user ")
    assert f" nipreps/fmriprep:25.2.3 {folders / 'raw'} " in command


def test_a_container_without_runtime_is_refused_with_advice(folders, monkeypatch):
    monkeypatch.setenv("PATH", str(folders / "bin"))
    with pytest.raises(UsageError, match=r"needs apptainer or singularity, and none is on PATH"):
        _ = _interface(folders, container="fmriprep.sif").cmdline
