"""Add the standardised recordings of one or several datasets to a corpus."""

import hashlib
import logging
from itertools import combinations
from pathlib import Path

import numpy as np

from brainfm.errors import DataError, NothingSelected
from brainfm.storage.corpus.changes import merge_rows, remove_leftovers
from brainfm.storage.corpus.manifest import key_of, read_manifest, read_withdrawn, signal_path
from brainfm.storage.corpus.recordings import layout_name, masked_channels, store_recording
from brainfm.storage.derivatives.recordings import find_recordings

log = logging.getLogger("brainfm")

#: Rows are merged in batches of this size; a killed job loses at most one batch.
_MERGE_EVERY = 50
#: Samples at the start of a signal that are hashed to find candidates for duplicates.
_N_HASHED = 100


def add_to_corpus(roots, corpus_dir, *, positions=None, **labels):
    """Add datasets to a corpus; the corpus is created if there is none.

    Unchanged recordings are not read again, changed ones are replaced, and other recordings of
    the corpus stay. Several jobs may add to one corpus at once, and the same call resumes after an
    interruption. Withdrawn participants are skipped.

    Parameters
    ----------
    roots : path or list of path
        Output folders of the participant level, or other datasets of parcel time series
        (``*_atlas-<label>_timeseries.tsv``).
    corpus_dir : path
    positions : path, optional
        Table of the atlas (name, x, y, z in MNI millimetres) for time series without positions.
    **labels
        ``participant``, ``session``, ``task``, ``run``, ``atlas``, ``modality``: add only
        recordings with these labels.

    Returns
    -------
    manifest : Path
        ``manifest.tsv`` of the corpus, one row per recording.

    Raises
    ------
    NothingSelected
        If there is no standardised recording under any root.
    MissingInput
        If a folder or the positions of a recording do not exist.
    SignalError
        If positions have the wrong unit.
    DataError
        If two recordings have the same labels, or if recordings cannot be used (too short, no
        channel without NaN, not in volts). All of them are named, and the others are added.
    ReadWriteFailed
        If the disk is full; the corpus keeps its state after the last recordings that were added.
    """
    _add(_find(roots, positions=positions, **labels), corpus_dir, one_atlas=True)
    return merge_rows(corpus_dir, [])


def build_corpus(roots, corpus_dir):
    """Add datasets to a corpus and remove all other recordings from it.

    Parameters
    ----------
    roots, corpus_dir
        See :func:`add_to_corpus`, which also lists the errors.

    Returns
    -------
    manifest : Path
    """
    recordings = _find(roots)
    _add(recordings, corpus_dir, one_atlas=False)
    return merge_rows(corpus_dir, [], only={_key(one) for one in recordings})


def check_duplicates(manifest):
    """Refuse a corpus that has the same signal under two participants.

    Such a person would be in the training and in the test set.

    Parameters
    ----------
    manifest : path
        ``manifest.tsv`` of a corpus.

    Raises
    ------
    DataError
        If two participants have a recording with identical samples.
    """
    folder = Path(manifest).parent
    candidates = {}
    for row in read_manifest(folder).to_dict("records"):
        beginning = np.load(signal_path(folder, row), mmap_mode="r")[:_N_HASHED]
        shape = (row["n_times"], row["n_channels"], row["sampling_hz"])
        key = (shape, hashlib.sha256(beginning.tobytes()).digest())
        candidates.setdefault(key, []).append(row)
    pairs = sorted(pair for rows in candidates.values() for pair in _duplicates(folder, rows))
    if pairs:
        named = "; ".join(" and ".join(pair) for pair in pairs[:5])
        raise DataError(
            f"recordings of different participants are identical ({len(pairs)} in total: {named}). "
            "Each person must have one participant label: leave one of the datasets out, or "
            "withdraw one of the participants with brainfm.withdraw_participant."
        )


def _duplicates(folder, rows):
    """Yield the pairs of participants with identical signals."""
    for pair in combinations(rows, 2):
        names = [f"{row['dataset']}/{row['participant']}" for row in pair]
        signals = [np.load(signal_path(folder, row), mmap_mode="r") for row in pair]
        if names[0] != names[1] and np.array_equal(*signals, equal_nan=True):
            yield names


def source_checksum(recording):
    """Hash the files of a recording and its description in other files.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    checksum : str
    """
    path = Path(recording.source)
    described = (
        recording.site, recording.sampling_hz, layout_name(recording), masked_channels(recording),
    )  # fmt: skip
    digest = hashlib.sha256(repr(described).encode())
    for part in sorted(path.parent.glob(f"{path.stem}.*")):
        digest.update(part.read_bytes())
    return digest.hexdigest()[:32]


def _find(roots, **options):
    roots = [roots] if isinstance(roots, str | Path) else list(roots)
    recordings = [one for root in roots for one in find_recordings(root, **options)]
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
                f"{other.source} and {one.source} have the same labels: select one of them, for "
                "instance with atlas=, or give them different task, run or session labels."
            )
    return recordings


def _add(recordings, corpus_dir, *, one_atlas):
    remove_leftovers(corpus_dir)
    known, withdrawn = _known(corpus_dir), read_withdrawn(corpus_dir)
    if one_atlas:
        _check_atlas(recordings, known)
    wanted = [one for one in recordings if one.key[:2] not in withdrawn]
    rows, n_changed, problems = [], 0, []
    for one in wanted:
        checksum = source_checksum(one)
        if known.get(_key(one), {}).get("source_checksum") == checksum:
            continue
        try:
            rows.append(store_recording(corpus_dir, one, checksum))
            n_changed += 1
        except DataError as error:
            problems.append(f"{one.source}: {error}")
        if len(rows) == _MERGE_EVERY:
            merge_rows(corpus_dir, rows)
            rows = []
    merge_rows(corpus_dir, rows)
    log.info(
        "corpus: %d recordings found, %d of them new or changed, %d of withdrawn participants",
        len(recordings), n_changed, len(recordings) - len(wanted),
    )  # fmt: skip
    if problems:
        raise DataError(
            f"{len(problems)} of {len(wanted)} recordings cannot be used; the others are in the "
            "corpus. Fix or remove these, or withdraw the participants:\n" + "\n".join(problems)
        )


def _check_atlas(recordings, known):
    """Refuse a run under a second atlas, which would replace the first one."""
    for one in recordings:
        row = known.get(_key(one))
        new, stored = (
            name.split("-")[0] for name in (layout_name(one), row["layout"] if row else "")
        )
        if row and one.modality == "bold" and new != stored:
            raise DataError(
                f"{one.source}: this run is in the corpus with atlas {stored}, and a corpus holds "
                f"each run once. Select {stored} with atlas=, or make another corpus for {new}."
            )


def _known(corpus_dir):
    """Rows by key of the recordings whose signal exists."""
    if not (Path(corpus_dir) / "manifest.tsv").exists():
        return {}
    rows = read_manifest(corpus_dir).to_dict("records")
    return {key_of(row): row for row in rows if signal_path(corpus_dir, row).exists()}


def _key(recording):
    return (*recording.key, recording.modality)
