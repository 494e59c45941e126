"""Few-shot episodes: a few people of each class to learn from, everybody else is tested."""

import numpy as np

from brainfm.evaluation.folds import Folds, independent_units

SHOTS = (1, 2, 5, 10, 25, 50)
#: People of a class that must be left to test.
LEAST_LEFT = 5


def episode_folds(y, groups, k, *, n_episodes=50, task="classification", sites=None, seed=0):
    """Draw episodes; each is a repeat of its own, and the same for every method.

    Where people have all classes (rest and task), ``k`` people with all they have; the fewer who
    differ in that from the others are only tested. The classes of a number are below and above its
    median.

    Parameters
    ----------
    y : ndarray, shape (n_rows,)
    groups : ndarray of str, shape (n_rows,)
        Participant of each row.
    k : int
        People of each class that are trained on.
    n_episodes : int
    task : {"classification", "regression"}
    sites : ndarray of str, shape (n_rows,), optional
        Rows are compared within a site only.
    seed : int

    Returns
    -------
    folds : Folds or None
        None if fewer than 5 people of a class would be left to test.
    """
    y, groups = np.asarray(y), np.asarray(groups).astype(str)
    classes = y if task == "classification" else (y > np.median(y)).astype(int)
    kinds = {}
    for person in np.unique(groups):
        kinds.setdefault(tuple(np.unique(classes[groups == person])), []).append(person)
    kinds = _of_one_design(kinds)
    if min(len(people) for people in kinds.values()) < k + LEAST_LEFT:
        return None
    rng = np.random.default_rng([seed, k])
    pairs = []
    for _ in range(n_episodes):
        drawn = np.concatenate([rng.permutation(people)[:k] for people in kinds.values()])
        train = np.isin(groups, drawn)
        pairs.append((np.flatnonzero(train), np.flatnonzero(~train)))
    units, strata = independent_units(classes, groups, None, np.full(len(y), "all"))
    return Folds(
        pairs=tuple(pairs),
        repeat=tuple(range(n_episodes)),
        kind="episode",
        people=groups,
        units=units,
        strata=strata,
        sites=sites,
    )


def _of_one_design(kinds):
    """Keep those with several classes, or those with one: whichever most people are."""
    several = {kind: people for kind, people in kinds.items() if len(kind) > 1}
    one = {kind: people for kind, people in kinds.items() if len(kind) == 1}
    designs = [found for found in (one, several) if set().union(*found) == set().union(*kinds)]
    return max(designs or [kinds], key=lambda found: sum(map(len, found.values())))
