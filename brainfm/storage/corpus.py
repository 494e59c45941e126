"""The corpus: many standardised recordings in one folder, ready to be read in random windows.

====================  =========================================================================
``manifest.tsv``      one row a recording (:data:`COLUMNS`): a recording is in the corpus when it
                      has a row
``recordings/``       the signals, one ``<person>-<checksum>.npy`` each, (n_times, n_channels)
``layouts/``          names and positions of the channels, one ``.json`` an atlas or montage
``prepared/``         filtered signals that windows are cut from, see
                      :mod:`brainfm.storage.cache.prepared_signals`; made again when absent
``withdrawn.tsv``     the participants that stay out
====================  =========================================================================

Signals are named by the hash of the participant and of their content: no two jobs ever write
different bytes under one name, and a participant's bytes are found without the manifest. Only
changes of the manifest take turns, under a lock that ends with its process.
"""

import hashlib
import os
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.errors import DataError, MissingInput
from brainfm.files import read_json, read_tsv, write_json, write_npy, write_tsv
from brainfm.models.encoder.windows import prepare
from brainfm.recording import Recording
from brainfm.storage.bids.names import entities_of
from brainfm.storage.cache.prepared_signals import PreparedSignalCache
from brainfm.storage.lock import exclusive

#: What tells one recording from all others; a later one with the same takes its place.
KEY = ("dataset", "participant", "session", "task", "run", "modality")
COLUMNS = (
    "dataset", "participant", "session", "site", "task", "run", "modality", "split",
    "n_times", "n_channels", "sampling_hz", "layout", "masked", "checksum", "source_checksum",
)  # fmt: skip
_VALIDATION_SHARE = 0.2
#: No file takes so long to write: a half-written one that is older has lost its job.
_LEFT_BEHIND_S = 3600.0


