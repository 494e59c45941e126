"""Copy the demonstration dataset out of the package: two real people and a synthetic one."""

import logging
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import pandas as pd

from brainfm.demo.synthetic_dataset import (
    synthetic_participant,
    write_synthetic_dataset,
    write_synthetic_participant,
)
from brainfm.errors import CannotCreateOutput
from brainfm.files import atomic, write_tsv

__all__ = ["copy_demo", "synthetic_participant", "write_synthetic_dataset"]

logger = logging.getLogger("brainfm")


def copy_demo(dest, *, seed=0):
    """Copy the real part of the demonstration dataset and add the synthetic participant.

    ``participants.tsv`` is written last: where it lists all three, nothing is done again.

    Parameters
    ----------
    dest : path
        Folder of the dataset; made when it is not there.
    seed : int
        Seed of the synthetic participant.

    Returns
    -------
    dest : Path

    Raises
    ------
    CannotCreateOutput
        If ``dest`` holds files of something else.
    """
    dest = Path(dest)
    if _is_complete(dest):
        logger.info("the demonstration dataset is already in %s", dest)
        return dest
    _check_is_ours(dest)
    logger.info("copying sub-bold01 and sub-eeg01 (real) to %s", dest)
    with as_file(files("brainfm") / "data" / "demo") as source:
        _copy_files(source, dest)
        people = pd.read_csv(source / "participants.tsv", sep="\t")
    logger.info("computing sub-synthetic01 (synthetic)")
    person = synthetic_participant(seed=seed, size="demo")
    row = write_synthetic_participant(dest, person, "synthetic01")
    row["description"] = "T1w, and BOLD and EEG recorded together, all computed; no person"
    write_tsv(dest / "participants.tsv", pd.concat([people, pd.DataFrame([row])]))
    return dest


def _is_complete(dest):
    table = dest / "participants.tsv"
    return table.is_file() and "sub-synthetic01" in table.read_text(encoding="utf8")


def _check_is_ours(dest):
    known = {path.name for path in (files("brainfm") / "data" / "demo").iterdir()}
    known.add("sub-synthetic01")
    strange = sorted({path.name for path in dest.iterdir()} - known) if dest.is_dir() else []
    if strange:
        raise CannotCreateOutput(
            f"{dest} already holds {strange[0]}, which is not of the demonstration dataset: "
            "name an empty or a new folder."
        )


def _copy_files(source, dest):
    for path in sorted(source.rglob("*")):
        if path.is_file() and path != source / "participants.tsv":
            with atomic(dest / path.relative_to(source)) as partial:
                shutil.copyfile(path, partial)
