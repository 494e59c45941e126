"""Parcellations."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from brainfm.errors import DataError, MissingInput
from brainfm.storage.atlas import load_atlas


@pytest.fixture
def own_atlas(tmp_path):
    labels = np.zeros((10, 10, 10), np.int16)
    labels[1:3, 4:6, 4:6], labels[7:9, 4:6, 4:6] = 5, 9
    affine = np.diag([10.0, 10, 10, 1])
    affine[:3, 3] = -45
    path = tmp_path / "mine.nii.gz"
    nib.save(nib.Nifti1Image(labels, affine), path)
    table = pd.DataFrame({"index": [5, 9], "name": ["left", "right"], "hemisphere": ["L", "R"]})
    table.to_csv(tmp_path / "mine.tsv", sep="\t", index=False)
    return path


def test_the_packaged_atlas_has_100_parcels_with_left_on_the_left():
    atlas = load_atlas("Schaefer100")
    assert len(atlas.names) == 100
    left = np.array(["_LH_" in name for name in atlas.names])
    assert (atlas.positions[left, 0] < 0).all()
    assert (atlas.positions[~left, 0] > 0).all()
    assert atlas.entities == "atlas-Schaefer2018_seg-7n_scale-100"
    assert set(np.unique(np.asarray(atlas.image.dataobj))) == set(range(101))


def test_visual_parcels_lie_behind_and_somatomotor_ones_above():
    atlas = load_atlas("Schaefer100")
    network = np.array(atlas.networks)
    assert atlas.positions[network == "Vis", 1].mean() < -60
    assert atlas.positions[network == "SomMot", 2].mean() > 30


def test_an_atlas_of_ones_own_is_numbered_by_its_table(own_atlas):
    atlas = load_atlas(own_atlas)
    assert atlas.names == ("left", "right")
    np.testing.assert_allclose(atlas.positions, [[-30, 0, 0], [30, 0, 0]])
    assert atlas.entities == "atlas-mine"


def test_a_flipped_atlas_is_refused(own_atlas):
    image = nib.load(own_atlas)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj)[::-1], image.affine), own_atlas)
    with pytest.raises(DataError, match=r"left is of hemisphere L but lies at x = 30 mm"):
        load_atlas(own_atlas)


def test_a_parcel_that_is_not_in_the_image_is_refused(own_atlas):
    table = pd.DataFrame({"index": [5, 9, 11], "name": ["a", "b", "c"]})
    table.to_csv(own_atlas.with_name("mine.tsv"), sep="\t", index=False)
    with pytest.raises(DataError, match=r"disagree on label 11"):
        load_atlas(own_atlas)


def test_an_unknown_atlas_is_refused_with_what_there_is(tmp_path):
    with pytest.raises(MissingInput, match=r"no atlas 'AAL': expected Schaefer100"):
        load_atlas("AAL")
