"""Where settings come from, and what is said when one is off."""

import os
from dataclasses import fields
from pathlib import Path

import pytest

from brainfm.cli.parser import flags_of, parse_command
from brainfm.cli.resources import available_cpus, memory_limit_gb
from brainfm.cli.settings import resolve_settings, settings_as_toml
from brainfm.cli.settings_table import settings_table
from brainfm.config import Settings, memory_gb
from brainfm.errors import MissingInput, UsageError

THREE = ["/data", "/out", "participant"]


def resolve(*words, environment=None):
    return resolve_settings(parse_command([*THREE, *words]), environment or {})


@pytest.fixture
def toml(tmp_path):
    def write(text):
        path = tmp_path / "settings.toml"
        path.write_text(text)
        return str(path)

    return write


class TestPrecedence:
    def test_the_default_is_used_when_nothing_is_set(self):
        settings, sources, _ = resolve()
        assert settings == Settings()
        assert set(sources.values()) == {"default"}

    def test_the_file_wins_over_the_default(self, toml):
        path = toml("[bold]\nn_acompcor = 3\n")
        settings, sources, _ = resolve("--config-file", path)
        assert settings.bold.n_acompcor == 3
        assert sources["bold.n_acompcor"] == f"file {path}"

    def test_the_environment_wins_over_the_file(self, toml):
        path = toml("[bold]\nn_acompcor = 3\n")
        settings, sources, _ = resolve(
            "--config-file", path, environment={"BRAINFM_BOLD_N_ACOMPCOR": "4"}
        )
        assert settings.bold.n_acompcor == 4
        assert sources["bold.n_acompcor"] == "environment"

    def test_the_command_line_wins_over_all(self, toml):
        path = toml("[bold]\nn_acompcor = 3\n")
        settings, sources, _ = resolve(
            "--config-file",
            path,
            "--bold-n-acompcor",
            "6",
            environment={"BRAINFM_BOLD_N_ACOMPCOR": "4"},
        )
        assert settings.bold.n_acompcor == 6
        assert sources["bold.n_acompcor"] == "command line"

    def test_a_switch_of_the_file_can_be_turned_off_again(self, toml):
        path = toml("[run]\nsloppy = true\n")
        assert resolve("--config-file", path)[0].run.sloppy is True
        assert resolve("--config-file", path, "--no-sloppy")[0].run.sloppy is False

    def test_the_file_may_be_named_by_the_environment(self, toml):
        path = toml("[eeg]\nlow_pass_hz = 40\n")
        settings, _, _ = resolve(environment={"BRAINFM_RUN_CONFIG_FILE": path})
        assert settings.eeg.low_pass_hz == 40.0


class TestPaths:
    def test_relative_paths_hold_wherever_a_step_runs(self):
        settings, _, _ = resolve("-w", "scratch", "--atlas", "own/atlas.nii.gz", "--model", "tiny",
                                 "-d", "fmriprep=fp")  # fmt: skip
        assert settings.run.work_dir == Path.cwd() / "scratch"
        assert settings.bold.atlas == str(Path.cwd() / "own" / "atlas.nii.gz")
        assert settings.model.model == "tiny"
        assert settings.run.derivatives == (f"fmriprep={Path.cwd() / 'fp'}",)

    def test_the_address_of_a_container_is_no_path(self):
        settings, _, _ = resolve("--fmriprep-container", "docker://nipreps/fmriprep:25.2.7")
        assert settings.fmriprep.container == "docker://nipreps/fmriprep:25.2.7"


class TestRefusals:
    def test_an_unknown_setting_is_refused_with_the_nearest_one(self, toml):
        with pytest.raises(
            UsageError, match=r"no setting bold.low_pas_hz. Did you mean bold.low_pass_hz\?"
        ):
            resolve("--config-file", toml("[bold]\nlow_pas_hz = 0.2\n"))

    def test_a_setting_outside_a_section_is_refused_with_its_section(self, toml):
        with pytest.raises(UsageError, match=r"atlas is outside a section: move it to \[bold\]"):
            resolve("--config-file", toml('atlas = "x"\n'))

    def test_a_wrong_type_is_refused_with_its_source(self, toml):
        with pytest.raises(
            UsageError, match=r"bold.n_dummy is 'two' \(command line\); expected a whole number"
        ):
            resolve("--bold-n-dummy", "two")
        with pytest.raises(
            UsageError, match=r"run.sloppy is 'maybe' \(environment\); expected true or false"
        ):
            resolve(environment={"BRAINFM_RUN_SLOPPY": "maybe"})

    def test_broken_toml_and_a_missing_file_are_refused_by_name(self, toml):
        with pytest.raises(UsageError, match=r"settings.toml is not valid TOML"):
            resolve("--config-file", toml("[bold\n"))
        with pytest.raises(MissingInput, match=r"--config-file /nowhere.toml cannot be read"):
            resolve("--config-file", "/nowhere.toml")

    def test_a_choice_that_does_not_exist_is_refused_with_those_that_do(self):
        with pytest.raises(
            UsageError, match=r"bold.fmri_engine is 'spm'; expected one of auto, deriv"
        ):
            resolve("--fmri-engine", "spm")

    def test_a_mistyped_environment_variable_is_reported_and_others_left_alone(self):
        _, _, ignored = resolve(
            environment={"BRAINFM_BOLD_ATLASS": "x", "BRAINFM_TEST_DATA": "y", "HOME": "z"}
        )
        said = "in the environment is not a setting; did you mean BRAINFM_BOLD_ATLAS?"
        assert ignored == [f"BRAINFM_BOLD_ATLASS {said}"]


