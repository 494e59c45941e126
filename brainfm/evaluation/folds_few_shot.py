"""Few-shot episodes: k training participants per class, all others are tested."""

import numpy as np

from brainfm.evaluation.folds import Folds, independent_units

SHOTS = (1, 2, 5, 10, 25, 50)
#: Fewest test participants of a class.
MIN_TEST_PARTICIPANTS = 5


def episode_folds(y, groups, k, *, n_episodes=50, task="classification", sites=None, seed=0):
    """Draw few-shot episodes; each is a repeat of its own.

    Where most participants have all classes, such as rest and task, ``k`` of them are drawn with
    all their rows; participants of the other design are only tested. The classes of a numeric
    target are below and above its median.

    Parameters
    ----------
    y : ndarray of str or float, shape (n_rows,)
    groups : ndarray of str, shape (n_rows,)
        Participant of each row.
    k : int
        Training participants per class.
    n_episodes : int
    task : {"classification", "regression"}
    sites : ndarray of str, shape (n_rows,), optional
        Rows are compared within a site only.
    seed : int

    Returns
    -------
    folds : Folds or None
        None if fewer than 5 test participants of a class would remain.

    Raises
    ------
    DataError
        See :class:`brainfm.evaluation.folds.Folds`.
    """
    y, groups = np.asarray(y), np.asarray(groups).astype(str)
    classes = y if task == "classification" else (y > np.median(y)).astype(int)
    people_by_classes = {}
    for person in np.unique(groups):
        key = tuple(np.unique(classes[groups == person]))
        people_by_classes.setdefault(key, []).append(person)
    people_by_classes = _select_one_design(people_by_classes)
    if min(len(people) for people in people_by_classes.values()) < k + MIN_TEST_PARTICIPANTS:
        return None
    rng = np.random.default_rng([seed, k])
    pairs = []
    for _ in range(n_episodes):
        drawn = np.concatenate(
            [rng.permutation(people)[:k] for people in people_by_classes.values()]
        )
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


def _select_one_design(people_by_classes):
    """Select the participants with one class or those with several, whichever are more."""
    several = {key: people for key, people in people_by_classes.items() if len(key) > 1}
    one = {key: people for key, people in people_by_classes.items() if len(key) == 1}
    classes = set().union(*people_by_classes)
    complete = [design for design in (one, several) if set().union(*design) == classes]
    return max(complete or [people_by_classes], key=lambda design: sum(map(len, design.values())))
