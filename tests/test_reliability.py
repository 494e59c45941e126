"""What differs within recordings is turned down; what differs between people is left."""

import numpy as np
import pytest
import torch

from brainfm.models.reliability import N_DIRECTIONS, Reliability

WIDTH, N_PEOPLE = 60, 80
PARTS = {"small": slice(0, 20), "large": slice(20, 60)}
SHARES = {"small": 1.0, "large": 3.0}


def _people(seed, n_people=N_PEOPLE):
    """Two halves each: the person is in all columns, a strong mood of the moment along two axes."""
    rng = np.random.default_rng(seed)
    axes = np.random.default_rng(99).standard_normal((2, WIDTH))
    person = rng.standard_normal((n_people, WIDTH))
    halves = np.stack([person + 3 * rng.standard_normal((n_people, 2)) @ axes for _ in range(2)])
    halves += 0.2 * rng.standard_normal(halves.shape)
    size = np.where(np.arange(WIDTH) < 20, 0.01, 1.0)
    return halves * size, axes * size


def _learned(seed=0, n_people=N_PEOPLE):
    halves, _ = _people(seed, n_people)
    module = Reliability(WIDTH)
    module.learn(halves.mean(axis=0), halves, PARTS, SHARES)
    return module


def _apply(module, vectors):
    return module(torch.as_tensor(vectors, dtype=torch.float32)).numpy()


def _found(one, two):
    distance = np.linalg.norm(one[:, None] - two, axis=-1)
    return (distance.argmin(axis=1) == np.arange(len(one))).mean()


def test_before_learning_vectors_stay_as_they_are():
    vectors = np.random.default_rng(0).standard_normal((3, WIDTH)).astype(np.float32)
    np.testing.assert_array_equal(_apply(Reliability(WIDTH), vectors), vectors)


def test_new_people_are_found_again_more_often():
    halves, _ = _people(seed=1)
    scaled_only = _learned()
    scaled_only.turned_down.zero_()
    before = _found(*(_apply(scaled_only, half) for half in halves))
    after = _found(*(_apply(_learned(), half) for half in halves))
    assert before < 0.5
    assert after > 0.9


def test_only_what_differs_within_recordings_loses_size():
    module = _learned()
    _, axes = _people(seed=0)
    mood = axes / module.scale.numpy()
    rng = np.random.default_rng(5)
    other = rng.standard_normal(WIDTH)
    other -= mood.T @ np.linalg.lstsq(mood.T, other, rcond=None)[0]
    keep = lambda x: np.linalg.norm(_change(module, x)) / np.linalg.norm(x)  # noqa: E731
    assert keep(mood[0]) < 0.3
    assert keep(other) > 0.8


def _change(module, direction):
    """What a step along a direction of the scaled vector becomes."""
    there = module.mean.numpy() + direction * module.scale.numpy()
    return _apply(module, there[None])[0] - _apply(module, module.mean.numpy()[None])[0]


def test_parts_count_as_much_as_their_shares_say():
    module = _learned()
    module.turned_down.zero_()
    halves, _ = _people(seed=0)
    scaled = _apply(module, halves.mean(axis=0))
    small, large = (np.square(scaled[:, part]).sum(axis=1).mean() for part in PARTS.values())
    np.testing.assert_allclose([large / small, small + large], [3, WIDTH], rtol=1e-3)


@pytest.mark.parametrize("n_people", [1, 2, N_DIRECTIONS + 20])
def test_few_and_many_recordings_give_finite_vectors(n_people):
    halves, _ = _people(seed=2)
    assert np.isfinite(_apply(_learned(n_people=n_people), halves[0])).all()


def test_a_part_that_never_varies_stays_finite():
    halves, _ = _people(seed=0)
    halves[..., :20] = 7
    module = Reliability(WIDTH)
    module.learn(halves.mean(axis=0), halves, PARTS, SHARES)
    assert np.isfinite(_apply(module, halves[0])).all()
