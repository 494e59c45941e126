"""Find recordings whose signals are identical, before anything is learned from them."""

import hashlib
import logging
from collections import defaultdict
from itertools import combinations
from operator import attrgetter
from pathlib import Path

import numpy as np

from brainfm.errors import DataError

log = logging.getLogger("brainfm")
#: Bytes at the start of a binary file that are hashed to find candidates.
_N_HASHED = 65536


def check_duplicates(recordings):
    """Refuse the same signal under two participants; warn of one under two runs.

    A person under two labels would be in the training and in the test set. Only recordings that
    begin alike are read as a whole.

    Parameters
    ----------
    recordings : list of Recording

    Raises
    ------
    DataError
        If two participants have a recording with identical samples.
    """
    people = {}
    for same in (
        group for alike in _alike(recordings, _beginning) for group in _alike(alike, _whole)
    ):
        for copies in _alike(same, attrgetter("group")):
            log.warning(
                "recordings of one participant are identical, and count as %d: %s; exclude copies "
                "with --exclude FILE (exclude= in Python)",
                len(copies), ", ".join(map(repr, copies)),
            )  # fmt: skip
        for one, other in combinations(same, 2):
            if one.group != other.group:
                people[one.group, other.group] = one, other
    if people:
        raise _refusal(people)


def _alike(recordings, digest):
    """Groups of two or more recordings with the same digest."""
    groups = defaultdict(list)
    for one in recordings:
        groups[digest(one)].append(one)
    return [group for group in groups.values() if len(group) > 1]


def _refusal(people):
    named = "; ".join(" and ".join(pair) for pair in list(people)[:5])
    table = "\n".join(["\t".join(row) for row in _rows_to_exclude(people)])
    return DataError(
        f"recordings of different participants are identical ({len(people)} in total: {named}). "
        "Each person must have one participant label. Give --exclude FILE (exclude= in Python) "
        "with one of each pair if they are one person, or with both if it is not known whose "
        f"recording it is. Its content, separated by tabs:\n{table}"
    )


def _rows_to_exclude(people):
    """Rows of an exclusion list with the second of each pair; the dataset only where it differs."""
    several = len({one.dataset for pair in people.values() for one in pair}) > 1
    yield ("participant_id", *(["dataset"] if several else []), "reason")
    for first, second in people.values():
        of_dataset = f" of {first.dataset}" if several else ""
        reason = f"identical to sub-{first.participant}{of_dataset}"
        yield (f"sub-{second.participant}", *([second.dataset] if several else []), reason)


def _whole(recording):
    return hashlib.sha256(np.ascontiguousarray(recording.signal).tobytes()).digest()


def _beginning(recording):
    """Shape and hash of the first samples, without reading the others where the format allows."""
    path = Path(recording.source)
    if path.suffix == ".tsv":
        data = _first_row(path)
    elif path.with_suffix(".eeg").is_file():
        with path.with_suffix(".eeg").open("rb") as stream:
            data = stream.read(_N_HASHED)
    else:
        data = recording.signal[:1].tobytes()
    shape = recording.modality, recording.shape, recording.sampling_hz
    return *shape, hashlib.sha256(data).digest()


def _first_row(path):
    """Numbers of the first row of a table, which two programs may have written differently."""
    with path.open(encoding="utf8", errors="replace") as stream:
        row = [next(stream, ""), next(stream, "")][1].rstrip("\r\n")
    try:
        words = ["nan" if word in ("n/a", "") else word for word in row.split("\t")]
        return np.array(words, dtype=np.float32).tobytes()
    except ValueError:
        return row.encode()
