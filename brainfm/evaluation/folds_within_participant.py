"""Folds within few participants: by recording, or by block of time within recordings."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import LeaveOneGroupOut

from brainfm.errors import DataError, UsageError
from brainfm.evaluation.folds import Folds
from brainfm.models.targets import check_target


@dataclass(frozen=True)
class _Cut:
    """Reader of a segment of a recording; picklable."""

    read: object
    start: int
    stop: int

    def __call__(self):
        return self.read()[self.start : self.stop]


def cut_windows(recording, window_s):
    """Cut a recording into non-overlapping windows that are read lazily.

    Parameters
    ----------
    recording : Recording
    window_s : float
        Length in seconds; an incomplete window at the end is dropped.

    Returns
    -------
    windows : list of Recording

    Raises
    ------
    DataError
        If the recording is shorter than one window.
    """
    length = round(window_s * recording.sampling_hz)
    n_windows = recording.shape[0] // length if length else 0
    if not n_windows:
        raise DataError(
            f"{recording!r} lasts {recording.duration_s:.1f} s; expected at least one window of "
            f"{window_s:g} s: exclude it."
        )
    return [
        replace(
            recording,
            read=_Cut(recording.read, index * length, (index + 1) * length),
            shape=(length, recording.shape[1]),
        )
        for index in range(n_windows)
    ]


def recording_folds(y, groups, recordings, *, n_splits):
    """Split by recording, so that every fold tests each class of each participant.

    A model then cannot predict the class of a window from its recording. Labels are permuted
    between the recordings of one participant that are tested in one fold.

    Parameters
    ----------
    y : ndarray of str, shape (n_rows,)
        Class of each window.
    groups : ndarray of str, shape (n_rows,)
        Participant of each window.
    recordings : ndarray of int, shape (n_rows,)
        Recording of each window.
    n_splits : int
        Upper limit; the number of recordings of a class of a participant is another.

    Returns
    -------
    folds : Folds or None
        None if a participant has one recording of a class only.

    Raises
    ------
    DataError
        If the target is constant or missing.
    """
    y, groups, recordings = np.asarray(y), np.asarray(groups).astype(str), np.asarray(recordings)
    check_target(y, "classification")
    same_class = [
        np.unique(recordings[(groups == person) & (y == label)])
        for person in np.unique(groups)
        for label in np.unique(y[groups == person])
    ]
    n_splits = min(n_splits, *(len(each) for each in same_class))
    if n_splits < 2:
        return None
    fold_of = {one: number % n_splits for each in same_class for number, one in enumerate(each)}
    fold = np.array([fold_of[one] for one in recordings])
    return Folds(
        pairs=tuple(LeaveOneGroupOut().split(y, groups=fold)),
        repeat=(0,) * n_splits,
        kind="recording",
        people=groups,
        units=recordings.astype(str),
        strata=np.array([f"{who}/{number}" for who, number in zip(groups, fold, strict=True)]),
    )


def block_folds(y, groups, recordings, start_s, *, window_s, n_splits, gap_s):
    """Split every recording into blocks of time; each fold tests one block of each recording.

    Labels are permuted between the blocks of one participant that are tested in one fold.
    Training windows closer than ``gap_s`` to the test block of the same recording are excluded,
    because neighbouring windows share slow drifts and filter tails.

    Parameters
    ----------
    y : ndarray of str, shape (n_rows,)
        Class of each window.
    groups : ndarray of str, shape (n_rows,)
        Participant of each window.
    recordings : ndarray of int, shape (n_rows,)
        Recording of each window.
    start_s : ndarray of float, shape (n_rows,)
        Start of each window in its recording.
    window_s, gap_s : float
        Length of a window, and of the gap, in seconds.
    n_splits : int
        Number of blocks per recording.

    Returns
    -------
    folds : Folds

    Raises
    ------
    DataError
        If a recording has fewer windows than folds, or a class has no training window.
    UsageError
        If ``n_splits`` is below 2.
    """
    y, recordings, start_s = np.asarray(y), np.asarray(recordings), np.asarray(start_s, float)
    check_target(y, "classification")
    block = _blocks(recordings, start_s, n_splits, window_s)
    pairs = []
    for number in range(n_splits):
        test = block == number
        train = ~test & ~_near(test, recordings, start_s, reach_s=window_s + gap_s)
        if len(np.unique(y[train])) < len(np.unique(y)):
            raise DataError(
                f"with a gap of {gap_s:g} s around {n_splits} test blocks a class has no "
                "training window: use longer recordings or fewer folds."
            )
        pairs.append((np.flatnonzero(train), np.flatnonzero(test)))
    units = [f"{recording}/{number}" for recording, number in zip(recordings, block, strict=True)]
    return Folds(
        pairs=tuple(pairs),
        repeat=(0,) * n_splits,
        kind="block",
        people=np.asarray(groups).astype(str),
        units=np.array(units),
        strata=np.array([f"{who}/{number}" for who, number in zip(groups, block, strict=True)]),
        gap_s=float(gap_s),
    )


def _blocks(recordings, start_s, n_splits, window_s):
    """Number of the block each window falls into, 0 to ``n_splits`` - 1."""
    if n_splits < 2:
        raise UsageError(f"n_splits is {n_splits}; a cross-validation needs at least 2 folds.")
    block = np.zeros(len(recordings), int)
    for recording in np.unique(recordings):
        rows = np.flatnonzero(recordings == recording)
        if len(rows) < n_splits:
            raise DataError(
                f"a recording has {len(rows)} windows of {window_s:g} s, too few for {n_splits} "
                f"folds: use at most {len(rows)} folds, or longer recordings."
            )
        rows = rows[np.argsort(start_s[rows], kind="stable")]
        for number, part in enumerate(np.array_split(rows, n_splits)):
            block[part] = number
    return block


def _near(test, recordings, start_s, *, reach_s):
    """Rows that start less than ``reach_s`` before or after a test row of their recording."""
    same = recordings[:, None] == recordings[test]
    apart_s = np.abs(start_s[:, None] - start_s[test])
    return (same & (apart_s < reach_s - 1e-9)).any(axis=1)
