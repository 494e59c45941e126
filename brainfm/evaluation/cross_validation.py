"""Methods against each other on the very same folds: scores, intervals, permutation."""

from dataclasses import dataclass, replace

import numpy as np
from joblib import delayed
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.utils.validation import has_fit_parameter

from brainfm.errors import DataError, UsageError
from brainfm.evaluation.scores import aggregate_predictions
from brainfm.models.estimators.heads import RowSpacePCA, TunedLinearHead
from brainfm.models.features.protocol import FeatureExtractor
from brainfm.models.features.registry import FEATURES, EmbeddingFeatures, scaler_of

#: Classical features every report compares with; the first is fused with the embedding too.
_BASELINES = {"bold": ("pearson", "tangent"), "eeg": ("band_power", "riemann")}


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


def default_methods(modality, task, *, embedder=None, own=None):
    """Make the methods a report compares: pretrained, classical, both together, and a guess.

    Parameters
    ----------
    modality : {"bold", "eeg"}
    task : {"classification", "regression"}
    embedder : transformer, optional
        Without one, only the classical methods and the guess are made.
    own : transformer, optional
        One pretrained on the very data, compared too.

    Returns
    -------
    methods : list of Method
        All linear heads are the same model, so what differs is what they read.
    """
    if modality not in _BASELINES:
        raise UsageError(f"modality is {modality!r}; expected bold or eeg.")
    head, methods = TunedLinearHead(task), []
    known = [FEATURES[name] for name in _BASELINES[modality]]
    classical = {feature.title: feature.make() for feature in known}
    if embedder is not None:
        pretrained = EmbeddingFeatures(embedder)
        methods.append(Method(name="brainfm", kind="pretrained", features=(pretrained,), head=head))
        first, features = next(iter(classical.items()))
        methods.append(
            Method(
                name=f"brainfm + {first}",
                kind="combined",
                features=(pretrained, features),
                head=head,
            )
        )
    if own is not None:
        name, features = "brainfm, pretrained on these data", (EmbeddingFeatures(own),)
        methods.append(Method(name=name, kind="pretrained", features=features, head=head))
    for name, features in classical.items():
        methods.append(Method(name=name, kind="classical", features=(features,), head=head))
    # A constant guess: the share of each class in training would run against the test fold.
    guess = DummyClassifier(strategy="uniform", random_state=0)
    guess = guess if task == "classification" else DummyRegressor()
    return [
        *methods,
        Method(name="guess without any signal", kind="dummy", features=(), head=guess),
    ]


def load_or_compute(jobs, kept, workers):
    """Make what an earlier call has not kept.

    Parameters
    ----------
    jobs : dict of str to callable
        Each returns the :func:`joblib.delayed` call that makes a dict of str to ndarray.
    kept : dict, or brainfm.storage.cache.results.ResultCache
        Filled as each is made.
    workers : joblib.Parallel
        Who makes them, with ``return_as="generator_unordered"``: each is kept when it is made.

    Returns
    -------
    made : dict of str to dict
        In the order of the jobs.
    """
    made = {name: kept.get(name) for name in jobs}
    missing = [name for name, arrays in made.items() if arrays is None]
    for name, arrays in workers(delayed(_named)(name, jobs[name]()) for name in missing):
        kept[name] = made[name] = arrays
    return made


def _named(name, job):
    function, args, keywords = job
    return name, function(*args, **keywords)


def precompute_features(method, table, measured):
    """Measure the features of a method that are not measured yet.

    Parameters
    ----------
    method : Method
    table : RecordingTable
    measured : dict
        By transformer; filled.

    Returns
    -------
    table : RecordingTable or None
        None where all that is needed of the recordings is measured.
    measured : dict
        What is measured of this method, so that another process gets no more.
    """
    can = [features for features in method.features if isinstance(features, FeatureExtractor)]
    for features in can:
        if features not in measured:
            measured[features] = precompute_rows(features, table)
    own = {features: measured[features] for features in can}
    return (None if len(own) == len(method.features) else table), own


