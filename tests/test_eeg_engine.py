"""Cleaning EEG: planted truths, refusals, figures, the workflow, and a real person."""

import json

import mne
import numpy as np
import pytest
from eeg_dataset import NAMES, eeg_signal, write_run, write_table
from identities import plant_identities, where_identities_show
from PIL import Image

from brainfm.config import EegConfig
from brainfm.errors import DataError
from brainfm.files import read_json
from brainfm.signal.eeg import line_noise_ratio, relative_alpha
from brainfm.stages.preprocess.eeg import clean_eeg
from brainfm.stages.preprocess.eeg_figures import draw_eeg_figures
from brainfm.stages.preprocess.eeg_ica import find_components
from brainfm.stages.preprocess.eeg_qc import OCCIPITAL, write_summary
from brainfm.stages.preprocess.eeg_sidecar import channels_table
from brainfm.workflows.eeg import init_eeg_wf

FIGURES = ("bands", "components", "psd", "sensors", "traces")


def _clean(path, **config):
    return clean_eeg(path, EegConfig(**config), sloppy=True)


def _signal(cleaned):
    return cleaned.clean.get_data().T, cleaned.clean.info["sfreq"]


class TestSignal:
    def test_line_noise_is_removed_and_alpha_is_preserved(self, tmp_path):
        signal = eeg_signal()
        times_s = np.arange(len(signal)) / 128
        signal += 20e-6 * np.sin(2 * np.pi * 50 * times_s)[:, None]
        cleaned = _clean(write_run(tmp_path, signal))
        quality = cleaned.quality
        assert quality["line_noise_ratio_before"] > 100
        assert quality["line_noise_ratio_after"] < 1
        assert line_noise_ratio(*_signal(cleaned), 50) == quality["line_noise_ratio_after"]
        assert quality["alpha_relative_occipital"] > 0.4
        assert quality["alpha_peak_hz"] == pytest.approx(10, abs=0.25)

    def test_is_average_referenced_at_the_given_rate_and_length(self, tmp_path):
        cleaned = _clean(write_run(tmp_path, eeg_signal()), sampling_hz=160.0)
        signal, sampling_hz = _signal(cleaned)
        assert sampling_hz == 160
        assert signal.shape == (3200, len(NAMES))
        np.testing.assert_allclose(signal.mean(axis=1), 0, atol=1e-12)

    def test_a_line_hz_given_replaces_the_sidecar(self, tmp_path):
        run = write_run(tmp_path, eeg_signal(), sidecar={"PowerLineFrequency": "n/a"})
        assert _clean(run, line_hz=60.0).filters["notches_hz"] == [60.0]

    def test_low_pass_is_lowered_below_half_the_raw_rate_with_a_message(self, tmp_path):
        assert _clean(write_run(tmp_path, eeg_signal())).quality["low_pass_hz"] == 60


class TestBadChannels:
    def test_flat_noisy_and_marked_ones_are_named_and_interpolated(self, tmp_path):
        signal = eeg_signal()
        signal[:, NAMES.index("P3")] = 0
        signal[:, NAMES.index("C4")] += 200e-6 * np.random.default_rng(0).normal(size=len(signal))
        run = write_run(tmp_path, signal)
        status = ["bad" if name == "Fz" else "good" for name in NAMES]
        columns = {"name": NAMES, "type": "EEG", "units": "uV", "status": status}
        write_table(run, "channels", columns)
        cleaned = _clean(run)
        assert cleaned.bad == {"Fz": "marked bad in channels.tsv", "P3": "flat", "C4": "loud"}
        amplitude = _signal(cleaned)[0].std(axis=0)
        assert 0.2 < amplitude[NAMES.index("P3")] / np.median(amplitude) < 3
        assert 0.2 < amplitude[NAMES.index("C4")] / np.median(amplitude) < 3

    def test_stay_bad_where_too_few_are_left_to_interpolate_from(self, tmp_path):
        names = ("O1", "O2", "Cz")
        run = write_run(tmp_path, eeg_signal(names=names), names=names)
        status = ["bad", "good", "good"]
        columns = {"name": names, "type": "EEG", "units": "uV", "status": status}
        write_table(run, "channels", columns)
        cleaned = _clean(run)
        assert cleaned.quality["bad_channels_not_interpolated"] == ["O1"]
        assert channels_table(cleaned)["status"].tolist() == status

    def test_too_many_are_refused_with_their_reasons(self, tmp_path):
        signal = eeg_signal()
        signal[:, :12] = 0
        with pytest.raises(DataError, match=r"12 of 20 channels are bad \(Fp1 flat"):
            _clean(write_run(tmp_path, signal))


class TestUnits:
    def test_silence_is_refused(self, tmp_path):
        with pytest.raises(DataError, match="all samples of all channels are 0"):
            _clean(write_run(tmp_path, 0 * eeg_signal(), extension=".vhdr"))

    def test_microvolts_taken_for_volts_are_refused(self, tmp_path):
        run = write_run(tmp_path, 1e6 * eeg_signal(), extension=".vhdr")
        with pytest.raises(DataError, match=r"expected EEG of about 1e-5 V\. The unit"):
            _clean(run)


