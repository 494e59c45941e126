"""The main job on the demo dataset of the package: ``python -m brainfm.demo.__main__ [FOLDER]``."""

import shlex
import subprocess
import sys
import time
from pathlib import Path

_CONTRAST = ("eyesopen", "eyesclosed")


def main(argv=None):
    """Copy the demo dataset, run both levels on it, and say where the reports are.

    Parameters
    ----------
    argv : list of str, optional
        The folder to work in, ``out/demo`` when not given, and further options of both levels.

    Returns
    -------
    exit_code : int
    """
    folder, *options = (sys.argv[1:] if argv is None else argv) or ["out/demo"]
    bids_dir, output_dir = Path(folder) / "bids", Path(folder) / "brainfm"
    began = time.monotonic()
    _copy(bids_dir)
    codes = [
        _brainfm(bids_dir, output_dir, "participant", *options),
        _brainfm(bids_dir, output_dir, "group", "--contrast", *_CONTRAST, *options),
    ]
    print(f"\nThe demo took {time.monotonic() - began:.0f} s. Reports:")
    for report in sorted(output_dir.glob("*.html")):
        print(f"  {report.absolute()}")
    return next((code for code in codes if code), 0)


def _copy(bids_dir):
    from brainfm.demo.dataset import copy_demo

    print(f"The demo dataset is in {bids_dir}", flush=True)
    copy_demo(bids_dir)


def _brainfm(*words):
    """Run a level in a process of its own, as a user would."""
    words = [str(word) for word in words]
    print(f"\n$ brainfm {shlex.join(words)}", flush=True)
    return subprocess.run([sys.executable, "-m", "brainfm", *words], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
