"""Cohorts of the benchmarks: recordings, training participants and targets.

Recordings are compiled once into a corpus in the cache folder, which identifies them by
checksum and reads fast. Raw EEG goes through brainfm's own cleaning first.
"""

import argparse
import hashlib
import logging
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.config import EegConfig
from brainfm.errors import UsageError
from brainfm.recording import RecordingTable
from brainfm.stages.corpus.build import build_corpus
from brainfm.stages.preprocess.eeg import preprocess_eeg
from brainfm.storage.corpus.recordings import read_corpus

log = logging.getLogger("brainfm")

#: Seconds of EEGMAT: rest is three times longer than arithmetic; the middle is compared.
EEGMAT_S = 55
#: With fewer held-back people than this, all are tested, with a note.
FEWEST_HELD_BACK = 20


@dataclass(frozen=True)
class Task:
    """One thing to read from the recordings.

    Parameters
    ----------
    title : str
    y : ndarray of float, shape (n_rows,)
    classes : ndarray of int, shape (n_rows,)
        What folds and episodes balance: ``y``, or whether it is above its median.
    """

    title: str
    y: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class Cohort:
    """The people of one dataset.

    Parameters
    ----------
    name : {"abide", "eegmat", "adhd"}
    root : path
        The dataset, with ``participants.tsv``.
    table : RecordingTable
    sites : ndarray of str, shape (n_rows,)
        Scores compare people of one site only; one site where a dataset has none.
    seen : ndarray of bool, shape (n_rows,)
        Whether the checkpoint was trained on this person (without labels).
    tasks : tuple of Task
    nuisance : ndarray of float, shape (n_rows, n_nuisances) or None
        Head motion and length of the scan.
    key : str
        Changes with the content of any recording, and who was seen.
    """

    name: str
    root: Path
    table: RecordingTable
    sites: np.ndarray
    seen: np.ndarray
    tasks: tuple
    nuisance: np.ndarray | None
    key: str

    @property
    def modality(self):
        """ "bold" or "eeg"."""
        return self.table.recordings[0].modality

    @property
    def groups(self):
        """Person of each row."""
        return self.table.groups

    @property
    def test_rows(self):
        """Rows scores are computed on: of people not seen, or all if those are too few."""
        return np.flatnonzero(~self.seen) if self.enough else np.arange(len(self.seen))

    @property
    def enough(self):
        """Whether enough people were held back."""
        return len(set(self.groups[~self.seen])) >= FEWEST_HELD_BACK

    @property
    def at_new_site(self):
        """Rows of sites without a participant in training."""
        return ~self.seen & ~np.isin(self.sites, self.sites[self.seen])


