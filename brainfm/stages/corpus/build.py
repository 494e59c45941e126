"""Corpus: compile the standardised recordings of one or several datasets into one store."""

import hashlib
import logging
from itertools import combinations
from pathlib import Path

import numpy as np

from brainfm.errors import DataError, NothingSelected
from brainfm.storage.corpus import (
    key_of,
    layout_of,
    masked_of,
    merge_rows,
    read_manifest,
    read_withdrawn,
    signal_path,
    store_recording,
    sweep,
)
from brainfm.storage.derivatives.recordings import find_recordings

log = logging.getLogger("brainfm")

#: So many recordings at most are read again after a job was killed.
_MERGE_EVERY = 50
#: Samples by which recordings are told apart before they are compared whole.
_BEGINNING = 100


def add_to_corpus(roots, corpus_dir, *, positions=None, **labels):
    """Add datasets to a corpus, which is made if there is none.

    Recordings that are in it already are not read again, changed ones are replaced, and all
    others stay. Several jobs may add to one corpus at once; one that was stopped goes on where
    it was when it is called again. Withdrawn participants are left out.

    Parameters
    ----------
    roots : path or list of path
        Output folders of the participant level, or other datasets of parcel series
        (``*_atlas-<label>_timeseries.tsv``).
    corpus_dir : path
    positions : path, optional
        Table of the atlas (name, x, y, z in MNI millimetres) for series that name no positions.
    **labels
        ``participant``, ``session``, ``task``, ``run``, ``atlas``, ``modality``: add only these.

    Returns
    -------
    manifest : Path
        ``manifest.tsv`` of the corpus, one row a recording.

    Raises
    ------
    NothingSelected
        If there is no standardised recording under any root.
    MissingInput, SignalError
        If a folder or the positions of a recording are not there, or not in the right unit.
    DataError
        If two recordings have the same labels; or if some cannot be used (too short, no channel
        without NaN, not in volts): all of them are named, and the others are added.
    ReadWriteFailed
        If the disk is full; the corpus is as it was after the last recordings that went in.
    """
    _add(_find(roots, positions, **labels), corpus_dir, one_atlas=True)
    return merge_rows(corpus_dir, [])


def build_corpus(roots, corpus_dir, *, positions=None):
    """Make a corpus hold what is under ``roots`` and nothing else; see :func:`add_to_corpus`."""
    recordings = _find(roots, positions)
    _add(recordings, corpus_dir, one_atlas=False)
    return merge_rows(corpus_dir, [], only={_key(one) for one in recordings})


def check_twins(manifest):
    """Refuse one signal under two participants: it would be trained on and tested as two people.

    Parameters
    ----------
    manifest : path
        ``manifest.tsv`` of a corpus.

    Raises
    ------
    DataError
        If two participants share a recording, to the last sample.
    """
    folder = Path(manifest).parent
    rows, alike = read_manifest(folder).to_dict("records"), {}
    for row in rows:
        beginning = np.load(signal_path(folder, row), mmap_mode="r")[:_BEGINNING]
        shape = (row["n_times"], row["n_channels"], row["sampling_hz"])
        key = (shape, hashlib.sha256(beginning.tobytes()).digest())
        alike.setdefault(key, []).append(row)
    twins = [pair for same in alike.values() for pair in _twins_among(folder, same)]
    if twins:
        named = "; ".join(" and ".join(pair) for pair in sorted(twins)[:5])
        raise DataError(
            f"{len(twins)} recordings are the very same under different participants ({named}): "
            "one person must not count as two; leave one of the datasets out, or withdraw one of "
            "them with brainfm.withdraw_participant."
        )


def _twins_among(folder, rows):
    """Pairs of people with the same signal, among rows that begin alike."""
    for pair in combinations(rows, 2):
        people = [f"{row['dataset']}/{row['participant']}" for row in pair]
        signals = [np.load(signal_path(folder, row), mmap_mode="r") for row in pair]
        if people[0] != people[1] and np.array_equal(*signals, equal_nan=True):
            yield people


def source_checksum(recording):
    """Hash what a recording comes from: its files, and what other files tell of it."""
    path = Path(recording.source)
    described = (recording.site, recording.sampling_hz, layout_of(recording), masked_of(recording))
    digest = hashlib.sha256(repr(described).encode())
    for part in sorted(path.parent.glob(f"{path.stem}.*")):
        digest.update(part.read_bytes())
    return digest.hexdigest()[:32]


def _find(roots, positions, **labels):
    roots = [roots] if isinstance(roots, str | Path) else list(roots)
    recordings = [
        one for root in roots for one in find_recordings(root, positions=positions, **labels)
    ]
    if not recordings:
        raise NothingSelected(
            f"no standardised recording under {', '.join(str(root) for root in roots)}: run the "
            "participant level first."
        )
    seen = {}
    for one in recordings:
        other = seen.setdefault(_key(one), one)
        if other is not one:
            raise DataError(
                f"{other.source} and {one.source} have the same labels: choose one of them, for "
                "instance with atlas=, or give them different task, run or session labels."
            )
    return recordings


def _add(recordings, corpus_dir, *, one_atlas):
    sweep(corpus_dir)
    known, out = _known(corpus_dir), read_withdrawn(corpus_dir)
    if one_atlas:
        _check_atlas(recordings, known)
    wanted = [one for one in recordings if one.key[:2] not in out]
    rows, n_new, problems = [], 0, []
    for one in wanted:
        checksum = source_checksum(one)
        if known.get(_key(one), {}).get("source_checksum") == checksum:
            continue
        try:
            rows.append(store_recording(corpus_dir, one, checksum))
        except DataError as error:
            problems.append(f"{one.source}: {error}")
        n_new += 1
        if len(rows) == _MERGE_EVERY:
            merge_rows(corpus_dir, rows)
            rows = []
    merge_rows(corpus_dir, rows)
    log.info("corpus: %d recordings found, %d of them new or changed, %d of withdrawn people",
             len(recordings), n_new - len(problems), len(recordings) - len(wanted))  # fmt: skip
    _raise(problems, len(wanted))


def _raise(problems, n_wanted):
    if problems:
        raise DataError(
            f"{len(problems)} of {n_wanted} recordings cannot be used; the others are in the "
            "corpus. Mend or remove these, or withdraw the participants:\n" + "\n".join(problems)
        )


def _check_atlas(recordings, known):
    """Refuse a run under a second atlas: it would take the place of the first without a word."""
    for one in recordings:
        row = known.get(_key(one))
        here, there = (
            name.split("-")[0] for name in (layout_of(one), row["layout"] if row else "")
        )
        if row and one.modality == "bold" and here != there:
            raise DataError(
                f"{one.source}: this run is in the corpus with atlas {there}; a corpus holds a "
                f"run once. Choose {there} with atlas=, or make another corpus for {here}."
            )


def _known(corpus_dir):
    """Rows by key, of those recordings whose signal is there."""
    if not (Path(corpus_dir) / "manifest.tsv").exists():
        return {}
    rows = read_manifest(corpus_dir).to_dict("records")
    return {key_of(row): row for row in rows if signal_path(corpus_dir, row).exists()}


def _key(recording):
    return (*recording.key, recording.modality)
