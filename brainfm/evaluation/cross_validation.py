"""Cross-validation of several methods on the same folds, and permutation tests."""

from dataclasses import dataclass, replace

import numpy as np
from joblib import delayed
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import has_fit_parameter

from brainfm.errors import DataError, UsageError
from brainfm.evaluation.scores import aggregate_predictions
from brainfm.models.estimators.heads import RowSpacePCA, TunedLinearHead
from brainfm.models.features.protocol import FeatureExtractor
from brainfm.models.features.registry import FEATURES, EmbeddingFeatures, scaler_of

#: Classical features compared in every report; the first is also combined with the embedding.
_BASELINES = {"bold": ("pearson", "tangent"), "eeg": ("band_power", "riemann")}


@dataclass(frozen=True)
class Method:
    """Feature sets and the head that predicts from them.

    One head is fitted per feature set and their predictions are averaged, so that a large but
    uninformative set does not dominate, as it would after concatenation.

    Parameters
    ----------
    name : str
    kind : {"pretrained", "classical", "combined", "covariates", "dummy"}
    features : tuple of transformer
        None for a dummy. A :class:`~brainfm.models.features.protocol.FeatureExtractor` is
        precomputed once; any other transformer is fitted and applied in every fold.
    head : estimator
        Cloned for each fold and feature set.
    """

    name: str
    kind: str
    features: tuple
    head: BaseEstimator


def default_methods(modality, task, *, embedder=None, in_domain=None):
    """Make the methods that a report compares: pretrained, classical, combined and dummy.

    Parameters
    ----------
    modality : {"bold", "eeg"}
    task : {"classification", "regression"}
    embedder : transformer, optional
        Without one, only the classical methods and the dummy are made.
    in_domain : transformer, optional
        Another embedder, pretrained on the evaluated recordings.

    Returns
    -------
    methods : list of Method
        All but the dummy, the last, have the same head.

    Raises
    ------
    UsageError
        If the modality is unknown.
    """
    if modality not in _BASELINES:
        raise UsageError(f"modality is {modality!r}; expected bold or eeg.")
    classical = {FEATURES[name].title: FEATURES[name].make() for name in _BASELINES[modality]}
    rows = []
    if embedder is not None:
        pretrained = EmbeddingFeatures(embedder)
        first = next(iter(classical))
        rows = [
            ("brainfm", "pretrained", (pretrained,)),
            (f"brainfm + {first}", "combined", (pretrained, classical[first])),
        ]
    if in_domain is not None:
        features = (EmbeddingFeatures(in_domain),)
        rows.append(("brainfm, pretrained on these data", "pretrained", features))
    rows += [(name, "classical", (features,)) for name, features in classical.items()]
    # Constant: class frequencies of the training rows are anti-correlated with the test fold.
    dummy = DummyClassifier(strategy="uniform", random_state=0)
    dummy = dummy if task == "classification" else DummyRegressor()
    head = TunedLinearHead(task)
    return [*(Method(*row, head) for row in rows), Method("dummy estimator", "dummy", (), dummy)]


def load_or_compute(jobs, cache, workers):
    """Load results from a cache; compute and cache those that are missing.

    Parameters
    ----------
    jobs : dict of str to callable
        Each returns the :func:`joblib.delayed` call whose result is a dict of str to ndarray.
    cache : dict, or brainfm.storage.cache.results.ResultCache
        Filled as each result arrives.
    workers : joblib.Parallel
        With ``return_as="generator_unordered"``.

    Returns
    -------
    results : dict of str to dict of str to ndarray
        In the order of the jobs.
    """
    results = {name: cache.get(name) for name in jobs}
    missing = [name for name, arrays in results.items() if arrays is None]
    for name, arrays in workers(delayed(_named)(name, jobs[name]()) for name in missing):
        cache[name] = results[name] = arrays
    return results


def _named(name, job):
    function, args, keywords = job
    return name, function(*args, **keywords)


