"""Raw EEG of BIDS datasets: read, validated and written as a derivative."""

import json
import re
import shutil
import subprocess

import mne
import numpy as np
import pandas as pd
import pytest
from eeg_dataset import NAMES, eeg_signal, write_run, write_table
from scipy.io import savemat

from brainfm.config import EegConfig
from brainfm.errors import DataError, MissingInput
from brainfm.files import read_json
from brainfm.stages.preprocess.eeg import preprocess_eeg
from brainfm.storage.bids.electrodes import position_files
from brainfm.storage.bids.montage import find_montage, standard_montage
from brainfm.storage.bids.read_eeg import files_beside, read_eeg_run
from brainfm.storage.bids.validate_eeg import check_eeg
from brainfm.storage.derivatives.read_eeg import read_eeg

LINE = {"PowerLineFrequency": 50}


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "raw", eeg_signal())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    root = tmp_path_factory.mktemp("written")
    events = {"onset": [0.5, 7.25, 12.0], "duration": [1, 0, 2], "sample": [64, 928, 1536],
              "trial_type": ["open", "open", "closed"]}  # fmt: skip
    run = write_run(root / "raw", eeg_signal(), events=events, sidecar={"PatientName": "Max"})
    vhdr_file = preprocess_eeg(run, root / "out", EegConfig(), sloppy=True)
    return root, run, vhdr_file


def _write_electrodes(run, system, *, metres=1.0, turn=None):
    """Positions of the 10-05 template, in another unit or frame; returns them in head metres."""
    montage = mne.channels.make_standard_montage("colin27_1005")
    head = mne.channels.montage.transform_to_head(montage).get_positions()
    places = np.array([head["ch_pos"][name] for name in NAMES])
    moved = (places if turn is None else places @ turn) / metres
    columns = {"name": NAMES, **dict(zip("xyz", moved.T, strict=True))}
    write_table(run, "space-X_electrodes", columns)
    run.with_name("sub-01_space-X_coordsystem.json").write_text(json.dumps(system))
    run.with_name("sub-01_task-rest_space-X_electrodes.tsv").rename(
        run.with_name("sub-01_space-X_electrodes.tsv")
    )
    return places


def _places(raw):
    return np.array([channel["loc"][:3] for channel in raw.info["chs"]])


class TestReading:
    def test_the_signal_is_in_volts_and_the_mains_frequency_of_the_sidecar(self, run):
        read = read_eeg_run(run)
        np.testing.assert_allclose(read.raw.get_data().T, eeg_signal(), atol=1e-8)
        assert read.line_hz == 50
        assert read.source == "bids:raw:sub-01/eeg/sub-01_task-rest_eeg.edf"

    def test_brainvision_reads_the_same(self, tmp_path):
        run = write_run(tmp_path, eeg_signal(), extension=".vhdr")
        np.testing.assert_allclose(read_eeg_run(run).raw.get_data().T, eeg_signal(), atol=1e-8)

    def test_names_are_standardised_and_excluded_channels_are_listed(self, tmp_path):
        names = ["EEG " + name for name in NAMES[:17]] + ["EEG A2-A1", "ECG", "XX"]
        run = write_run(tmp_path, eeg_signal(), names=names)
        kinds = ["ECG" if name == "ECG" else "EEG" for name in names]
        write_table(run, "channels", {"name": names, "type": kinds, "units": "uV"})
        read = read_eeg_run(run)
        assert read.raw.ch_names == list(NAMES[:17])
        assert read.without_position == ("EEG A2-A1", "XX")
        assert read.other_channels == ("ECG",)

    def test_channels_marked_bad_are_bad_under_their_standard_name(self, tmp_path):
        names = ["T3" if name == "T7" else name for name in NAMES]
        run = write_run(tmp_path, eeg_signal(), names=names)
        status = ["bad" if name == "T3" else "good" for name in names]
        columns = {"name": names, "type": "EEG", "units": "uV", "status": status}
        write_table(run, "channels", columns)
        assert read_eeg_run(run).raw.info["bads"] == ["T7"]

    def test_a_missing_file_is_refused(self, tmp_path):
        with pytest.raises(MissingInput, match="does not exist"):
            read_eeg_run(tmp_path / "sub-01" / "eeg" / "sub-01_task-rest_eeg.edf")

    def test_all_sidecars_beside_and_above_it_are_listed(self, run):
        root = run.parents[2]
        (root / "task-rest_eeg.json").write_text("{}")
        (root / "task-other_eeg.json").write_text("{}")
        assert [path.name for path in files_beside(run)] == [
            "sub-01_task-rest_channels.tsv",
            "sub-01_task-rest_eeg.json",
            "task-rest_eeg.json",
        ]


