"""Head motion."""

import numpy as np
import pytest

from brainfm.errors import SignalError
from brainfm.signal.motion import FRISTON24, framewise_displacement, friston24


def test_a_known_step_is_its_translation_plus_its_arc():
    parameters = np.zeros((3, 6))
    parameters[1:] = [0.3, -0.2, 0, 0.01, 0, 0]
    moved = framewise_displacement(parameters)
    assert np.isnan(moved[0])
    np.testing.assert_allclose(moved[1:], [0.3 + 0.2 + 50 * 0.01, 0])


def test_the_24_regressors_are_values_changes_and_squares():
    parameters = np.random.default_rng(0).standard_normal((9, 6))
    regressors = friston24(parameters)
    assert regressors.shape == (9, 24) == (9, len(FRISTON24))
    np.testing.assert_array_equal(regressors[:, :6], parameters)
    np.testing.assert_allclose(regressors[1:, 6:12], np.diff(parameters, axis=0))
    np.testing.assert_allclose(regressors[1:, 12:], regressors[1:, :12] ** 2)
    assert FRISTON24[0] == "trans_x"
    assert FRISTON24[-1] == "rot_z_derivative1_power2"


def test_five_parameters_are_refused_with_their_shape():
    with pytest.raises(SignalError, match=r"shape \(4, 5\); expected \(n_times, 6\)"):
        friston24(np.zeros((4, 5)))
