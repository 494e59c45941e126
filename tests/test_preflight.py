"""The preflight reports every problem at once: its file, what was expected and what to do."""

import os
import shutil

import pytest
from preprocessed import write_preprocessed
from skeleton import write, write_eeg, write_skeleton

from brainfm.cli.run import main
from brainfm.config import BoldConfig, FmriprepConfig, RunConfig, Settings
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


def test_a_valid_dataset_has_no_problem_and_nothing_is_written(raw):
    checks = check(raw)
    assert checks.problems == ()
    assert checks.participants == ["01", "02"]
    assert checks.exit_code == 0
    assert not (raw.parent / "out").exists()


class TestProblemsOfAParticipant:
    def test_problems_of_all_participants_are_reported_together(self, raw):
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
        (message,) = texts(checks)
        assert "sub-01_task-rest_bold.nii.gz: sub-01 has no T1w image" in message
        assert "add anat/*_T1w.nii.gz" in message
        assert checks.exit_code == 66

    @pytest.mark.parametrize("folder", ["anat", "func", "eeg"])
    def test_a_name_with_an_entity_that_bids_does_not_have(self, raw, folder):
        path = next((raw / "sub-01" / folder).glob("*.*[zf]"))
        path.rename(path.with_name(path.name.replace("sub-01_", "sub-01_foo-1_")))
        (message,) = texts(check(raw))
        assert "has 'foo-1' in its name; expected entities are sub, ses, task, acq," in message
        assert "rename it" in message

    def test_no_repetition_time(self, raw):
        (raw / "task-rest_bold.json").unlink()
        checks = check(raw)
        assert "RepetitionTime" in texts(checks)[0]
        assert checks.exit_code == 65

    def test_a_repetition_time_in_milliseconds(self, raw):
        write(raw / "task-rest_bold.json", {"RepetitionTime": 2000})
        assert "millisecond" in texts(check(raw))[0]

    @pytest.mark.parametrize(
        ("sidecar", "message"),
        [
            ({"SliceTiming": [0, 1]}, "has 2 entries but the image has 6 slices along axis 2"),
            ({"SliceTiming": [0, 300, 600, 900, 1200, 1500]}, "are they milliseconds?"),
            ({"SliceTiming": [0, 0.3, 0.6, "n/a", 1.2, 1.5]}, "entries that are not numbers"),
            ({"SliceTiming": 0.3}, "entries that are not numbers"),
            ({"SliceTiming": [0] * 6, "SliceEncodingDirection": "z"}, "expected i, j or k"),
        ],
    )
    def test_a_slice_timing_that_does_not_fit_the_image(self, raw, sidecar, message):
        write(raw / "sub-01" / "func" / "sub-01_task-rest_bold.json", sidecar)
        (text,) = texts(check(raw))
        assert message in text

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
        (message,) = texts(check(raw))
        assert message.startswith(f"sub-01/{name}: ")
        assert "truncated" in message

    def test_a_file_that_is_not_nifti(self, raw):
        (raw / "sub-01" / "anat" / "sub-01_T1w.nii.gz").write_bytes(b"not an image at all")
        assert "cannot be read" in texts(check(raw))[0]

    def test_a_truncated_edf(self, raw):
        path = raw / "sub-01" / "eeg" / "sub-01_task-rest_eeg.edf"
        path.write_bytes(path.read_bytes()[:-200])
        assert "truncated" in texts(check(raw))[0]

    def test_a_file_that_is_not_edf(self, raw):
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

    def test_a_broken_link(self, raw):
        path = raw / "sub-01" / "eeg" / "sub-01_task-rest_eeg.edf"
        path.unlink()
        path.symlink_to("/gone")
        checks = check(raw)
        assert "broken link: fetch its content (datalad get)" in texts(checks)[0]
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
    def test_an_empty_file(self, raw, name):
        (raw / "sub-01" / name).write_bytes(b"")
        assert f"sub-01/{name}: is empty (0 bytes): copy" in texts(check(raw))[0]

    def test_a_broken_sidecar_is_reported_once_and_not_as_a_missing_repetition_time(self, raw):
        write(raw / "sub-01" / "func" / "sub-01_task-rest_bold.json", {})
        (raw / "sub-01" / "func" / "sub-01_task-rest_bold.json").write_text("{")
        (raw / "task-rest_bold.json").unlink()
        (message,) = texts(check(raw))
        assert "its sidecar sub-01_task-rest_bold.json is not valid JSON" in message

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "channels.tsv is not a table of tab-separated values in UTF-8"),
            (b"\xff\xfe\x00", "channels.tsv is not a text file, for example a spreadsheet"),
            (b"name\ttype\n", "has no channel of type EEG; expected some: fix its channels.tsv"),
        ],
    )
    def test_a_malformed_table_of_channels(self, raw, content, message):
        (raw / "sub-01" / "eeg" / "sub-01_task-rest_channels.tsv").write_bytes(content)
        assert message in texts(check(raw))[0]

    @pytest.mark.parametrize(
        ("electrodes", "system", "message"),
        [
            ("name\tx\ty\tz\nC3\t1\tabc\t2\n", '{"EEGCoordinateUnits": "m"}', "are not numbers"),
            ("", '{"EEGCoordinateUnits": "m"}', "electrodes.tsv is not a table"),
            ("name\tx\ty\tz\nC3\t1\t2\t2\n", "[]", "is not a JSON object: fix it"),
            ("name\tx\ty\tz\nC3\t1\t2\t2\n", '{"EEGCoordinateUnits": []}', "expected m, cm, mm"),
        ],
    )
    def test_malformed_electrode_positions(self, raw, electrodes, system, message):
        folder = raw / "sub-01" / "eeg"
        (folder / "sub-01_electrodes.tsv").write_text(electrodes)
        (folder / "sub-01_coordsystem.json").write_text(system)
        assert message in texts(check(raw))[0]

    def test_a_participant_without_a_recording_of_the_selected_task_is_ignored(self, raw):
        write_eeg(raw, "02", task="film")
        checks = check(raw, task_label=("film",))
        assert checks.participants == ["02"]
        assert not checks.problems

    def test_files_are_named_relative_to_the_dataset(self, raw):
        (raw / "task-rest_bold.json").unlink()
        for message in texts(check(raw)):
            assert str(raw) not in message

    def test_an_unknown_label_together_with_a_known_one(self, raw):
        checks = check(raw, participant_label=("01", "09"))
        assert checks.participants == ["01"]
        assert texts(checks, "09") == ["there is no participant 09; there are 2: 01, 02."]
        assert checks.exit_code == 66

    def test_damage_in_another_participant_is_not_checked(self, raw):
        (raw / "sub-02" / "anat" / "sub-02_T1w.nii.gz").write_bytes(b"broken")
        assert not check(raw, participant_label=("01",)).problems


