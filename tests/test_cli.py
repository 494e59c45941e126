"""The command line as a user types it, mistypes it and reads its answers."""

import os
import subprocess
import sys

import pytest
from skeleton import write_skeleton

from brainfm.cli.job import Job
from brainfm.cli.parser import parse_command
from brainfm.cli.run import main
from brainfm.cli.settings import resolve_settings
from brainfm.config import Settings

THREE = ["/data", "/out", "participant"]


def run_config(*words):
    return resolve_settings(parse_command([*THREE, *words]), {})[0].run


class TestSpellings:
    @pytest.mark.parametrize("flag", ["--participant-label", "--participant_label"])
    @pytest.mark.parametrize(
        "values",
        [["01", "02"], ["01,02"], ["sub-01", "sub-02"], ["sub-01,02"], ["01 02"], ["01,", "02"]],
        ids=str,
    )
    def test_all_spellings_of_participant_labels_are_accepted(self, flag, values):
        assert run_config(flag, *values).participant_label == ("01", "02")

    def test_a_repeated_option_adds_to_the_list_and_nothing_twice(self):
        config = run_config("--participant-label", "01", "--participant_label", "02", "01")
        assert config.participant_label == ("01", "02")

    def test_sessions_tasks_and_runs_lose_their_prefix(self):
        config = run_config("--session-id", "ses-1", "-t", "task-rest", "--run-id", "run-2")
        assert (config.session_label, config.task_label, config.run_label) == (
            ("1",),
            ("rest",),
            ("2",),
        )

    @pytest.mark.parametrize("flag", ["--nprocs", "--n-cpus", "--n_cpus", "--nthreads"])
    def test_processes_have_several_names(self, flag):
        assert run_config(flag, "3").nprocs == 3

    def test_verbosity_is_counted(self):
        assert run_config("-vv").verbose == 2


class TestMistypedCommands:
    def answer(self, capsys, *words):
        return main(list(words)), capsys.readouterr().err

    def test_a_list_option_before_the_positional_arguments_is_explained(self, capsys):
        code, said = self.answer(capsys, "--participant-label", "01", *THREE, "-w", "/w dir")
        assert code == 64
        assert "    brainfm /data /out participant --participant-label 01 -w '/w dir'\n" in said

    @pytest.mark.parametrize("words", [["--participant-label", ""], ["--work-dir="], ["-w", ""]])
    def test_an_empty_argument_is_refused(self, capsys, words):
        code, said = self.answer(capsys, *THREE, *words)
        assert code == 64
        assert "one of the arguments is empty; is a variable in your script not set?" in said

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--nprocs", "0"], "run.nprocs is 0; expected 1 or more"),
            (["--nprocs", "-3"], "run.nprocs is -3; expected 1 or more"),
            (["--omp-nthreads", "0"], "run.omp_nthreads is 0; expected 1 or more"),
            (["--evaluate-n-splits", "1"], "evaluate.n_splits is 1; expected 2 or more"),
            (["--device", "tpu"], "model.device is 'tpu'; expected one of auto, cpu, cuda"),
        ],
    )
    def test_an_invalid_number_or_name_is_refused(self, capsys, words, said):
        code, told = self.answer(capsys, *THREE, *words)
        assert code == 64
        assert said in told

    def test_an_unknown_level_has_its_own_exit_code(self, capsys):
        code, said = self.answer(capsys, "/data", "/out", "subject")
        assert code == 17
        assert "level is 'subject'; expected participant or group" in said

    def test_a_missing_argument_is_a_usage_error(self, capsys):
        code, said = self.answer(capsys, "/data", "/out")
        assert code == 64
        assert "required: {participant,group}; see brainfm --help" in said

    def test_an_unknown_option_is_refused_with_the_nearest(self, capsys):
        code, said = self.answer(capsys, *THREE, "--participant-lable", "01")
        assert code == 64
        assert "no option --participant-lable; did you mean --participant-label?" in said

    def test_an_abbreviated_option_is_refused(self, capsys):
        code, said = self.answer(capsys, *THREE, "--participant", "01")
        assert code == 64
        assert "no option --participant" in said


class TestHelp:
    def test_help_names_the_levels_the_exit_codes_and_every_section(self, capsys):
        with pytest.raises(SystemExit) as stop:
            main(["--help"])
        text = capsys.readouterr().out
        assert stop.value.code == 0
        for word in ("participant  check", "exit codes: 0 done", "--fmri-engine", "pretrain:"):
            assert word in text

    def test_help_shows_dashes_and_not_each_option_twice(self, capsys):
        with pytest.raises(SystemExit):
            main(["--help"])
        assert "--participant_label" not in capsys.readouterr().out

    def test_the_version_is_printed(self, capsys):
        with pytest.raises(SystemExit):
            main(["--version"])
        assert capsys.readouterr().out.startswith("brainfm ")

    def test_help_imports_no_numerical_library(self):
        code = (
            "import sys\nfrom brainfm.cli.run import main\n"
            "try: main(['--help'])\nexcept SystemExit: pass\n"
            "heavy = {'numpy', 'torch', 'mne', 'ants', 'nipype', 'pandas', 'psutil'}\n"
            "sys.stderr.write(' '.join(heavy & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stderr == ""


class TestStart:
    def test_a_dry_run_imports_no_numerical_library_that_only_processing_needs(self, tmp_path):
        raw = write_skeleton(tmp_path / "raw", ("01",))
        code = (
            "import sys\nfrom brainfm.cli.run import main\n"
            f"code = main([{str(raw)!r}, {str(tmp_path / 'out')!r}, 'participant', '--dry-run'])\n"
            "assert code == 0\n"
            "heavy = {'torch', 'sklearn', 'nilearn', 'skorch', 'nipype', 'ants', 'mne_bids',\n"
            "         'matplotlib', 'SimpleITK', 'scipy.interpolate'}\n"
            "print(*sorted(heavy & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "\n", done.stderr
        assert "preprocess and embed" in done.stderr

    def test_importing_brainfm_imports_no_numerical_library(self):
        code = "import sys, brainfm; print(*sorted({'numpy', 'torch', 'mne'} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "\n"


class TestTemplates:
    @pytest.fixture
    def home(self, tmp_path, monkeypatch):
        home = tmp_path / "home"
        (home / ".cache" / "templateflow").mkdir(parents=True)
        monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"], "HOME": str(home)})
        return home

    def templates(self, out):
        words = {"bids_dir": "/data", "output_dir": str(out), "level": "participant"}
        Job.start(words, Settings(), sources={}, argv=[]).limit_libraries()
        return os.environ["TEMPLATEFLOW_HOME"]

    def test_fmriprep_finds_those_that_lie_in_home(self, home, tmp_path):
        (home / ".cache" / "templateflow" / "tpl-MNI152Lin").mkdir()
        assert self.templates(tmp_path) == str(home / ".cache" / "templateflow")

    def test_an_empty_folder_in_home_is_not_filled(self, home, tmp_path):
        assert self.templates(tmp_path) == str(tmp_path / "work" / "cache" / "templateflow_home")

    def test_those_named_in_the_environment_are_taken_before_all(self, home, tmp_path):
        (home / ".cache" / "templateflow" / "tpl-MNI152Lin").mkdir()
        os.environ["TEMPLATEFLOW_HOME"] = "/templates"
        assert self.templates(tmp_path) == "/templates"
