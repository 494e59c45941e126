"""QC-FC finds motion that was planted in connectivity, and no motion where there is none."""

import numpy as np
import pytest

from brainfm.errors import SignalError
from brainfm.evaluation.qc_fc import qc_fc


def _group(strength=0.0, reach_mm=np.inf, n_participants=60, seed=0):
    """Random edges of a group; motion raises those of near parcels by ``strength``."""
    rng = np.random.default_rng(seed)
    distances = rng.uniform(10, 160, 800)
    motion = rng.gamma(2, 0.08, n_participants)
    edges = 0.2 + 0.1 * rng.standard_normal((n_participants, len(distances)))
    return edges + strength * motion[:, None] * np.exp(-distances / reach_mm), motion, distances


def test_motion_without_effect_is_not_found():
    found = qc_fc(*_group())
    assert found.n_participants == 60
    assert found.median_absolute < 0.12  # 0.09 is expected of noise in 60 participants
    assert found.share_significant < 0.01
    assert abs(found.distance_dependence) < 0.1


def test_planted_motion_shows_in_edges_and_in_their_distance():
    everywhere, near = qc_fc(*_group(strength=1)), qc_fc(*_group(strength=3, reach_mm=40))
    assert everywhere.share_significant > 0.95
    assert abs(everywhere.distance_dependence) < 0.15
    assert near.distance_dependence < -0.8


def test_each_edge_has_the_correlation_over_the_participants_that_have_it():
    edges, motion, distances = _group(strength=0.5)
    edges[:20, 0] = np.nan
    edges[:51, 1] = np.nan
    edges[:, 2] = 0.4
    motion[59] = np.nan
    found = qc_fc(edges, motion, distances)
    expected = np.corrcoef(edges[20:59, 0], motion[20:59])[0, 1]
    np.testing.assert_allclose(found.correlations[0], expected)
    assert np.isnan(found.correlations[1:3]).all()
    assert np.isfinite(found.correlations[3:]).all()
    assert found.n_participants == 59
    assert np.isfinite(found.distance_dependence)


def test_few_participants_and_wrong_shapes_are_refused():
    edges, motion, distances = _group()
    with pytest.raises(SignalError, match=r"9 participants .*; expected 10 or more"):
        qc_fc(edges[:9], motion[:9], distances)
    with pytest.raises(SignalError, match=r"shape \(60, 800\); expected \(60, 799\)"):
        qc_fc(edges, motion, distances[1:])
