"""Parcel series of XCP-D, giga_connectome, HALFpipe and bare tables are read as they lie."""

import json

import numpy as np
import pandas as pd
import pytest
from brains import bold

from brainfm import load_recordings
from brainfm.errors import DataError, MissingInput, ModelError, NothingSelected, SignalError
from brainfm.models.encoder.windows import prepare
from brainfm.models.features.classical import ConnectivityFeatures
from brainfm.recording import Recording
from brainfm.signal.censored_frames import interpolate_censored
from brainfm.stages.corpus.included import included_recordings
from brainfm.storage.atlas import load_atlas

N_TIMES, TR_S = 80, 2.0
SERIES = bold(n_channels=6, n_times=N_TIMES, tr_s=TR_S)
NAMES = [f"p{number}" for number in range(6)]
PLACES = dict(zip(NAMES, SERIES.positions.tolist(), strict=True))
XCP_D = "sub-01_task-rest_space-MNI152NLin6Asym_seg-Tian_stat-mean"


def write(root, name, *, signal=SERIES.signal, header=NAMES, sidecar=None, folder="sub-01/func"):
    """Write one table with its sidecar; without ``header`` it has no row of names."""
    path = root / folder / f"{name}_timeseries.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(signal, columns=header)
    frame.to_csv(path, sep="\t", index=False, na_rep="n/a", header=bool(header))
    if sidecar is not False:
        given = {"RepetitionTime": TR_S, "Positions": PLACES} if sidecar is None else sidecar
        path.with_suffix(".json").write_text(json.dumps(given))
    return path


def read(root, **selected):
    (recording,) = load_recordings(root, **selected).recordings
    return recording


def censor(*frames):
    signal = SERIES.signal.copy()
    signal[list(frames)] = np.nan
    return signal


class TestNames:
    @pytest.mark.parametrize(
        ("name", "folder"),
        [(XCP_D, "sub-01/func"),
         ("sub-01_task-rest_space-fsLR_atlas-4S156Parcels_den-91k_stat-mean", "sub-01/func"),
         ("sub-01_ses-1_task-rest_seg-MIST_desc-denoiseSimple", "sub-01/ses-1/func"),
         ("sub-01_task-rest_feature-corrMatrix1_atlas-X", "sub-01/func/task-rest"),
         ("sub-01_task-rest", "sub-01/func"), ("sub-01_task-rest", "sub-01"),
         ("sub-01_task-rest", ".")],
    )  # fmt: skip
    def test_names_of_other_programs_are_series(self, tmp_path, name, folder):
        write(tmp_path, name, folder=folder)
        recording = read(tmp_path)
        assert (recording.participant, recording.task) == ("01", "rest")
        np.testing.assert_allclose(recording.signal, SERIES.signal, rtol=1e-5)

    def test_confounds_motion_and_hidden_files_are_no_series(self, tmp_path):
        write(tmp_path, XCP_D)
        for name in ("sub-01_task-rest_desc-confounds", f"._{XCP_D}",
                     "sub-01_task-rest_recording-pulse"):  # fmt: skip
            write(tmp_path, name)
        assert len(load_recordings(tmp_path)) == 1

    def test_a_name_without_participant_is_refused(self, tmp_path):
        write(tmp_path, "rest", folder=".")
        with pytest.raises(DataError, match=r"has no sub-<label> in its name: rename it"):
            load_recordings(tmp_path)

    def test_one_of_several_parcellations_is_selected(self, tmp_path):
        write(tmp_path, XCP_D)
        write(tmp_path, XCP_D.replace("Tian", "Gordon"))
        with pytest.raises(DataError, match=r"atlas='Gordon' \(there are Gordon, Tian\)"):
            load_recordings(tmp_path)
        assert "seg-Tian" in read(tmp_path, atlas="Tian").source
        (tmp_path / "f.json").write_text('{"bold": {"seg": "Gordon"}}')
        assert "seg-Gordon" in read(tmp_path, bids_filter_file=tmp_path / "f.json").source

    def test_matrices_without_series_are_refused_with_what_is_needed(self, tmp_path):
        (tmp_path / "sub-01" / "func").mkdir(parents=True)
        (tmp_path / "sub-01" / "func" / "sub-01_task-rest_seg-X_relmat.tsv").write_text("0\t1\n")
        with pytest.raises(NothingSelected, match=r"holds connectivity matrices.* cannot replace"):
            load_recordings(tmp_path)

    def test_all_files_that_cannot_be_read_are_named_together(self, tmp_path):
        for label in ("01", "02"):
            name = f"sub-{label}_task-rest_atlas-X"
            write(tmp_path, name, sidecar={}, folder=f"sub-{label}/func")
        with pytest.raises(DataError, match=r"2 recordings cannot be read; .*exclusion list") as e:
            load_recordings(tmp_path)
        assert "sub-01" in str(e.value)
        assert "sub-02" in str(e.value)

    def test_the_group_level_leaves_out_what_cannot_be_read_and_says_so(self, tmp_path, caplog):
        for label in ("01", "02"):
            write(tmp_path, f"sub-{label}_task-rest_atlas-X", folder=f"sub-{label}/func")
        sidecar = {"RepetitionTime": 2000, "Positions": PLACES}
        write(tmp_path, "sub-03_task-rest_atlas-X", folder="sub-03/func", sidecar=sidecar)
        gone = tmp_path / "sub-04" / "func" / "sub-04_task-rest_atlas-X_timeseries.tsv"
        gone.parent.mkdir(parents=True)
        gone.symlink_to("../../.git/annex/gone")
        included = included_recordings([tmp_path], tmp_path / "corpus")
        assert [one.participant for one in included.recordings] == ["01", "02"]
        assert included.n_unreadable == 2
        reasons = {one["participant"][:2]: one["why"] for one in included.excluded_participants()}
        assert "milliseconds" in reasons["03"]
        assert "cannot be read" in reasons["04"]
        assert "milliseconds, write 2; it is left out" in caplog.text