def arguments_of(doc, *, checkpoint=True):
    """Read the command line of a benchmark.

    Parameters
    ----------
    doc : str
        Docstring of the script; its first line describes it.
    checkpoint : bool
        Whether a checkpoint is named first.

    Returns
    -------
    arguments : Namespace
        ``data`` (dict of dataset to folder), ``cache``, ``out``, and ``checkpoint``.

    Raises
    ------
    UsageError
        If a dataset is not given as NAME=FOLDER.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    if checkpoint:
        parser.add_argument("checkpoint")
    parser.add_argument("data", nargs="+", help="abide|eegmat|adhd=FOLDER")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if wrong := [item for item in arguments.data if "=" not in item]:
        raise UsageError(f"{wrong[0]!r} is no NAME=FOLDER, such as abide=data/abide-cc200.")
    arguments.data = dict(item.split("=", 1) for item in arguments.data)
    return arguments


def load_cohort(name, root, cache, checkpoint):
    """Read one dataset and what is known of its people.

    Parameters
    ----------
    name : {"abide", "eegmat", "adhd"}
    root : path
        Dataset of parcel series or clean EEG; of ADHD, the raw dataset.
    cache : path
    checkpoint : Checkpoint

    Raises
    ------
    UsageError
        If ``name`` is unknown.
    """
    if name not in ("abide", "eegmat", "adhd"):
        raise UsageError(f"dataset is {name!r}; expected abide, eegmat or adhd.")
    root = Path(root)
    if list(root.glob("sub-*/eeg/*_eeg.edf")):
        root = clean_dataset(root, Path(cache) / f"clean-{name}")
    corpus = build_corpus([root], Path(cache) / f"corpus-{name}").parent
    recordings = read_corpus(corpus)
    if name == "eegmat":
        recordings = [middle(one, EEGMAT_S) for one in recordings]
    table = RecordingTable.from_recordings(recordings)
    seen = np.array(checkpoint.seen_in_training(table.groups))
    people = pd.read_csv(root / "participants.tsv", sep="\t", dtype={"participant_id": str})
    people = people.set_index(people["participant_id"].str.removeprefix("sub-"))
    people = people.loc[[row[0].participant for row in table]]
    content = "".join(one.source + str(one.shape) for one in table.recordings)
    content += "".join(map(str, seen.astype(int)))
    return Cohort(
        name=name,
        root=root,
        table=table,
        sites=people["site"].to_numpy(str) if "site" in people else np.full(len(table), "one"),
        seen=seen,
        tasks=tuple(_tasks(name, table, people)),
        nuisance=people[["mean_fd", "n_volumes", "repetition_time"]].to_numpy(float)
        if name == "abide"
        else None,
        key=hashlib.sha256(content.encode()).hexdigest()[:16],
    )


def corpus_of(cohorts, modality):
    """Return the recordings of one modality whose people the checkpoint was trained on."""
    return RecordingTable(
        row
        for cohort in cohorts
        if cohort.modality == modality
        for row, seen in zip(cohort.table, cohort.seen, strict=True)
        if seen
    )


def clean_dataset(raw_root, out_dir):
    """Clean all raw EEG of a dataset once; a run that was done is not done again.

    Returns
    -------
    out_dir : Path
    """
    for raw in sorted(Path(raw_root).glob("sub-*/eeg/*_eeg.edf")):
        stem = raw.name.removesuffix("_eeg.edf")
        folder = out_dir / raw.parent.parent.name / "eeg"
        if not (folder / f"{stem}_desc-preproc_eeg.vhdr").exists():
            preprocess_eeg(raw, out_dir, EegConfig(), seed=0)
    for name in ("dataset_description.json", "participants.tsv"):
        shutil.copy(Path(raw_root) / name, out_dir / name)
    return out_dir


def middle(recording, length_s):
    """Keep the middle of a recording."""
    n_kept = round(length_s * recording.sampling_hz)
    return stretch(recording, (recording.shape[0] - n_kept) // 2, n_kept)


def stretch(recording, first, n_kept):
    """Keep ``n_kept`` samples from ``first``, read lazily."""
    part = _Part(recording.read, first, first + n_kept)
    return replace(recording, read=part, shape=(n_kept, recording.shape[1]))


@dataclass(frozen=True)
class _Part:
    """Reads a stretch of a recording."""

    read: object
    start: int
    stop: int

    def __call__(self):
        return self.read()[self.start : self.stop]


def _tasks(name, table, people):
    if name == "eegmat":
        yield _classes(
            "EEGMAT rest or arithmetic",
            np.array([row[0].task == "arithmetic" for row in table]),
        )
    elif name == "adhd":
        yield _classes("ADHD diagnosis", (people["group"] == "adhd").to_numpy())
    else:
        age = people["age"].to_numpy(float)
        yield _classes("ABIDE diagnosis", (people["diagnosis"] == "ASD").to_numpy())
        yield _classes("ABIDE sex", (people["sex"] == "F").to_numpy())
        yield Task("ABIDE age", age, (age > np.median(age)).astype(int))


def _classes(title, is_one):
    return Task(title, is_one.astype(float), is_one.astype(int))