class TestPositionsOfTheDataset:
    def test_in_millimetres_become_metres(self, run):
        system = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "mm"}
        places = _write_electrodes(run, system, metres=0.001)
        read = read_eeg_run(run)
        np.testing.assert_allclose(_places(read.raw), places, atol=1e-5)
        assert read.origin_of_positions == "electrodes.tsv of the dataset"

    def test_without_landmarks_in_another_frame_are_fitted_to_the_template(self, run):
        turn = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])  # EEGLAB's axes: x to the nose
        system = {"EEGCoordinateSystem": "EEGLAB", "EEGCoordinateUnits": "cm"}
        places = _write_electrodes(run, system, metres=0.01, turn=turn)
        read = read_eeg_run(run)
        np.testing.assert_allclose(_places(read.raw), places, atol=1e-4)
        assert "fitted to the 10-05 system (residual 0 mm)" in read.origin_of_positions

    def test_without_a_unit_are_refused(self, run):
        _write_electrodes(run, {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "n/a"})
        with pytest.raises(DataError, match=r"expected m, cm, mm: add it to coordsystem\.json"):
            read_eeg_run(run)

    def test_with_landmarks_are_transformed_by_them(self, run):
        head = mne.channels.montage.transform_to_head(standard_montage()).get_positions()
        marks = {"NAS": head["nasion"], "LPA": head["lpa"], "RPA": head["rpa"]}
        turn = np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])
        system = {
            "EEGCoordinateSystem": "Other",
            "EEGCoordinateUnits": "mm",
            "AnatomicalLandmarkCoordinates": {
                name: (1000 * place @ turn).tolist() for name, place in marks.items()
            },
        }
        places = _write_electrodes(run, system, metres=0.001, turn=turn)
        np.testing.assert_allclose(_places(read_eeg_run(run).raw), places, atol=1e-5)

    def test_most_specific_table_is_taken(self, run):
        system = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "m"}
        _write_electrodes(run, system)
        own = run.with_name("sub-01_task-rest_space-X_electrodes.tsv")
        own.write_bytes(run.with_name("sub-01_space-X_electrodes.tsv").read_bytes())
        run.with_name("sub-01_task-other_electrodes.tsv").write_text("name\tx\ty\tz\n")
        electrodes, coordsystem = position_files(run)
        assert electrodes == own
        assert coordsystem.name == "sub-01_space-X_coordsystem.json"


class TestNumberedCaps:
    @pytest.mark.parametrize(
        ("cap", "names"),
        [
            ("GSN-HydroCel-128", [f"E{k}" for k in range(1, 129)]),
            ("GSN-HydroCel-129", [*(f"E{k}" for k in range(1, 129)), "Cz"]),
            ("biosemi128", [f"{row}{k}" for row in "ABCD" for k in range(1, 33)]),
        ],
    )
    def test_are_recognised_by_all_their_names(self, cap, names):
        montage = find_montage(names)
        assert montage.origin == f"template: {cap}"
        assert len(montage.names) == len(names)

    def test_bipolar_derivations_are_refused(self):
        with pytest.raises(DataError, match=r"3 of 3 EEG channels have no position .* Bipolar"):
            find_montage(["Fp1-F3", "F3-C3", "C3-P3"])


def test_eeglab_files_are_read(tmp_path):
    run = write_run(tmp_path, eeg_signal())
    labels = np.array([(name,) for name in NAMES], dtype=[("labels", object)])
    content = {
        "setname": "x", "nbchan": float(len(NAMES)), "trials": 1.0, "pnts": 2560.0, "srate": 128.0,
        "xmin": 0.0, "xmax": 2559 / 128, "data": 1e6 * eeg_signal().T, "chanlocs": labels,
        "event": [], "epoch": [], "icawinv": [],
        "icasphere": [], "icaweights": [], "icachansind": [],
    }  # fmt: skip
    savemat(run.with_suffix(".set"), {"EEG": content}, appendmat=False)
    run.unlink()
    assert check_eeg(run.with_suffix(".set"), LINE) == []
    read = read_eeg_run(run.with_suffix(".set"))
    np.testing.assert_allclose(read.raw.get_data().T, eeg_signal(), atol=1e-9)
    assert read.raw.ch_names == list(NAMES)


