"""Copy the demonstration dataset of the package: two real participants and a synthetic one."""

import logging
import shutil
from importlib.resources import files
from pathlib import Path

import pandas as pd

from brainfm.demo.synthetic_dataset import write_synthetic_participant
from brainfm.demo.synthetic_participant import synthetic_participant
from brainfm.errors import CannotCreateOutput
from brainfm.files import atomic, read_tsv, write_tsv

_PACKAGED = Path(str(files("brainfm.data") / "demo"))
log = logging.getLogger("brainfm")


def copy_demo(dest, *, seed=0):
    """Copy the real participants of the demonstration dataset and add the synthetic one.

    ``participants.tsv`` is written last; a complete dataset is left unchanged.

    Parameters
    ----------
    dest : path
        Folder of the dataset; created if necessary.
    seed : int
        Seed of the synthetic participant.

    Returns
    -------
    dest : Path

    Raises
    ------
    CannotCreateOutput
        If ``dest`` holds other files.
    """
    dest = Path(dest)
    if _is_complete(dest):
        log.info("the demonstration dataset is already in %s", dest)
        return dest
    _check_no_other_files(dest)
    log.info("copying sub-bold01 and sub-eeg01 (real) to %s", dest)
    _copy_files(dest)
    log.info("simulating sub-synthetic01 (synthetic)")
    participant = synthetic_participant(seed=seed, size="demo")
    row = write_synthetic_participant(dest, participant, "synthetic01")
    row["description"] = "T1w, and BOLD and EEG recorded together, all computed; no person"
    real = read_tsv(_PACKAGED / "participants.tsv")
    write_tsv(dest / "participants.tsv", pd.concat([real, pd.DataFrame([row])]))
    return dest


def _is_complete(dest):
    table = dest / "participants.tsv"
    return table.is_file() and "sub-synthetic01" in table.read_text(encoding="utf8")


def _check_no_other_files(dest):
    known = {path.name for path in _PACKAGED.iterdir()} | {"sub-synthetic01"}
    other = sorted({path.name for path in dest.iterdir()} - known) if dest.is_dir() else []
    if other:
        raise CannotCreateOutput(
            f"{dest} contains {other[0]}, which is not part of the demonstration dataset: "
            "choose an empty or a new folder."
        )


def _copy_files(dest):
    for path in sorted(_PACKAGED.rglob("*")):
        if path.is_file() and path != _PACKAGED / "participants.tsv":
            with atomic(dest / path.relative_to(_PACKAGED)) as partial:
                shutil.copyfile(path, partial)
