"""Classical features, the baselines of every learned model, as scikit-learn transformers.

The work on a single recording (:meth:`precompute`) is separate from what is learned from the
training recordings (their common channels, the reference of a tangent space); see
:class:`~brainfm.models.features.protocol.FeatureExtractor`.
"""

import numpy as np
from pyriemann.tangentspace import TangentSpace
from scipy.signal import butter, sosfiltfilt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted, validate_data

from brainfm.errors import SignalError, UsageError
from brainfm.models.features.protocol import FeatureExtractorMixin
from brainfm.models.inputs import as_table
from brainfm.signal.censored_frames import without_censored
from brainfm.signal.connectivity import pearson
from brainfm.signal.covariance import (
    impute_channels,
    partial_correlations,
    shrunk_covariance,
)
from brainfm.signal.eeg import BANDS_HZ, aperiodic, band_power

#: Lower frequencies hold drifts, higher ones muscle activity, in resting scalp EEG.
_RIEMANN_BANDS = {name: BANDS_HZ[name] for name in ("delta", "theta", "alpha", "beta")}
#: The log-Euclidean mean has a closed form; the Riemannian mean is found by iteration.
_METRIC = {"mean": "logeuclid", "map": "riemann"}


class BlockScaler(StandardScaler):
    """Scale features to unit variance, and rows to unit mean square length.

    One penalty then suits any number of features, and feature sets of different size have equal
    weight.
    """

    def transform(self, X, copy=None):
        """Return ndarray of float, shape (n_rows, n_features)."""
        return super().transform(X, copy) / float(np.sqrt(self.n_features_in_))


