"""Add the standardised recordings of one or several datasets to a corpus."""

import hashlib
import logging
from pathlib import Path

from brainfm.errors import DataError, NothingSelected
from brainfm.storage.corpus.changes import merge_rows, remove_leftovers
from brainfm.storage.corpus.manifest import key_of, read_manifest, read_withdrawn, signal_path
from brainfm.storage.corpus.recordings import layout_name, masked_channels, store_recording
from brainfm.storage.derivatives.join_studies import join_studies
from brainfm.storage.derivatives.recordings import find_files, log_selection, read_recordings
from brainfm.storage.derivatives.selection import make_selection

log = logging.getLogger("brainfm")

#: Rows are merged in batches of this size; a killed job loses at most one batch.
_MERGE_EVERY = 50


def add_to_corpus(roots, corpus_dir, *, positions=None, **selected):
    """Add datasets to a corpus; the corpus is created if there is none.

    Unchanged recordings are not read again, changed ones are replaced, and other recordings of
    the corpus stay. Several jobs may add to one corpus at once, and the same call resumes after an
    interruption. Withdrawn participants are skipped, and what an exclusion list names is removed.

    Parameters
    ----------
    roots : path or list of path
        Output folders of the participant level, or other datasets of parcel time series
        (``*_atlas-<label>_timeseries.tsv``).
    corpus_dir : path
    positions : path, optional
        Table of the atlas (name, x, y, z in MNI millimetres) for time series without positions.
    **selected
        ``modality``, ``participant``, ``session``, ``task``, ``run``, ``atlas`` and other labels,
        ``bids_filter_file`` and ``exclude``: add only these recordings, see
        :func:`brainfm.load_recordings`.

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
        If two recordings have the same labels, if two datasets of one name may be different
        studies, or if recordings cannot be used (too short, no channel without NaN, not in
        volts). All of them are named, and the others are added.
    ReadWriteFailed
        If the disk is full; the corpus keeps its state after the last recordings that were added.
    """
    stored = _rows_of(corpus_dir)
    if any(row["study"] is None for row in stored):
        raise DataError(
            f"{corpus_dir} is a corpus of an earlier version of brainfm, which did not keep all "
            "labels of its recordings: build it again, in a new folder or with the group level."
        )
    selection = make_selection(**selected)
    recordings = _find(roots, positions, selection, stored)
    _add(recordings, corpus_dir, one_atlas=True)
    return merge_rows(corpus_dir, [], without=selection.exclusions)


def build_corpus(roots, corpus_dir, **selected):
    """Add datasets to a corpus and remove all other recordings from it.

    Parameters
    ----------
    roots, corpus_dir, **selected
        See :func:`add_to_corpus`, which also lists the errors.

    Returns
    -------
    manifest : Path
    """
    recordings = _find(roots, None, make_selection(**selected))
    return replace_corpus(recordings, corpus_dir)


def replace_corpus(recordings, corpus_dir):
    """Make a corpus of recordings and of no others.

    Parameters
    ----------
    recordings : list of Recording
        As :func:`brainfm.stages.corpus.included.included_recordings` returns them.
    corpus_dir : path

    Returns
    -------
    manifest : Path

    Raises
    ------
    DataError, ReadWriteFailed
        See :func:`add_to_corpus`.
    """
    check_labels(recordings)
    _add(recordings, corpus_dir, one_atlas=False)
    return merge_rows(corpus_dir, [], only={_key(one) for one in recordings})


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


def check_labels(recordings):
    """Refuse two recordings with the same labels.

    Parameters
    ----------
    recordings : list of Recording

    Raises
    ------
    DataError
        If there are two.
    """
    seen = {}
    for one in recordings:
        other = seen.setdefault(_key(one), one)
        if other is not one:
            raise DataError(
                f"{other.source} and {one.source} have the same labels: select one of them, for "
                "instance with atlas=, or give them different task, run or session labels."
            )


def _find(roots, positions, selection, stored=()):
    roots = [roots] if isinstance(roots, str | Path) else list(roots)
    paths, excluded = find_files(roots, selection)
    log_selection(roots, selection, excluded)
    if not paths:
        raise NothingSelected(
            f"no standardised recording under {', '.join(str(root) for root in roots)} is "
            "selected: run the participant level first, or change the selection."
        )
    recordings = join_studies(read_recordings(paths, positions), stored)
    check_labels(recordings)
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
            "corpus. Fix these, or name them in an exclusion list (--exclude FILE, exclude= in "
            "Python):\n" + "\n".join(problems)
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


def _rows_of(corpus_dir):
    """Rows of the manifest; none without a corpus."""
    is_new = not (Path(corpus_dir) / "manifest.tsv").exists()
    return [] if is_new else read_manifest(corpus_dir).to_dict("records")


def _known(corpus_dir):
    """Rows by key of the recordings whose signal exists; not those of earlier versions."""
    return {
        key_of(row): row
        for row in _rows_of(corpus_dir)
        if row["study"] is not None and signal_path(corpus_dir, row).exists()
    }


def _key(recording):
    return (*recording.key, recording.modality)