class TestColumns:
    def test_without_names_they_are_in_the_order_of_the_atlas(self, tmp_path):
        write(tmp_path, XCP_D, header=None)
        recording = read(tmp_path)
        assert recording.channels == tuple(NAMES)
        assert recording.shape == recording.signal.shape == (N_TIMES, 6)
        np.testing.assert_allclose(recording.signal, SERIES.signal, rtol=1e-5)

    @pytest.mark.parametrize("first", [0, 1])
    def test_numbers_are_names_and_not_a_volume(self, tmp_path, first):
        write(tmp_path, XCP_D, header=[str(number + first) for number in range(6)])
        recording = read(tmp_path)
        assert recording.shape == (N_TIMES, 6)
        np.testing.assert_allclose(recording.positions, SERIES.positions)

    def test_another_number_of_columns_than_parcels_is_refused(self, tmp_path):
        write(tmp_path, XCP_D, signal=SERIES.signal[:, :5], header=None)
        with pytest.raises(DataError, match=r"no position for 5 of the 5 parcels"):
            load_recordings(tmp_path)

    def test_a_packaged_atlas_needs_no_positions(self, tmp_path):
        atlas = load_atlas("Schaefer100")
        signal = np.random.default_rng(0).standard_normal((N_TIMES, 100))
        name = "sub-01_task-rest_seg-Schaefer2018100Parcels7Networks_desc-denoiseSimple"
        write(tmp_path, name, signal=signal, header=[str(n) for n in range(100)],
              sidecar={"SamplingFrequency": 0.5})  # fmt: skip
        recording = read(tmp_path)
        assert recording.channels == atlas.names
        np.testing.assert_allclose(recording.positions, atlas.positions, atol=0.1)

    def test_numbers_of_an_unknown_atlas_are_refused(self, tmp_path):
        write(tmp_path, XCP_D, header=list("012345"), sidecar={"RepetitionTime": TR_S})
        with pytest.raises(MissingInput, match=r"expected Positions in its sidecar or atlas-Tian"):
            load_recordings(tmp_path)