class LengthScaler(TransformerMixin, BaseEstimator):
    """Centre features and divide all of them by one number, to unit mean square length of a row.

    The relative scale of the columns is kept, as is appropriate for embeddings.
    """

    def fit(self, X, y=None):
        """Learn the mean and the root mean square length of the training rows."""
        X = validate_data(self, X, dtype=float)
        self.mean_ = X.mean(axis=0)
        self.length_ = np.sqrt(np.square(X - self.mean_).sum(axis=1).mean()) or 1.0
        return self

    def transform(self, X):
        """Return ndarray of float, shape (n_rows, n_features)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=float, reset=False)
        return (X - self.mean_) / self.length_


class _RecordingFeatures(FeatureExtractorMixin):
    """Features of single recordings of one modality, on the channels common to all.

    A subclass defines ``_precompute_one`` (of one recording), ``_fit_arrays`` and
    ``_transform_arrays`` (of the arrays of all rows on the common channels).
    """

    scaler = BlockScaler()

    def precompute(self, X):
        """Compute the array of each recording.

        Parameters
        ----------
        X : RecordingTable or list of Recording

        Returns
        -------
        precomputed : list of (tuple of str, ndarray)
            Names of the usable channels, and the array with one or two axes of them.

        Raises
        ------
        SignalError
            If a row has no recording of the modality, or a recording fewer than two channels.
        """
        rows = self._recordings(X)
        return [self._precompute_one(*usable_channels(recording)) for recording in rows]

    def fit_precomputed(self, precomputed):
        """See :meth:`~brainfm.models.features.protocol.FeatureExtractor.fit_precomputed`.

        Raises
        ------
        SignalError
            If the rows have fewer than two channels in common.
        """
        self.channels_ = np.array(common_channels([names for names, _ in precomputed]))
        self._fit_arrays(self._on_common_channels(precomputed))
        return self

    def transform_precomputed(self, precomputed):
        """See :meth:`~brainfm.models.features.protocol.FeatureExtractor.transform_precomputed`."""
        check_is_fitted(self)
        return self._transform_arrays(self._on_common_channels(precomputed))

    def _on_common_channels(self, precomputed):
        return [_pick(*one, self.channels_, self._channel_axes) for one in precomputed]

    def _recordings(self, X):
        table = as_table(X)
        modality = self._modality or table[0][0].modality
        chosen = table.of_modality(modality)
        if None in chosen:
            raise SignalError(
                f"row {chosen.index(None)} of {len(table)} has no {modality} recording, which "
                f"{type(self).__name__} needs: select the rows that have one."
            )
        return chosen


class ConnectivityFeatures(_RecordingFeatures):
    """Functional connectivity of each pair of channels.

    Parameters
    ----------
    kind : {"pearson", "partial", "tangent"}
        Correlations; partial correlations, given all other channels; or covariances in the
        tangent space at their log-Euclidean mean [2]_. The last two use covariances shrunk by
        OAS, of series scaled to unit variance.

    Attributes
    ----------
    channels_ : ndarray of str, shape (n_channels,)
        Channels that every training recording has; only these are used.
    mean_ : ndarray of float, shape (n_channels, n_channels)
        Mean over the training recordings; imputes the edges of a channel that a new recording
        lacks.
    tangent_space_ : pyriemann.tangentspace.TangentSpace
        Of ``kind="tangent"`` only.

    References
    ----------
    .. [1] Dadi et al., 2019, NeuroImage 192. https://doi.org/10.1016/j.neuroimage.2019.02.062
    .. [2] Varoquaux et al., 2010, MICCAI. https://doi.org/10.1007/978-3-642-15705-9_25
    """

    _modality, _channel_axes = None, (0, 1)

    def __init__(self, kind="pearson"):
        self.kind = kind

    def _precompute_one(self, names, signal, sampling_hz):
        if self.kind not in ("pearson", "partial", "tangent"):
            raise UsageError(f"kind is {self.kind!r}; expected pearson, partial or tangent.")
        if self.kind == "pearson":
            return names, pearson(signal)
        return names, shrunk_covariance(signal / signal.std(axis=0))

    def _fit_arrays(self, matrices):
        self.mean_ = np.nanmean(matrices, axis=0)
        if self.kind == "tangent":
            self.tangent_space_ = TangentSpace(metric=_METRIC).fit(np.array(matrices))

    def _transform_arrays(self, matrices):
        if self.kind == "tangent":
            return self.tangent_space_.transform(impute_channels(matrices, self.mean_))
        if self.kind == "partial":
            edges = partial_correlations(impute_channels(matrices, self.mean_))
        else:
            edges = np.where(np.isnan(matrices), self.mean_, matrices)
        return edges[:, *np.triu_indices(len(self.channels_), k=1)]

    def get_feature_names_out(self, input_features=None):
        """Return ``channel~channel`` of each pair, ndarray of str, shape (n_features,)."""
        return _pairs(self.channels_, k=0 if self.kind == "tangent" else 1)


class _ChannelFeatures(_RecordingFeatures):
    """A few values of each channel of EEG.

    A channel that a new recording lacks is imputed by the mean of the training recordings.
    """

    _modality, _channel_axes = "eeg", (0,)

    def _fit_arrays(self, values):
        self.mean_ = np.mean(values, axis=0)

    def _transform_arrays(self, values):
        return np.where(np.isnan(values), self.mean_, values).reshape(len(values), -1)

    def get_feature_names_out(self, input_features=None):
        """Return ``channel_name`` of each value, ndarray of str, shape (n_features,)."""
        return np.array([f"{one}_{name}" for one in self.channels_ for name in self._names])


class BandPowerFeatures(_ChannelFeatures):
    """Logarithm of the power of each channel of EEG in five bands (log10 of V²)."""

    _names = tuple(BANDS_HZ)

    def _precompute_one(self, names, signal, sampling_hz):
        power = band_power(signal, sampling_hz, bands=BANDS_HZ)  # (n_channels, n_bands)
        return names, np.log10(np.maximum(power, np.finfo(float).tiny))


class AperiodicFeatures(_ChannelFeatures):
    """Offset and exponent of the spectrum of each channel (:func:`brainfm.signal.eeg.aperiodic`).

    References
    ----------
    .. [1] Donoghue et al., 2020, Nature Neuroscience 23. https://doi.org/10.1038/s41593-020-00744-x
    """

    _names = ("offset", "exponent")

    def _precompute_one(self, names, signal, sampling_hz):
        return names, aperiodic(signal, sampling_hz)


class RiemannFeatures(_RecordingFeatures):
    """Covariances between channels of EEG in four bands, in the tangent space at their mean.

    Parameters
    ----------
    bands : dict of str to (float, float), optional
        Edges in Hz; by default delta, theta, alpha and beta.

    References
    ----------
    .. [1] Sabbagh et al., 2020, NeuroImage 222. https://doi.org/10.1016/j.neuroimage.2020.116893
    .. [2] Barachant et al., 2012, IEEE Trans. Biomedical Engineering 59.
       https://doi.org/10.1109/TBME.2011.2172210
    """

    _modality, _channel_axes = "eeg", (0, 1)

    def __init__(self, bands=None):
        self.bands = bands

    def _precompute_one(self, names, signal, sampling_hz):
        bands = self.bands or _RIEMANN_BANDS
        covariances = [shrunk_covariance(_band_pass(signal, sampling_hz, band))
                       for band in bands.values()]  # fmt: skip
        return names, np.moveaxis(covariances, 0, -1)  # (n_channels, n_channels, n_bands)

    def _fit_arrays(self, stacks):
        stacks = np.array(stacks)  # (n_rows, n_channels, n_channels, n_bands)
        self.mean_ = stacks.mean(axis=0)
        self.tangent_spaces_ = [TangentSpace(metric=_METRIC).fit(band) for band in _bands(stacks)]

    def _transform_arrays(self, stacks):
        bands = zip(_bands(np.array(stacks)), _bands(self.mean_), self.tangent_spaces_, strict=True)
        return np.hstack(
            [space.transform(impute_channels(band, mean)) for band, mean, space in bands]
        )

    def get_feature_names_out(self, input_features=None):
        """Return ``band:channel~channel`` of each value, ndarray of str, shape (n_features,)."""
        pairs = _pairs(self.channels_, k=0)
        return np.array(
            [f"{band}:{pair}" for band in self.bands or _RIEMANN_BANDS for pair in pairs]
        )


def linear_head(task="classification"):
    """Make the linear model of all baselines: class-balanced logistic regression, or ridge.

    After :class:`BlockScaler`, C = 1 is as good as a tuned penalty: on ABIDE the area under the
    curve varies by 0.03 between C = 0.1 and 100 and is highest at 1.

    Parameters
    ----------
    task : {"classification", "regression"}

    Returns
    -------
    head : LogisticRegression or RidgeCV

    Raises
    ------
    UsageError
        If ``task`` is neither ``classification`` nor ``regression``.
    """
    if task == "classification":
        return LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
    if task == "regression":
        return RidgeCV(alphas=np.logspace(-3, 3, 13))
    raise UsageError(f"task is {task!r}; expected one of classification, regression.")


def classical_baseline(modality, task="classification"):
    """Make the classical baseline of a modality.

    Parameters
    ----------
    modality : {"bold", "eeg", "dummy"}
        Pearson connectivity, log band power, or a dummy without any signal.
    task : {"classification", "regression"}

    Returns
    -------
    estimator : Pipeline of features, scaler and linear head, or dummy estimator

    Raises
    ------
    UsageError
        If the modality or the task is unknown.
    """
    head = linear_head(task)
    features = {"bold": ConnectivityFeatures(), "eeg": BandPowerFeatures()}
    if modality in features:
        return make_pipeline(features[modality], BlockScaler(), head)
    if modality == "dummy":
        return DummyClassifier() if task == "classification" else DummyRegressor()
    raise UsageError(f"modality is {modality!r}; expected bold, eeg or dummy.")


def common_channels(names_of_rows):
    """Find the channels that all recordings have.

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
    """Read the usable channels of a recording.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    names : tuple of str, length n_usable
        Channels that are neither masked, nor constant, nor with a sample that is not finite.
    signal : ndarray of float64, shape (n_times, n_usable)
        In the unit of the recording, without the censored frames of BOLD.
    sampling_hz : float

    Raises
    ------
    SignalError
        If there are fewer than two such channels, or fewer than half of the frames are left.
    """
    signal = recording.signal.astype(float)
    if recording.modality == "bold":
        try:
            signal = without_censored(signal)
        except SignalError as error:
            raise SignalError(f"{recording!r}: {error}") from error
    # A constant channel has neither correlations nor power.
    keep = recording.mask & np.isfinite(signal).all(axis=0) & (np.ptp(signal, axis=0) > 0)
    if keep.sum() < 2:
        raise SignalError(
            f"{recording!r} has {keep.sum()} usable channels; expected at least 2: exclude it."
        )
    return tuple(np.array(recording.channels)[keep]), signal[:, keep], recording.sampling_hz


def _pairs(channels, k):
    rows, columns = np.triu_indices(len(channels), k=k)
    return np.array([f"{a}~{b}" for a, b in zip(channels[rows], channels[columns], strict=True)])


def _pick(names, array, channels, axes):
    """Reorder the channel axes to ``channels``; NaN where one is missing."""
    if names == tuple(channels):
        return array
    index_of = {name: index for index, name in enumerate(names)}
    index = np.array([index_of.get(name, -1) for name in channels])
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