class TestProblemsOfTheDataset:
    def refusal(self, error, raw, *args, **run):
        with pytest.raises(error) as caught:
            check(raw, *args, **run)
        return str(caught.value)

    def test_no_such_dataset(self, tmp_path):
        assert "nowhere does not exist" in self.refusal(MissingInput, tmp_path / "nowhere")

    def test_no_description_with_a_hint_at_the_dataset_above(self, raw):
        message = self.refusal(ValidationFailed, raw / "sub-01")
        assert "dataset_description.json is missing" in message
        assert f"Did you mean {raw}?" in message

    def test_a_derivative_dataset_instead_of_raw_data(self, raw):
        write(raw / "dataset_description.json", {"Name": "x", "DatasetType": "derivative"})
        assert "holds no preprocessed BOLD runs" in self.refusal(MissingInput, raw)

    @pytest.mark.parametrize("inside", ["", "out", "derivatives"])
    def test_an_output_inside_the_input(self, raw, inside):
        message = self.refusal(UsageError, raw, raw / inside)
        assert "lies inside the input" in message
        assert "derivatives/brainfm" in message

    def test_an_input_inside_the_output(self, raw):
        assert "lies inside the output" in self.refusal(UsageError, raw, raw.parent)

    def test_an_input_among_the_source_data_of_the_output_is_allowed(self, raw):
        (raw.parent / "out" / "sourcedata").mkdir(parents=True)
        inner = raw.rename(raw.parent / "out" / "sourcedata" / "raw")
        assert not check(inner, inner.parents[1]).problems

    def test_a_description_that_is_not_an_object(self, raw):
        (raw / "dataset_description.json").write_text("[]")
        assert "is not a JSON object" in self.refusal(ValidationFailed, raw)

    def test_a_missing_plugin_file_is_reported_before_work_starts(self, raw, tmp_path):
        message = self.refusal(MissingInput, raw, use_plugin=tmp_path / "plugin.yml")
        assert "--use-plugin" in message

    def test_an_output_among_the_derivatives_is_allowed(self, raw):
        assert not check(raw, raw / "derivatives" / "brainfm").problems

    def test_a_work_folder_inside_the_input(self, raw):
        message = self.refusal(UsageError, raw, work_dir=raw / "work")
        assert "lies inside the input" in message

    def test_an_output_that_is_a_file(self, raw):
        (raw.parent / "file").write_text("")
        message = self.refusal(CannotCreateOutput, raw, raw.parent / "file" / "out")
        assert "is a file: choose another folder" in message

    def test_an_output_that_cannot_be_written(self, raw, monkeypatch):
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
        assert "is not writable" in self.refusal(CannotCreateOutput, raw)

    def test_none_of_the_selected_participants_exists(self, raw):
        message = self.refusal(NothingSelected, raw, participant_label=("8", "9"))
        assert "there is no participant 8, 9" in message
        assert "there are 2: 01, 02." in message

    def test_filters_that_select_nothing_are_refused_with_what_there_is(self, raw):
        message = self.refusal(NothingSelected, raw, task_label=("film",))
        assert "there is: task-rest bold (2), task-rest eeg (2)" in message

    def test_a_missing_atlas(self, raw):
        settings = Settings(bold=BoldConfig(fmri_engine="builtin", atlas="Schaeffer9"))
        with pytest.raises(BrainFMError, match=r"Schaeffer9"):
            preflight(raw, raw.parent / "out", settings)

    def test_several_problems_are_in_one_text(self, raw):
        (raw / "dataset_description.json").unlink()
        message = self.refusal(BrainFMError, raw, raw / "out", derivatives=("x",))
        assert message.startswith("3 problems:")

    def test_problems_of_participants_are_reported_with_those_of_the_dataset(self, raw):
        shutil.rmtree(raw / "sub-01" / "anat")
        message = self.refusal(
            BrainFMError, raw, raw / "out", bids_filter_file=raw / "nowhere.json"
        )
        assert message.startswith("3 problems:")
        assert "lies inside the input" in message
        assert "nowhere.json cannot be read" in message
        assert "sub-01: sub-01/func/sub-01_task-rest_bold.nii.gz: sub-01 has no T1w" in message


