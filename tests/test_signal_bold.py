"""BOLD: means, denoising and quality, against known truths."""

import numpy as np
import pytest
from nilearn.signal import clean

from brainfm.errors import SignalError
from brainfm.signal.bold import (
    acompcor,
    clean_series,
    dvars,
    fill_censored,
    parcel_means,
    passed_components,
    percent_change,
    reduce_confounds,
    tsnr,
)
from brainfm.signal.connectivity import pearson

BAND = {"sampling_hz": 0.5, "high_pass_hz": 0.008, "low_pass_hz": 0.1}


def _sine(frequency_hz, n_times=300, sampling_hz=0.5):
    return np.sin(2 * np.pi * frequency_hz * np.arange(n_times) / sampling_hz)


def test_parcel_means_are_the_means_of_their_voxels():
    bold = np.arange(12.0).reshape(2, 6)
    series = parcel_means(bold, np.array([1, 1, 0, 3, 3, 3]), 3)
    np.testing.assert_allclose(series[:, [0, 2]], [[0.5, 4], [6.5, 10]])
    assert np.isnan(series[:, 1]).all()


def test_wrong_grid_is_refused_with_both_sizes_and_advice():
    with pytest.raises(SignalError, match=r"6 voxels but labels has 5: resample the atlas"):
        parcel_means(np.ones((4, 6)), np.ones(5, int), n_parcels=1)


def test_percent_change_of_a_known_series():
    series = np.array([[90.0], [110.0], [400.0]])
    np.testing.assert_allclose(percent_change(series[:2]), [[-10], [10]])
    kept = np.array([True, True, False])
    np.testing.assert_allclose(percent_change(series, kept), [[-10], [10], [300]])


def test_the_band_pass_preserves_the_band_and_removes_the_rest():
    inside, outside = _sine(0.04), _sine(0.2) + _sine(0.002)
    cleaned = clean_series((inside + outside)[:, None], None, **BAND)[75:-75, 0]
    np.testing.assert_allclose(cleaned, inside[75:-75], atol=0.1)


def test_a_planted_confound_is_removed():
    rng = np.random.default_rng(0)
    confound, signal = rng.standard_normal((300, 1)), _sine(0.04)[:, None]
    cleaned = clean_series(signal + 3 * confound, confound, **BAND)
    assert abs(np.corrcoef(cleaned[:, 0], confound[:, 0])[0, 1]) < 0.05
    assert np.corrcoef(cleaned[:, 0], signal[:, 0])[0, 1] > 0.97


def test_a_parcel_without_data_stays_nan():
    series = np.stack([_sine(0.04), np.full(300, np.nan)], axis=1)
    assert np.isfinite(clean_series(series, None, **BAND)).all(axis=0).tolist() == [True, False]


