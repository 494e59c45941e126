"""Scoring of methods: a linear head on a kernel, and pairs of participants of one site.

**Within site.** All scores are shares of pairs: of two people of the *same* site whose target
differs, how often has the one with the larger target the larger score (a tie is half)? For two
classes this is the area under the ROC curve, for numbers the concordance index; 0.5 is chance.
People of different sites are never compared, so whatever is the same for all people of a site
(scanner, protocol, the share of patients, their mean age) can move the score of a site neither up
nor down. Sites are averaged with van Elteren's weights, the number of pairs over (people + 1):
about their size, and less where one class is rare. A pooled score over sites, or scores centred
by the mean of the tested people of a site, would need a correction that depends on who is tested.

**Within one split.** Only scores of one fitted head are compared: pooled over folds, heads that
learned nothing would score below chance, because a fold that tests more patients was trained on
fewer.

**Intervals.** People are drawn with replacement, and so are the splits (folds or episodes); all
methods share the draws, so differences are paired. Where the training set is fixed, the interval
does not hold that other people could have been trained on.

References
----------
.. [1] van Elteren, 1960, Bulletin of the International Statistical Institute 37: 351-361.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

N_BOOTSTRAP = 1000
ALPHAS = np.logspace(-3, 3, 13)


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows of one stratum: the target of ``larger`` is above that of ``smaller``.

    Parameters
    ----------
    larger, smaller, stratum : ndarray of int, shape (n_pairs,)
        Two rows, and the number of their stratum.
    """

    larger: np.ndarray
    smaller: np.ndarray
    stratum: np.ndarray


def pairs_within(y, strata):
    """List the pairs of rows of one stratum whose target differs.

    Parameters
    ----------
    y : ndarray of float, shape (n_rows,)
    strata : ndarray, shape (n_rows,)

    Raises
    ------
    ValueError
        If no stratum holds two rows that differ.
    """
    number = np.unique(strata, return_inverse=True)[1]
    larger, smaller = np.nonzero((y[:, None] > y) & (number[:, None] == number))
    if not len(larger):
        raise ValueError("no stratum has two rows that differ: there is nothing to order.")
    return Pairs(larger, smaller, number[larger])


def agreement(scores, pairs):
    """Tell for each pair whether the scores order it as the target does.

    Parameters
    ----------
    scores : ndarray of float, shape (n_splits, n_rows)
        NaN where a row was not tested.
    pairs : Pairs

    Returns
    -------
    agree : ndarray of float, shape (n_splits, n_pairs)
        1, 0.5 (tie) or 0; NaN where one of the two was not tested.
    """
    return (np.sign(scores[:, pairs.larger] - scores[:, pairs.smaller]) + 1) / 2


def within(agree, pairs, people, splits=None):
    """Average the agreement over pairs, then over strata.

    Parameters
    ----------
    agree : ndarray, shape (n_splits, n_pairs)
    pairs : Pairs
    people : ndarray of float, shape (n_draws, n_rows)
        How often each draw holds each row; rows that are never tested should be 0.
    splits : ndarray of float, shape (n_draws, n_splits), optional
        How often each draw holds each split; default: each once.

    Returns
    -------
    scores : ndarray of float, shape (n_draws,)
    """
    splits = np.ones((len(people), len(agree))) if splits is None else splits
    drawn = people[:, pairs.larger] * people[:, pairs.smaller]  # (n_draws, n_pairs)
    good = drawn * (splits @ np.nan_to_num(agree))
    defined = drawn * (splits @ np.isfinite(agree))
    member = np.eye(pairs.stratum.max() + 1)[pairs.stratum]  # (n_pairs, n_strata)
    n_people = people @ _in_stratum(pairs, people.shape[1])
    weight = (drawn @ member) / (n_people + 1)
    of_stratum = np.divide(
        good @ member, defined @ member, out=np.zeros(weight.shape), where=defined @ member > 0
    )
    weight = np.where(defined @ member > 0, weight, 0)
    with np.errstate(invalid="ignore"):  # a draw without any pair has no score
        return (weight * of_stratum).sum(axis=1) / weight.sum(axis=1)


