"""Slices taken one after the other are brought to one moment."""

import numpy as np
import pytest

from brainfm.errors import SignalError
from brainfm.signal.slice_timing import correct_slice_timing, slice_axis

TR_S = 2.0


def _wave(time_s):
    return np.sin(2 * np.pi * 0.05 * time_s)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_all_slices_are_shifted_to_the_middle_of_the_volume(axis):
    times = np.array([0.0, 1.0, 0.5, 1.5])
    shape = [2, 2, 2]
    shape[axis] = 4
    where = np.moveaxis(np.broadcast_to(times, (*np.delete(shape, axis), 4)), -1, axis)
    volumes = np.arange(60) * TR_S
    raw = _wave(volumes + where[..., None])
    corrected = correct_slice_timing(raw, times, repetition_time_s=TR_S, axis=axis)
    expected = np.broadcast_to(_wave(volumes + TR_S / 2), corrected.shape)
    np.testing.assert_allclose(corrected[..., 3:-3], expected[..., 3:-3], atol=0.01)


def test_times_of_another_number_of_slices_are_refused():
    with pytest.raises(SignalError, match="3 entries but the image has 4 slices"):
        correct_slice_timing(np.ones((2, 2, 4, 9)), [0, 0.5, 1], repetition_time_s=TR_S)


def test_times_in_milliseconds_are_refused():
    with pytest.raises(SignalError, match=r"0 to 1500; expected seconds .* milliseconds\?"):
        correct_slice_timing(np.ones((2, 2, 2, 9)), [0, 1500], repetition_time_s=TR_S)


def test_the_direction_of_slices_names_an_axis_or_is_refused():
    assert [slice_axis(name) for name in ("i", "j-", "k-")] == [0, 1, 2]
    with pytest.raises(SignalError, match="'z'; expected i, j or k"):
        slice_axis("z")
