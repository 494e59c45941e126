"""Run both levels of brainfm on the demonstration dataset: ``python -m brainfm.demo FOLDER``."""

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path

from brainfm.demo.dataset import copy_demo

_QUESTION = ("--contrast", "eyesopen", "eyesclosed")
_STEPS = ("--steps", "corpus", "pretrain", "evaluate", "report")


def main(argv=None):
    """Copy the demonstration dataset, run both levels on it and print the paths of the reports.

    Parameters
    ----------
    argv : list of str, optional
        Working folder (default ``out/demo``), and options of both levels after it.

    Returns
    -------
    exit_code : int
    """
    parser = argparse.ArgumentParser(
        prog="python -m brainfm.demo",
        description="Run both levels of brainfm on the demonstration dataset.",
    )
    parser.add_argument("folder", nargs="?", default="out/demo", help="default: out/demo")
    parser.add_argument("options", nargs="...", help="options of both levels; see brainfm --help")
    known = parser.parse_args(argv)
    bids_dir, output_dir = Path(known.folder) / "bids", Path(known.folder) / "brainfm"
    start = time.monotonic()
    print(f"The demo dataset is in {bids_dir}", flush=True)
    copy_demo(bids_dir)
    codes = [
        _run_brainfm(bids_dir, output_dir, "participant", *known.options),
        _run_brainfm(bids_dir, output_dir, "group", *_QUESTION, *_STEPS, *known.options),
    ]
    print(f"\nThe demo took {time.monotonic() - start:.0f} s. Reports:")
    for report in sorted(output_dir.glob("*.html")):
        print(f"  {report.absolute()}")
    return next((code for code in codes if code), 0)


def _run_brainfm(*words):
    """Run one level in a separate process, as on the command line."""
    words = [str(word) for word in words]
    print(f"\n$ brainfm {shlex.join(words)}", flush=True)
    return subprocess.run([sys.executable, "-m", "brainfm", *words], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