class TestMemory:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [("1.5G", 1.5), ("16 G", 16), ("8000M", 8), ("16GB", 16), ("8GiB", 8), ("30", 30),
         ("30000", 30), ("2T", 2000), ("256", 256), ("2000", 2)],
    )  # fmt: skip
    def test_amounts_are_read_with_and_without_a_unit(self, text, expected):
        assert memory_gb(text) == pytest.approx(expected)

    def test_a_bare_number_that_could_be_either_is_refused(self):
        with pytest.raises(
            UsageError, match=r"'1500', gigabytes or megabytes\? Write 1500G or 1500M"
        ):
            memory_gb("1500")

    @pytest.mark.parametrize("text", ["much", "-3G", "G", "0", "3X"])
    def test_an_invalid_amount_is_refused(self, text):
        with pytest.raises(UsageError, match=r"expected a number with a unit"):
            memory_gb(text)

    @pytest.mark.parametrize(
        ("words", "expected"),
        [(["--mem", "1.5G"], "1.5G"), (["--mem", "16", "G"], "16G"),
         (["--mem-mb", "8000"], "8000M"), (["--mem_mb", "300"], "300M"),
         (["--mem-gb", "300"], "300G"), (["--mem-mb", "8G"], "8G")],
    )  # fmt: skip
    def test_each_spelling_of_the_option_gives_its_unit(self, words, expected):
        assert resolve(*words)[0].run.mem == expected


class TestMachine:
    def test_slurm_limits_the_cpus(self, tmp_path):
        assert available_cpus({"SLURM_CPUS_PER_TASK": "1"}, cgroups=tmp_path) == 1
        assert available_cpus({"SLURM_CPUS_PER_TASK": "9999"}, cgroups=tmp_path) == len(
            os.sched_getaffinity(0)
        )

    def test_the_control_group_limits_the_cpus(self, tmp_path):
        (tmp_path / "cpu.max").write_text("100000 100000\n")
        assert available_cpus({}, cgroups=tmp_path) == 1
        (tmp_path / "cpu.max").write_text("max 100000\n")
        assert available_cpus({}, cgroups=tmp_path) == len(os.sched_getaffinity(0))

    def test_memory_comes_from_slurm_and_the_control_group(self, tmp_path):
        assert memory_limit_gb({"SLURM_MEM_PER_NODE": "1024"}, cgroups=tmp_path) == pytest.approx(
            1.0737, abs=1e-3
        )
        slurm = {"SLURM_MEM_PER_CPU": "512", "SLURM_CPUS_PER_TASK": "2"}
        assert memory_limit_gb(slurm, cgroups=tmp_path) == pytest.approx(1.0737, abs=1e-3)
        (tmp_path / "memory.max").write_text(str(10**9))
        assert memory_limit_gb({}, cgroups=tmp_path) == pytest.approx(1.0)


class TestWrittenSettings:
    def test_settings_written_by_a_run_give_the_same_settings_again(self, toml):
        words = ["--participant-label", "01", "02", "--bold-n-dummy", "2", "--mem", "4G",
                 "--eeg-line-hz", "60", "-w", "/w k", "--sloppy"]  # fmt: skip
        settings, sources, _ = resolve(*words)
        again, _, _ = resolve("--config-file", toml(settings_as_toml(settings, sources)))
        assert again.run.config_file
        assert again.bold == settings.bold
        assert again.eeg == settings.eeg
        assert again.run.participant_label == ("01", "02")
        assert again.run.work_dir == Path("/w k")

    def test_each_value_is_written_with_its_source(self):
        settings, sources, _ = resolve("--bold-n-dummy", "2")
        text = settings_as_toml(settings, sources, header=["brainfm /data /out participant"])
        assert "n_dummy = 2  # command line" in text
        assert "n_acompcor = 5  # default" in text
        assert "# line_hz is not set  # default" in text
        assert "# brainfm /data /out participant" in text

    def test_options_of_one_call_are_not_written(self):
        text = settings_as_toml(resolve("--dry-run")[0])
        assert "dry_run" not in text


class TestDocumentation:
    def test_the_page_in_the_documentation_is_the_one_generated(self):
        page = Path(__file__).parent.parent / "docs" / "settings.md"
        assert page.read_text(encoding="utf8") == settings_table()

    def test_every_setting_is_in_the_table_with_each_spelling(self):
        table = settings_table()
        for section in fields(Settings):
            for item in fields(section.type):
                assert f"| `{item.name}` |" in table
                for flag in flags_of(section.name, item):
                    assert f"`{flag}`" in table or "_" in flag

    def test_no_two_settings_share_a_flag(self):
        flags = [
            flag
            for section in fields(Settings)
            for item in fields(section.type)
            for flag in flags_of(section.name, item)
        ]
        assert len(flags) == len(set(flags))
