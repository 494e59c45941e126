"""The run of the participant level: plans, resume, failures. The engines are stand-ins."""

import errno
import json
import shutil
from pathlib import Path

import pytest
from fake_engines import FakeEmbed, calls
from identities import plant_identities, where_identities_show
from participant_level import state, status
from skeleton import write, write_mri, write_skeleton

TESTS = Path(__file__).parent


def _interrupted(interface, runtime):
    raise RuntimeError("interrupted")


class TestOneRun:
    @pytest.mark.parametrize("nprocs", ["1", "2"])
    def test_every_recording_is_preprocessed_and_embedded(self, brainfm, nprocs):
        assert brainfm(nprocs=nprocs) == 0
        for label in ("01", "02"):
            written = status(brainfm.out, label)
            assert written["state"] == "done"
            assert set(written["recordings"]) == {
                f"sub-{label}_T1w",
                f"sub-{label}_task-rest_bold",
                f"sub-{label}_task-rest_eeg",
            }
            assert (brainfm.out / f"sub-{label}.html").is_file()

    def test_the_status_holds_files_checksums_seconds_and_keys(self, brainfm):
        brainfm()
        entry = status(brainfm.out)["recordings"]["sub-01_task-rest_eeg"]
        assert set(entry["seconds"]) == {"clean", "embed"}
        assert set(entry["keys"]) == {"source", "preprocessed", "embedded"}
        for name, sha in entry["outputs"].items():
            assert (brainfm.out / name).is_file()
            assert len(sha) == 64

    def test_messages_name_recording_step_and_duration(self, brainfm, capsys):
        brainfm()
        said = capsys.readouterr()
        assert "sub-01_task-rest_eeg: clean started" in said.err
        assert "sub-01_task-rest_eeg: clean done in 0." in said.err
        assert f"report: {brainfm.out}/sub-01.html" in said.err
        assert "stages: check" in said.err
        assert "nipype" not in said.err
        assert said.out == ""

    def test_settings_messages_and_the_engine_log_are_saved(self, brainfm):
        brainfm("--bold-n-dummy", "1")
        (logs,) = [p for p in (brainfm.out / "logs").iterdir() if (p / "brainfm.log").is_file()]
        assert "n_dummy = 1  # command line" in (logs / "settings.toml").read_text()
        assert "setting bold.n_dummy = 1 (command line)" in (logs / "brainfm.log").read_text()
        assert (logs / "nipype.log").stat().st_size
        assert not (logs / "crash").exists()

    def test_write_graph_draws_the_workflow(self, brainfm, capsys):
        assert brainfm("--write-graph") == 0
        (drawn,) = (brainfm.out / "logs").glob("*/graph.dot")
        assert "clean" in drawn.read_text()
        is_svg = bool(list(drawn.parent.glob("graph*.svg")))
        assert is_svg or "Graphviz (dot) is not on PATH" in capsys.readouterr().err

    def test_resource_monitor_records_memory(self, brainfm, monkeypatch):
        monkeypatch.setenv("BRAINFM_FAKE_WAIT_S", "0.3")
        monkeypatch.chdir(brainfm.out.parent)
        assert brainfm("--resource-monitor") == 0
        assert sorted(p.name for p in brainfm.out.parent.iterdir()) == ["out", "raw"]
        assert status(brainfm.out)["recordings"]["sub-01_task-rest_eeg"]["peak_memory_gb"] > 0

    def test_a_plugin_file_is_used(self, brainfm, tmp_path):
        (tmp_path / "plugin.yml").write_text("plugin: MultiProc\nplugin_args: {n_procs: 2}\n")
        assert brainfm("--use-plugin", str(tmp_path / "plugin.yml")) == 0
        (tmp_path / "plugin.yml").write_text("- nothing\n")
        out = tmp_path / "out2"
        assert brainfm("--use-plugin", str(tmp_path / "plugin.yml"), out=out) == 64
        assert not out.exists()
        (tmp_path / "plugin.yml").write_text("plugin: Nonsense\n")
        assert brainfm("--use-plugin", str(tmp_path / "plugin.yml"), out=out) == 64
        assert status(out)["state"] == "failed"


