"""Methods against each other on the very same folds: scores, intervals, permutation."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier, DummyRegressor

from brainfm.errors import UsageError
from brainfm.models.baselines import (
    BandPowerFeatures,
    ConnectivityFeatures,
    RiemannFeatures,
    linear_head,
)
from brainfm.models.features import EmbeddingFeatures
from brainfm.models.heads import RowSpace

#: The score a question is answered with.
PRIMARY = {"classification": "roc_auc", "regression": "r"}
_N_BOOTSTRAP = 1000


@dataclass(frozen=True, kw_only=True)
class Method:
    """Features, none to several blocks of them, and the head that reads them.

    Each block has a head of its own, and what the heads predict is averaged: a block that says
    little does not hide one that says much, as it does where blocks stand side by side.
    ``kind`` is ``pretrained``, ``classical``, ``combined`` or ``dummy``. A feature transformer
    with a ``measure`` method is measured once and fitted in every fold; any other is cloned,
    fitted and applied in every fold. Its ``scaler`` says how its columns are scaled there.
    """

    name: str
    kind: str
    features: tuple
    head: BaseEstimator


def default_methods(modality, task, *, embedder=None):
    """Make the methods a report compares: pretrained, classical, both together, and a guess.

    Parameters
    ----------
    modality : {"bold", "eeg"}
    task : {"classification", "regression"}
    embedder : transformer, optional
        Without one, only the classical methods and the guess are made.

    Returns
    -------
    methods : list of Method
        All linear heads are the same model, so what differs is what they read.
    """
    head = linear_head(task)
    classical = {
        "bold": {"Pearson connectivity": ConnectivityFeatures(),
                 "tangent connectivity": ConnectivityFeatures(kind="tangent")},
        "eeg": {"log band power": BandPowerFeatures(),
                "Riemannian tangent space": RiemannFeatures()},
    }  # fmt: skip
    if modality not in classical:
        raise UsageError(f"modality is {modality!r}; expected bold or eeg.")
    methods = []
    if embedder is not None:
        pretrained = EmbeddingFeatures(embedder)
        methods.append(Method(name="brainfm", kind="pretrained", features=(pretrained,), head=head))
        first, features = next(iter(classical[modality].items()))
        methods.append(
            Method(
                name=f"brainfm + {first}",
                kind="combined",
                features=(pretrained, features),
                head=head,
            )
        )
    for name, features in classical[modality].items():
        methods.append(Method(name=name, kind="classical", features=(features,), head=head))
    # A constant guess: the share of each class in training would run against the test fold.
    guess = DummyClassifier(strategy="uniform", random_state=0)
    guess = guess if task == "classification" else DummyRegressor()
    return [
        *methods,
        Method(name="guess without any signal", kind="dummy", features=(), head=guess),
    ]


def fold_features(method, table, folds, *, measured=None):
    """Compute what the head of a method reads, in every fold.

    Everything learned is learned on the training rows of the fold.

    Parameters
    ----------
    method : Method
    table : RecordingTable
    folds : Folds
    measured : dict, optional
        Filled with what transformers measured, so that methods sharing one share its work.

    Returns
    -------
    matrices : list of list of (ndarray, ndarray)
        Of each fold, and in it of each block: training (n_train, n_kept) and test
        (n_test, n_kept), rotated so that n_kept is at most n_train; a linear model with an L2
        penalty does not notice.
    """
    measured = {} if measured is None else measured
    for features in method.features:
        if hasattr(features, "measure") and id(features) not in measured:
            measured[id(features)] = features.measure(table)
    matrices = []
    for train, test in folds.pairs:
        if not method.features:
            matrices.append([(np.zeros((len(train), 1)), np.zeros((len(test), 1)))])
            continue
        blocks = [_one_fold(features, table, (train, test), measured.get(id(features)))
                  for features in method.features]  # fmt: skip
        matrices.append([_rotated(*block) for block in blocks])
    return matrices


def cross_predict(head, matrices, y, folds):
    """Predict every row from folds that did not train on it.

    Parameters
    ----------
    head : estimator
    matrices : list of list of (ndarray, ndarray)
        From :func:`fold_features`.
    y : ndarray, shape (n_rows,)
    folds : Folds

    Returns
    -------
    predicted : ndarray of float, shape (n_repeats, n_rows, n_outputs)
        Probability of each class of ``np.unique(y)``, or the one predicted value.
    """
    classes = np.unique(y) if hasattr(head, "predict_proba") else None
    n_outputs = 1 if classes is None else len(classes)
    out = np.full((max(folds.repeat) + 1, len(y), n_outputs), np.nan)
    for (train, test), blocks, number in zip(folds.pairs, matrices, folds.repeat, strict=True):
        if len(np.unique(y[train])) < 2:  # permuted labels may leave one
            out[number, test] = y[train][0] if classes is None else classes == y[train][0]
        else:
            each = [_predict(head, *block, y[train], classes) for block in blocks]
            out[number, test] = np.mean(each, axis=0)
    return out


def _predict(head, X_train, X_test, y_train, classes):
    """Probability of each class, 0 for one that training lacks; or the value, (n_test, 1)."""
    fitted = clone(head).fit(X_train, y_train)
    if classes is None:
        return fitted.predict(X_test)[:, None]
    out = np.zeros((len(X_test), len(classes)))
    out[:, np.searchsorted(classes, fitted.classes_)] = fitted.predict_proba(X_test)
    return out


def score(y, predicted, task, counts=None):
    """Score one set of predictions, as it is or as drawn by a bootstrap.

    Parameters
    ----------
    y : ndarray, shape (n_rows,)
        Class numbers from 0, or values.
    predicted : ndarray of float, shape (n_rows, n_outputs)
        As :func:`cross_predict` returns, for one repeat.
    task : {"classification", "regression"}
    counts : ndarray, shape (n_draws, n_rows), optional
        How often each draw holds each row; default: one draw with every row once.

    Returns
    -------
    scores : dict of ndarray of float, shape (n_draws,)
        ``roc_auc`` (mean over classes, one against the rest) and ``balanced_accuracy``; or
        ``r`` (Pearson), ``mae`` in the unit of ``y``, and ``r2``. NaN where undefined.
    """
    counts = np.ones((1, len(y))) if counts is None else np.asarray(counts, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):
        if task == "classification":
            return _class_scores(np.asarray(y, int), predicted, counts)
        return _value_scores(np.asarray(y, float), predicted[:, 0], counts)


def judged(y, predicted, folds, task):
    """Average predictions over the rows that stand for one thing.

    With participant folds that is the participant (or each recording, where the target differs
    within people); with block folds every window counts.

    Returns
    -------
    y : ndarray, shape (n_judged,)
        Class numbers, or values.
    predicted : ndarray, shape (n_repeats, n_judged, n_outputs)
    resample : ndarray of str, shape (n_judged,)
        What a bootstrap draws: participants, or blocks of time.
    """
    y = np.unique(y, return_inverse=True)[1] if task == "classification" else np.asarray(y, float)
    if folds.kind == "block":
        return y, predicted, folds.units
    units, first = np.unique(folds.units, return_index=True)
    members = [folds.units == unit for unit in units]
    averaged = np.stack([predicted[:, rows].mean(axis=1) for rows in members], axis=1)
    target = np.array([y[rows].mean() for rows in members])  # equal within a unit, or nearly
    people = folds.strata if len(np.unique(folds.strata)) > 1 else folds.units
    return target, averaged, people[first]


def bootstrap_counts(resample, *, n_draws=_N_BOOTSTRAP, seed=0):
    """Draw units with replacement.

    Parameters
    ----------
    resample : ndarray of str, shape (n_judged,)
        Unit of each judged row.
    n_draws, seed : int

    Returns
    -------
    counts : ndarray of int, shape (n_draws, n_judged)
        How often each draw holds each row; used for every method, so differences are paired.
    """
    units, number = np.unique(resample, return_inverse=True)
    share = np.full(len(units), 1 / len(units))
    return np.random.default_rng(seed).multinomial(len(units), share, size=n_draws)[:, number]


def mean_scores(y, predicted, task, counts=None):
    """Score each repeat and average the scores; arrays as :func:`score` returns them."""
    each = [score(y, one, task, counts) for one in predicted]
    return {name: np.mean([scores[name] for scores in each], axis=0) for name in each[0]}


def interval(values, level=0.95):
    """Percentile interval of bootstrap values; NaN (a draw with one class) is left out."""
    values = np.asarray(values, float)
    if not np.isfinite(values).any():
        return np.nan, np.nan
    tail = (1 - level) / 2 * 100
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def permuted(y, folds, rng):
    """Exchange the labels of whole units within their stratum.

    Units of one stratum whose rows carry several labels (a regression target that differs
    between the recordings of a participant) exchange the label of their first row.
    """
    _, first, number = np.unique(folds.units, return_index=True, return_inverse=True)
    labels = np.asarray(y)[first].copy()
    for stratum in np.unique(folds.strata[first]):
        place = np.flatnonzero(folds.strata[first] == stratum)
        labels[place] = labels[rng.permutation(place)]
    return labels[number]


def permutation_test(head, matrices, y, folds, *, task, n_permutations, seed=0):
    """Ask how often exchanged labels are predicted as well as the real ones.

    Only the first repeat of the cross-validation is used, for the real labels too.

    Returns
    -------
    observed : float
        The primary score of that repeat.
    null : ndarray of float, shape (n_permutations,)
    p : float
        ``(1 + number of null >= observed) / (1 + n_permutations)``.

    References
    ----------
    .. [1] Ojala and Garriga, 2010, JMLR 11, test 1. https://jmlr.org/papers/v11/ojala10a.html
    """
    keep = [index for index, number in enumerate(folds.repeat) if number == 0]
    first = replace(folds, pairs=tuple(folds.pairs[i] for i in keep), repeat=(0,) * len(keep))
    matrices = [matrices[index] for index in keep]
    rng = np.random.default_rng(seed)

    known = {}  # few units can be arranged in few ways, which come up again

    def primary(labels):
        key = labels.tobytes()
        if key not in known:
            predicted = cross_predict(head, matrices, labels, first)
            target, averaged, _ = judged(labels, predicted, first, task)
            known[key] = mean_scores(target, averaged, task)[PRIMARY[task]][0]
        return known[key]

    # The arrays are ours and were checked; checking them again takes longer than fitting.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        observed = primary(np.asarray(y))
        null = np.array([primary(permuted(y, first, rng)) for _ in range(n_permutations)])
    at_least = np.sum(np.nan_to_num(null, nan=-np.inf) >= observed - 1e-12)
    return observed, null, float((1 + at_least) / (1 + n_permutations))


def _one_fold(features, table, rows, measured):
    train = rows[0]
    fitted = clone(features)
    if measured is not None:
        fitted.fit_measured([measured[row] for row in train])
        sides = [fitted.transform_measured([measured[row] for row in part]) for part in rows]
    else:
        fitted.fit(table[train])
        sides = [fitted.transform(table[part]) for part in rows]
    scaler = clone(features.scaler).fit(sides[0])
    return [scaler.transform(side) for side in sides]


def _rotated(train, test):
    rows = RowSpace().fit(train)
    return rows.transform(train), rows.transform(test)


def _class_scores(y, probabilities, counts):
    classes = range(probabilities.shape[1])
    best = probabilities.argmax(axis=1)
    recall = [counts @ ((y == k) & (best == k)) / (counts @ (y == k)) for k in classes]
    areas = [_auc(y == k, probabilities[:, k], counts) for k in classes]
    return {"roc_auc": np.mean(areas, axis=0), "balanced_accuracy": np.mean(recall, axis=0)}


def _auc(positive, value, counts):
    """Share of pairs in which the positive row has the larger value; a tie is half."""
    order = np.argsort(value, kind="stable")
    starts = np.flatnonzero(np.diff(value[order], prepend=-np.inf))  # of each run of ties
    sides = [np.add.reduceat(counts[:, order] * side[order], starts, axis=1)
             for side in (positive, ~positive)]  # fmt: skip
    below = np.cumsum(sides[1], axis=1) - sides[1] / 2
    return (sides[0] * below).sum(axis=1) / (sides[0].sum(axis=1) * sides[1].sum(axis=1))


def _value_scores(y, guess, counts):
    share = counts / counts.sum(axis=1, keepdims=True)
    y_spread, g_spread = (share @ v**2 - (share @ v) ** 2 for v in (y - y.mean(), guess - y.mean()))
    together = share @ ((y - y.mean()) * (guess - y.mean()))
    together -= (share @ (y - y.mean())) * (share @ (guess - y.mean()))
    tiny = 1e-12 * max(np.ptp(y), np.ptp(guess), 1e-300) ** 2
    r = together / np.sqrt(y_spread * g_spread)
    return {
        "r": np.where((y_spread > tiny) & (g_spread > tiny), r, np.nan),
        "mae": share @ np.abs(y - guess),
        "r2": np.where(y_spread > tiny, 1 - share @ (y - guess) ** 2 / y_spread, np.nan),
    }
