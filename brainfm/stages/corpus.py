"""Corpus: compile the standardised recordings of one or several datasets into one store."""

import hashlib
import logging
from pathlib import Path

from brainfm.errors import NothingSelected
from brainfm.storage.corpus import read_manifest, store_recording, write_manifest
from brainfm.storage.recordings import find_recordings

log = logging.getLogger("brainfm")


def build_corpus(roots, corpus_dir, *, positions=None):
    """Compile the recordings under ``roots``; recordings already stored are not read again.

    Parameters
    ----------
    roots : list of path
        Output folders of the participant level, or other datasets of parcel series.
    corpus_dir : path
        Where the store is or will be. Recordings that are no longer under ``roots`` leave the
        manifest.
    positions : path, optional
        Table of the atlas for series that name no positions.

    Returns
    -------
    manifest : Path

    Raises
    ------
    NothingSelected
        If there is no standardised recording under any root.
    """
    recordings = [
        recording for root in roots for recording in find_recordings(root, positions=positions)
    ]
    if not recordings:
        raise NothingSelected(
            f"no standardised recording under {', '.join(str(root) for root in roots)}: run the "
            "participant level first."
        )
    known = _known(corpus_dir)
    rows, n_new = [], 0
    for recording in recordings:
        source_checksum = _file_checksum(recording)
        row = known.get((recording.modality, recording.key, source_checksum))
        if row is None:
            row = store_recording(corpus_dir, recording, source_checksum)
            n_new += 1
        rows.append(row)
    log.info("corpus: %d recordings, %d of them new", len(rows), n_new)
    return write_manifest(corpus_dir, rows)


def _known(corpus_dir):
    if not (Path(corpus_dir) / "manifest.tsv").exists():
        return {}
    rows = read_manifest(corpus_dir).to_dict("records")
    key = ("dataset", "participant", "session", "task", "run")
    return {
        (row["modality"], tuple(row[name] for name in key), row["source_checksum"]): row
        for row in rows
        if (Path(corpus_dir) / "recordings" / f"{row['checksum']}.json").exists()
    }


def _file_checksum(recording):
    """Hash of the files a recording comes from: its own, its sidecar and its samples."""
    path = Path(recording.source)
    digest = hashlib.sha256()
    for part in sorted(path.parent.glob(f"{path.stem}.*")):
        digest.update(part.read_bytes())
    return digest.hexdigest()[:32]
