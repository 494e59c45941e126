"""Time the start of the program: import, help, dry run of the demo dataset.

    python benchmarks/start.py [--repeats 5] [--out benchmarks/results/start.tsv]

Each command runs in a process of its own; the best of REPEATS wall times counts, since other work
on the machine only adds to it. The start of Python itself is part of each.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from brainfm.demo.dataset import copy_demo
from brainfm.files import write_tsv

LIMITS_S = {"import brainfm": 0.1, "brainfm --help": 0.15, "brainfm --dry-run": 3.0}


def best_time_s(command, repeats):
    """Time a command.

    Parameters
    ----------
    command : list of str
    repeats : int

    Returns
    -------
    seconds : float
        The shortest of all times.
    """
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    return min(times)


def main():
    """Time the three commands and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/start.tsv"))
    arguments = parser.parse_args()
    program = [sys.executable, "-m", "brainfm"]
    with tempfile.TemporaryDirectory() as folder:
        bids_dir = Path(folder) / "bids"
        copy_demo(bids_dir)
        commands = {
            "import brainfm": [sys.executable, "-c", "import brainfm"],
            "brainfm --help": [*program, "--help"],
            "brainfm --dry-run": [*program, str(bids_dir), f"{folder}/out", "participant",
                                  "--dry-run"],
        }  # fmt: skip
        rows = [
            {
                "command": name,
                "best_s": round(best_time_s(command, arguments.repeats), 3),
                "limit_s": LIMITS_S[name],
            }
            for name, command in commands.items()
        ]
    table = pd.DataFrame(rows)
    write_tsv(arguments.out, table)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
