"""Every problem is told at once, with its file, what was expected and what to do."""

import os
import shutil

import pytest
from skeleton import write, write_eeg, write_skeleton

from brainfm.cli.run import main
from brainfm.config import BoldConfig, RunConfig, Settings
from brainfm.errors import (
    BrainFMError,
    CannotCreateOutput,
    MissingInput,
    NothingSelected,
    UsageError,
    ValidationFailed,
)
from brainfm.stages.query.engine import choose_engine
from brainfm.stages.query.validate import preflight


@pytest.fixture
def raw(tmp_path):
    return write_skeleton(tmp_path / "raw")


def check(raw, out=None, *, engine="builtin", **run):
    settings = Settings(run=RunConfig(**run), bold=BoldConfig(fmri_engine=engine))
    return preflight(raw, out or raw.parent / "out", settings)


def texts(checks, label="01"):
    return [str(problem) for problem in checks.problems if problem.participant == label]


def test_a_sound_dataset_has_no_problem_and_nothing_is_written(raw):
    checks = check(raw)
    assert checks.problems == ()
    assert checks.participants == ["01", "02"]
    assert checks.exit_code == 0
    assert not (raw.parent / "out").exists()


class TestProblemsOfAParticipant:
    def test_all_of_all_participants_are_told_at_once_and_the_others_stay(self, raw):
        write_skeleton(raw, ("03",))
        (raw / "sub-01" / "anat" / "sub-01_T1w.nii.gz").unlink()
        (raw / "task-rest_bold.json").unlink()
        write(raw / "sub-03" / "func" / "sub-03_task-rest_bold.json", {"RepetitionTime": 2})
        checks = check(raw)
        assert checks.participants == ["03"]
        assert {p.participant for p in checks.problems} == {"01", "02"}
        assert len(texts(checks)) == 2

    def test_a_bold_run_without_t1w_image(self, raw):
        shutil.rmtree(raw / "sub-01" / "anat")
        checks = check(raw)
        (said,) = texts(checks)
        assert "sub-01_task-rest_bold.nii.gz: sub-01 has no T1w image" in said
        assert "add anat/*_T1w.nii.gz" in said
        assert checks.exit_code == 66

    @pytest.mark.parametrize("folder", ["anat", "func", "eeg"])
    def test_a_name_with_an_entity_that_bids_does_not_have(self, raw, folder):
        path = next((raw / "sub-01" / folder).glob("*.*[zf]"))
        path.rename(path.with_name(path.name.replace("sub-01_", "sub-01_foo-1_")))
        (said,) = texts(check(raw))
        assert "has 'foo-1' in its name; expected entities are sub, ses, task, acq," in said
        assert "rename it" in said

    def test_no_repetition_time(self, raw):
        (raw / "task-rest_bold.json").unlink()
        checks = check(raw)
        assert "RepetitionTime" in texts(checks)[0]
        assert checks.exit_code == 65

    def test_a_repetition_time_in_milliseconds(self, raw):
        write(raw / "task-rest_bold.json", {"RepetitionTime": 2000})
        assert "millisecond" in texts(check(raw))[0]

    @pytest.mark.parametrize(
        ("sidecar", "said"),
        [
            ({"SliceTiming": [0, 1]}, "has 2 entries but the image has 6 slices along axis 2"),
            ({"SliceTiming": [0, 300, 600, 900, 1200, 1500]}, "are they milliseconds?"),
            ({"SliceTiming": [0, 0.3, 0.6, "n/a", 1.2, 1.5]}, "entries that are not numbers"),
            ({"SliceTiming": 0.3}, "entries that are not numbers"),
            ({"SliceTiming": [0] * 6, "SliceEncodingDirection": "z"}, "expected i, j or k"),
        ],
    )
    def test_a_slice_timing_that_does_not_fit_the_image(self, raw, sidecar, said):
        write(raw / "sub-01" / "func" / "sub-01_task-rest_bold.json", sidecar)
        (text,) = texts(check(raw))
        assert said in text

    def test_a_slice_timing_that_fits_is_no_problem(self, raw):
        sidecar = {"SliceTiming": [0, 1, 0.5, 1.5, 1, 2], "SliceEncodingDirection": "i-"}
        write(raw / "sub-01" / "func" / "sub-01_task-rest_bold.json", sidecar)
        assert not check(raw).problems

    @pytest.mark.parametrize(
        "name", ["anat/sub-01_T1w.nii.gz", "func/sub-01_task-rest_bold.nii.gz"]
    )
    def test_a_truncated_nifti(self, raw, name):
        path = raw / "sub-01" / name
        path.write_bytes(path.read_bytes()[:-200])
        (said,) = texts(check(raw))
        assert said.startswith(f"sub-01/{name}: ")
        assert "truncated" in said

    def test_a_nifti_that_is_none(self, raw):
        (raw / "sub-01" / "anat" / "sub-01_T1w.nii.gz").write_bytes(b"not an image at all")
        assert "cannot be read" in texts(check(raw))[0]

    def test_a_truncated_edf(self, raw):
        path = raw / "sub-01" / "eeg" / "sub-01_task-rest_eeg.edf"
        path.write_bytes(path.read_bytes()[:-200])
        assert "truncated" in texts(check(raw))[0]

    def test_an_edf_that_is_none(self, raw):
        (raw / "sub-01" / "eeg" / "sub-01_task-rest_eeg.edf").write_bytes(b"nothing")
        assert "cannot be read" in texts(check(raw))[0]

    def test_channels_without_a_position(self, raw):
        shutil.rmtree(raw / "sub-01" / "eeg")
        write_eeg(raw, "01", channels=["A", "B", "C", "D"])
        assert "position" in texts(check(raw))[0]

    def test_no_power_line_frequency_unless_it_is_given(self, raw):
        write(raw / "sub-01" / "eeg" / "sub-01_task-rest_eeg.json", {"TaskName": "rest"})
        assert "PowerLineFrequency" in texts(check(raw))[0]
        assert "--eeg-line-hz" in texts(check(raw))[0]

    def test_a_link_that_leads_nowhere(self, raw):
        path = raw / "sub-01" / "eeg" / "sub-01_task-rest_eeg.edf"
        path.unlink()
        path.symlink_to("/gone")
        checks = check(raw)
        assert "link that leads nowhere: fetch its content (datalad get)" in texts(checks)[0]
        assert checks.exit_code == 66

    def test_several_echoes_of_one_run_unless_one_is_chosen(self, raw):
        folder = raw / "sub-01" / "func"
        source = folder / "sub-01_task-rest_bold.nii.gz"
        for echo in (1, 2):
            shutil.copy(source, folder / f"sub-01_task-rest_echo-{echo}_bold.nii.gz")
        source.unlink()
        assert "several echoes" in texts(check(raw))[0]
        write(raw.parent / "f.json", {"bold": {"echo": 1}})
        assert not texts(check(raw, bids_filter_file=raw.parent / "f.json"))

    @pytest.mark.parametrize("name", ["anat/sub-01_T1w.nii.gz", "eeg/sub-01_task-rest_eeg.edf"])
    def test_an_empty_file_is_called_empty(self, raw, name):
        (raw / "sub-01" / name).write_bytes(b"")
        assert f"sub-01/{name}: is empty (0 bytes): copy" in texts(check(raw))[0]

    def test_a_broken_sidecar_is_told_once_and_not_as_a_missing_repetition_time(self, raw):
        write(raw / "sub-01" / "func" / "sub-01_task-rest_bold.json", {})
        (raw / "sub-01" / "func" / "sub-01_task-rest_bold.json").write_text("{")
        (raw / "task-rest_bold.json").unlink()
        (said,) = texts(check(raw))
        assert "its sidecar sub-01_task-rest_bold.json is not valid JSON" in said

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "channels.tsv is no table of tab-separated values in UTF-8"),
            (b"\xff\xfe\x00", "channels.tsv is no table of tab-separated values in UTF-8"),
            (b"name\ttype\n", "has no channel of type EEG; expected some: fix its channels.tsv"),
        ],
    )
    def test_a_table_of_channels_that_is_none(self, raw, content, said):
        (raw / "sub-01" / "eeg" / "sub-01_task-rest_channels.tsv").write_bytes(content)
        assert said in texts(check(raw))[0]

    @pytest.mark.parametrize(
        ("electrodes", "system", "said"),
        [
            ("name\tx\ty\tz\nC3\t1\tabc\t2\n", '{"EEGCoordinateUnits": "m"}', "are no numbers"),
            ("", '{"EEGCoordinateUnits": "m"}', "electrodes.tsv is no table"),
            ("name\tx\ty\tz\nC3\t1\t2\t2\n", "[]", "holds no JSON object: fix it"),
            ("name\tx\ty\tz\nC3\t1\t2\t2\n", '{"EEGCoordinateUnits": []}', "expected m, cm, mm"),
        ],
    )
    def test_electrode_positions_that_are_none(self, raw, electrodes, system, said):
        folder = raw / "sub-01" / "eeg"
        (folder / "sub-01_electrodes.tsv").write_text(electrodes)
        (folder / "sub-01_coordsystem.json").write_text(system)
        assert said in texts(check(raw))[0]

    def test_a_participant_with_no_recording_of_the_task_asked_for_is_left_alone(self, raw):
        write_eeg(raw, "02", task="film")
        checks = check(raw, task_label=("film",))
        assert checks.participants == ["02"]
        assert not checks.problems

    def test_files_are_named_as_seen_from_the_dataset(self, raw):
        (raw / "task-rest_bold.json").unlink()
        for said in texts(check(raw)):
            assert str(raw) not in said

    def test_a_label_that_is_not_there_beside_one_that_is(self, raw):
        checks = check(raw, participant_label=("01", "09"))
        assert checks.participants == ["01"]
        assert texts(checks, "09") == ["there is no participant 09; there are 2: 01, 02."]
        assert checks.exit_code == 66

    def test_damage_in_another_participant_is_not_looked_at(self, raw):
        (raw / "sub-02" / "anat" / "sub-02_T1w.nii.gz").write_bytes(b"broken")
        assert not check(raw, participant_label=("01",)).problems