def test_too_many_confounds_for_a_short_run_are_refused_and_can_be_reduced():
    rng = np.random.default_rng(0)
    series, confounds = rng.standard_normal((60, 2)), rng.standard_normal((60, 29))
    n_passed = passed_components(60, **BAND)
    with pytest.raises(SignalError, match=rf"60 volumes hold {n_passed} independent values"):
        clean_series(series, confounds, **BAND)
    few = reduce_confounds(confounds, n_passed // 2)
    assert few.shape == (60, n_passed // 2)
    assert clean_series(series, few, **BAND).std() > 0.05


def test_reduced_confounds_preserve_their_common_direction():
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((100, 1))
    confounds = shared @ rng.standard_normal((1, 20)) + 0.1 * rng.standard_normal((100, 20))
    confounds[0, 3] = np.nan
    assert abs(np.corrcoef(reduce_confounds(confounds, 1)[:, 0], shared[:, 0])[0, 1]) > 0.98


def test_without_censored_volumes_cleaning_is_that_of_nilearn():
    rng = np.random.default_rng(0)
    series, confounds = 500 + rng.standard_normal((200, 3)), rng.standard_normal((200, 8))
    confounds[:, 7] = 40.0  # constant
    expected = clean(series, confounds=confounds[:, :7], standardize=None, t_r=2,
                     low_pass=0.1, high_pass=0.008)  # fmt: skip
    np.testing.assert_allclose(clean_series(series, confounds, **BAND), expected, atol=1e-8)


def test_censored_volumes_are_nan_and_change_no_other():
    rng = np.random.default_rng(0)
    series, confounds = rng.standard_normal((200, 3)), rng.standard_normal((200, 4))
    kept = np.ones(200, bool)
    kept[[0, 1, 50, 98, 99, 100, 101, 149, 199]] = False  # also pairs mirrored in time
    cleaned = clean_series(series, confounds, kept=kept, **BAND)
    series[~kept] += 1000 * rng.standard_normal((9, 3))
    confounds[~kept] = 1e6
    np.testing.assert_allclose(clean_series(series, confounds, kept=kept, **BAND), cleaned)
    assert np.isnan(cleaned[~kept]).all()
    assert np.isfinite(cleaned[kept]).all()


def test_censoring_recovers_the_correlations_that_spikes_hide():
    rng = np.random.default_rng(0)
    mixed = np.stack([_sine(hz, 400) for hz in (0.02, 0.035, 0.05, 0.08)], axis=1)
    truth = mixed @ rng.standard_normal((4, 6))
    spoilt, kept = truth + 0.1 * rng.standard_normal(truth.shape), rng.random(400) > 0.1
    kept[200:212] = False
    spoilt[~kept] += 10 + rng.standard_normal((~kept).sum())[:, None]
    expected = np.corrcoef(truth.T)
    found = pearson(clean_series(spoilt, None, kept=kept, **BAND))
    assert np.abs(found - expected).max() < 0.1
    assert np.abs(pearson(clean_series(spoilt, None, **BAND)) - expected).max() > 0.5


def test_censored_volumes_lie_on_the_line_between_their_neighbours():
    kept = np.array([False, True, False, False, True, False])
    filled = fill_censored(np.array([[9.0], [0], [9], [9], [3], [9]]), kept)
    assert filled[:, 0].tolist() == [0, 0, 1, 2, 3, 3]


def test_censored_volumes_count_as_lost_degrees_of_freedom():
    rng = np.random.default_rng(0)
    series, confounds = rng.standard_normal((100, 2)), rng.standard_normal((100, 20))
    assert np.isfinite(clean_series(series, confounds, **BAND)).all()
    with pytest.raises(SignalError, match="50 volumes hold 18 independent values"):
        clean_series(series, confounds, kept=np.arange(100) < 50, **BAND)


def test_a_low_pass_above_the_nyquist_frequency_is_refused():
    with pytest.raises(SignalError, match=r"low-pass is 0.3 Hz but with a volume every 2 s"):
        clean_series(np.ones((50, 1)), None, sampling_hz=0.5, high_pass_hz=0, low_pass_hz=0.3)


def test_standardised_dvars_is_about_one_for_noise_and_high_for_a_jump():
    noise = 1000 + np.random.default_rng(0).standard_normal((200, 400))
    noise[100] += 10
    change, standardised = dvars(noise)
    assert np.isnan(change[0])
    assert abs(np.median(standardised[1:]) - 1) < 0.05
    assert standardised[100] > 5


def test_tsnr_ignores_slow_drift():
    noise = 2 * np.random.default_rng(0).standard_normal((300, 50))
    drift = np.linspace(0, 50, 300)[:, None]
    np.testing.assert_allclose(np.median(tsnr(1000 + noise + drift)), 1025 / 2, rtol=0.03)
    assert np.isnan(tsnr(np.full((30, 1), 5.0))).all()


def test_acompcor_finds_the_common_fluctuation_of_voxels():
    rng = np.random.default_rng(0)
    breath = _sine(0.23)[:, None]
    bold = 500 + breath @ rng.standard_normal((1, 80)) + 0.3 * rng.standard_normal((300, 80))
    components = acompcor(bold, 5, sampling_hz=0.5)
    assert components.shape == (300, 5)
    assert abs(np.corrcoef(components[:, 0], breath[:, 0])[0, 1]) > 0.98
