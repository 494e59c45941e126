"""Figures of anatomy and BOLD: drawn, small, and captioned with the right numbers."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainfm.files import read_json
from brainfm.stages.preprocess.bold_figures import draw_connectivity, draw_motion, draw_overlay


@pytest.fixture
def confounds():
    rng = np.random.default_rng(0)
    names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
    frame = pd.DataFrame(0.01 * rng.standard_normal((60, 6)), columns=names)
    frame["framewise_displacement"] = [np.nan, *[0.1] * 56, 0.7, 0.9, 0.1]
    frame["std_dvars"] = [np.nan, *[1.0] * 59]
    return frame


def test_the_motion_caption_counts_frames_above_the_threshold(confounds, tmp_path):
    voxels = np.random.default_rng(0).standard_normal((60, 3000))
    tissues = {"grey matter": voxels[:, :2000], "CSF": voxels[:, 2000:]}
    path = draw_motion(
        confounds, tissues, tmp_path / "a_bold.png", repetition_time_s=2, fd_threshold_mm=0.5
    )
    assert (
        "largest 0.90 mm; 2 of 60 frames above 0.5 mm"
        in read_json(path.with_suffix(".json"))["caption"]
    )
    assert path.stat().st_size < 300_000


def test_the_connectivity_caption_counts_missing_parcels(tmp_path):
    matrix = np.eye(6)
    matrix[2], matrix[:, 2] = np.nan, np.nan
    path = draw_connectivity(matrix, list("abcabc"), tmp_path / "a_bold.png")
    assert "Grey: 1 outside the field of view." in read_json(path.with_suffix(".json"))["caption"]
    assert path.stat().st_size < 300_000


def test_an_overlay_shows_the_outline_in_colour_only_where_there_is_one(tmp_path):
    def coloured(inside):
        image = nib.Nifti1Image(np.full((30, 30, 30), 50.0), np.eye(4) * [3, 3, 3, 1])
        mask = nib.Nifti1Image(inside.astype(np.uint8), image.affine)
        path = draw_overlay(image, mask, tmp_path / "a_T1w.png", title="t", caption="c")
        red, _, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB"), int), -1, 0)
        return (red - blue > 80).sum()

    ball = np.linalg.norm(np.indices((30, 30, 30)) - 15, axis=0) < 10
    assert coloured(ball) > 1000
    assert coloured(np.zeros((30, 30, 30))) == 0