class TestProblemsOfTheDataset:
    def refusal(self, error, raw, *args, **run):
        with pytest.raises(error) as caught:
            check(raw, *args, **run)
        return str(caught.value)

    def test_no_such_dataset(self, tmp_path):
        assert "nowhere is not there" in self.refusal(MissingInput, tmp_path / "nowhere")

    def test_no_description_with_a_hint_at_the_dataset_above(self, raw):
        said = self.refusal(ValidationFailed, raw / "sub-01")
        assert "dataset_description.json is missing" in said
        assert f"Did you mean {raw}?" in said

    def test_a_derivative_dataset_in_the_place_of_raw_data(self, raw):
        write(raw / "dataset_description.json", {"Name": "x", "DatasetType": "derivative"})
        assert "is a derivative dataset; expected raw data" in self.refusal(ValidationFailed, raw)

    @pytest.mark.parametrize("inside", ["", "out", "derivatives"])
    def test_an_output_inside_the_input(self, raw, inside):
        said = self.refusal(UsageError, raw, raw / inside)
        assert "lies inside the input" in said
        assert "derivatives/brainfm" in said

    def test_an_input_inside_the_output(self, raw):
        assert "lies inside the output" in self.refusal(UsageError, raw, raw.parent)

    def test_an_input_among_the_source_data_of_the_output_is_allowed(self, raw):
        (raw.parent / "out" / "sourcedata").mkdir(parents=True)
        inner = raw.rename(raw.parent / "out" / "sourcedata" / "raw")
        assert not check(inner, inner.parents[1]).problems

    def test_a_description_that_is_no_object(self, raw):
        (raw / "dataset_description.json").write_text("[]")
        assert "holds no JSON object" in self.refusal(ValidationFailed, raw)

    def test_a_plugin_file_that_is_not_there_is_told_before_work_starts(self, raw, tmp_path):
        said = self.refusal(MissingInput, raw, use_plugin=tmp_path / "plugin.yml")
        assert "--use-plugin" in said

    def test_an_output_among_the_derivatives_is_allowed(self, raw):
        assert not check(raw, raw / "derivatives" / "brainfm").problems

    def test_a_work_folder_inside_the_input(self, raw):
        said = self.refusal(UsageError, raw, work_dir=raw / "work")
        assert "lies inside the input" in said

    def test_an_output_that_is_a_file(self, raw):
        (raw.parent / "file").write_text("")
        said = self.refusal(CannotCreateOutput, raw, raw.parent / "file" / "out")
        assert "is a file: choose another folder" in said

    def test_an_output_that_cannot_be_written(self, raw, monkeypatch):
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
        assert "is not writable" in self.refusal(CannotCreateOutput, raw)

    def test_no_participant_of_those_asked_for(self, raw):
        said = self.refusal(NothingSelected, raw, participant_label=("8", "9"))
        assert "there is no participant 8, 9" in said
        assert "there are 2: 01, 02." in said

    def test_filters_that_select_nothing_are_answered_with_what_is_there(self, raw):
        said = self.refusal(NothingSelected, raw, task_label=("film",))
        assert "there is: task-rest bold (2), task-rest eeg (2)" in said

    def test_an_atlas_that_is_not_there(self, raw):
        settings = Settings(bold=BoldConfig(fmri_engine="builtin", atlas="Schaeffer9"))
        with pytest.raises(BrainFMError, match=r"Schaeffer9"):
            preflight(raw, raw.parent / "out", settings)

    def test_several_problems_come_in_one_text(self, raw):
        (raw / "dataset_description.json").unlink()
        said = self.refusal(BrainFMError, raw, raw / "out", derivatives=("x",))
        assert said.startswith("3 problems:")

    def test_problems_of_participants_are_told_with_those_of_the_dataset(self, raw):
        shutil.rmtree(raw / "sub-01" / "anat")
        said = self.refusal(BrainFMError, raw, raw / "out", bids_filter_file=raw / "nowhere.json")
        assert said.startswith("3 problems:")
        assert "lies inside the input" in said
        assert "nowhere.json cannot be read" in said
        assert "sub-01: sub-01/func/sub-01_task-rest_bold.nii.gz: sub-01 has no T1w" in said


