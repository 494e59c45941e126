"""Head motion that was planted is found again."""

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from brainfm.errors import SignalError
from brainfm.signal.realign import estimate_motion, rigid_matrices

OBLIQUE = np.array(
    [[-2.95, 0.1, 0.2, 60], [0.1, 2.9, -0.6, -50], [0.2, 0.6, 2.95, -40], [0, 0, 0, 1]]
)
PLANTED = np.array(
    [
        [0.5, -0.3, 0.8, 0.01, -0.02, 0.005],
        [2.0, 1.0, -1.5, 0.03, 0.02, -0.04],
        [0.0, 0.0, 0.05, 0.001, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    ]
)


@pytest.fixture(scope="module")
def head():
    """A blob with structure, and where it is."""
    shape = (40, 42, 28)
    axes = [np.linspace(-1, 1, n) for n in shape]
    radius = np.sqrt(sum((g / 0.75) ** 2 for g in np.meshgrid(*axes, indexing="ij")))
    texture = gaussian_filter(np.random.default_rng(0).standard_normal(shape), 1.5)
    volume = np.where(radius < 1, 1000 + 1500 * texture / texture.std() * 0.2, 0)
    return gaussian_filter(volume, 0.8), radius < 1


def _moved(volume, mask, parameters):
    centre = (np.argwhere(mask) @ OBLIQUE[:3, :3].T + OBLIQUE[:3, 3]).mean(axis=0)
    for matrix in rigid_matrices(parameters, centre):
        pull = np.linalg.inv(OBLIQUE) @ np.linalg.inv(matrix) @ OBLIQUE
        yield affine_transform(volume, pull[:3, :3], pull[:3, 3], order=3)


def _largest_error_mm(found, mask):
    points = np.argwhere(mask) @ OBLIQUE[:3, :3].T + OBLIQUE[:3, 3]
    centre = points.mean(axis=0)
    pairs = zip(rigid_matrices(PLANTED, centre), rigid_matrices(found, centre), strict=True)
    return max(np.abs(points @ (a - b)[:3, :3].T + (a - b)[:3, 3]).max() for a, b in pairs)


@pytest.mark.parametrize("scale", [1.0, 1.1])
def test_planted_motion_is_recovered_within_a_fifth_of_a_millimetre(head, scale):
    volume, mask = head
    rng = np.random.default_rng(1)
    volumes = [scale * v + 10 * rng.standard_normal(v.shape) for v in _moved(volume, mask, PLANTED)]
    found, centre = estimate_motion(volumes, OBLIQUE, volume, mask)
    assert found.shape == (4, 6)
    assert _largest_error_mm(found, mask) < 0.2
    np.testing.assert_allclose(centre, np.argwhere(mask).mean(axis=0) @ OBLIQUE[:3, :3].T
                               + OBLIQUE[:3, 3])  # fmt: skip


def test_the_same_volumes_give_the_same_bytes(head):
    volume, mask = head
    volumes = list(_moved(volume, mask, PLANTED[:2]))
    first, second = (estimate_motion(volumes, OBLIQUE, volume, mask)[0] for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_rotations_turn_about_the_centre_and_to_the_right_side():
    quarter = rigid_matrices([0, 0, 0, 0, 0, np.pi / 2], np.array([10.0, 0, 0]))[0]
    np.testing.assert_allclose(quarter @ [10, 0, 0, 1], [10, 0, 0, 1], atol=1e-12)
    np.testing.assert_allclose(quarter @ [11, 0, 0, 1], [10, 1, 0, 1], atol=1e-12)


def test_a_brain_of_a_few_voxels_is_refused(head):
    volume, mask = head
    few = np.zeros_like(mask)
    few[20, 20, 10:20] = True
    with pytest.raises(SignalError, match="holds 10 voxels; expected 200 or more"):
        estimate_motion([volume], OBLIQUE, volume, few)
