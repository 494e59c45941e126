"""Parcel series of a preprocessed run with volumes that are not steady and others that moved."""

import json

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.signal import butterworth

from brainfm import load_recordings
from brainfm.config import BoldConfig
from brainfm.errors import DataError
from brainfm.signal.connectivity import upper_triangle
from brainfm.signal.motion import FRISTON24
from brainfm.stages.standardise.parcellate import PreprocessedBold, standardise_bold
from brainfm.storage.atlas import labels_on_grid, load_atlas

TR_S, N, N_UNSTEADY = 2.0, 160, 4
MOVED = [0, 30, 31, 32, 60, 99, 127, 155]  # after the volumes that are not steady


@pytest.fixture(scope="module")
def truth():
    """Slow signals of parcels, (n_steady, n_parcels), correlated within ten groups."""
    rng = np.random.default_rng(0)
    own, common = rng.standard_normal((N, 100)), rng.standard_normal((N, 10))
    slow = butterworth(own + np.repeat(common, 10, axis=1), 1 / TR_S, low_pass=0.09, high_pass=0.01)
    return (slow / slow.std(axis=0))[N_UNSTEADY:]


@pytest.fixture(scope="module")
def run(truth, tmp_path_factory):
    """A run with a bright start and eight volumes that moved, as fMRIPrep leaves it."""
    folder, rng = tmp_path_factory.mktemp("fp"), np.random.default_rng(1)
    affine = np.diag([8.0, 8, 8, 1])
    affine[:3, 3] = [-76, -110, -70]
    grid = nib.Nifti1Image(np.zeros((20, 24, 20, 1), np.float32), affine)
    labels = labels_on_grid(load_atlas("Schaefer100").image, grid)
    signals = np.vstack([np.zeros((N_UNSTEADY, 100)), truth])
    data = np.full((*labels.shape, N), 1000, np.float32)
    data[labels > 0] += 10 * signals[:, labels[labels > 0] - 1].T
    data += 2 * rng.standard_normal(data.shape)
    data[..., :N_UNSTEADY] *= 1.3
    moved = np.isin(np.arange(N) - N_UNSTEADY, MOVED)
    data[..., moved] *= 0.95
    stem = "sub-01_task-rest"
    nib.save(nib.Nifti1Image(data, affine), folder / f"{stem}_space-A_desc-preproc_bold.nii.gz")
    mask = nib.Nifti1Image(np.ones(labels.shape, np.uint8), affine)
    nib.save(mask, folder / f"{stem}_space-A_desc-brain_mask.nii.gz")
    table = pd.DataFrame(0.01 * rng.standard_normal((N, 24)), columns=FRISTON24)
    table["framewise_displacement"] = np.where(moved, 1.0, 0.1)
    for number in range(N_UNSTEADY):
        table[f"non_steady_state_outlier{number:02d}"] = (np.arange(N) == number).astype(float)
    table.to_csv(folder / f"{stem}_desc-confounds_timeseries.tsv", sep="\t", index=False)
    return PreprocessedBold(
        bold_file=folder / f"{stem}_space-A_desc-preproc_bold.nii.gz",
        mask_file=folder / f"{stem}_space-A_desc-brain_mask.nii.gz",
        confounds_file=folder / f"{stem}_desc-confounds_timeseries.tsv",
        repetition_time_s=TR_S,
        source_file=folder / f"{stem}_bold.nii.gz",
    )


def _standardise(run, out, **settings):
    path, metrics = standardise_bold(run, out, BoldConfig(n_acompcor=0, **settings))
    return pd.read_csv(path, sep="\t", na_values="n/a"), metrics, path


def _relmat(path, desc):
    name = path.name.replace("denoised_timeseries", f"{desc}_relmat")
    return pd.read_csv(path.with_name(name), sep="\t", na_values="n/a", index_col=0).to_numpy()


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    return _standardise(run, tmp_path_factory.mktemp("out"))


def test_unsteady_volumes_are_absent_and_censored_ones_are_rows_of_na(made):
    table, metrics, _ = made
    assert len(table) == N - N_UNSTEADY
    assert np.flatnonzero(table.isna().all(axis=1)).tolist() == MOVED
    assert table.drop(index=MOVED).notna().all(axis=None)
    counts = {"n_dropped": 4, "n_censored": 8, "n_kept": 148, "minutes_kept": 4.933}
    assert metrics.items() >= counts.items()
    n_left = metrics["n_passed_components"] - metrics["n_confound_components"]
    assert metrics["degrees_of_freedom"] == n_left == int(148 * 0.092 / 0.25) - 24


def test_the_sidecar_says_what_was_done(made):
    sidecar = json.loads(made[2].with_suffix(".json").read_text())
    assert sidecar["StartTime"] == N_UNSTEADY * TR_S
    assert sidecar["Denoising"] == {
        "Strategy": "24P+aCompCor",
        "VolumesDroppedAtStart": 4,
        "VolumesCensored": 8,
        "VolumesKept": 148,
        "MinutesKept": 4.933,
        "CensoredRows": MOVED,
        "CensoredAbove": {"FramewiseDisplacement": 0.5, "StandardisedDVARS": 1.5},
        "Notes": [],
    }
    assert set(sidecar["Confounds"]) == set(FRISTON24)


def test_connectivity_is_that_of_the_volumes_that_are_kept(made, truth):
    table, _, path = made
    found = _relmat(path, "pearson")
    kept = table.drop(index=MOVED).to_numpy()
    np.testing.assert_allclose(found, np.corrcoef(kept.T), atol=1e-4)
    expected = upper_triangle(np.corrcoef(truth.T))
    assert np.abs(upper_triangle(found) - expected).mean() < 0.12
    assert np.corrcoef(upper_triangle(found), expected)[0, 1] > 0.8


def test_connectivity_before_denoising_is_written_for_comparison(made):
    before = upper_triangle(_relmat(made[2], "preproc"))
    assert before.mean() > 0.4  # motion raises all correlations
    assert upper_triangle(_relmat(made[2], "pearson")).mean() < 0.1


def test_without_censoring_the_moved_volumes_raise_connectivity(run, tmp_path):
    table, metrics, path = _standardise(run, tmp_path, censoring="off")
    assert table.notna().all(axis=None)
    assert metrics["n_censored"] == 0
    assert upper_triangle(_relmat(path, "pearson")).mean() > 0.2
    assert json.loads(path.with_suffix(".json").read_text())["Denoising"]["CensoredAbove"] == {}


def test_censored_series_are_read_as_a_recording_with_all_parcels(made):
    (row,) = load_recordings(made[2].parents[2])
    recording = row[0]
    assert recording.mask.all()
    assert np.flatnonzero(np.isnan(recording.signal).any(axis=1)).tolist() == MOVED


def test_a_table_of_another_run_is_refused_by_both_lengths(run, tmp_path):
    table = pd.read_csv(run.confounds_file, sep="\t").iloc[:-3]
    other = tmp_path / "sub-02_task-rest_desc-confounds_timeseries.tsv"
    table.to_csv(other, sep="\t", index=False)
    wrong = PreprocessedBold(**{**vars(run), "confounds_file": other})
    with pytest.raises(DataError, match=r"has 157 rows but .*bold.nii.gz has 160 volumes"):
        _standardise(wrong, tmp_path)