class TestRepetitionTime:
    @pytest.mark.parametrize(
        ("sidecar", "words"),
        [({}, r"neither SamplingFrequency \(Hz\) nor RepetitionTime"),
         ({"RepetitionTime": 2000}, "2000 looks like milliseconds, write 2"),
         ({"RepetitionTime": 0}, "expected seconds, 0.1 to 20"),
         ({"RepetitionTime": "2 s"}, "expected a number of seconds"),
         ({"SamplingFrequency": 0.0005}, r"one volume in 2000 s.*0.5 if it is 1 / milliseconds"),
         ({"SamplingFrequency": 2000}, r"expected 1 / RepetitionTime in Hz; 0.5 if it is milli"),
         ({"SamplingFrequency": 0}, "expected 1 / RepetitionTime in Hz"),
         ({"SamplingFrequency": "fast"}, "expected a number of Hz"),
         ({"SamplingFrequency": 2.0, "RepetitionTime": 2.0}, "find out which is right")],
    )  # fmt: skip
    def test_an_implausible_one_is_refused_with_the_probable_cause(self, tmp_path, sidecar, words):
        write(tmp_path, XCP_D, sidecar={"Positions": PLACES, **sidecar})
        with pytest.raises(DataError, match=words):
            load_recordings(tmp_path)

    @pytest.mark.parametrize("sidecar", [{"SamplingFrequency": 0.5}, {"RepetitionTime": 2}])
    def test_both_fields_are_understood(self, tmp_path, sidecar):
        write(tmp_path, XCP_D, sidecar={"Positions": PLACES, **sidecar})
        assert read(tmp_path).sampling_hz == 0.5

    def test_the_sidecar_may_lack_the_parcellation_or_lie_above(self, tmp_path):
        write(tmp_path, XCP_D, sidecar=False)
        own = tmp_path / "sub-01" / "func" / "sub-01_task-rest_stat-mean_timeseries.json"
        own.write_text(json.dumps({"SamplingFrequency": 0.5}))
        top = tmp_path / "task-rest_timeseries.json"
        top.write_text(json.dumps({"SamplingFrequency": 9, "Positions": PLACES}))
        assert read(tmp_path).sampling_hz == 0.5
        own.unlink()
        assert read(tmp_path).sampling_hz == 9

    def test_xcp_d_has_it_beside_the_denoised_image(self, tmp_path):
        path = write(tmp_path, XCP_D, sidecar={"SamplingFrequency": "TR", "Positions": PLACES})
        with pytest.raises(DataError, match="neither SamplingFrequency"):
            load_recordings(tmp_path)
        image = path.with_name("sub-01_task-rest_space-MNI152NLin6Asym_desc-denoised_bold.json")
        image.write_text(json.dumps({"RepetitionTime": 2.5}))
        path.with_name("sub-01_task-film_desc-denoised_bold.json").write_text("{}")
        assert read(tmp_path).sampling_hz == 0.4

    def test_the_frequency_of_halfpipe_is_not_believed(self, tmp_path):
        name = "sub-01_task-rest_feature-corr_atlas-X"
        write(tmp_path, name, sidecar={"SamplingFrequency": 2.0, "Positions": PLACES})
        with pytest.raises(DataError, match=r"HALFpipe writes the repetition time.*add Repetition"):
            load_recordings(tmp_path)
        sidecar = {"SamplingFrequency": 2.0, "RepetitionTime": 2.0, "Positions": PLACES}
        write(tmp_path, name, sidecar=sidecar)
        assert read(tmp_path).sampling_hz == 0.5