def split_of(dataset, participant):
    """Return "train" or "validation", by the hash of the participant: stable under growth."""
    digest = hashlib.sha256(f"{dataset}/{participant}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "validation" if share < _VALIDATION_SHARE else "train"


def key_of(row):
    """Return the labels of :data:`KEY` of a row of the manifest."""
    return tuple(row[name] for name in KEY)


def read_manifest(corpus_dir):
    """Return the manifest, one row a recording; labels are text, missing ones None.

    Raises
    ------
    MissingInput
        If there is no corpus.
    DataError
        If a column is missing.
    """
    path = Path(corpus_dir) / "manifest.tsv"
    if not path.exists():
        raise MissingInput(f"{path} does not exist: build the corpus first.")
    frame = read_tsv(path, dtype=str, na_values=["n/a"], keep_default_na=False)
    lost = [name for name in COLUMNS if name not in frame]
    if lost:
        raise DataError(
            f"{path} has no column {', '.join(lost)}: remove the folder and build the corpus again."
        )
    numbers = {"n_times": int, "n_channels": int, "sampling_hz": float}
    frame = frame.astype(numbers)
    return frame.astype(object).where(frame.notna(), None)


def read_withdrawn(corpus_dir):
    """Return the withdrawn participants as a set of (dataset, participant)."""
    path = Path(corpus_dir) / "withdrawn.tsv"
    if not path.exists():
        return set()
    frame = read_tsv(path, dtype=str, keep_default_na=False)
    return set(zip(frame["dataset"], frame["participant"], strict=True))


def read_corpus(corpus_dir, *, split=None):
    """Read which recordings a corpus holds; their signals stay on disk until they are asked for.

    Parameters
    ----------
    corpus_dir : path
        As :func:`brainfm.add_to_corpus` writes it.
    split : {"train", "validation"}, optional

    Returns
    -------
    recordings : list of Recording

    Raises
    ------
    MissingInput
        If there is no corpus.
    DataError
        If its manifest has lost a column.
    """
    frame = read_manifest(corpus_dir)
    if split is not None:
        frame = frame[frame["split"] == split]
    layouts = {
        name: _read_layout(Path(corpus_dir) / "layouts" / f"{name}.json")
        for name in frame["layout"].unique()
    }
    return [
        _recording(Path(corpus_dir), row, *layouts[row["layout"]])
        for row in frame.to_dict("records")
    ]


def store_recording(corpus_dir, recording, source_checksum):
    """Store the signal of one recording; it enters the corpus with :func:`merge_rows`.

    Returns
    -------
    row : dict
        Of the manifest, by :data:`COLUMNS`.
    layout : dict
        Names and positions of the channels.

    Raises
    ------
    ModelError
        If no window can be cut from it; nothing is written then.
    """
    corpus_dir = Path(corpus_dir)
    signal = recording.signal
    held = replace(recording, read=lambda: signal)
    prepared = prepare(held)  # refuses what cannot be used, before anything is written
    layout = layout_of(recording)
    row = {
        **{name: getattr(recording, name) for name in COLUMNS[:7]},
        "split": split_of(recording.dataset, recording.participant),
        "n_times": signal.shape[0],
        "n_channels": signal.shape[1],
        "sampling_hz": recording.sampling_hz,
        "layout": layout,
        "masked": masked_of(recording),
        "source_checksum": source_checksum,
    }
    row["checksum"] = _checksum(signal, row)
    path = signal_path(corpus_dir, row)
    if not path.exists():
        write_npy(path, signal)
    PreparedSignalCache(_Mapped(str(path))).store(held, prepared)
    return row, {"channels": recording.channels, "positions": recording.positions}


def merge_rows(corpus_dir, stored, *, only=None):
    """Add rows to the manifest, or replace those with the same :data:`KEY`.

    Rows of withdrawn participants stay out, whoever stored them. The signals of rows that leave
    are removed.

    Parameters
    ----------
    corpus_dir : path
    stored : list of tuple
        What :func:`store_recording` returned.
    only : set of tuple, optional
        Keys that may stay; all other rows leave.

    Returns
    -------
    manifest : Path
    """
    rows, layouts = [row for row, _ in stored], {row["layout"]: one for row, one in stored}
    with _changing(corpus_dir) as before:
        after = before | {key_of(row): row for row in rows}
        out = read_withdrawn(corpus_dir)
        after = {
            key: row
            for key, row in after.items()
            if key[:2] not in out and (only is None or key in only)
        }
        manifest = _settle(corpus_dir, after, layouts)
        stay = {_name(row) for row in after.values()}
        _remove_signals(corpus_dir, {_name(row) for row in [*before.values(), *rows]} - stay)
    return manifest


def withdraw(corpus_dir, dataset, participant):
    """Take a participant out, for good: first from what may enter, then its rows and bytes.

    Returns
    -------
    n_removed : int
        Recordings that left.
    """
    with _changing(corpus_dir) as before:
        _write_withdrawn(corpus_dir, read_withdrawn(corpus_dir) | {(dataset, participant)})
        after = {key: row for key, row in before.items() if key[:2] != (dataset, participant)}
        _settle(corpus_dir, after)
    sweep(corpus_dir)
    return len(before) - len(after)


def readmit(corpus_dir, dataset, participant):
    """Let a withdrawn participant in again, when its dataset is next added."""
    with _changing(corpus_dir):
        _write_withdrawn(corpus_dir, read_withdrawn(corpus_dir) - {(dataset, participant)})


def sweep(corpus_dir):
    """Remove the bytes of withdrawn participants, and what killed jobs left half-written."""
    people = {_person(*names) for names in read_withdrawn(corpus_dir)}
    for folder, _, names in os.walk(corpus_dir):
        if _is_left_behind(folder):
            shutil.rmtree(folder, ignore_errors=True)
            continue
        for name in names:
            if name.split("-")[0] in people:
                (Path(folder) / name).unlink(missing_ok=True)


def layout_of(recording):
    """Name the atlas or montage: its label, or the number of electrodes, and a hash of it all."""
    label = entities_of(recording.source or "").get("atlas")
    digest = hashlib.sha256(repr(recording.channels).encode())
    digest.update(np.ascontiguousarray(recording.positions, dtype=float).tobytes())
    return f"{label or f'{recording.modality}{recording.shape[1]}'}-{digest.hexdigest()[:16]}"


def masked_of(recording):
    """Return the indices of the channels that are masked, as text."""
    return ",".join(str(index) for index in np.flatnonzero(~recording.mask)) or None


def signal_path(corpus_dir, row):
    """Return where the signal of a row of the manifest is stored."""
    return Path(corpus_dir) / "recordings" / f"{_name(row)}.npy"


@dataclass(frozen=True)
class _Mapped:
    """Maps a stored signal into memory."""

    path: str

    def __call__(self):
        try:
            return np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.path} cannot be read ({error}): build the corpus again."
            ) from error


