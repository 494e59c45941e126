"""Brain and tissues of a head that is known."""

import numpy as np
import pytest

from brainfm.errors import SignalError
from brainfm.signal.tissue import (
    CSF,
    GM,
    WM,
    dice,
    extract_brain,
    segment_tissues,
    tissue_thresholds,
)

MM = 4.0


@pytest.fixture(scope="module")
def head():
    """Concentric white matter, grey matter, fluid, dark skull and a scalp as bright as brain."""
    grid = np.stack(np.meshgrid(*[np.arange(60) - 29.5] * 3, indexing="ij")) * MM
    radius = np.sqrt((grid**2).sum(axis=0))
    edges = [35, 58, 62, 70, 78]
    values = np.array([100.0, 70, 25, 2, 90, 0])[np.digitize(radius, edges)]
    return values + np.random.default_rng(0).normal(0, 3, values.shape), radius


def test_brain_is_found_without_the_scalp_from_a_prior_that_is_off(head):
    image, radius = head
    truth = radius < 58  # grey matter and what it encloses
    prior = np.roll(radius < 57, 1, axis=0)
    mask = extract_brain(image, prior, MM)
    assert dice(mask, truth) > 0.98
    assert dice(mask, truth) > dice(prior, truth)
    assert not mask[radius > 72].any()


def test_a_head_without_brain_is_refused(head):
    _, radius = head
    empty = np.random.default_rng(0).normal(10, 1, radius.shape)
    empty[radius < 62] = 0
    with pytest.raises(SignalError, match="the brain of the template: is it a T1-weighted"):
        extract_brain(empty, radius < 60, MM)


def test_tissues_are_segmented_by_intensity(head):
    image, radius = head
    mask = radius < 62
    priors = np.full((3, *image.shape), 1 / 3)
    labels = segment_tissues(image, priors, mask)
    assert dice(labels == WM, radius < 35) > 0.98
    assert dice(labels == GM, (radius >= 35) & (radius < 58)) > 0.98
    assert dice(labels == CSF, (radius >= 58) & mask) > 0.95
    assert not labels[~mask].any()


def test_thresholds_lie_between_the_classes():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(m, 3, 2000) for m in (20, 60, 100)])
    dark, bright = tissue_thresholds(values)
    assert 25 < dark < 55
    assert 65 < bright < 95


def test_dice_of_half_overlapping_masks():
    first, second = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    assert dice(first, second) == 0.5
    assert np.isnan(dice(~first & first, second & ~second))