class TestDryRun:
    def test_it_lists_the_steps_and_writes_nothing(self, brainfm, capsys):
        assert brainfm("--dry-run") == 0
        assert "sub-02_task-rest_bold: preprocess and embed" in capsys.readouterr().err
        assert not brainfm.out.exists()


class TestResume:
    def ran(self, brainfm, *words, **options):
        before = len(calls(brainfm.out))
        assert brainfm(*words, **options) == 0
        return sorted(calls(brainfm.out)[before:])

    def test_the_same_command_again_does_nothing(self, brainfm, capsys):
        assert len(self.ran(brainfm)) == 10
        assert self.ran(brainfm) == []
        assert "4 recordings of 2 participants: 0 to do" in capsys.readouterr().err

    def test_finished_recordings_are_skipped_without_work_folder_and_after_a_move(
        self, brainfm, raw
    ):
        self.ran(brainfm)
        shutil.rmtree(brainfm.out / "work")
        moved = raw.parent / "elsewhere"
        moved.mkdir()
        raw.rename(moved / "data")
        brainfm.out.rename(moved / "results")
        brainfm.out = moved / "results"
        assert self.ran(brainfm, data=moved / "data", out=moved / "results") == []

    def test_an_interrupted_recording_is_finished_and_no_other_is_repeated(
        self, brainfm, raw, monkeypatch
    ):
        monkeypatch.setenv("BRAINFM_FAKE_FAIL", "sub-01_task-rest_bold")
        assert brainfm() == 1
        monkeypatch.delenv("BRAINFM_FAKE_FAIL")
        moved = raw.parent / "elsewhere"
        moved.mkdir()
        raw.rename(moved / "data")
        brainfm.out.rename(moved / "results")
        brainfm.out = moved / "results"
        assert self.ran(brainfm, data=moved / "data", out=moved / "results") == [
            "embed sub-01_task-rest_desc-denoised_timeseries.tsv",
            "sub-01_T1w.nii.gz",
            "sub-01_task-rest_bold.nii.gz",
        ]
        assert status(brainfm.out)["state"] == "done"

    def test_two_datasets_can_share_a_work_folder(self, brainfm, raw, tmp_path):
        other = write_skeleton(tmp_path / "other", ("01",))
        work = ("-w", str(tmp_path / "work"))
        self.ran(brainfm, *work)
        assert brainfm(*work, data=other, out=tmp_path / "out2") == 0
        assert len(list((tmp_path / "work").glob("place-*"))) == 2

    def test_only_a_recording_with_changed_input_is_repeated(self, brainfm, raw):
        self.ran(brainfm)
        write_mri(raw, "02", seed=9)
        assert self.ran(brainfm) == [
            "embed sub-02_task-rest_desc-denoised_timeseries.tsv",
            "sub-02_T1w.nii.gz",
            "sub-02_task-rest_bold.nii.gz",
        ]

    def test_a_changed_sidecar_is_a_changed_input(self, brainfm, raw):
        self.ran(brainfm)
        sidecar = raw / "sub-01" / "eeg" / "sub-01_task-rest_eeg.json"
        write(sidecar, {**json.loads(sidecar.read_text()), "PowerLineFrequency": 60})
        assert self.ran(brainfm) == [
            "embed sub-01_task-rest_desc-preproc_eeg.vhdr",
            "sub-01_task-rest_eeg.edf",
        ]

    def test_a_sidecar_fixed_after_a_failure_is_a_changed_input_too(
        self, brainfm, raw, monkeypatch
    ):
        monkeypatch.setenv("BRAINFM_FAKE_FAIL", "sub-01_T1w")
        assert brainfm() == 1
        monkeypatch.delenv("BRAINFM_FAKE_FAIL")
        write(raw / "sub-01" / "anat" / "sub-01_T1w.json", {"MagneticFieldStrength": 3})
        assert len(self.ran(brainfm)) == 3

    def test_an_eeg_setting_affects_eeg_only(self, brainfm, capsys):
        self.ran(brainfm)
        capsys.readouterr()
        brainfm("--eeg-low-pass-hz", "40", "--dry-run")
        said = capsys.readouterr().err
        assert "sub-01_task-rest_eeg: preprocess and embed" in said
        assert "sub-01_task-rest_bold: nothing to do" in said

    def test_another_model_only_embeds_again(self, brainfm):
        self.ran(brainfm)
        assert self.ran(brainfm, "--model", "other") == [
            f"embed sub-{label}_task-rest_desc-{name}"
            for label in ("01", "02")
            for name in ("denoised_timeseries.tsv", "preproc_eeg.vhdr")
        ]

    @pytest.mark.parametrize("harm", ["remove", "change"])
    def test_a_missing_or_changed_output_is_written_again(self, brainfm, harm):
        self.ran(brainfm)
        path = brainfm.out / "sub-01" / "eeg" / "sub-01_task-rest_desc-preproc_eeg.vhdr"
        text = path.read_text()
        path.unlink() if harm == "remove" else path.write_text("tampered")
        assert "sub-01_task-rest_eeg.edf" in self.ran(brainfm)
        assert path.read_text() == text

    def test_a_missing_embedding_is_computed_again_without_preprocessing(self, brainfm):
        self.ran(brainfm)
        next((brainfm.out / "sub-01" / "eeg").glob("*.npy")).unlink()
        assert self.ran(brainfm) == ["embed sub-01_task-rest_desc-preproc_eeg.vhdr"]

    @pytest.mark.parametrize("how", ["failed", "killed"])
    def test_an_interrupted_embedding_does_not_repeat_the_preprocessing(
        self, brainfm, monkeypatch, how
    ):
        self.ran(brainfm)
        with monkeypatch.context() as patch:
            patch.setattr(FakeEmbed, "_run_interface", _interrupted)
            if how == "killed":  # nothing is written any more
                for method in ("note_failed", "finish"):
                    patch.setattr(
                        f"brainfm.cli.run_status.RunTracker.{method}", lambda *words: None
                    )
            assert brainfm("--model", "other") == {"failed": 1, "killed": 0}[how]
        assert state(brainfm.out, "sub-01_task-rest_eeg") == {"killed": "running"}.get(how, how)
        shutil.rmtree(brainfm.out / "work")
        again = self.ran(brainfm, "--model", "other")
        assert len(again) == 4
        assert all(name.startswith("embed ") for name in again)
        assert self.ran(brainfm, "--model", "other") == []

    def test_a_missing_report_is_written_again(self, brainfm):
        self.ran(brainfm)
        (brainfm.out / "sub-02.html").unlink()
        assert self.ran(brainfm) == []
        assert (brainfm.out / "sub-02.html").is_file()