class TestChecks:
    def test_a_good_file_has_no_problem(self, run):
        assert check_eeg(run, LINE) == []

    def test_a_truncated_file_is_reported_with_both_sizes(self, run):
        n_bytes = run.stat().st_size
        run.write_bytes(run.read_bytes()[: n_bytes // 2])
        (problem,) = check_eeg(run, LINE)
        assert re.search(rf"is truncated: holds {n_bytes // 2} bytes of {n_bytes}; copy", problem)

    def test_a_file_that_is_not_edf_is_reported(self, run):
        run.write_bytes(b"this is no EDF" * 100)
        (problem,) = check_eeg(run, LINE)
        assert "cannot be read as EDF (its header is damaged): copy or convert" in problem

    def test_a_brainvision_file_that_ends_within_a_sample_is_reported(self, tmp_path):
        run = write_run(tmp_path, eeg_signal(), extension=".vhdr")
        signal = run.with_suffix(".eeg")
        signal.write_bytes(signal.read_bytes()[:-3])
        (problem,) = check_eeg(run, LINE)
        assert "ends within a sample" in problem

    @pytest.mark.parametrize("metadata", [{}, {"PowerLineFrequency": "n/a"}])
    def test_a_missing_mains_frequency_is_never_guessed(self, run, metadata):
        (problem,) = check_eeg(run, metadata)
        assert "PowerLineFrequency is absent" in problem
        assert "give --eeg-line-hz" in problem

    def test_an_impossible_mains_frequency_is_reported(self, run):
        (problem,) = check_eeg(run, {"PowerLineFrequency": 500})
        assert "PowerLineFrequency is 500; expected 50 or 60" in problem

    def test_eight_seconds_are_too_short(self, tmp_path):
        run = write_run(tmp_path, eeg_signal(seconds=8.0))
        (problem,) = check_eeg(run, LINE)
        assert "lasts 8.0 s; expected at least 10 s" in problem

    def test_numbered_channels_without_positions_are_reported(self, tmp_path):
        run = write_run(tmp_path, eeg_signal(), names=[f"ch{k}" for k in range(len(NAMES))])
        (problem,) = check_eeg(run, LINE)
        assert "20 of 20 EEG channels have no position (ch0, ch1, ch2, ...)" in problem
        assert "add an electrodes.tsv" in problem

    def test_the_reader_refuses_what_the_check_reports_with_the_file_name(self, run):
        run.write_bytes(run.read_bytes()[:-500])
        with pytest.raises(DataError, match=r"sub-01_task-rest_eeg\.edf is truncated"):
            read_eeg_run(run)


class TestDerivative:
    def test_onsets_stay_and_samples_are_counted_at_the_new_rate(self, written):
        vhdr_file = written[2]
        events = vhdr_file.with_name("sub-01_task-rest_desc-preproc_events.tsv")
        table = pd.read_csv(events, sep="\t")
        assert table["onset"].tolist() == [0.5, 7.25, 12.0]
        assert table["sample"].tolist() == [100, 1450, 2400]
        notes = mne.io.read_raw_brainvision(vhdr_file, verbose="error").annotations
        np.testing.assert_allclose(notes.onset, [0.5, 7.25, 12.0])
        assert [text.split("/")[-1] for text in notes.description] == ["open", "open", "closed"]

    def test_the_sidecar_describes_the_processing_and_not_the_patient(self, written):
        sidecar = read_json(written[2].with_suffix(".json"))
        assert sidecar["EEGReference"] == "average"
        assert sidecar["SamplingFrequency"] == 200
        assert sidecar["SoftwareFilters"]["BandPass"]["LowPassHz"] == 60
        assert "128 Hz allows 60 Hz" in sidecar["SoftwareFilters"]["BandPass"]["Note"]
        assert sidecar["Sources"] == ["bids:raw:sub-01/eeg/sub-01_task-rest_eeg.edf"]
        assert "Max" not in json.dumps(sidecar)

    def test_the_library_reads_it_with_positions(self, written):
        recording = read_eeg(written[2])
        assert recording.shape == (4000, 20)
        assert recording.sampling_hz == 200
        assert recording.mask.all()
        assert recording.positions[NAMES.index("T8"), 0] > 0.05

    def test_nothing_temporary_is_left(self, written):
        assert not list(written[2].parent.glob(".*"))

    def test_the_same_command_writes_the_same_bytes(self, written):
        root, run, vhdr_file = written
        again = preprocess_eeg(run, root / "again", EegConfig(), sloppy=True)
        names = sorted(path.name for path in vhdr_file.parent.iterdir())
        assert names == sorted(path.name for path in again.parent.iterdir())
        for name in names:
            assert (vhdr_file.parent / name).read_bytes() == (again.parent / name).read_bytes()

    @pytest.mark.skipif(not shutil.which("bids-validator-deno"), reason="no validator")
    def test_the_validator_finds_no_error(self, written):
        out = written[0] / "out"
        description = {"Name": "clean", "BIDSVersion": "1.10.0", "DatasetType": "derivative",
                       "GeneratedBy": [{"Name": "brainfm"}]}  # fmt: skip
        (out / "dataset_description.json").write_text(json.dumps(description))
        (out / ".bidsignore").write_text("*_qc.json\n")
        command = ["bids-validator-deno", str(out), "--format", "json"]
        done = subprocess.run(command, capture_output=True, text=True)
        issues = json.loads(done.stdout)["issues"]["issues"]
        assert [issue for issue in issues if issue["severity"] == "error"] == []
