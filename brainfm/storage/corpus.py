"""The corpus: many standardised recordings in one folder, ready to be read in random windows.

``manifest.tsv`` has one row a recording; ``recordings/`` one ``.npy`` a recording, named by the
hash of its content, so that the same recording is never stored twice and an interrupted build
goes on where it stopped. Positions and masks lie beside the signal as ``.json``.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.errors import DataError, MissingInput
from brainfm.recording import Recording
from brainfm.storage.files import read_json, write_json, write_npy, write_tsv

COLUMNS = (
    "dataset", "participant", "session", "site", "task", "run", "modality", "split",
    "n_times", "n_channels", "sampling_hz", "checksum", "source_checksum",
)  # fmt: skip
_VALIDATION_SHARE = 0.2


def split_of(dataset, participant):
    """Return "train" or "validation", by the hash of the participant: stable under growth."""
    digest = hashlib.sha256(f"{dataset}/{participant}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "validation" if share < _VALIDATION_SHARE else "train"


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
    frame = pd.read_csv(path, sep="\t", dtype=str, na_values=["n/a"], keep_default_na=False)
    lost = [name for name in COLUMNS if name not in frame]
    if lost:
        raise DataError(f"{path} has no column {', '.join(lost)}: build the corpus again.")
    numbers = {"n_times": int, "n_channels": int, "sampling_hz": float}
    frame = frame.astype(numbers)
    return frame.astype(object).where(frame.notna(), None)


def store_recording(corpus_dir, recording, source_checksum):
    """Store one recording and return its row of the manifest (a dict of :data:`COLUMNS`)."""
    folder = Path(corpus_dir) / "recordings"
    signal = recording.signal
    checksum = _checksum(signal, recording)
    details = {
        "channels": recording.channels,
        "positions": recording.positions,
        "mask": recording.mask,
    }
    if not (folder / f"{checksum}.json").exists():
        write_npy(folder / f"{checksum}.npy", signal)
        write_json(folder / f"{checksum}.json", details)  # last: it says that the pair is whole
    return {
        **{name: getattr(recording, name) for name in COLUMNS[:7]},
        "split": split_of(recording.dataset, recording.participant),
        "n_times": signal.shape[0],
        "n_channels": signal.shape[1],
        "sampling_hz": recording.sampling_hz,
        "checksum": checksum,
        "source_checksum": source_checksum,
    }


def write_manifest(corpus_dir, rows):
    """Write the manifest, sorted so that the same recordings give the same bytes."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame = frame.sort_values(list(COLUMNS[:7]), na_position="first", kind="stable")
    # The sampling rate must survive the way to text and back.
    frame["sampling_hz"] = [repr(float(value)) for value in frame["sampling_hz"]]
    return write_tsv(Path(corpus_dir) / "manifest.tsv", frame)


def read_corpus(corpus_dir, *, split=None):
    """Return the recordings of a corpus as a list; signals are memory-mapped when read.

    Parameters
    ----------
    corpus_dir : path
    split : {"train", "validation"}, optional
    """
    frame = read_manifest(corpus_dir)
    if split is not None:
        frame = frame[frame["split"] == split]
    return [_recording(Path(corpus_dir), row) for row in frame.to_dict("records")]


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


def _recording(corpus_dir, row):
    stored = corpus_dir / "recordings" / row["checksum"]
    details = read_json(stored.with_suffix(".json"))
    return Recording(
        read=_Mapped(str(stored.with_suffix(".npy"))),
        shape=(row["n_times"], row["n_channels"]),
        sampling_hz=row["sampling_hz"],
        modality=row["modality"],
        channels=tuple(details["channels"]),
        positions=np.array(details["positions"], dtype=float).reshape(-1, 3),
        mask=np.array(details["mask"], dtype=bool),
        **{name: row[name] for name in ("participant", "session", "task", "run", "site")},
        dataset=row["dataset"],
        source=f"{row['checksum']}.npy",
    )


def _checksum(signal, recording):
    digest = hashlib.sha256(np.ascontiguousarray(signal).tobytes())
    digest.update(f"{recording.sampling_hz!r}{recording.channels}".encode())
    digest.update(np.ascontiguousarray(recording.positions).tobytes())
    digest.update(recording.mask.tobytes())
    return digest.hexdigest()[:32]