def _recording(corpus_dir, row, channels, positions):
    read = _Mapped(str(signal_path(corpus_dir, row)))
    mask = np.ones(len(channels), bool)
    mask[[int(index) for index in (row["masked"] or "").split(",") if index]] = False
    return Recording(
        read=read,
        cache=PreparedSignalCache(read),
        shape=(row["n_times"], row["n_channels"]),
        sampling_hz=row["sampling_hz"],
        channels=channels,
        positions=positions,
        mask=mask,
        site=row["site"],
        source=f"{_name(row)}.npy",
        **{name: row[name] for name in KEY},
    )


@contextmanager
def _changing(corpus_dir):
    """Yield the rows by key, while nobody else changes them."""
    corpus_dir = Path(corpus_dir)
    with exclusive(corpus_dir / ".lock"):
        is_new = not (corpus_dir / "manifest.tsv").exists()
        rows = [] if is_new else read_manifest(corpus_dir).to_dict("records")
        yield {key_of(row): row for row in rows}


def _settle(corpus_dir, rows, layouts=None):
    """Write the manifest, after the layouts it needs, and remove those it does not need.

    A montage measured on one head is personal: it leaves with its last recording.
    """
    folder = Path(corpus_dir) / "layouts"
    needed = {row["layout"] for row in rows.values()}
    for name in needed & set(layouts or {}):
        if not (folder / f"{name}.json").exists():
            write_json(folder / f"{name}.json", layouts[name])
    manifest = _write_manifest(corpus_dir, rows.values())
    for path in folder.glob("*.json"):
        if path.stem not in needed:
            path.unlink()
    return manifest


def _write_manifest(corpus_dir, rows):
    """Write the manifest, sorted so that the same recordings give the same bytes."""
    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    frame = frame.sort_values(list(KEY), na_position="first", kind="stable")
    # The sampling rate must survive the way to text and back.
    frame["sampling_hz"] = [repr(float(value)) for value in frame["sampling_hz"]]
    return write_tsv(Path(corpus_dir) / "manifest.tsv", frame)


def _write_withdrawn(corpus_dir, people):
    frame = pd.DataFrame(sorted(people), columns=["dataset", "participant"])
    write_tsv(Path(corpus_dir) / "withdrawn.tsv", frame)


def _remove_signals(corpus_dir, names):
    for name in names:
        (Path(corpus_dir) / "recordings" / f"{name}.npy").unlink(missing_ok=True)
        for path in (Path(corpus_dir) / "prepared").glob(f"{name}*"):
            path.unlink(missing_ok=True)


def _is_left_behind(folder):
    if not Path(folder).name.startswith(".partial-"):
        return False
    try:
        return time.time() - os.stat(folder).st_mtime > _LEFT_BEHIND_S
    except FileNotFoundError:  # another job has just finished it
        return False


def _read_layout(path):
    layout = read_json(path)
    # An electrode without a position is null in JSON, NaN here.
    positions = np.array(layout["positions"], dtype=float).reshape(-1, 3)
    return tuple(layout["channels"]), positions


def _person(dataset, participant):
    return hashlib.sha256(f"{dataset}/{participant}".encode()).hexdigest()[:16]


def _name(row):
    return f"{_person(row['dataset'], row['participant'])}-{row['checksum']}"


def _checksum(signal, row):
    described = [row[name] for name in (*KEY, "sampling_hz", "layout", "masked")]
    digest = hashlib.sha256(repr(described).encode())
    digest.update(np.ascontiguousarray(signal).tobytes())
    return digest.hexdigest()[:32]