class TestComponents:
    def test_few_channels_skip_the_ica_as_all_outputs_report(self, tmp_path):
        names = ("Fp1", "C3", "C4", "O1", "O2", "Pz")
        run = write_run(tmp_path, eeg_signal(names=names), names=names)
        cleaned = _clean(run)
        why = "6 good channels, at least 8 are needed"
        assert cleaned.quality["ica_skipped"] == why
        assert cleaned.quality["n_ica_components"] == 0
        summary = write_summary(tmp_path / "summary.pkl", cleaned)
        files = draw_eeg_figures(summary, tmp_path / "out")
        captions = [read_json(path.with_suffix(".json"))["caption"] for path in files]
        assert any(why in caption for caption in captions)

    def test_a_short_recording_gets_fewer(self, tmp_path):
        cleaned = clean_eeg(write_run(tmp_path, eeg_signal(seconds=10.0)), EegConfig())
        assert cleaned.quality["n_ica_components"] == int(np.sqrt(1280 / 10))

    def test_threshold_of_one_removes_none(self, tmp_path):
        cleaned = _clean(write_run(tmp_path, eeg_signal()), ica_threshold=1.0)
        assert cleaned.quality["n_ica_components"] > 0
        assert cleaned.quality["n_ica_removed"] == 0

    def test_the_seed_decides(self, tmp_path):
        cleaned = _clean(write_run(tmp_path, eeg_signal()))
        raw = cleaned.run.raw
        first, second = (find_components(raw, threshold=0.8, seed=0, sloppy=True) for _ in "ab")
        np.testing.assert_array_equal(first.probabilities, second.probabilities)


def test_no_name_and_no_date_of_raw_headers_and_sidecars_reaches_the_result(tmp_path):
    run = write_run(tmp_path / "raw", eeg_signal())
    assert plant_identities(tmp_path / "raw") == 1
    words = {"out_dir": tmp_path / "out", "config": EegConfig(), "seed": 0, "sloppy": True}
    workflow = init_eeg_wf(eeg_file=run, **words)
    workflow.base_dir = str(tmp_path / "work")
    workflow.run(plugin="Linear")
    assert list((tmp_path / "out").rglob("*_desc-preproc_eeg.vhdr"))
    assert where_identities_show(tmp_path / "raw")
    assert not where_identities_show(tmp_path / "out")


def test_workflow_writes_data_and_figures_and_does_nothing_twice(tmp_path):
    run = write_run(tmp_path / "raw", eeg_signal())

    def work():
        workflow = init_eeg_wf(
            eeg_file=run, out_dir=tmp_path / "out", config=EegConfig(), seed=0, sloppy=True
        )
        workflow.base_dir = str(tmp_path / "work")
        workflow.config["execution"]["remove_unnecessary_outputs"] = False
        workflow.run(plugin="Linear")

    work()
    vhdr_file = tmp_path / "out" / "sub-01" / "eeg" / "sub-01_task-rest_desc-preproc_eeg.vhdr"
    figures = sorted((tmp_path / "out" / "sub-01" / "figures").glob("*.png"))
    assert [path.name for path in figures] == [
        f"sub-01_task-rest_desc-{name}_eeg.png" for name in FIGURES
    ]
    assert max(path.stat().st_size for path in figures) < 300_000
    made = vhdr_file.stat().st_mtime_ns
    work()
    assert vhdr_file.stat().st_mtime_ns == made
    sidecar = run.with_suffix(".json")
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), "PowerLineFrequency": 60}))
    work()
    assert read_json(vhdr_file.with_suffix(".json"))["PowerLineFrequency"] == 60


@pytest.fixture(scope="module")
def real(real_data):
    folder = real_data("eegmmidb-s001") / "sub-001" / "eeg"
    return {
        task: clean_eeg(folder / f"sub-001_task-{task}_eeg.edf", EegConfig(), sloppy=True)
        for task in ("eyesopen", "eyesclosed")
    }


class TestRealPerson:
    def test_occipital_alpha_is_three_times_stronger_with_eyes_closed(self, real):
        shares = {}
        for task, result in real.items():
            signal, sampling_hz = _signal(result)
            index = [result.clean.ch_names.index(name) for name in OCCIPITAL]
            shares[task] = relative_alpha(signal[:, index], sampling_hz).mean()
        assert shares["eyesclosed"] > 3 * shares["eyesopen"]

    def test_blinks_are_removed_and_occipital_channels_are_not_bad(self, real):
        opened = real["eyesopen"]
        assert "eye" in [opened.components.labels[index] for index in opened.components.removed]
        assert not set(OCCIPITAL) & {name for result in real.values() for name in result.bad}

    def test_all_64_channels_have_standard_names_and_positions(self, real):
        names = real["eyesopen"].clean.ch_names
        assert (
            len(set(names) & set(mne.channels.make_standard_montage("colin27_1005").ch_names)) == 64
        )

    def test_figures_are_drawn_small(self, real, tmp_path):
        summary = write_summary(tmp_path / "summary.pkl", real["eyesopen"])
        files = draw_eeg_figures(summary, tmp_path)
        assert len(files) == len(FIGURES)
        for path in files:
            assert path.stat().st_size < 300_000
            with Image.open(path) as image:
                assert image.width >= 500
