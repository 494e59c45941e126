"""RecordingMasker: images and EEG as the first step of a pipeline."""

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from brainfm import BrainClassifier, RecordingMasker
from brainfm.errors import DataError, MissingInput, UsageError
from brainfm.storage.atlas import load_atlas


def image(seed, *, coupled=False, tr_s=2.0):
    """A run of 90 volumes at 8 mm; if coupled, both hemispheres share a signal."""
    rng = np.random.default_rng(seed)
    affine = np.diag([8.0, 8, 8, 1])
    affine[:3, 3] = [-76, -110, -70]
    data = rng.normal(size=(20, 24, 20, 90)).astype(np.float32)
    slow = rng.normal(size=(2, 90)).cumsum(axis=1) / 3
    data[:10] += slow[0]
    data[10:] += slow[0] if coupled else slow[1]
    made = nib.Nifti1Image(1000 + data, affine)
    made.header.set_zooms((8, 8, 8, tr_s))
    return made


def raw(alpha, seed=0, bads=()):
    """EEG of 30 s with an alpha rhythm of some strength."""
    rng = np.random.default_rng(seed)
    names = ["Fp1", "Fp2", "C3", "Cz", "C4", "P3", "P4", "O1", "O2", "EOG"]
    info = mne.create_info(names, 200, ["eeg"] * 9 + ["eog"])
    times = np.arange(6000) / 200
    signal = 1e-5 * (rng.normal(size=(10, 6000)) + alpha * np.sin(2 * np.pi * 10 * times))
    made = mne.io.RawArray(signal, info, verbose="error")
    made.set_montage("biosemi64", on_missing="ignore")
    made.info["bads"] = list(bads)
    return made


def test_an_image_gives_the_parcels_of_the_atlas_and_its_repetition_time():
    (row,) = RecordingMasker().transform([image(0, tr_s=2.5)])
    atlas = load_atlas("Schaefer100")
    assert row[0].channels == atlas.names
    assert row[0].sampling_hz == pytest.approx(0.4)
    assert row[0].shape == (90, 100)
    assert row[0].mask.sum() > 90
    assert np.abs(row[0].signal[:, row[0].mask].mean(axis=0)).max() < 0.2  # of about 1000


def test_a_bids_name_gives_the_labels(tmp_path):
    path = tmp_path / "sub-07_task-rest_desc-preproc_bold.nii.gz"
    nib.save(image(0), path)
    (row,) = RecordingMasker().transform([path])
    assert (row[0].participant, row[0].task) == ("07", "rest")


def test_raw_and_epochs_give_the_same_eeg_channels_with_bad_channels_masked():
    one = raw(1.0, bads=["C3"])
    epochs = mne.make_fixed_length_epochs(one, 10, preload=True, verbose="error")
    (left,), (right,) = RecordingMasker().transform([one, epochs])
    assert left.channels == right.channels == tuple(one.ch_names[:9])
    assert list(left.mask) == [name != "C3" for name in left.channels]
    np.testing.assert_allclose(left.signal, right.signal, rtol=1e-5)
    assert np.linalg.norm(left.positions, axis=1) == pytest.approx(0.11, abs=0.03)


def test_a_pipeline_of_images_can_be_cross_validated():
    images = [image(seed, coupled=seed % 2 == 1) for seed in range(8)]
    pipeline = make_pipeline(RecordingMasker(), BrainClassifier("brainfm-tiny", device="cpu"))
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    assert cross_val_score(pipeline, images, np.arange(8) % 2, cv=folds).mean() > 0.8


def test_a_pipeline_of_raws_can_be_fitted():
    raws = [raw(strength, seed) for seed, strength in enumerate([2, 0] * 4)]
    pipeline = make_pipeline(RecordingMasker(), BrainClassifier("brainfm-tiny", device="cpu"))
    assert pipeline.fit(raws, [1, 0] * 4).score(raws, [1, 0] * 4) == 1


@pytest.mark.parametrize(
    ("item", "error", "words"),
    [
        ("nowhere.nii.gz", MissingInput, r"there is no image nowhere.nii.gz"),
        (nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), DataError,
         r"3 dimensions; expected 4, a run of volumes"),
        (np.zeros((10, 3)), UsageError, r"X holds ndarray; expected 4D images, their paths"),
        (mne.io.RawArray(np.zeros((2, 100)), mne.create_info(2, 100, "eeg"), verbose="error"),
         DataError, r"no electrode positions: call set_montage"),
        (nib.Nifti1Image(np.ones((4, 4, 4, 50), np.float32), np.diag([1.0, 1, 1, 1])), DataError,
         r"has no parcel of Schaefer100"),
    ],
)  # fmt: skip
def test_other_items_are_refused(item, error, words):
    with pytest.raises(error, match=words):
        RecordingMasker().transform([item])


def test_confounds_of_an_image_in_memory_are_refused():
    with pytest.raises(UsageError, match=r"need the files of fMRIPrep: pass paths"):
        RecordingMasker(confounds=("motion",)).transform([image(0)])


def test_volumes_before_the_steady_state_are_dropped_and_outliers_are_nan(tmp_path):
    path = tmp_path / "sub-07_task-rest_desc-preproc_bold.nii.gz"
    made = image(0)
    data = made.get_fdata()
    data[..., :3] *= 1.4
    nib.save(nib.Nifti1Image(data, made.affine, made.header), path)
    unsteady = {f"non_steady_state_outlier{n:02d}": np.arange(90) == n for n in range(3)}
    moved = np.isin(np.arange(90), [40, 41])
    table = {"framewise_displacement": np.where(moved, 2.0, 0.1), "std_dvars": 1.0, **unsteady}
    frame = pd.DataFrame(table).astype(float)
    frame.to_csv(tmp_path / "sub-07_task-rest_desc-confounds_timeseries.tsv", sep="\t", index=False)
    ((row,),) = RecordingMasker(confounds=("high_pass", "scrub")).transform([path])
    censored = np.isnan(row.signal[:, row.mask]).all(axis=1)
    assert row.shape == (87, 100)
    assert np.flatnonzero(censored).tolist() == [37, 38]
    assert np.abs(row.signal[~censored][:, row.mask]).max() < 5
