"""The classical features every learned model is compared with, as scikit-learn transformers.

Each has two parts: what one recording gives by itself (:meth:`measure`, nothing is learned) and
what is learned from the training recordings (which channels all of them have, the reference of a
tangent space). An evaluation measures once and learns in every fold.
"""

import numpy as np
from scipy.signal import butter, sosfiltfilt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from brainfm.errors import SignalError, UsageError
from brainfm.recording import Recording
from brainfm.signal.connectivity import pearson
from brainfm.signal.covariance import (
    impute_channels,
    impute_nan,
    log_euclidean_mean,
    partial_correlations,
    shrunk_covariance,
    tangent,
)
from brainfm.signal.eeg import BANDS_HZ, aperiodic, band_power

#: Frequencies below carry drift, above carry muscle, in resting EEG at the scalp.
_RIEMANN_BANDS = {name: BANDS_HZ[name] for name in ("delta", "theta", "alpha", "beta")}
_TASKS = ("classification", "regression")


class BlockScaler(StandardScaler):
    """Scale features to unit variance, then all of them to unit mean square length of a row.

    So one penalty suits 64 features and 20 000, and blocks of features of different size can
    stand side by side with equal weight.
    """

    def transform(self, X, copy=None):
        """Return ndarray of float, shape (n_rows, n_features)."""
        return super().transform(X, copy) / float(np.sqrt(self.n_features_in_))


