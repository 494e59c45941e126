"""Changes of a corpus under its lock: add and remove rows, withdraw and readmit participants."""

import os
from contextlib import contextmanager
from pathlib import Path

from brainfm.files import remove_old_partial, write_json
from brainfm.storage.corpus.manifest import (
    key_of,
    participant_prefix,
    read_manifest,
    read_withdrawn,
    signal_name,
    write_manifest,
    write_withdrawn,
)
from brainfm.storage.lock import exclusive


def merge_rows(corpus_dir, stored, *, only=None, without=()):
    """Add rows to the manifest, or replace rows with the same key.

    Rows of withdrawn participants are not added. The signals of removed rows are deleted.

    Parameters
    ----------
    corpus_dir : path
    stored : list of (dict, dict)
        As :func:`brainfm.storage.corpus.recordings.store_recording` returns them.
    only : set of tuple, optional
        Keys of the rows to keep; all other rows are removed.
    without : iterable of Exclusion
        Rows to remove.

    Returns
    -------
    manifest : Path
    """
    rows, layouts = [row for row, _ in stored], {row["layout"]: one for row, one in stored}
    with _locked_rows(corpus_dir) as before:
        withdrawn = read_withdrawn(corpus_dir)
        after = {
            key: row
            for key, row in (before | {key_of(row): row for row in rows}).items()
            if key[:2] not in withdrawn
            and (only is None or key in only)
            and not any(one.matches(row) for one in without)
        }
        manifest = _write_rows(corpus_dir, after, layouts)
        names = {signal_name(row) for row in after.values()}
        _remove_signals(corpus_dir, {signal_name(row) for row in [*before.values(), *rows]} - names)
    return manifest


def withdraw(corpus_dir, dataset, participant):
    """Withdraw a participant: exclude it from later additions, then remove its rows and files.

    Parameters
    ----------
    corpus_dir : path
    dataset, participant : str

    Returns
    -------
    n_removed : int
        Number of removed recordings.
    """
    with _locked_rows(corpus_dir) as before:
        write_withdrawn(corpus_dir, read_withdrawn(corpus_dir) | {(dataset, participant)})
        after = {key: row for key, row in before.items() if key[:2] != (dataset, participant)}
        _write_rows(corpus_dir, after)
    remove_leftovers(corpus_dir)
    return len(before) - len(after)


def readmit(corpus_dir, dataset, participant):
    """Allow a withdrawn participant to be added again.

    Parameters
    ----------
    corpus_dir : path
    dataset, participant : str
    """
    with _locked_rows(corpus_dir):
        write_withdrawn(corpus_dir, read_withdrawn(corpus_dir) - {(dataset, participant)})


def remove_leftovers(corpus_dir):
    """Delete files of withdrawn participants and partial files of killed jobs.

    Parameters
    ----------
    corpus_dir : path
    """
    withdrawn = {participant_prefix(*names) for names in read_withdrawn(corpus_dir)}
    for folder, _, names in os.walk(corpus_dir):
        remove_old_partial(folder)
        for name in names:
            if name.split("-")[0] in withdrawn:
                (Path(folder) / name).unlink(missing_ok=True)


@contextmanager
def _locked_rows(corpus_dir):
    """Yield the rows by key and hold the lock."""
    corpus_dir = Path(corpus_dir)
    with exclusive(corpus_dir / ".lock"):
        is_new = not (corpus_dir / "manifest.tsv").exists()
        rows = [] if is_new else read_manifest(corpus_dir).to_dict("records")
        yield {key_of(row): row for row in rows}


def _write_rows(corpus_dir, rows, layouts=None):
    """Write new layouts, then the manifest, and delete the layouts that no row needs.

    The montage of a single participant is personal data and is deleted with its last recording.
    """
    folder = Path(corpus_dir) / "layouts"
    needed = {row["layout"] for row in rows.values()}
    for name in needed & set(layouts or {}):
        if not (folder / f"{name}.json").exists():
            write_json(folder / f"{name}.json", layouts[name])
    manifest = write_manifest(corpus_dir, rows.values())
    for path in folder.glob("*.json"):
        if path.stem not in needed:
            path.unlink()
    return manifest


def _remove_signals(corpus_dir, names):
    for name in names:
        (Path(corpus_dir) / "recordings" / f"{name}.npy").unlink(missing_ok=True)
        for path in (Path(corpus_dir) / "prepared").glob(f"{name}*"):
            path.unlink(missing_ok=True)
