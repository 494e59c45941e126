"""Parcel series are means over the voxels that are scanned, whatever the size of a block."""

import nibabel as nib
import numpy as np
import pytest

from brainfm.storage import parcel_series as module
from brainfm.storage.parcel_series import parcel_series

N_TIMES = 7


@pytest.fixture(params=[1, 1e9], ids=["a volume at a time", "all volumes at once"])
def blocks(request, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK_BYTES", request.param)


@pytest.fixture
def run(tmp_path):
    """A run of three parcels, of which the third has no voxel inside the mask."""
    rng = np.random.default_rng(0)
    data = rng.integers(100, 200, (4, 5, 6, N_TIMES)).astype(np.int16)
    labels = rng.integers(0, 4, (4, 5, 6))
    inside = (rng.random((4, 5, 6)) < 0.8) & (labels != 3)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "run.nii.gz")
    return nib.load(tmp_path / "run.nii.gz", keep_file_open=True), data, labels, inside


def test_a_series_is_the_mean_of_the_voxels_inside_the_mask(run, blocks):
    image, data, labels, inside = run
    series, coverage = parcel_series(image, labels, inside, 3)
    for parcel in (1, 2):
        chosen = (labels == parcel) & inside
        np.testing.assert_allclose(series[:, parcel - 1], data[chosen].mean(axis=0), rtol=1e-6)
        assert coverage[parcel - 1] == pytest.approx(chosen.sum() / (labels == parcel).sum())
    assert np.isnan(series[:, 2]).all()
    assert coverage[2] == 0


@pytest.mark.parametrize("when", [0, 3, N_TIMES - 1])
def test_a_voxel_that_is_0_in_one_volume_does_not_count(run, blocks, when):
    image, data, labels, inside = run
    lost = tuple(np.argwhere((labels == 1) & inside)[0])
    with_zero = data.copy()
    with_zero[(*lost, when)] = 0
    inside_others = inside.copy()
    inside_others[lost] = False
    found = parcel_series(nib.Nifti1Image(with_zero, np.eye(4)), labels, inside, 3)
    expected = parcel_series(image, labels, inside_others, 3)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_nan_outside_the_atlas_changes_nothing(run, blocks):
    image, data, labels, inside = run
    with_nan = data.astype(np.float32)
    with_nan[labels == 0] = np.nan
    found = parcel_series(nib.Nifti1Image(with_nan, np.eye(4)), labels, inside, 3)
    np.testing.assert_array_equal(found[0], parcel_series(image, labels, inside, 3)[0])