class LengthScaler(TransformerMixin, BaseEstimator):
    """Centre features and scale all of them alike, to unit mean square length of a row.

    For vectors whose columns have a size that means something, such as embeddings.
    """

    def fit(self, X, y=None):
        """Learn the centre and the mean length of the training rows."""
        X = validate_data(self, X, dtype=float)
        self.mean_ = X.mean(axis=0)
        self.length_ = np.sqrt(np.square(X - self.mean_).sum(axis=1).mean()) or 1.0
        return self

    def transform(self, X):
        """Return ndarray of float, shape (n_rows, n_features)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=float, reset=False)
        return (X - self.mean_) / self.length_


class _RecordingFeatures(TransformerMixin, BaseEstimator):
    """Features of single recordings of one modality, learned on the channels common to all."""

    scaler = BlockScaler()

    def fit(self, X, y=None):
        """Learn from the training recordings; ``y`` is not used."""
        return self.fit_precomputed(self.precompute(X))

    def transform(self, X):
        """Return features, ndarray of float, shape (n_rows, n_features)."""
        check_is_fitted(self)
        return self.transform_precomputed(self.precompute(X))

    def precompute(self, X):
        """Compute what each recording gives by itself; nothing is learned here.

        Parameters
        ----------
        X : RecordingTable or list of Recording

        Returns
        -------
        measured : list of (tuple of str, ndarray)
            Usable channels, and the array of each recording.

        Raises
        ------
        SignalError
            If a row has no recording of the modality, or a recording fewer than two channels.
        """
        return [self._measure(*usable_channels(recording)) for recording in self._recordings(X)]

    def fit_precomputed(self, measured):
        """Like :meth:`fit`, from what :meth:`measure` returned."""
        channels = common_channels([names for names, _ in measured])
        self.channels_ = np.array(channels)
        self._learn([_pick(*one, channels, self._channel_axes) for one in measured])
        return self

    def transform_precomputed(self, measured):
        """Like :meth:`transform`, from what :meth:`measure` returned."""
        check_is_fitted(self)
        return self._apply([_pick(*one, self.channels_, self._channel_axes) for one in measured])

    def _recordings(self, X):
        rows = [(row,) if isinstance(row, Recording) else tuple(row) for row in X]
        modality = self._modality or rows[0][0].modality
        chosen = [next((r for r in row if r.modality == modality), None) for row in rows]
        if None in chosen:
            raise SignalError(
                f"row {chosen.index(None)} of {len(rows)} has no {modality} recording, which "
                f"{type(self).__name__} needs: select the rows that have one."
            )
        return chosen


class ConnectivityFeatures(_RecordingFeatures):
    """Functional connectivity of each pair of channels.

    Parameters
    ----------
    kind : {"pearson", "partial", "tangent"}
        Correlations; correlations given all other channels; or covariances seen from the tangent
        space at their log-Euclidean mean. The last two are of covariances shrunk by OAS, of
        series scaled to unit variance.

    Notes
    -----
    Only channels that every training recording has are used. Where a new recording lacks one,
    its edges are taken from the mean of the training recordings, so that they say nothing.

    References
    ----------
    .. [1] Dadi et al., 2019, NeuroImage 192. https://doi.org/10.1016/j.neuroimage.2019.02.062
    """

    _modality, _channel_axes = None, (0, 1)

    def __init__(self, kind="pearson"):
        self.kind = kind

    def _measure(self, names, signal, sampling_hz):
        if self.kind not in ("pearson", "partial", "tangent"):
            raise UsageError(f"kind is {self.kind!r}; expected pearson, partial or tangent.")
        if self.kind == "pearson":
            return names, pearson(signal)
        return names, shrunk_covariance(signal / signal.std(axis=0))

    def _learn(self, matrices):
        self.mean_ = np.nanmean(matrices, axis=0)
        if self.kind == "tangent":
            self.reference_ = log_euclidean_mean(matrices)

    def _apply(self, matrices):
        if self.kind == "tangent":
            return tangent(impute_channels(matrices, self.mean_), self.reference_)
        if self.kind == "partial":
            found = partial_correlations(impute_channels(matrices, self.mean_))
        else:
            found = np.array([impute_nan(matrix, self.mean_) for matrix in matrices])
        return found[:, *np.triu_indices(len(self.channels_), k=1)]

    def get_feature_names_out(self, input_features=None):
        """Return ``one~other`` of each pair, ndarray of str, shape (n_features,)."""
        return _pairs(self.channels_, k=0 if self.kind == "tangent" else 1)


class _ChannelFeatures(_RecordingFeatures):
    """A few numbers of each channel of EEG.

    A channel that a new recording lacks is taken from the mean of the training recordings.
    """

    _modality, _channel_axes = "eeg", (0,)

    def _learn(self, values):
        self.mean_ = np.mean(values, axis=0)

    def _apply(self, values):
        return np.array([impute_nan(value, self.mean_).ravel() for value in values])

    def get_feature_names_out(self, input_features=None):
        """Return ``channel_value`` of each number, ndarray of str, shape (n_features,)."""
        return np.array([f"{one}_{name}" for one in self.channels_ for name in self._names])


class BandPowerFeatures(_ChannelFeatures):
    """Logarithm of the power of each channel in five bands (log10 of V²)."""

    _names = tuple(BANDS_HZ)

    def _measure(self, names, signal, sampling_hz):
        power = band_power(signal, sampling_hz, bands=BANDS_HZ)  # (n_channels, n_bands)
        return names, np.log10(np.maximum(power, np.finfo(float).tiny))


class AperiodicFeatures(_ChannelFeatures):
    """Offset and exponent of the spectrum of each channel (:func:`brainfm.signal.eeg.aperiodic`).

    References
    ----------
    .. [1] Donoghue et al., 2020, Nature Neuroscience 23. https://doi.org/10.1038/s41593-020-00744-x
    """

    _names = ("offset", "exponent")

    def _measure(self, names, signal, sampling_hz):
        return names, aperiodic(signal, sampling_hz)


class RiemannFeatures(_RecordingFeatures):
    """Covariances between channels in four bands, in the tangent space at their mean.

    Parameters
    ----------
    bands : dict of (float, float) or None
        Edges in Hz; None for delta, theta, alpha and beta.

    References
    ----------
    .. [1] Sabbagh et al., 2020, NeuroImage 222. https://doi.org/10.1016/j.neuroimage.2020.116893
    """

    _modality, _channel_axes = "eeg", (0, 1)

    def __init__(self, bands=None):
        self.bands = bands

    def _measure(self, names, signal, sampling_hz):
        bands = self.bands or _RIEMANN_BANDS
        covariances = [shrunk_covariance(_band_pass(signal, sampling_hz, band))
                       for band in bands.values()]  # fmt: skip
        return names, np.moveaxis(covariances, 0, -1)  # (n_channels, n_channels, n_bands)

    def _learn(self, stacks):
        stacks = np.array(stacks)  # (n_rows, n_channels, n_channels, n_bands)
        self.mean_ = stacks.mean(axis=0)
        self.reference_ = [log_euclidean_mean(band) for band in _bands(stacks)]

    def _apply(self, stacks):
        bands = zip(_bands(np.array(stacks)), _bands(self.mean_), self.reference_, strict=True)
        return np.hstack([tangent(impute_channels(band, mean), at) for band, mean, at in bands])

    def get_feature_names_out(self, input_features=None):
        """Return ``band:one~other`` of each number, ndarray of str, shape (n_features,)."""
        pairs = _pairs(self.channels_, k=0)
        return np.array(
            [f"{band}:{pair}" for band in self.bands or _RIEMANN_BANDS for pair in pairs]
        )


def linear_head(task="classification"):
    """Make the linear model all methods share: class-balanced logistic, or ridge, regression.

    After :class:`BlockScaler` the penalty C = 1 does as well as one tuned in the training rows:
    on ABIDE the area under the curve varies by 0.03 from C = 0.1 to 100 and is highest at 1.

    Raises
    ------
    UsageError
        If ``task`` is neither ``classification`` nor ``regression``.
    """
    if task not in _TASKS:
        raise UsageError(f"task is {task!r}; expected one of {', '.join(_TASKS)}.")
    if task == "classification":
        return LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
    return RidgeCV(alphas=np.logspace(-3, 3, 13))


def classical_baseline(modality, task="classification"):
    """Make the classical estimator of one modality.

    Parameters
    ----------
    modality : {"bold", "eeg", "dummy"}
        Pearson connectivity, log band power, or a guess that has seen no signal.
    task : {"classification", "regression"}

    Returns
    -------
    estimator : Pipeline of features, scaler and linear head, or a dummy estimator
    """
    head = linear_head(task)
    features = {"bold": ConnectivityFeatures(), "eeg": BandPowerFeatures()}
    if modality in features:
        return make_pipeline(features[modality], BlockScaler(), head)
    if modality == "dummy":
        return DummyClassifier() if task == "classification" else DummyRegressor()
    raise UsageError(f"modality is {modality!r}; expected bold, eeg or dummy.")


def common_channels(names_of_rows):
    """Find the channels all training recordings have.

    Parameters
    ----------
    names_of_rows : list of tuple of str
        Usable channels of each recording.

    Returns
    -------
    channels : list of str, in the order of the first recording

    Raises
    ------
    SignalError
        If there are fewer than two.
    """
    common = set(names_of_rows[0]).intersection(*names_of_rows)
    channels = [name for name in names_of_rows[0] if name in common]
    if len(channels) < 2:
        raise SignalError(
            f"the {len(names_of_rows)} training recordings have {len(channels)} channels in "
            "common; expected at least 2: bring them to one atlas or montage, or drop those that "
            "miss most channels."
        )
    return channels


def usable_channels(recording):
    """Read what can be used of a recording.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    names : tuple of str, length n_usable
        Channels that are neither masked, nor constant, nor with a sample that is not finite.
    signal : ndarray of float64, shape (n_times, n_usable)
    sampling_hz : float

    Raises
    ------
    SignalError
        If there are fewer than two such channels.
    """
    signal = recording.signal.astype(float)
    # A constant channel has no correlation and no power: it is as good as missing.
    keep = recording.mask & np.isfinite(signal).all(axis=0) & (np.ptp(signal, axis=0) > 0)
    if keep.sum() < 2:
        raise SignalError(
            f"{recording!r} has {keep.sum()} usable channels; expected at least 2: drop it."
        )
    return tuple(np.array(recording.channels)[keep]), signal[:, keep], recording.sampling_hz


def _pairs(channels, k):
    rows, columns = np.triu_indices(len(channels), k=k)
    return np.array([f"{a}~{b}" for a, b in zip(channels[rows], channels[columns], strict=True)])


def _pick(names, array, channels, axes):
    """Reorder the channel axes to ``channels``; NaN where one is missing."""
    if names == tuple(channels):
        return array
    place = {name: index for index, name in enumerate(names)}
    index = np.array([place.get(name, -1) for name in channels])
    for axis in axes:
        array = np.take(array, index, axis=axis).astype(float)
        np.moveaxis(array, axis, 0)[index < 0] = np.nan
    return array


def _bands(stacks):
    return np.moveaxis(stacks, -1, 0)


def _band_pass(signal, sampling_hz, band):
    high = min(band[1], 0.45 * sampling_hz)
    sos = butter(4, (band[0], high), btype="bandpass", fs=sampling_hz, output="sos")
    return sosfiltfilt(sos, signal, axis=0)