class TestFailures:
    @pytest.mark.parametrize("nprocs", ["1", "2"])
    def test_one_recording_fails_and_all_others_are_done(
        self, brainfm, monkeypatch, capsys, nprocs
    ):
        monkeypatch.setenv("BRAINFM_FAKE_FAIL", "sub-01_task-rest_eeg")
        assert brainfm(nprocs=nprocs) == 1
        written = status(brainfm.out)
        entry = written["recordings"]["sub-01_task-rest_eeg"]
        assert written["state"] == "failed"
        assert entry["error"] == (
            "SignalError: sub-01_task-rest_eeg.edf is flat; expected a signal: check the amplifier."
        )
        assert entry["failure"] == {
            "error": "SignalError",
            "message": entry["error"].removeprefix("SignalError: "),
            "exit_code": 65,
            "participant": "01",
            "step": "brainfm_wf.sub01_wf.sub01_taskrest_eeg_wf.eeg_wf.clean",
        }
        assert entry["crash_file"].endswith("/crash/sub-01_task-rest_eeg_clean.txt")
        assert "Traceback" in (brainfm.out / entry["crash_file"]).read_text()
        assert state(brainfm.out, "sub-01_task-rest_bold") == "done"
        assert status(brainfm.out, "02")["state"] == "done"
        assert "is flat; expected a signal" in (brainfm.out / "sub-01.html").read_text()
        assert "sub-01 failed: sub-01_task-rest_eeg: SignalError" in capsys.readouterr().err

    def test_a_failed_anatomy_fails_the_runs_that_need_it(self, brainfm, monkeypatch):
        monkeypatch.setenv("BRAINFM_FAKE_FAIL", "sub-01_T1w")
        assert brainfm() == 1
        assert state(brainfm.out, "sub-01_T1w") == "failed"
        entry = status(brainfm.out)["recordings"]["sub-01_task-rest_bold"]
        assert "sub-01_T1w.nii.gz is flat" in entry["error"]
        assert state(brainfm.out, "sub-01_task-rest_eeg") == "done"

    def test_only_failed_recordings_are_repeated(self, brainfm, monkeypatch):
        monkeypatch.setenv("BRAINFM_FAKE_FAIL", "sub-01_task-rest_eeg")
        brainfm()
        monkeypatch.delenv("BRAINFM_FAKE_FAIL")
        before = len(calls(brainfm.out))
        assert brainfm() == 0
        assert sorted(calls(brainfm.out)[before:]) == [
            "embed sub-01_task-rest_desc-preproc_eeg.vhdr",
            "sub-01_task-rest_eeg.edf",
        ]
        assert status(brainfm.out)["state"] == "done"

    def test_several_processes_finish_an_interrupted_call(self, brainfm, monkeypatch):
        one = ("--participant-label", "01")
        with monkeypatch.context() as patch:
            patch.setattr(FakeEmbed, "_run_interface", _interrupted)
            assert brainfm(*one, nprocs="2") == 1
        before = len(calls(brainfm.out))
        assert brainfm(*one, nprocs="2") == 0
        assert all(name.startswith("embed ") for name in calls(brainfm.out)[before:])
        assert status(brainfm.out)["state"] == "done"

    def test_stop_on_first_crash_stops(self, brainfm, monkeypatch):
        monkeypatch.setenv("BRAINFM_FAKE_FAIL", "sub-0")
        assert brainfm("--stop-on-first-crash") == 1
        assert len(calls(brainfm.out)) == 1
        errors = [entry["error"] for entry in status(brainfm.out, "02")["recordings"].values()]
        assert "StepFailed: not run, because the workflow stopped at an earlier failure." in errors

    def test_a_killed_worker_ends_with_75_and_the_others_are_done(self, brainfm, monkeypatch):
        monkeypatch.setenv("BRAINFM_FAKE_KILL", "sub-02_task-rest_eeg")
        assert brainfm(nprocs="2") == 75
        assert (
            "TemporaryFailure: the process ended without reporting an error, most likely killed"
            in status(brainfm.out, "02")["recordings"]["sub-02_task-rest_eeg"]["error"]
        )
        monkeypatch.delenv("BRAINFM_FAKE_KILL")
        assert brainfm(nprocs="2") == 0

    def test_a_full_disk_ends_with_74(self, brainfm, monkeypatch, capsys):
        def full(*words, **options):
            raise OSError(errno.ENOSPC, "No space left on device", "settings.toml")

        monkeypatch.setattr("brainfm.cli.participant.write_description", full)
        assert brainfm() == 74
        said = capsys.readouterr().err
        assert "No space left on device: 'settings.toml'" in said
        assert "Finished results stay; run the same command again to continue" in said

    def test_a_step_on_a_full_disk_ends_with_74(self, brainfm, monkeypatch):
        def full(*words, **options):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("fake_engines.write_text", full)
        assert brainfm() == 74
        entry = status(brainfm.out)["recordings"]["sub-01_task-rest_eeg"]
        assert "No space left on device" in entry["error"]

    def test_another_error_of_the_system_is_no_disk_error_and_leaves_its_traceback(
        self, brainfm, monkeypatch, capsys
    ):
        def duplicate(*words, **options):
            raise OSError("Duplicate node name clean found.")

        monkeypatch.setattr("brainfm.cli.participant.write_description", duplicate)
        assert brainfm() == 1
        said = capsys.readouterr().err
        assert "unexpected error: OSError: Duplicate node name clean found." in said
        (log,) = (brainfm.out / "logs").glob("*/brainfm.log")
        assert f"Its traceback is in {log}; please report it." in said
        assert "Traceback" in log.read_text()

    def test_a_stopped_run_leaves_no_recording_with_the_state_running(self, brainfm, monkeypatch):
        def stop(*words, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr("brainfm.workflows.runner.execute", stop)
        assert brainfm() == 130
        written = status(brainfm.out)
        assert written["state"] == "failed"
        error = "TemporaryFailure: stopped early (KeyboardInterrupt); run the same command again."
        assert {entry["error"] for entry in written["recordings"].values()} == {error}

    def test_an_unwritable_report_is_logged_and_sets_the_exit_code(
        self, brainfm, monkeypatch, capsys
    ):
        monkeypatch.setenv("BRAINFM_FAKE_REPORT_FAILS", "1")
        assert brainfm() == 1
        said = capsys.readouterr().err
        assert "the report of sub-01 could not be written: no figure to show" in said
        assert status(brainfm.out)["state"] == "done"


class TestInvalidParticipants:
    def test_they_are_skipped_with_status_invalid_and_the_others_continue(self, brainfm, raw):
        shutil.rmtree(raw / "sub-01" / "anat")
        assert brainfm() == 66
        assert status(brainfm.out)["state"] == "invalid"
        assert "has no T1w image" in status(brainfm.out)["problems"][0]
        assert status(brainfm.out, "02")["state"] == "done"

    def test_a_fixed_participant_is_processed(self, brainfm, raw):
        path = raw / "sub-01" / "eeg" / "sub-01_task-rest_eeg.edf"
        whole = path.read_bytes()
        path.write_bytes(whole[:-100])
        assert brainfm() == 65
        path.write_bytes(whole)
        assert brainfm() == 0
        assert status(brainfm.out)["state"] == "done"
        assert "problems" not in status(brainfm.out)

    def test_an_absent_label_writes_nothing_to_the_output(self, brainfm):
        assert brainfm("--participant-label", "01", "77") == 66
        assert not (brainfm.out / "sub-77").exists()

    def test_one_problem_of_one_participant_is_reported_in_the_singular(self, brainfm, raw, capsys):
        shutil.rmtree(raw / "sub-01" / "anat")
        brainfm("--dry-run")
        said = capsys.readouterr().err
        assert "1 problem of 1 participant, left out:" in said
        assert "2 recordings of 1 participant: 2 to do" in said


class TestReportsOnly:
    def test_reports_are_written_again_without_the_raw_data(self, brainfm, raw):
        brainfm()
        shutil.rmtree(raw)
        (brainfm.out / "sub-01.html").unlink()
        before = len(calls(brainfm.out))
        assert brainfm("--reports-only") == 0
        assert (brainfm.out / "sub-01.html").is_file()
        assert len(calls(brainfm.out)) == before

    def test_a_dry_run_names_the_reports_and_writes_nothing(self, brainfm, capsys):
        brainfm()
        (brainfm.out / "sub-01.html").unlink()
        before = {path: path.stat().st_mtime_ns for path in brainfm.out.rglob("*")}
        assert brainfm("--reports-only", "--dry-run") == 0
        assert "reports of 01, 02 would be written again" in capsys.readouterr().err
        assert {path: path.stat().st_mtime_ns for path in brainfm.out.rglob("*")} == before

    def test_without_an_output_there_is_nothing_to_report(self, brainfm, capsys):
        assert brainfm("--reports-only") == 66
        assert not brainfm.out.exists()
        assert "has no brainfm output yet" in capsys.readouterr().err


class TestPrivacy:
    @pytest.mark.parametrize("failing", ["nothing", "sub-01"])
    def test_names_and_dates_of_headers_and_sidecars_are_not_in_the_output(
        self, brainfm, raw, monkeypatch, failing
    ):
        for name in ("func/sub-01_task-rest_bold.json", "anat/sub-01_T1w.json"):
            write(raw / "sub-01" / name, {})
        assert plant_identities(raw) == 6
        monkeypatch.setenv("BRAINFM_FAKE_FAIL", failing)  # a crash file holds the inputs of a step
        assert brainfm() == (failing != "nothing")
        assert not where_identities_show(brainfm.out)

    def test_values_of_a_header_are_not_reported_with_its_problem(self, brainfm, raw):
        plant_identities(raw)
        for path in raw.rglob("sub-01*.edf"):
            path.write_bytes(path.read_bytes()[:-200])
        assert brainfm() == 65
        assert not where_identities_show(brainfm.out)