def draws(groups, tested, n_splits, *, n_draws=N_BOOTSTRAP, seed=0):
    """Draw people and splits with replacement, the same for every method.

    Parameters
    ----------
    groups : ndarray of str, shape (n_rows,)
    tested : ndarray of bool, shape (n_rows,)
    n_splits, n_draws, seed : int

    Returns
    -------
    people : ndarray of float, shape (n_draws, n_rows), 0 for rows that are not tested
    splits : ndarray of float, shape (n_draws, n_splits)
    """
    rng = np.random.default_rng(seed)
    names, number = np.unique(groups[tested], return_inverse=True)
    people = np.zeros((n_draws, len(groups)))
    share = np.full(len(names), 1 / len(names))
    people[:, tested] = rng.multinomial(len(names), share, n_draws)[:, number]
    splits = rng.multinomial(n_splits, np.full(n_splits, 1 / n_splits), n_draws)
    return people, splits.astype(float)


def ridge_scores(train_kernel, test_kernel, y, groups):
    """Fit a ridge regression with intercept on a kernel and score the test rows.

    The penalty, one of ``ALPHAS``, has the least squared error when each person is left out in
    turn (exactly, in closed form).

    Parameters
    ----------
    train_kernel : ndarray, shape (n_train, n_train)
    test_kernel : ndarray, shape (n_test, n_train)
    y : ndarray of float, shape (n_train,)
    groups : ndarray of str, shape (n_train,)

    Returns
    -------
    scores : ndarray of float, shape (n_test,)
    """
    train_kernel, test_kernel = train_kernel.astype(float), test_kernel.astype(float)
    mean = train_kernel.mean(axis=0)
    centred = train_kernel - mean - mean[:, None] + mean.mean()
    values, vectors = np.linalg.eigh(centred)
    values = np.maximum(values, 0)
    shrunk = (vectors.T @ (y - y.mean()))[:, None] / (values[:, None] + ALPHAS)
    weights = vectors @ shrunk  # (n_train, n_alphas)
    left_out = _left_out(values, vectors, weights, groups)
    best = np.square(left_out).sum(axis=0).argmin()
    test_centred = test_kernel - test_kernel.mean(axis=1, keepdims=True) - mean + mean.mean()
    return test_centred @ weights[:, best] + y.mean()


def repeated_folds(rows, classes, groups, *, n_repeats=10, n_folds=5):
    """Split rows into folds that keep people together, several times.

    Returns
    -------
    splits : list of (ndarray of int, ndarray of int)
        Training and test rows of the ``n_folds`` folds of each repeat.
    """
    return [
        (rows[train], rows[test])
        for repeat in range(n_repeats)
        for train, test in StratifiedGroupKFold(n_folds, shuffle=True, random_state=repeat).split(
            rows, classes[rows], groups[rows]
        )
    ]


def episodes(rows, classes, groups, k, *, n_episodes=50, least_left=5, seed=0):
    """Draw few-shot episodes: ``k`` people a class to train on, all others are tested.

    Where each person has all classes (rest and task), ``k`` people with all they have.

    Returns
    -------
    splits : list of (ndarray of int, ndarray of int)
        Training and test rows of each episode; empty if fewer than ``least_left`` people of a class
        would be left.
    """
    kinds = {}
    for person in np.unique(groups[rows]):
        mine = rows[groups[rows] == person]
        kinds.setdefault(tuple(np.unique(classes[mine])), []).append(person)
    if min(len(people) for people in kinds.values()) < k + least_left:
        return []
    rng = np.random.default_rng([seed, k])
    found = []
    for _ in range(n_episodes):
        drawn = np.concatenate([rng.permutation(people)[:k] for people in kinds.values()])
        train = np.isin(groups[rows], drawn)
        found.append((rows[train], rows[~train]))
    return found


def _in_stratum(pairs, n_rows):
    """(n_rows, n_strata): 1 where a row is in a stratum; rows without any pair are in none."""
    member = np.zeros((n_rows, pairs.stratum.max() + 1))
    member[pairs.larger, pairs.stratum] = 1
    member[pairs.smaller, pairs.stratum] = 1
    return member


def _left_out(values, vectors, weights, groups):
    """Errors of each row when its person is left out, (n_train, n_alphas)."""
    n = len(vectors)
    residual = ALPHAS * weights
    if len(np.unique(groups)) == n:
        hat = vectors**2 @ (values[:, None] / (values[:, None] + ALPHAS)) + 1 / n
        return residual / np.maximum(1 - hat, 1e-12)
    errors = np.empty(residual.shape)
    for column, alpha in enumerate(ALPHAS):
        hat = (vectors * (values / (values + alpha))) @ vectors.T + 1 / n
        for person in np.unique(groups):
            mine = np.flatnonzero(groups == person)
            block = np.eye(len(mine)) - hat[np.ix_(mine, mine)]
            errors[mine, column] = np.linalg.lstsq(block, residual[mine, column])[0]
    return errors