def fold_features(method, table, folds, *, measured=None):
    """Compute what the head of a method reads, in every fold.

    Everything learned is learned on the training rows of the fold.

    Parameters
    ----------
    method : Method
    table : RecordingTable or None
        See :func:`precompute_features`.
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
    table, measured = precompute_features(method, table, {} if measured is None else measured)
    matrices = []
    for train, test in folds.pairs:
        if not method.features:
            matrices.append([(np.zeros((len(train), 1)), np.zeros((len(test), 1)))])
            continue
        blocks = [_one_fold(features, table, (train, test), measured.get(features))
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
    n_outputs = 1
    if is_classifier := hasattr(head, "predict_proba"):
        # Numbers: scikit-learn takes the labels "1" and "2" for numbers where it weighs classes.
        classes, y = np.unique(y, return_inverse=True)
        n_outputs = len(classes)
    out = np.full((max(folds.repeat) + 1, len(y), n_outputs), np.nan)
    for (train, test), blocks, number in zip(folds.pairs, matrices, folds.repeat, strict=True):
        if len(np.unique(y[train])) < 2:  # permuted labels may leave one
            one = y[train][0]
            out[number, test] = np.arange(n_outputs) == one if is_classifier else one
            continue
        people = folds.units[train] if folds.is_within_people else folds.people[train]
        # The arrays are ours and were checked; checking them again takes longer than fitting.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            each = [_predict(head, block, y[train], people, n_outputs) for block in blocks]
        out[number, test] = np.mean(each, axis=0)
    return out


def _predict(head, block, y_train, people, n_outputs):
    """Probability of each class, 0 for one that training lacks; or the value, (n_test, 1)."""
    X_train, X_test = block
    known = {"groups": people} if has_fit_parameter(head, "groups") else {}
    fitted = clone(head).fit(X_train, y_train, **known)
    if not hasattr(fitted, "predict_proba"):
        return fitted.predict(X_test)[:, None]
    out = np.zeros((len(X_test), n_outputs))
    out[:, fitted.classes_] = fitted.predict_proba(X_test)
    return out


def permute_labels(y, folds, rng):
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
        ``(1 + number of null >= observed) / (1 + n_permutations)``, where a null without a score
        counts; NaN where the real labels have none.

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
            known[key] = aggregate_predictions(labels, predicted, first, task).primary()[0]
        return known[key]

    observed = primary(np.asarray(y))
    null = np.array([primary(permute_labels(y, first, rng)) for _ in range(n_permutations)])
    at_least = np.sum(~(null < observed - 1e-12))
    p = (1 + at_least) / (1 + n_permutations) if np.isfinite(observed) else np.nan
    return observed, null, float(p)


def precompute_rows(features, table):
    """Measure what each row gives by itself.

    Parameters
    ----------
    features : transformer with a ``measure`` method
    table : RecordingTable

    Returns
    -------
    measured : sequence, one item a row
        Where nothing is learned (``is_frozen``), turned into the space of all rows.

    Raises
    ------
    DataError
        See :func:`check_rows_alone`.
    """
    check_rows_alone(features, table)
    found = features.precompute(table)
    return RowSpacePCA().fit_transform(found) if getattr(features, "is_frozen", False) else found


def check_rows_alone(features, table):
    """Refuse features whose values for one recording depend on which others are there.

    Parameters
    ----------
    features : transformer with a ``measure`` method
    table : RecordingTable

    Raises
    ------
    DataError
        If the last row is measured differently alone and beside the first.
    """
    last, beside = table[[-1]], table[[0, -1]]
    alone, among = features.precompute(last)[-1], features.precompute(beside)[-1]
    parts = zip(
        *((one if isinstance(one, tuple) else (one,)) for one in (alone, among)), strict=True
    )
    for one, other in parts:
        same = (
            one == other
            if isinstance(one, tuple)
            else np.allclose(one, other, rtol=1e-4, equal_nan=True)
        )
        if not same:
            raise DataError(
                f"{features!r} gives another value for {table[-1][0]!r} beside other recordings "
                "than alone: something is learned from all rows, test rows too; learn it in fit."
            )


def _one_fold(features, table, rows, measured):
    train = rows[0]
    fitted = clone(features)
    if measured is not None:
        fitted.fit_precomputed([measured[row] for row in train])
        sides = [fitted.transform_precomputed([measured[row] for row in part]) for part in rows]
    else:
        fitted.fit(table[train])
        sides = [fitted.transform(table[part]) for part in rows]
    scaler = clone(scaler_of(features)).fit(sides[0])
    return [scaler.transform(side) for side in sides]


def _rotated(train, test):
    rows = RowSpacePCA().fit(train)
    return rows.transform(train), rows.transform(test)
