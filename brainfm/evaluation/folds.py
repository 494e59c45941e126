"""Folds by participant, and the units that are resampled and permuted."""

from dataclasses import dataclass
from math import factorial, prod

import numpy as np
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from brainfm.errors import DataError, UsageError
from brainfm.models.targets import check_target

#: With fewer participants the score depends on the split, so the cross-validation is repeated.
_FEW_PARTICIPANTS = 100
#: Share of the variance of a target within participants, above which it is of recordings.
_MAX_WITHIN = 0.5


@dataclass(frozen=True)
class Folds:
    """Splits of rows into training and test, with the units of resampling and permutation.

    Parameters
    ----------
    pairs : tuple of (ndarray of int, ndarray of int)
        Training and test rows of each fold.
    repeat : tuple of int
        Repeat of the cross-validation that each fold belongs to.
    kind : {"participant", "site", "episode", "recording", "block"}
        With ``recording`` and ``block``, folds separate units of the same participants; with the
        others they separate participants.
    people : ndarray of str, shape (n_rows,)
        Participant of each row.
    units : ndarray of str, shape (n_rows,)
        Rows of one unit are dependent: they are resampled and permuted together.
    strata : ndarray of str, shape (n_rows,)
        Labels are permuted between the units of one stratum.
    sites : ndarray of str, shape (n_rows,), optional
        Scores compare rows within a site only.
    gap_s : float
        Seconds excluded from training on either side of each test block.

    Raises
    ------
    DataError
        If a participant (or a unit, within participants) is in training and test of one fold.
    """

    pairs: tuple
    repeat: tuple
    kind: str
    people: np.ndarray
    units: np.ndarray
    strata: np.ndarray
    sites: np.ndarray | None = None
    gap_s: float = 0.0

    def __post_init__(self):
        apart = self.units if self.is_within_people else self.people
        for number, (train, test) in enumerate(self.pairs):
            both = np.intersect1d(apart[train], apart[test])
            if len(both):
                raise DataError(
                    f"{both[0]} is in training and test of fold {number}, which inflates the "
                    "score: make folds by participant."
                )

    @property
    def is_within_people(self):
        """Whether the same participants are in training and test."""
        return self.kind in ("recording", "block")

    @property
    def n_repeats(self):
        """Number of times each row is tested."""
        return max(self.repeat) + 1


def participant_folds(y, groups, *, n_splits, task="classification", seed=0, units=None):
    """Split by participant, stratified by class; five times with fewer than 100 participants.

    Parameters
    ----------
    y : ndarray of str or float, shape (n_rows,)
    groups : ndarray of str, shape (n_rows,)
        Participant of each row.
    n_splits : int
    task : {"classification", "regression"}
    seed : int
    units : ndarray of str, shape (n_rows,), optional
        Recording of each row (default: each row is one). Where the target differs within
        participants, labels are permuted between the recordings of one participant.

    Returns
    -------
    folds : Folds

    Raises
    ------
    DataError
        If the target is constant or missing, a class has one participant, or there are more
        folds than participants.
    UsageError
        If ``n_splits`` is below 2.
    """
    y, groups = np.asarray(y), np.asarray(groups)
    check_target(y, task)
    _check_counts(y, groups, n_splits, task)
    people = np.unique(groups)
    n_repeats = 5 if len(people) < _FEW_PARTICIPANTS else 1
    pairs, repeat = [], []
    for number in range(n_repeats):
        for train, test in _splitter(task, n_splits, seed + number).split(y, y, groups):
            if task == "classification" and len(np.unique(y[train])) < len(np.unique(y)):
                raise DataError(
                    f"a class has no training row in one of {n_splits} folds: use fewer folds."
                )
            pairs.append((train, test))
            repeat.append(number)
    groups = groups.astype(str)
    within_folds = _fold_strata(pairs[:n_splits], len(y), task)
    units, strata = independent_units(y, groups, units, within_folds)
    return Folds(
        pairs=tuple(pairs),
        repeat=tuple(repeat),
        kind="participant",
        people=groups,
        units=units,
        strata=strata,
    )


def n_arrangements(y, folds):
    """Count the distinct permutations of the labels; p is at least one over their number.

    Parameters
    ----------
    y : ndarray of str or float, shape (n_rows,)
    folds : Folds

    Returns
    -------
    n_permutations : int
    """
    _, first = np.unique(folds.units, return_index=True)
    total = 1
    for stratum in np.unique(folds.strata[first]):
        labels = np.asarray(y)[first][folds.strata[first] == stratum]
        counts = np.unique(labels, return_counts=True)[1]
        total *= factorial(len(labels)) // prod(factorial(int(count)) for count in counts)
    return total


def independent_units(y, groups, recordings, strata):
    """Choose the units of resampling and permutation, and the strata of permutation.

    Parameters
    ----------
    y : ndarray of str or float, shape (n_rows,)
    groups : ndarray of str, shape (n_rows,)
        Participant of each row.
    recordings : ndarray, shape (n_rows,), or None
        Recording of each row; None if each row is one recording.
    strata : ndarray of str, shape (n_rows,)
        Strata of the permutation between participants.

    Returns
    -------
    units, strata : ndarray of str, shape (n_rows,)
        Participants, within ``strata``; or, where the target differs between the rows of a
        participant, recordings within participants. Values that differ little, such as the ages
        at two sessions, count as one.
    """
    if not _differs_within(y, groups):
        return groups, strata
    recordings = np.arange(len(y)) if recordings is None else np.asarray(recordings)
    return recordings.astype(str), groups


def _differs_within(y, groups):
    """Whether classes differ within a participant, or values vary as much within as between."""
    rows_of = [groups == person for person in np.unique(groups)]
    if y.dtype.kind != "f":
        return any(len(np.unique(y[rows])) > 1 for rows in rows_of)
    within = np.concatenate([y[rows] - y[rows].mean() for rows in rows_of])
    return np.mean(within**2) > _MAX_WITHIN * np.var(y)


def _fold_strata(pairs, n_rows, task):
    """Strata that keep the class balance of stratified folds under permutation.

    Labels permuted across folds would give less balanced training sets than the real ones, which
    lowers their scores and makes p values too small.
    """
    strata = np.full(n_rows, "all", dtype=object)
    if task == "classification":
        for number, (_, test) in enumerate(pairs):
            strata[test] = f"fold {number}"
    return strata.astype(str)


def _splitter(task, n_splits, seed):
    kind = StratifiedGroupKFold if task == "classification" else GroupKFold
    return kind(n_splits=n_splits, shuffle=True, random_state=seed)


def _check_counts(y, groups, n_splits, task):
    if n_splits < 2:
        raise UsageError(f"n_splits is {n_splits}; a cross-validation needs at least 2 folds.")
    people = len(np.unique(groups))
    if task == "classification":
        members = {value: len(np.unique(groups[y == value])) for value in np.unique(y)}
        rare = min(members, key=members.get)
        if members[rare] < 2:
            raise DataError(
                f"class {rare!s} has one participant and cannot be in training and in test: "
                "exclude the class, merge it with another, or add participants."
            )
        # Where every participant has every class, members[rare] is the number of participants.
        people = members[rare]
    if n_splits > people:
        whose = "of the rarest class " if task == "classification" else ""
        raise DataError(
            f"{n_splits} folds need as many participants {whose}but there are {people}: set "
            f"n_splits to {people} or less."
        )
