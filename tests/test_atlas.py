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


@pytest.mark.parametrize("n_parcels", [100, 200, 400])
def test_a_packaged_atlas_has_all_parcels_with_left_on_the_left(n_parcels):
    atlas = load_atlas(f"Schaefer{n_parcels}")
    assert len(set(atlas.names)) == n_parcels
    assert len(set(atlas.networks)) == 7
    left = np.array(["_LH_" in name for name in atlas.names])
    assert (atlas.positions[left, 0] < 0).all()
    assert (atlas.positions[~left, 0] > 0).all()
    assert atlas.entities == f"atlas-Schaefer2018_seg-7n_scale-{n_parcels}"
    assert set(np.unique(np.asarray(atlas.image.dataobj))) == set(range(n_parcels + 1))


def test_visual_parcels_lie_behind_and_somatomotor_ones_above():
    atlas = load_atlas("Schaefer100")
    network = np.array(atlas.networks)
    assert atlas.positions[network == "Vis", 1].mean() < -60
    assert atlas.positions[network == "SomMot", 2].mean() > 30


def test_a_user_atlas_is_numbered_by_its_table(own_atlas):
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


def test_an_unknown_atlas_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(MissingInput, match=r"no atlas 'AAL': expected Schaefer100"):
        load_atlas("AAL")


IDENTIFIER = "tpl-MNI152NLin2009cAsym_atlas-Schaefer2018_desc-2Parcels7Networks"


@pytest.fixture
def templateflow(tmp_path, monkeypatch):
    """A home folder of TemplateFlow with an atlas of two parcels at 10 mm and at 20 mm."""
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "tpl-MNI152NLin2009cAsym"
    folder.mkdir(parents=True)
    stem = str(folder / "tpl-MNI152NLin2009cAsym_{}atlas-Schaefer2018_desc-{}_dseg.{}")
    for name, size in (("res-01_", 10), ("res-02_", 20)):
        labels = np.zeros((200 // size, 2, 2), np.int16)
        labels[0], labels[-1] = 1, 2
        affine = np.diag([float(size)] * 3 + [1])
        affine[0, 3] = -(200 - size) / 2
        path = stem.format(name, "2Parcels7Networks", "nii.gz")
        nib.save(nib.Nifti1Image(labels, affine), path)
    names = ["7Networks_LH_Vis_1", "7Networks_RH_Cont_PFCl_1"]
    table = pd.DataFrame({"index": [1, 2], "name": names, "color": "#781283"})
    table.to_csv(stem.format("", "2Parcels7Networks", "tsv"), sep="\t", index=False)
    for name, ending in (("res-01_", "nii.gz"), ("", "tsv")):  # listed, not fetched
        open(stem.format(name, "4Parcels7Networks", ending), "w").close()
    return tmp_path / "home"


class TestTemplateFlow:
    def test_an_atlas_in_its_home_is_loaded_by_its_identifier(self, templateflow):
        atlas = load_atlas(IDENTIFIER)
        assert atlas.names == ("7Networks_LH_Vis_1", "7Networks_RH_Cont_PFCl_1")
        assert atlas.networks == ("Vis", "Cont")
        assert atlas.entities == "atlas-Schaefer2018_seg-2Parcels7Networks"

    def test_the_coarsest_resolution_is_taken_unless_the_identifier_names_one(self, templateflow):
        assert load_atlas(IDENTIFIER).positions[1, 0] == 90
        fine = load_atlas(IDENTIFIER.replace("_atlas", "_res-01_atlas"))
        assert fine.positions[1, 0] == 95

    @pytest.mark.parametrize("n_parcels", [4, 9])
    def test_an_absent_atlas_is_refused_and_nothing_is_downloaded(
        self, templateflow, monkeypatch, n_parcels
    ):
        monkeypatch.setattr("socket.socket", None)
        before = sorted(templateflow.rglob("*"))
        absent = IDENTIFIER.replace("2P", f"{n_parcels}P")
        fetch = rf"get\('MNI152NLin2009cAsym', atlas='Schaefer2018', desc='{n_parcels}Parcels"
        with pytest.raises(
            MissingInput, match=rf"holds no {absent}_dseg.nii.gz: fetch it .*{fetch}"
        ):
            load_atlas(absent)
        assert sorted(templateflow.rglob("*")) == before

    def test_an_absent_home_is_refused_and_not_created(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "nowhere"))
        with pytest.raises(MissingInput, match=r"nowhere holds no .* set TEMPLATEFLOW_HOME"):
            load_atlas(IDENTIFIER)
        assert not (tmp_path / "nowhere").exists()
