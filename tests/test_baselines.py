"""Classical features: known truths, missing channels, the rules of scikit-learn."""

import pickle

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from brainfm.errors import SignalError, UsageError
from brainfm.models.estimators.heads import RowSpacePCA, TunedLinearHead
from brainfm.models.features.classical import (
    AperiodicFeatures,
    BandPowerFeatures,
    BlockScaler,
    ConnectivityFeatures,
    LengthScaler,
    RiemannFeatures,
    classical_baseline,
)
from brainfm.recording import Recording, RecordingTable

NAMES = ("a", "b", "c", "d")


def recording(signal, *, modality="bold", participant="01", channels=None, mask=None):
    scale = 50.0 if modality == "bold" else 0.08
    n_channels = signal.shape[1]
    positions = np.linspace(-scale, scale, n_channels * 3).reshape(n_channels, 3)
    return Recording.from_array(
        signal,
        sampling_hz=0.5 if modality == "bold" else 100.0,
        modality=modality,
        positions=positions,
        channels=channels or NAMES[:n_channels],
        mask=mask,
        participant=participant,
    )


def bold(n, *, coupled=(), seed=0):
    """Recordings of four parcels; a and b share a source where ``coupled`` says so."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(n):
        series = rng.normal(size=(120, 4))
        if len(coupled) and coupled[index]:
            series[:, 1] = series[:, 0] + 0.3 * rng.normal(size=120)
        made.append(recording(series, participant=f"{index:02d}"))
    return RecordingTable.from_recordings(made)


def eeg(n, *, alpha=(), seed=0):
    """Four-channel recordings of 10 s in volts, with a 10 Hz rhythm of the amplitude given."""
    rng = np.random.default_rng(seed)
    times = np.arange(1000) / 100
    made = []
    for index in range(n):
        noise = rng.normal(size=(1000, 4))
        size = alpha[index] if len(alpha) else 1.0
        wave = size * np.sin(2 * np.pi * 10 * times + rng.uniform(0, 6))[:, None]
        made.append(recording(1e-5 * (noise + wave), modality="eeg", participant=f"{index:02d}"))
    return RecordingTable.from_recordings(made)


ALL = [
    (ConnectivityFeatures(), bold, 6),
    (ConnectivityFeatures(kind="partial"), bold, 6),
    (ConnectivityFeatures(kind="tangent"), bold, 10),
    (BandPowerFeatures(), eeg, 20),
    (AperiodicFeatures(), eeg, 8),
    (RiemannFeatures(), eeg, 40),
]


def test_partial_correlation_removes_the_indirect_edge_of_a_chain():
    rng = np.random.default_rng(0)
    first = rng.normal(size=4000)
    second = first + rng.normal(size=4000)
    third = second + rng.normal(size=4000)
    table = RecordingTable([(recording(np.stack([first, second, third], axis=1)),)])
    edges = {
        kind: ConnectivityFeatures(kind=kind).fit_transform(table)[0]  # a-b, a-c, b-c
        for kind in ("pearson", "partial")
    }
    assert edges["pearson"][1] > 0.5
    assert abs(edges["partial"][1]) < 0.05
    assert edges["partial"][0] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("features", "make", "n_features"), ALL, ids=[str(features) for features, _, _ in ALL]
)
class TestEveryTransformer:
    def test_gives_finite_features_of_the_expected_shape(self, features, make, n_features):
        table = make(6)
        found = clone(features).fit_transform(table)
        assert found.shape == (6, n_features)
        assert np.isfinite(found).all()

    def test_names_each_feature_in_the_columns_of_a_dataframe(self, features, make, n_features):
        frame = clone(features).set_output(transform="pandas").fit_transform(make(6))
        assert frame.shape == (6, n_features)
        assert frame.columns.is_unique
        assert all("a" in name or "b" in name or "d" in name for name in frame.columns[:3])

    def test_must_be_fitted_first_and_survives_pickle_and_clone(self, features, make, n_features):
        table = make(5)
        with pytest.raises(NotFittedError):
            clone(features).transform(table)
        fitted = clone(features).fit(table)
        again = pickle.loads(pickle.dumps(fitted))  # noqa: S301
        np.testing.assert_array_equal(fitted.transform(table), again.transform(table))
        with pytest.raises(NotFittedError):
            clone(fitted).transform(table)

    def test_takes_a_list_of_recordings_as_a_table(self, features, make, n_features):
        table = make(5)
        fitted = clone(features).fit(table)
        np.testing.assert_array_equal(fitted.transform(table), fitted.transform(table.recordings))

    def test_uses_only_channels_common_to_all_training_recordings(self, features, make, n_features):
        table = make(5)
        lost = table[0][0].signal.copy()
        lost[:, 2] = np.nan
        first = recording(lost, modality=table[0][0].modality)
        fitted = clone(features).fit([first, *table.recordings[1:]])
        assert list(fitted.channels_) == ["a", "b", "d"]

    def test_a_channel_missing_in_a_new_recording_has_no_effect(self, features, make, n_features):
        table = make(8)
        fitted = clone(features).fit(table)
        lost = table[0][0].signal.copy()
        lost[:, 2] = np.nan
        found = fitted.transform([recording(lost, modality=table[0][0].modality)])
        assert np.isfinite(found).all()


def test_pearson_features_are_the_correlations_of_the_pairs():
    table = bold(3, coupled=[1, 0, 1])
    found = ConnectivityFeatures().fit_transform(table)
    expected = [np.corrcoef(row[0].signal.T)[np.triu_indices(4, 1)] for row in table]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found[0, 0] > 0.9
    assert abs(found[1, 0]) < 0.3


def test_channels_are_matched_by_name_not_by_order():
    table = bold(4, coupled=[1, 1, 0, 0])
    fitted = ConnectivityFeatures().fit(table)
    order = [3, 1, 0, 2]
    turned = recording(table[0][0].signal[:, order], channels=[NAMES[index] for index in order])
    np.testing.assert_allclose(fitted.transform([turned]), fitted.transform(table[:1]), atol=1e-6)


def test_a_constant_or_masked_parcel_counts_as_missing():
    flat = np.random.default_rng(0).normal(size=(50, 4))
    flat[:, 3] = 7.0
    series = np.random.default_rng(1).normal(size=(50, 4))
    masked = recording(series, mask=[True, False, True, True])
    fitted = ConnectivityFeatures().fit([recording(flat), masked])
    assert list(fitted.channels_) == ["a", "c"]


def test_recordings_without_common_channels_are_refused():
    series = np.random.default_rng(0).normal(size=(50, 4))
    others = recording(series, channels=("w", "x", "y", "z"))
    with pytest.raises(SignalError, match="have 0 channels in common; expected at least 2"):
        ConnectivityFeatures().fit([recording(series), others])


def test_a_row_without_the_modality_is_refused():
    with pytest.raises(SignalError, match="row 0 of 3 has no eeg recording"):
        BandPowerFeatures().fit(bold(3))


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(
        UsageError, match="kind is 'spearman'; expected pearson, partial or tangent"
    ):
        ConnectivityFeatures(kind="spearman").fit(bold(3))
    with pytest.raises(UsageError, match="modality is 'meg'; expected bold, eeg or dummy"):
        classical_baseline("meg")
    with pytest.raises(UsageError, match="task is 'ranking'"):
        classical_baseline("bold", "ranking")


@pytest.mark.parametrize("scaler", [BlockScaler(), LengthScaler()])
@pytest.mark.parametrize("n_features", [3, 500])
def test_scaled_rows_have_unit_mean_square_length_whatever_the_number_of_features(
    scaler, n_features
):
    X = np.random.default_rng(0).normal(5, 3, size=(40, n_features))
    lengths = (scaler.fit_transform(X) ** 2).sum(axis=1)
    assert lengths.mean() == pytest.approx(1)


def test_the_length_scaler_preserves_the_relative_size_of_columns():
    X = np.random.default_rng(0).normal(size=(40, 3)) * [1, 10, 100]
    spread = LengthScaler().fit_transform(X).std(axis=0)
    np.testing.assert_allclose(spread / spread[0], X.std(axis=0) / X[:, 0].std())
    assert np.isfinite(LengthScaler().fit_transform(np.ones((4, 3)))).all()
    with pytest.raises(ValueError, match="2 features, but LengthScaler is expecting 3"):
        LengthScaler().fit(X).transform(X[:, :2])


@pytest.mark.parametrize("modality", ["bold", "eeg"])
def test_the_baseline_finds_a_large_effect_in_cross_val_score(
    modality,
):
    y = np.tile([0, 1], 10)
    table = bold(20, coupled=y) if modality == "bold" else eeg(20, alpha=y * 2.0)
    scores = cross_val_score(
        classical_baseline(modality), table, y, groups=table.groups, cv=GroupKFold(4)
    )
    assert scores.mean() == 1


def test_the_regression_baseline_predicts_alpha_amplitude():
    y = np.linspace(0.5, 3, 20)
    table = eeg(20, alpha=y)
    scores = cross_val_score(
        classical_baseline("eeg", "regression"), table, y, groups=table.groups, cv=GroupKFold(4)
    )
    assert scores.mean() > 0.8


def test_tangent_vectors_of_diagonal_covariances_are_logarithms_over_the_geometric_mean():
    variances = np.random.default_rng(0).uniform(0.5, 2, size=(6, 3))
    precomputed = [(("a", "b", "c"), np.diag(row)) for row in variances]
    features = ConnectivityFeatures(kind="tangent").fit_precomputed(precomputed)
    logs = np.log(variances)
    expected = np.zeros((6, 6))
    expected[:, [0, 3, 5]] = logs - logs.mean(axis=0)
    np.testing.assert_allclose(features.transform_precomputed(precomputed), expected, atol=1e-12)


def test_identical_rows_give_one_constant_column():
    turned = RowSpacePCA().fit(np.ones((3, 10))).transform(np.ones((2, 10)))
    np.testing.assert_array_equal(turned, np.zeros((2, 1)))


def test_the_space_of_rows_preserves_all_distances():
    rows = np.random.default_rng(0).normal(size=(6, 50))
    turned = RowSpacePCA().fit_transform(rows)
    assert turned.shape[1] <= 6
    np.testing.assert_allclose(pdist(turned), pdist(rows))


@parametrize_with_checks([
    RowSpacePCA(), LengthScaler(), TunedLinearHead("classification"), TunedLinearHead("regression"),
])  # fmt: skip
def test_estimators_of_plain_arrays_pass_check_estimator(estimator, check):
    check(estimator)