class TestDerivatives:
    @pytest.mark.parametrize(
        ("word", "error", "said"),
        [("fmriprep", UsageError, "expected NAME=PATH"),
         ("fmriprep=/nowhere", MissingInput, "/nowhere does not exist")],
    )  # fmt: skip
    def test_malformed_or_missing(self, raw, word, error, said):
        with pytest.raises(error, match=said):
            check(raw, derivatives=(word,))

    def test_a_raw_dataset_is_no_derivative(self, raw):
        with pytest.raises(ValidationFailed, match=r"is a raw dataset by its"):
            check(raw, derivatives=(f"fmriprep={raw}",))

    def test_the_folder_above_is_answered_with_the_one_meant(self, raw):
        inner = raw.parent / "derivatives" / "fmriprep"
        write(inner / "dataset_description.json", {"DatasetType": "derivative"})
        with pytest.raises(MissingInput, match=rf"Did you mean {inner}\?"):
            check(raw, derivatives=(f"fmriprep={inner.parent}",))


class TestEngine:
    def test_derivatives_come_first(self, tmp_path):
        assert choose_engine(BoldConfig(), {"fmriprep": tmp_path}) == ("derivatives", [])

    def test_without_any_the_built_in_one_works(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        assert choose_engine(BoldConfig(), {}) == ("builtin", [])

    def test_fmriprep_is_taken_when_it_is_there_with_a_licence(self, monkeypatch, tmp_path):
        (tmp_path / "fmriprep").write_text("#!/bin/sh\n")
        (tmp_path / "fmriprep").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("FS_LICENSE", raising=False)
        assert choose_engine(BoldConfig(), {})[0] == "builtin"
        assert choose_engine(BoldConfig(fs_license_file=tmp_path), {})[0] == "fmriprep"

    @pytest.mark.parametrize(
        ("engine", "said"),
        [("fmriprep", "no fmriprep program is on PATH"), ("derivatives", "needs --derivatives")],
    )
    def test_an_engine_asked_for_that_cannot_run_is_refused(self, raw, monkeypatch, engine, said):
        monkeypatch.setenv("PATH", "")
        with pytest.raises(UsageError, match=said):
            check(raw, engine=engine)


class TestExitCodes:
    @pytest.mark.parametrize(
        ("words", "code"),
        [([], 16), (["--participant-label", "9"], 16)],
    )
    def test_a_dataset_without_description_ends_with_16(self, raw, capsys, words, code):
        (raw / "dataset_description.json").unlink()
        assert main([str(raw), str(raw.parent / "out"), "participant", *words]) == code
        assert "dataset_description.json is missing" in capsys.readouterr().err

    def test_nothing_selected_ends_with_18(self, raw, capsys):
        out = str(raw.parent / "out")
        assert main([str(raw), out, "participant", "-t", "film"]) == 18
        assert not os.path.exists(out)

    def test_an_output_that_cannot_be_made_ends_with_73(self, raw, capsys):
        (raw.parent / "file").write_text("")
        assert main([str(raw), str(raw.parent / "file"), "participant"]) == 73
