"""The fMRIPrep node that the participant level builds, and a dataset for it to select from."""

import shlex
import stat
from pathlib import Path

import nibabel as nib
import numpy as np
from skeleton import write

from brainfm.cli.parser import parse_command
from brainfm.cli.settings import resolve_settings
from brainfm.stages.query.plan import plan_participant
from brainfm.stages.query.validate import preflight
from brainfm.workflows.participant import WorkflowContext, init_brainfm_wf

RUNS = ("task-rest_run-01", "task-rest_run-02", "task-nback")


def write_sessions(raw, sessions=("1", "2"), runs=RUNS):
    """Write a participant with a T1w image and several BOLD runs in each session."""
    write(raw / "dataset_description.json", {"Name": "sessions", "BIDSVersion": "1.8.0"})
    rng = np.random.default_rng(0)
    for session in sessions:
        stem = f"sub-01_ses-{session}"
        for name in (f"anat/{stem}_T1w", *(f"func/{stem}_{run}_bold" for run in runs)):
            path = raw / "sub-01" / f"ses-{session}" / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            shape = (6, 6, 6) if name.endswith("T1w") else (6, 6, 6, 12)
            data = rng.integers(0, 1000, shape).astype(np.int16)
            image = nib.Nifti1Image(data, np.diag([8, 8, 8, 1]))
            image.header.set_xyzt_units("mm", "sec")
            image.header["pixdim"][4] = 2.0
            nib.save(image, path)
    for task in ("rest", "nback"):
        write(raw / f"task-{task}_bold.json", {"RepetitionTime": 2.0, "TaskName": task})
    return raw


def write_program(folder, name, script="exit 0"):
    """Write a program of the shell."""
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def fmriprep_node(raw, out, *words, nprocs=4, omp_nthreads=2, memory_gb=16.0):
    """Return the node of fMRIPrep of the only participant; options as on the command line."""
    words = [str(raw), str(out), "participant", "--fmri-engine", "fmriprep", *map(str, words)]
    settings, _, _ = resolve_settings(parse_command(words), {})
    checks = preflight(Path(raw), Path(out), settings)
    assert not checks.problems
    plans = {
        label: plan_participant(out, runs, engine=checks.engine, model=str, settings=settings)
        for label, runs in checks.runs_by_participant.items()
    }
    context = WorkflowContext(
        bids_dir=Path(raw), out_dir=Path(out), work_dir=settings.run.work_dir or Path(out) / "work",
        model_key="", nprocs=nprocs, omp_nthreads=omp_nthreads, memory_gb=memory_gb,
        settings=settings, derivatives=checks.derivatives,
    )  # fmt: skip
    workflow, _ = init_brainfm_wf(plans, context)
    (node,) = [node for node in workflow._get_all_nodes() if node.name == "fmriprep"]
    return node


def words_of(node):
    """Split the command line of a node as the shell does."""
    return shlex.split(node.interface.cmdline)


def value_of(words, option):
    """Return the values after an option, up to the next option."""
    rest = words[words.index(option) + 1 :]
    end = next((i for i, word in enumerate(rest) if word.startswith("-")), len(rest))
    return rest[:end]