def precompute_features(method, table, precomputed):
    """Precompute the features of a method.

    Parameters
    ----------
    method : Method
    table : RecordingTable of n_rows rows
    precomputed : dict of transformer to sequence of length n_rows
        Filled with what is missing.

    Returns
    -------
    table : RecordingTable or None
        None if all features of the method are precomputed, and no recording is needed any more.
    precomputed : dict of transformer to sequence of length n_rows
        Those of this method only, to be sent to another process.

    Raises
    ------
    DataError
        See :func:`check_rows_independent`.
    """
    extractors = [one for one in method.features if isinstance(one, FeatureExtractor)]
    for features in extractors:
        if features not in precomputed:
            precomputed[features] = precompute_rows(features, table)
    of_method = {features: precomputed[features] for features in extractors}
    return (None if len(of_method) == len(method.features) else table), of_method


def fold_features(method, table, folds, *, precomputed=None):
    """Compute the scaled features of a method in every fold, fitted on its training rows.

    Parameters
    ----------
    method : Method
    table : RecordingTable or None
        See :func:`precompute_features`.
    folds : Folds
    precomputed : dict of transformer to sequence of length n_rows, optional
        Shared by methods with the same transformers; filled.

    Returns
    -------
    matrices : list of list of (ndarray, ndarray)
        Training and test features, of shapes (n_train, n_columns) and (n_test, n_columns), of
        each feature set of each fold. They are rotated so that n_columns is at most n_train,
        which does not change a linear model with an L2 penalty.

    Raises
    ------
    DataError
        See :func:`check_rows_independent`.
    """
    table, precomputed = precompute_features(
        method, table, {} if precomputed is None else precomputed
    )
    if not method.features:
        return [[[np.zeros((len(rows), 1)) for rows in pair]] for pair in folds.pairs]
    return [
        [
            _one_fold(features, table, rows, precomputed.get(features))
            for features in method.features
        ]
        for rows in folds.pairs
    ]


def cross_predict(head, matrices, y, folds):
    """Predict every row by the folds that test it.

    Parameters
    ----------
    head : estimator
    matrices : list of list of (ndarray, ndarray)
        From :func:`fold_features`.
    y : ndarray of str or float, shape (n_rows,)
    folds : Folds

    Returns
    -------
    predicted : ndarray of float, shape (n_repeats, n_rows, n_outputs)
        Probability of each class of ``np.unique(y)``, or one predicted value; NaN where a repeat
        does not test a row.
    """
    n_outputs = 1
    if is_classifier := hasattr(head, "predict_proba"):
        # Class numbers: class_weight="balanced" misreads the labels "1" and "2".
        classes, y = np.unique(y, return_inverse=True)
        n_outputs = len(classes)
    out = np.full((max(folds.repeat) + 1, len(y), n_outputs), np.nan)
    for (train, test), blocks, number in zip(folds.pairs, matrices, folds.repeat, strict=True):
        if len(np.unique(y[train])) < 2:  # permuted labels may leave one
            one = y[train][0]
            out[number, test] = np.arange(n_outputs) == one if is_classifier else one
            continue
        people = folds.units[train] if folds.is_within_people else folds.people[train]
        # The arrays were checked; checking them again takes longer than fitting.
        with config_context(assume_finite=True, skip_parameter_validation=True):
            predicted = [_predict(head, block, y[train], people, n_outputs) for block in blocks]
        out[number, test] = np.mean(predicted, axis=0)
    return out


def _predict(head, block, y_train, people, n_outputs):
    """Probabilities (n_test, n_classes), 0 for a class without training rows; or (n_test, 1)."""
    X_train, X_test = block
    groups = {"groups": people} if has_fit_parameter(head, "groups") else {}
    fitted = clone(head).fit(X_train, y_train, **groups)
    if not hasattr(fitted, "predict_proba"):
        return fitted.predict(X_test)[:, None]
    out = np.zeros((len(X_test), n_outputs))
    out[:, fitted.classes_] = fitted.predict_proba(X_test)
    return out


def permute_labels(y, folds, rng):
    """Permute the labels of units within their strata.

    Parameters
    ----------
    y : ndarray of str or float, shape (n_rows,)
        Where the rows of a unit have several labels, the label of its first row is permuted.
    folds : Folds
    rng : numpy.random.Generator

    Returns
    -------
    permuted : ndarray of str or float, shape (n_rows,)
    """
    _, first, number = np.unique(folds.units, return_index=True, return_inverse=True)
    labels = np.asarray(y)[first].copy()
    for stratum in np.unique(folds.strata[first]):
        members = np.flatnonzero(folds.strata[first] == stratum)
        labels[members] = labels[rng.permutation(members)]
    return labels[number]


