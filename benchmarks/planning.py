"""Planning: seconds and memory of ``brainfm ... participant --dry-run`` over the participants.

    python benchmarks/planning.py [--out benchmarks/results]

Writes ``planning.tsv``. A dataset of one T1w image and three BOLD runs a participant, all with
valid headers, and one sidecar at the root is made in a temporary folder; the real command plans
all participants, and one of them. The search for raw runs is compared with PyBIDS on
300 participants. Each figure is of a process of its own, imports included.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from brainfm.files import write_json, write_tsv

PEOPLE = (100, 500, 1000, 5000)
PEOPLE_OF_PYBIDS = 300
SIDECAR = {"RepetitionTime": 2.0, "TaskName": "rest", "SliceTiming": [0.0, 1.0, 0.5, 1.5]}

WALKER = """
import sys
from brainfm.storage.bids.query import participants_of, raw_runs
print(len(raw_runs(sys.argv[1], participants=participants_of(sys.argv[1]))))
"""
PYBIDS = """
import sys
from bids import BIDSLayout
layout = BIDSLayout(sys.argv[1])
files = layout.get(suffix=["T1w", "bold", "eeg"], extension=[".nii.gz"])
print(len([(file.path, file.get_metadata()) for file in files]))
"""


def main():
    """Measure and write the table."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measure(Path(folder)))
    table = pd.DataFrame(rows, columns=["command", "participants", "seconds", "peak_gb"])
    print(table.to_string(index=False))
    write_tsv(Path(arguments.out) / "planning.tsv", table)


def measure(folder):
    """Time each command on a dataset that grows.

    Parameters
    ----------
    folder : Path
        Empty folder for the dataset.

    Yields
    ------
    row : tuple of (str, int, float, float)
        Command, participants, seconds and peak memory in GB.
    """
    raw, written = folder / "raw", 0
    plan = [sys.executable, "-m", "brainfm", str(raw), str(folder / "out"), "participant"]
    plan += ["--dry-run", "--fmri-engine", "builtin"]
    for count in sorted({*PEOPLE, PEOPLE_OF_PYBIDS}):
        write_dataset(raw, range(written + 1, count + 1))
        written = count
        if count in PEOPLE:
            yield "brainfm --dry-run", count, *time_process(plan)
        if count == PEOPLE_OF_PYBIDS:
            for name, code in {"raw_runs": WALKER, "BIDSLayout": PYBIDS}.items():
                yield name, count, *time_process([sys.executable, "-c", code, str(raw)])
    one = [*plan, "--participant-label", "0001"]
    yield "brainfm --dry-run --participant-label 0001", written, *time_process(one)


def write_dataset(raw, numbers):
    """Write participants into a dataset, and its root where there is none.

    Parameters
    ----------
    raw : Path
    numbers : iterable of int
        Participants to write.
    """
    write_json(raw / "dataset_description.json", {"Name": "planning", "BIDSVersion": "1.10.0"})
    write_json(raw / "task-rest_bold.json", SIDECAR)
    t1w, bold = _image((4, 4, 4)), _image((4, 4, 4, 10))
    for number in numbers:
        label = f"sub-{number:04d}"
        for name in ("anat", "func"):
            (raw / label / name).mkdir(parents=True)
        (raw / label / "anat" / f"{label}_T1w.nii.gz").write_bytes(t1w)
        for run in (1, 2, 3):
            name = f"{label}_task-rest_run-{run}_bold.nii.gz"
            (raw / label / "func" / name).write_bytes(bold)


def time_process(command):
    """Run a command.

    Parameters
    ----------
    command : list of str

    Returns
    -------
    seconds : float
    peak_gb : float
        Largest resident memory, in GB (1e9 bytes).
    """
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    if status:
        raise SystemExit(f"{command} ended with {os.waitstatus_to_exitcode(status)}.")
    return round(seconds, 2), round(usage.ru_maxrss * 1024 / 1e9, 3)


def _image(shape):
    image = nib.Nifti1Image(np.zeros(shape, np.uint8), np.eye(4))
    with tempfile.TemporaryDirectory() as folder:
        nib.save(image, Path(folder) / "image.nii.gz")
        return (Path(folder) / "image.nii.gz").read_bytes()


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=Path(__file__).parent / "results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
