"""The demonstration dataset is small, valid and anonymous, and has the documented content."""

import json
import re
import subprocess
import sys
from pathlib import Path

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nilearn.datasets import load_mni152_template
from scipy.signal import hilbert

import brainfm
from brainfm.demo.dataset import copy_demo
from brainfm.demo.synthetic_dataset import write_synthetic_dataset
from brainfm.demo.synthetic_participant import (
    ALPHA_HZ,
    EEG_HZ,
    TR_S,
    parcellation,
    synthetic_participant,
)
from brainfm.errors import CannotCreateOutput
from brainfm.signal.synthetic import move_volume

PACKAGED = Path(brainfm.__file__).parent / "data" / "demo"


def errors_of_validator(dataset):
    words = ["bids-validator-deno", str(dataset), "--format", "json"]
    done = subprocess.run(words, capture_output=True, text=True)
    found = json.loads(done.stdout)["issues"]["issues"]
    return [issue for issue in found if issue["severity"] == "error"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return copy_demo(tmp_path_factory.mktemp("demo") / "bids")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_synthetic_dataset(tmp_path_factory.mktemp("tiny"), participants=2)


@pytest.fixture(scope="module")
def truth():
    return synthetic_participant()


def test_help_prints_the_usage_and_creates_no_folder(tmp_path):
    words = [sys.executable, "-m", "brainfm.demo", "--help"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: python -m brainfm.demo [-h] [folder]")
    assert not list(tmp_path.iterdir())


class TestPackagedDemo:
    def test_is_at_most_ten_megabytes(self):
        assert sum(path.stat().st_size for path in PACKAGED.rglob("*")) <= 10e6

    def test_files_name_no_patient(self):
        keys = re.compile(r"patient|birth|weight|\buid|instanceuid|date|time\b", re.I)
        kept = {"RepetitionTime", "EchoTime"}
        for path in PACKAGED.rglob("*.json"):
            strange = [key for key in json.loads(path.read_text()) if keys.search(key)]
            assert not set(strange) - kept, path

    def test_image_headers_have_no_personal_data(self):
        for path in PACKAGED.rglob("*.nii.gz"):
            header = nib.load(path).header
            assert not header["descrip"].item().strip(b"\0")
            assert not header["db_name"].item().strip(b"\0")
            assert not header["aux_file"].item().strip(b"\0")
            assert not header.extensions

    def test_has_at_least_sixty_volumes_and_a_t1w_of_two_mm(self):
        bold = nib.load(next(PACKAGED.rglob("*_bold.nii.gz")))
        t1w = nib.load(next(PACKAGED.rglob("*_T1w.nii.gz")))
        assert bold.shape[3] >= 60
        assert bold.header.get_zooms()[3] == TR_S
        assert t1w.header.get_zooms() == pytest.approx((2, 2, 2))

    def test_the_readme_states_licence_and_source_of_each_person(self):
        text = (PACKAGED / "README.md").read_text(encoding="utf8")
        for words in ("Public Domain Dedication", "Attribution License 1.0", "10.13026/C28G6P"):
            assert words in text
        assert "Public Domain Dedication & Licence" in (PACKAGED / "LICENSE").read_text("utf8")

    def test_eyes_closed_has_more_occipital_alpha_than_eyes_open(self):
        share = {}
        for task in ("eyesopen", "eyesclosed"):
            path = next(PACKAGED.rglob(f"*_task-{task}_eeg.edf"))
            raw = mne.io.read_raw_edf(path, verbose="error").pick(["O1..", "Oz..", "O2.."])
            spectrum = raw.compute_psd("welch", fmin=1, fmax=40, n_fft=640, verbose="error")
            alpha = (spectrum.freqs >= 8) & (spectrum.freqs <= 13)
            share[task] = spectrum.get_data()[:, alpha].sum() / spectrum.get_data().sum()
        assert share["eyesclosed"] > 3 * share["eyesopen"]


class TestCopiedDemo:
    def test_is_valid_bids(self, demo):
        assert not errors_of_validator(demo)

    def test_participants_are_marked_as_real_or_synthetic(self, demo):
        people = pd.read_csv(demo / "participants.tsv", sep="\t").set_index("participant_id")
        assert people["kind"].to_dict() == {
            "sub-bold01": "real", "sub-eeg01": "real", "sub-synthetic01": "synthetic",
        }  # fmt: skip
        assert "not the person of sub-eeg01" in people.loc["sub-bold01", "description"]

    def test_a_second_copy_changes_nothing(self, demo):
        before = {path: path.stat().st_mtime_ns for path in demo.rglob("*")}
        copy_demo(demo)
        assert {path: path.stat().st_mtime_ns for path in demo.rglob("*")} == before

    def test_a_folder_with_other_files_is_refused(self, tmp_path):
        (tmp_path / "thesis.tex").write_text("x")
        with pytest.raises(CannotCreateOutput, match=r"contains thesis.tex.*a new folder"):
            copy_demo(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


class TestSyntheticDataset:
    def test_is_valid_bids(self, tiny):
        assert not errors_of_validator(tiny)

    def test_every_file_is_marked_as_synthetic(self, tiny):
        people = pd.read_csv(tiny / "participants.tsv", sep="\t")
        assert set(people["kind"]) == {"synthetic"}
        assert people["participant_id"].str.startswith("sub-synthetic").all()
        for path in tiny.rglob("sub-*.json"):
            if "coordsystem" not in path.name:
                assert json.loads(path.read_text())["Description"].startswith("Synthetic")

    def test_the_same_seed_gives_the_same_bytes(self, tiny, tmp_path):
        again = write_synthetic_dataset(tmp_path, participants=1)
        for path in (again / "sub-synthetic01").rglob("*.*"):
            assert path.read_bytes() == (tiny / path.relative_to(again)).read_bytes(), path.name

    def test_participants_differ(self, tiny):
        first, second = sorted(tiny.rglob("*_bold.nii.gz"))
        assert first.read_bytes() != second.read_bytes()

    def test_eeg_and_bold_have_the_same_onset_and_duration(self, tiny):
        scans = pd.read_csv(tiny / "sub-synthetic01" / "sub-synthetic01_scans.tsv", sep="\t")
        assert scans["acq_time"].nunique() == 1
        raw = mne.io.read_raw_brainvision(next(tiny.rglob("*_eeg.vhdr")), verbose="error")
        bold = nib.load(next(tiny.rglob("*_bold.nii.gz")))
        assert raw.n_times / raw.info["sfreq"] == bold.shape[3] * TR_S

    def test_electrodes_are_in_metres_and_the_nose_is_in_front(self, tiny):
        table = pd.read_csv(next(tiny.rglob("*_electrodes.tsv")), sep="\t").set_index("name")
        assert np.linalg.norm(table[["x", "y", "z"]], axis=1) == pytest.approx(0.11, abs=0.04)
        assert table.loc["Fp1", "y"] > 0.05
        assert table.loc["T7", "x"] < -0.05
        assert table.loc["Cz", "z"] > 0.08


class TestTruth:
    def test_parcels_of_the_images_follow_the_series(self, truth):
        affine, shape = truth.bold.affine, truth.bold.shape[:3]
        atlas = parcellation()[0]
        matrix = truth.t1w_to_bold @ truth.template_to_t1w
        labels = move_volume(
            np.asarray(atlas.dataobj), atlas.affine, matrix,
            shape=shape, target_affine=affine, order=0,
        )  # fmt: skip
        data = truth.bold.get_fdata()
        found = np.stack([data[labels == k].mean(axis=0) for k in range(1, 101)], axis=1)
        fit = [np.corrcoef(a, b)[0, 1] for a, b in zip(found.T, truth.series.T, strict=True)]
        assert np.median(fit) > 0.9

    def test_the_transform_maps_the_template_to_the_t1w(self, truth):
        template = load_mni152_template(resolution=2)
        moved = move_volume(
            template.get_fdata(), template.affine, truth.template_to_t1w,
            shape=truth.t1w.shape, target_affine=truth.t1w.affine,
        )  # fmt: skip
        brain = moved > 0.3
        assert np.corrcoef(truth.t1w.get_fdata()[brain], moved[brain])[0, 1] > 0.9

    def test_parcels_of_a_network_are_correlated(self, truth):
        networks = parcellation()[1]["network"].to_numpy()
        same = networks[:, None] == networks
        connectivity = np.corrcoef(truth.series.T)
        off = ~np.eye(100, dtype=bool)
        assert connectivity[same & off].mean() > connectivity[~same].mean() + 0.4

    def test_visual_parcels_decrease_when_alpha_increases(self, truth):
        visual = truth.series[:, parcellation()[1]["network"] == "Vis"]
        assert np.corrcoef(visual.mean(axis=1), truth.alpha_bold)[0, 1] < -0.7

    @pytest.mark.parametrize("index", [0, 1])
    def test_occipital_alpha_has_the_frequency_and_the_envelope(self, tiny, index):
        person = synthetic_participant(index)
        path = sorted(tiny.rglob("*_eeg.vhdr"))[index]
        raw = mne.io.read_raw_brainvision(path, preload=True, verbose="error").pick(["Oz"])
        spectrum = raw.compute_psd("welch", fmin=6, fmax=14, n_fft=1000, verbose="error")
        peak_hz = spectrum.freqs[spectrum.get_data()[0].argmax()]
        assert peak_hz == pytest.approx(ALPHA_HZ[person.group], abs=0.5)
        raw.filter(7, 13, verbose="error")
        found = np.abs(hilbert(raw.get_data()[0]))
        assert np.corrcoef(found, person.envelope)[0, 1] > 0.8

    def test_blinks_are_frontal_and_line_noise_is_at_50_hz(self, truth):
        signal_v = truth.eeg_v - truth.eeg_v.mean(axis=1, keepdims=True)
        assert (signal_v.max(axis=0).argsort()[-2:] < 2).all()
        power = np.abs(np.fft.rfft(truth.eeg_v[:, 0]))
        frequencies = np.fft.rfftfreq(len(truth.eeg_v), 1 / EEG_HZ)
        high = frequencies > 30
        assert frequencies[high][power[high].argmax()] == pytest.approx(50, abs=0.05)
