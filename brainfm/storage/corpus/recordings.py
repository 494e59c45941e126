"""Recordings of a corpus: signals, and layouts of channels."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from brainfm.errors import DataError
from brainfm.files import read_json, write_npy
from brainfm.models.encoder.windows import prepare
from brainfm.recording import Recording
from brainfm.storage.bids.names import entities_of
from brainfm.storage.cache.prepared_signals import PreparedSignalCache
from brainfm.storage.corpus.manifest import (
    KEY,
    read_manifest,
    signal_name,
    signal_path,
    split_of,
)
from brainfm.storage.derivatives.join_studies import evidence_of


def read_corpus(corpus_dir, *, split=None):
    """Read the recordings of a corpus; signals are mapped into memory on access.

    Parameters
    ----------
    corpus_dir : path
        As :func:`brainfm.add_to_corpus` writes it.
    split : {"train", "validation"}, optional
        Read the recordings of one split only.

    Returns
    -------
    recordings : list of Recording

    Raises
    ------
    MissingInput
        If there is no corpus.
    DataError
        If a column of the manifest is missing.
    """
    corpus_dir, frame = Path(corpus_dir), read_manifest(corpus_dir)
    if split is not None:
        frame = frame[frame["split"] == split]
    layouts = {
        name: _read_layout(corpus_dir / "layouts" / f"{name}.json")
        for name in frame["layout"].unique()
    }
    return [
        _recording(corpus_dir, row, *layouts[row["layout"]]) for row in frame.to_dict("records")
    ]


def store_recording(corpus_dir, recording, source_checksum):
    """Store the signal of one recording, which then enters the corpus with its row.

    Parameters
    ----------
    corpus_dir : path
    recording : Recording
    source_checksum : str
        Hash of the source files.

    Returns
    -------
    row : dict
        Row of the manifest, for :func:`brainfm.storage.corpus.changes.merge_rows`.
    layout : dict
        Names and positions of the channels.

    Raises
    ------
    ModelError
        If no window can be cut from the recording; nothing is written then.
    """
    corpus_dir = Path(corpus_dir)
    signal = recording.signal
    in_memory = replace(recording, read=lambda: signal)
    prepared = prepare(in_memory)  # raises before anything is written
    row = {
        **{name: getattr(recording, name) for name in (*KEY, "site")},
        "split": split_of(recording.dataset, recording.participant),
        "n_times": signal.shape[0],
        "n_channels": signal.shape[1],
        "sampling_hz": recording.sampling_hz,
        "layout": layout_name(recording),
        "masked": masked_channels(recording),
        "source_checksum": source_checksum,
        "study": evidence_of(recording),
    }
    row["checksum"] = _checksum(signal, row)
    path = signal_path(corpus_dir, row)
    if not path.exists():
        write_npy(path, signal)
    PreparedSignalCache(_MappedSignal(str(path))).store(in_memory, prepared)
    return row, {"channels": recording.channels, "positions": recording.positions}


def layout_name(recording):
    """Name the atlas or montage of a recording.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    name : str
        Atlas label, or modality and number of channels, with a hash of names and positions.
    """
    label = entities_of(recording.source or "").get("atlas")
    digest = hashlib.sha256(repr(recording.channels).encode())
    digest.update(np.ascontiguousarray(recording.positions, dtype=float).tobytes())
    return f"{label or f'{recording.modality}{recording.shape[1]}'}-{digest.hexdigest()[:16]}"


def masked_channels(recording):
    """Return the indices of the unusable channels of a recording.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    indices : str or None
        Joined by commas; None if all channels are usable.
    """
    return ",".join(str(index) for index in np.flatnonzero(~recording.mask)) or None


@dataclass(frozen=True)
class _MappedSignal:
    """Map a stored signal into memory."""

    path: str

    def __call__(self):
        try:
            return np.load(self.path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.path} cannot be read ({error}): build the corpus again."
            ) from error


def _recording(corpus_dir, row, channels, positions):
    read = _MappedSignal(str(signal_path(corpus_dir, row)))
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
        source=f"{signal_name(row)}.npy",
        **{name: row[name] for name in KEY},
    )


def _read_layout(path):
    layout = read_json(path)
    # A missing position is null in JSON and NaN in the array.
    positions = np.array(layout["positions"], dtype=float).reshape(-1, 3)
    return tuple(layout["channels"]), positions


def _checksum(signal, row):
    described = [row[name] for name in (*KEY, "sampling_hz", "layout", "masked")]
    digest = hashlib.sha256(repr(described).encode())
    digest.update(np.ascontiguousarray(signal).tobytes())
    return digest.hexdigest()[:32]