class TestDerivatives:
    @pytest.mark.parametrize(
        ("word", "error", "message"),
        [("fmriprep", MissingInput, "does not exist; expected PATH or NAME=PATH"),
         ("fmriprep=/nowhere", MissingInput, "/nowhere does not exist")],
    )  # fmt: skip
    def test_malformed_or_missing(self, raw, word, error, message):
        with pytest.raises(error, match=message):
            check(raw, derivatives=(word,))

    def test_a_raw_dataset_is_not_a_derivative(self, raw):
        with pytest.raises(ValidationFailed, match=r"is a raw dataset by its"):
            check(raw, derivatives=(f"fmriprep={raw}",))

    def test_the_folder_above_is_refused_with_the_one_intended(self, raw):
        inner = raw.parent / "derivatives" / "fmriprep"
        write(inner / "dataset_description.json", {"DatasetType": "derivative"})
        with pytest.raises(MissingInput, match=rf"Did you mean {inner}\?"):
            check(raw, derivatives=(f"fmriprep={inner.parent}",))


class TestEngine:
    def test_derivatives_come_first(self, tmp_path):
        write_preprocessed(tmp_path, "sub-01_task-rest")
        assert choose_engine(BoldConfig(), {"fmriprep": tmp_path}) == "derivatives"

    def test_without_any_the_built_in_one_is_chosen(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        assert choose_engine(BoldConfig(), {}) == "builtin"

    def test_fmriprep_is_chosen_when_it_is_installed_with_a_licence(self, monkeypatch, tmp_path):
        (tmp_path / "fmriprep").write_text("#!/bin/sh\n")
        (tmp_path / "fmriprep").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("FS_LICENSE", raising=False)
        assert choose_engine(BoldConfig(), {}) == "builtin"
        licensed = FmriprepConfig(fs_license_file=tmp_path)
        assert choose_engine(BoldConfig(), {}, licensed) == "fmriprep"

    @pytest.mark.parametrize(
        ("engine", "message"),
        [("fmriprep", "no fmriprep program is on PATH"), ("derivatives", "needs --derivatives")],
    )
    def test_a_selected_engine_that_cannot_run_is_refused(self, raw, monkeypatch, engine, message):
        monkeypatch.setenv("PATH", "")
        with pytest.raises(UsageError, match=message):
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
