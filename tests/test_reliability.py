"""A number counts as much as it comes back in the other half of a recording."""

import numpy as np
import pytest
import torch

from brainfm.models.encoder.reliability import Reliability, reliability_of

WIDTH, N_PEOPLE = 60, 80
PARTS = {"small": slice(0, 20), "large": slice(20, 60)}
PART_WEIGHTS = {"small": 1.0, "large": 3.0}
#: In each part, half of the numbers are mostly the mood of the moment.
FICKLE = np.arange(WIDTH) % 2 == 0


def _halves(seed, n_people=N_PEOPLE):
    """Two halves each: the person is in all numbers, the moment mostly in the fickle ones."""
    rng = np.random.default_rng(seed)
    person = rng.standard_normal((n_people, WIDTH))
    moment = rng.standard_normal((2, n_people, WIDTH)) * np.where(FICKLE, 8, 0.2)
    return (person + moment) * np.where(np.arange(WIDTH) < 20, 0.01, 1.0)


def _learned(seed=0, n_people=N_PEOPLE):
    halves = _halves(seed, n_people)
    module = Reliability(WIDTH)
    module.fit(halves.mean(axis=0), halves, PARTS, PART_WEIGHTS)
    return module


def _apply(module, vectors):
    return module(torch.as_tensor(vectors, dtype=torch.float32)).numpy()


def _found(one, two):
    distance = np.linalg.norm(one[:, None] - two, axis=-1)
    return (distance.argmin(axis=1) == np.arange(len(one))).mean()


def test_unfitted_it_leaves_vectors_unchanged():
    vectors = np.random.default_rng(0).standard_normal((3, WIDTH)).astype(np.float32)
    np.testing.assert_array_equal(_apply(Reliability(WIDTH), vectors), vectors)


@pytest.mark.parametrize("error_sd", [0.0, 0.5, 1.0, 2.0])
def test_the_reliability_of_a_whole_is_the_true_share_of_its_variance(error_sd):
    rng = np.random.default_rng(1)
    person = rng.standard_normal((20_000, 1))
    found = reliability_of(person + error_sd * rng.standard_normal((2, 20_000, 1)))
    np.testing.assert_allclose(found, 1 / (1 + error_sd**2 / 2), atol=0.02)


def test_identification_of_new_participants_improves():
    halves = _halves(seed=1)
    spread = halves.std(axis=(0, 1))
    before = _found(*halves / spread)
    after = _found(*(_apply(_learned(), half) for half in halves))
    assert before < 0.9
    assert after > 0.95


def test_dimensions_are_weighted_by_their_reliability():
    halves = _halves(seed=0)
    spread = _apply(_learned(), halves.mean(axis=0)).std(axis=0)
    for part in PARTS.values():
        steady = spread[part][~FICKLE[part]]
        fickle = spread[part][FICKLE[part]]
        assert fickle.max() < 0.4 * steady.min()


def test_parts_are_weighted_by_their_shares():
    scaled = _apply(_learned(), _halves(seed=0).mean(axis=0))
    small, large = (np.square(scaled[:, part]).sum(axis=1).mean() for part in PARTS.values())
    np.testing.assert_allclose([large / small, small + large], [3, WIDTH], rtol=1e-3)


@pytest.mark.parametrize("n_people", [1, 2, 100])
def test_few_and_many_recordings_give_finite_vectors(n_people):
    vectors = _apply(_learned(n_people=n_people), _halves(seed=2)[0])
    assert np.isfinite(vectors).all()
    assert np.abs(vectors).max() < 1000


@pytest.mark.parametrize("which", [slice(0, 20), slice(0, 1)], ids=["a part", "a number"])
def test_dimensions_constant_in_training_stay_finite(which):
    halves = _halves(seed=0)
    halves[..., which] = 7
    module = Reliability(WIDTH)
    module.fit(halves.mean(axis=0), halves, PARTS, PART_WEIGHTS)
    others = halves[0].copy()
    others[:, which] += np.random.default_rng(3).standard_normal(others[:, which].shape)
    assert np.abs(_apply(module, others)).max() < 1000


def test_a_chance_agreement_of_two_recordings_does_not_dominate():
    halves = _halves(seed=0, n_people=2)
    halves[..., 30] = halves[0, 0, 30] + 1e-6 * np.arange(4).reshape(2, 2)
    module = Reliability(WIDTH)
    module.fit(halves.mean(axis=0), halves, PARTS, PART_WEIGHTS)
    assert module.weight[30] < 5 * module.weight[20:].median()
