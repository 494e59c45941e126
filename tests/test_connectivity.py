"""Functional connectivity."""

import numpy as np
import pytest

from brainfm.errors import SignalError
from brainfm.signal.connectivity import pearson, upper_triangle


def test_known_correlations_come_back():
    truth = np.array([[1, 0.8, 0], [0.8, 1, -0.3], [0, -0.3, 1]])
    white = np.random.default_rng(0).standard_normal((20000, 3))
    found = pearson(white @ np.linalg.cholesky(truth).T)
    np.testing.assert_allclose(found, truth, atol=0.03)
    np.testing.assert_array_equal(found, found.T)


def test_scale_and_offset_change_nothing():
    series = np.random.default_rng(1).standard_normal((50, 4))
    np.testing.assert_allclose(pearson(series), pearson(series * [1, 5, 0.1, 2] + 100), atol=1e-12)


def test_a_parcel_without_data_or_change_is_nan_and_the_others_stay():
    series = np.random.default_rng(2).standard_normal((50, 4))
    whole = pearson(series)
    series[:, 1], series[:, 3] = np.nan, 7.3
    found = pearson(series)
    assert np.isnan(found[[1, 3]]).all()
    assert np.isnan(found[:, [1, 3]]).all()
    np.testing.assert_allclose(found[np.ix_([0, 2], [0, 2])], whole[np.ix_([0, 2], [0, 2])])


def test_censored_time_points_are_left_out():
    series = np.random.default_rng(3).standard_normal((60, 4))
    series[:, 2] = np.nan  # a parcel without data
    kept = np.arange(60) % 7 > 0
    censored = np.where(kept[:, None], series, np.nan)
    np.testing.assert_array_equal(pearson(censored), pearson(series[kept]))


def test_upper_triangle_counts_every_pair_once():
    matrix = np.arange(16).reshape(4, 4)
    assert upper_triangle(matrix).tolist() == [1, 2, 3, 6, 7, 11]


def test_one_time_point_is_refused():
    with pytest.raises(SignalError, match="at least two time points"):
        pearson(np.ones((1, 3)))