def permutation_test(head, matrices, y, folds, *, task, n_permutations, seed=0):
    """Test whether a head predicts better than with permuted labels.

    Only the first repeat of the cross-validation is used.

    Parameters
    ----------
    head : estimator
    matrices : list of list of (ndarray, ndarray)
        From :func:`fold_features`.
    y : ndarray of str or float, shape (n_rows,)
    folds : Folds
    task : {"classification", "regression"}
    n_permutations, seed : int

    Returns
    -------
    observed : float
        Primary score of the first repeat.
    null : ndarray of float, shape (n_permutations,)
        Primary scores of permuted labels.
    p : float
        ``(1 + number of null >= observed) / (1 + n_permutations)``; an undefined null score
        counts as at least as high. NaN if ``observed`` is undefined.

    References
    ----------
    .. [1] Ojala and Garriga, 2010, JMLR 11, test 1. https://jmlr.org/papers/v11/ojala10a.html
    """
    of_first = [index for index, number in enumerate(folds.repeat) if number == 0]
    pairs = tuple(folds.pairs[index] for index in of_first)
    first = replace(folds, pairs=pairs, repeat=(0,) * len(pairs))
    matrices = [matrices[index] for index in of_first]
    rng = np.random.default_rng(seed)

    scores = {}  # few units have few permutations, which recur

    def primary(labels):
        key = labels.tobytes()
        if key not in scores:
            predicted = cross_predict(head, matrices, labels, first)
            scores[key] = aggregate_predictions(labels, predicted, first, task).primary()[0]
        return scores[key]

    observed = primary(np.asarray(y))
    null = np.array([primary(permute_labels(y, first, rng)) for _ in range(n_permutations)])
    at_least = np.sum(~(null < observed - 1e-12))
    p = (1 + at_least) / (1 + n_permutations) if np.isfinite(observed) else np.nan
    return observed, null, float(p)


def precompute_rows(features, table):
    """Precompute features of each row, and check that rows are independent.

    Parameters
    ----------
    features : FeatureExtractor
    table : RecordingTable of n_rows rows

    Returns
    -------
    precomputed : sequence of length n_rows
        Those of frozen features are rotated into the row space, shape (n_rows, at most n_rows).

    Raises
    ------
    DataError
        See :func:`check_rows_independent`.
    """
    check_rows_independent(features, table)
    rows = features.precompute(table)
    return RowSpacePCA().fit_transform(rows) if getattr(features, "is_frozen", False) else rows


def check_rows_independent(features, table):
    """Check that ``precompute`` of one recording does not depend on the other recordings.

    Parameters
    ----------
    features : FeatureExtractor
    table : RecordingTable

    Raises
    ------
    DataError
        If the last row differs between a table of one row and a table of two.
    """
    pair = [features.precompute(table[rows])[-1] for rows in ([-1], [0, -1])]
    parts = (one if isinstance(one, tuple) else (one,) for one in pair)
    for alone, with_other in zip(*parts, strict=True):
        same = (
            alone == with_other
            if isinstance(alone, tuple)
            else np.allclose(alone, with_other, rtol=1e-4, equal_nan=True)
        )
        if not same:
            raise DataError(
                f"{features!r} precomputes {table[-1][0]!r} differently with and without other "
                "recordings, which leaks test rows into training: learn from rows in fit only."
            )


def _one_fold(features, table, rows, precomputed):
    train = rows[0]
    fitted = clone(features)
    if precomputed is not None:
        fitted.fit_precomputed([precomputed[row] for row in train])
        sides = [fitted.transform_precomputed([precomputed[row] for row in part]) for part in rows]
    else:
        fitted.fit(table[train])
        sides = [fitted.transform(table[part]) for part in rows]
    scaler = make_pipeline(clone(scaler_of(features)), RowSpacePCA()).fit(sides[0])
    return [scaler.transform(side) for side in sides]