class TestCensoredFrames:
    @pytest.mark.parametrize("frames", [(0, 1), (40, 41, 42), (79,), (0, 30, 79)], ids=str)
    def test_they_do_not_mask_parcels_and_are_left_out_of_connectivity(self, tmp_path, frames):
        write(tmp_path, XCP_D, signal=censor(*frames))
        recording = read(tmp_path)
        assert recording.mask.all()
        assert recording.shape == (N_TIMES, 6)
        kept = np.delete(SERIES.signal, frames, axis=0)
        expected = np.corrcoef(kept.T)[np.triu_indices(6, 1)]
        table = load_recordings(tmp_path)
        found = ConnectivityFeatures().fit(table).transform(table)[0]
        np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_a_parcel_outside_the_scan_stays_masked(self, tmp_path):
        signal = censor(0, 1)
        signal[:, 3] = np.nan
        write(tmp_path, XCP_D, signal=signal)
        assert list(read(tmp_path).mask) == [True, True, True, False, True, True]

    def test_the_encoder_sees_them_interpolated_and_the_ends_cut_off(self, tmp_path):
        write(tmp_path, XCP_D, signal=censor(0, 1, 40))
        prepared = prepare(read(tmp_path)).signal
        assert np.isfinite(prepared).all()
        assert prepared.shape == (6, N_TIMES - 2)
        whole = prepare(Recording.from_array(SERIES.signal[2:], sampling_hz=0.5, modality="bold",
                                             positions=SERIES.positions)).signal  # fmt: skip
        correlations = [np.corrcoef(*pair)[0, 1] for pair in zip(prepared, whole, strict=True)]
        assert min(correlations) > 0.98

    def test_interpolation_is_exact_on_a_line_and_keeps_all_other_frames(self):
        line = np.arange(20.0)[:, None] * [1.0, -2.0]
        censored = line.copy()
        censored[[0, 7, 8, 12, 19]] = np.nan
        np.testing.assert_allclose(interpolate_censored(censored), line[1:19])

    def test_too_few_frames_are_refused_before_any_number(self, tmp_path):
        write(tmp_path, XCP_D, signal=censor(*range(10, 60)))
        words = r"30 of 80 frames are left after censoring; expected 50% or more"
        with pytest.raises(ModelError, match=words):
            prepare(read(tmp_path))
        with pytest.raises(SignalError, match=words):
            ConnectivityFeatures().fit(load_recordings(tmp_path))

    @pytest.mark.parametrize("removed", [True, False], ids=["removed", "interpolated"])
    def test_frames_that_xcp_d_censored_are_restored(self, tmp_path, removed):
        frames = [0, 20, 21]
        signal = np.delete(SERIES.signal, frames, axis=0) if removed else SERIES.signal
        path = write(tmp_path, XCP_D, signal=signal)
        outliers = pd.DataFrame({"framewise_displacement": np.zeros(N_TIMES, int)})
        outliers.loc[frames] = 1
        outliers.to_csv(path.with_name("sub-01_task-rest_outliers.tsv"), sep="\t", index=False)
        recording = read(tmp_path)
        assert recording.shape == recording.signal.shape == (N_TIMES, 6)
        np.testing.assert_allclose(recording.signal, censor(*frames), rtol=1e-5)
        table = path.with_name("sub-01_task-rest_outliers.tsv")
        outliers[:70].to_csv(table, sep="\t", index=False)
        with pytest.raises(DataError, match=r"rows, but sub-01_task-rest_outliers.tsv 70 frames"):
            load_recordings(tmp_path)
        table.write_text("fd\n0\n")
        with pytest.raises(DataError, match=r"has columns fd; expected framewise_displacement"):
            load_recordings(tmp_path)

    def test_frames_that_were_removed_at_unknown_times_are_told(self, tmp_path, caplog):
        sidecar = {"SamplingFrequency": 0.5, "Positions": PLACES,
                   "NumberOfVolumesDiscardedByMotionScrubbing": 12}  # fmt: skip
        write(tmp_path, XCP_D, sidecar=sidecar)
        load_recordings(tmp_path)
        assert "12 volumes were removed and their times are not known" in caplog.text
