"""Missing volumes and values of raw runs, and the volumes before the steady state."""

import numpy as np
import pandas as pd
import pytest

from brainfm.config import BoldConfig
from brainfm.errors import DataError, SignalError
from brainfm.files import write_tsv
from brainfm.signal.motion import FRISTON24
from brainfm.signal.volumes import check_change, check_magnitude, replace_missing
from brainfm.stages.preprocess.bold import detect_non_steady
from brainfm.stages.standardise.parcellate import PreprocessedBold, standardise_bold
from brainfm.storage.images import template, write_image


@pytest.fixture
def bold():
    """A bright cube that fluctuates, around it zeros."""
    rng = np.random.default_rng(0)
    data = np.zeros((8, 8, 8, 50), np.float32)
    data[2:6, 2:6, 2:6] = 500 + rng.normal(0, 5, (4, 4, 4, 50))
    return data


def test_a_complete_run_is_returned_as_it_is(bold):
    same, empty = replace_missing(bold)
    assert same is bold
    assert empty.tolist() == []


@pytest.mark.parametrize("value", [0, np.nan, 7])
@pytest.mark.parametrize(("where", "nearest"), [(0, 1), (25, 24), (49, 48)])
def test_an_empty_volume_becomes_its_nearest_neighbour(bold, where, value, nearest):
    damaged = bold.copy()
    damaged[..., where] = value
    found, empty = replace_missing(damaged)
    assert empty.tolist() == [where]
    np.testing.assert_array_equal(found[..., where], bold[..., nearest])
    np.testing.assert_array_equal(np.delete(found, where, 3), np.delete(bold, where, 3))


def test_a_volume_reconstructed_in_part_counts_as_empty(bold):
    bold[..., 10][3:] = 0
    assert replace_missing(bold)[1].tolist() == [10]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_voxel_without_a_number_in_one_volume_has_no_signal(bold, value):
    bold[3, 3, 3, 20] = value
    found, empty = replace_missing(bold)
    assert empty.tolist() == []
    assert not found[3, 3, 3].any()
    assert np.isfinite(found).all()


def test_a_run_with_many_empty_volumes_is_refused(bold):
    bold[..., :10] = 0
    with pytest.raises(SignalError, match=r"10 of 50 volumes are empty .* at most 10%"):
        replace_missing(bold)


def test_a_run_that_does_not_change_is_refused(bold):
    with pytest.raises(SignalError, match="all 50 volumes are the same"):
        check_change(np.repeat(bold[..., :1], 50, axis=3))


def test_ringing_below_zero_is_accepted_and_a_standardised_image_is_not():
    image = np.random.default_rng(0).normal(size=(9, 9, 9))
    check_magnitude(np.where(image > 0, 100 * image, image), "it")
    with pytest.raises(SignalError, match=r"it is negative in \d+% .* expected magnitudes"):
        check_magnitude((image - image.mean()) / image.std(), "it")


@pytest.mark.parametrize("n_dummy", [0, 1, 4])
@pytest.mark.parametrize("sign", [1, -0.3])
def test_volumes_before_the_steady_state_are_counted(bold, n_dummy, sign):
    bold[..., :n_dummy] *= 1 + sign * np.linspace(0.5, 0.1, n_dummy)
    assert detect_non_steady(bold) == n_dummy


def test_a_slow_drift_is_in_steady_state(bold):
    assert detect_non_steady(bold * np.linspace(1.05, 1, 50, dtype=np.float32)) == 0


def test_a_spike_later_in_the_run_is_not_at_its_start(bold):
    bold[..., 12] *= 2
    assert detect_non_steady(bold) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x * (np.arange(50) != 49), "volume 50 of 50 is empty"),
        (lambda x: np.where(np.arange(50) == 20, np.nan, x), "volume 21 of 50 is empty"),
        (lambda x: x - x.mean(axis=3, keepdims=True), "expected magnitudes: is it demeaned"),
        (np.zeros_like, "all volumes are empty"),
    ],
    ids=["zeros", "NaN", "demeaned", "nothing"],
)
def test_a_preprocessed_run_that_covers_no_parcel_is_refused_with_the_cause(
    tmp_path, change, message
):
    mask = template("mask", 8)
    inside = np.asarray(mask.dataobj) > 0.5
    rng = np.random.default_rng(0)
    data = np.zeros((*mask.shape, 50), np.float32)
    data[inside] = rng.normal(1000, 10, (inside.sum(), 50))
    frame = pd.DataFrame(rng.normal(size=(50, 24)) / 1000, columns=list(FRISTON24))
    frame["framewise_displacement"], frame["std_dvars"] = 0.1, 1.0
    run = PreprocessedBold(
        bold_file=write_image(
            tmp_path / "sub-1_desc-preproc_bold.nii.gz", change(data), mask.affine
        ),
        mask_file=write_image(tmp_path / "mask.nii.gz", inside, mask.affine, dtype=np.uint8),
        confounds_file=write_tsv(tmp_path / "confounds.tsv", frame),
        repetition_time_s=2.0,
        source_file=tmp_path / "sub-1_task-rest_bold.nii.gz",
    )
    with pytest.raises(DataError, match=rf"sub-1_desc-preproc_bold\.nii\.gz: .*{message}"):
        standardise_bold(run, tmp_path, BoldConfig(denoising="custom", confounds=("trans_x",)))
