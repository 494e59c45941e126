"""The command that runs fMRIPrep, as the participant level builds it."""

import json
import shutil
from pathlib import Path

import pytest
from fmriprep_call import fmriprep_node, value_of, words_of, write_program, write_sessions
from skeleton import write

from brainfm.config import FmriprepConfig
from brainfm.errors import BrainFMError, MissingInput, StepFailed, UsageError
from brainfm.interfaces.fmriprep import FMRIPrep
from brainfm.stages.preprocess.containers import container_command
from brainfm.stages.preprocess.fmriprep import fs_license_of


@pytest.fixture
def place(tmp_path, monkeypatch, sessions):
    """Folder with a blank in its name: a dataset, a licence and fMRIPrep on PATH."""
    place = tmp_path / "my study"
    shutil.copytree(sessions, place / "raw")
    (place / "licence.txt").write_text("x")
    write_program(place / "bin", "fmriprep")
    for name in ("FREESURFER_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(place / "bin"))
    monkeypatch.setenv("FS_LICENSE", str(place / "licence.txt"))
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(place / "templates"))
    return place


@pytest.fixture
def command(place):
    """Function that returns the words of the command for options of brainfm."""
    return lambda *words, **job: words_of(
        fmriprep_node(place / "raw", place / "out", *words, **job)
    )


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    return write_sessions(tmp_path_factory.mktemp("sessions") / "raw")


def filters_of(words):
    return json.loads(Path(*value_of(words, "--bids-filter-file")).read_text())


class TestOptions:
    def test_the_folders_come_first_and_blanks_stay_inside_words(self, command, place):
        words = command()
        output = place / "out" / "sourcedata" / "fmriprep"
        assert words[:4] == ["fmriprep", str(place / "raw"), str(output), "participant"]
        assert value_of(words, "-w") == [str(place / "out" / "work" / "fmriprep")]
        assert value_of(words, "--participant-label") == ["01"]
        assert value_of(words, "--fs-license-file") == [str(place / "licence.txt")]

    def test_resources_of_the_call_are_those_of_fmriprep(self, command):
        words = command(nprocs=8, omp_nthreads=3, memory_gb=20.5)
        resources = [*value_of(words, "--nprocs"), *value_of(words, "--omp-nthreads")]
        assert resources == ["8", "3"]
        assert value_of(words, "--mem-mb") == ["20500"]

    def test_by_default_only_options_are_given_that_every_version_knows(self, command):
        options = {word for word in command() if word.startswith("-")}
        assert options == {
            "--participant-label", "--bids-filter-file", "-w", "--nprocs", "--omp-nthreads",
            "--mem-mb", "--output-spaces", "--fs-license-file", "--fs-no-reconall", "--notrack",
            "--random-seed", "--fd-spike-threshold",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("given", "passed"),
        [
            (["--use-syn-sdc"], ["--use-syn-sdc"]),
            (["--ignore", "fieldmaps", "slicetiming"], ["--ignore", "fieldmaps", "slicetiming"]),
            (["--skip-bids-validation"], ["--skip-bids-validation"]),
            (["--stop-on-first-crash"], ["--stop-on-first-crash"]),
            (["--resource-monitor"], ["--resource-monitor"]),
            (["--sloppy"], ["--sloppy"]),
            (["--random-seed", "7"], ["--random-seed", "7"]),
            (["--bids-database-dir", "/data/my db"], ["--bids-database-dir", "/data/my db"]),
            (["--bold-n-dummy", "4"], ["--dummy-scans", "4"]),
            (["--bold-fd-threshold-mm", "0.3"], ["--fd-spike-threshold", "0.3"]),
            (["--output-spaces", "MNI152NLin6Asym:res-2", "T1w"],
             ["--output-spaces", "MNI152NLin6Asym:res-2", "T1w"]),
            (["--fmriprep-args", "--level full --force 'syn-sdc'"],
             ["--level", "full", "--force", "syn-sdc"]),
            (["--fmriprep-args", "--low-mem"], ["--low-mem"]),
        ],
    )  # fmt: skip
    def test_each_option_is_handed_on(self, command, given, passed):
        words = command(*given)
        assert value_of(words, passed[0]) == value_of(passed, passed[0])
        assert passed[0] in words

    def test_a_container_or_wrapper_may_have_a_licence_of_its_own(self, command, monkeypatch):
        monkeypatch.delenv("FS_LICENSE")
        assert "--fs-license-file" not in command()

    def test_surfaces_are_reconstructed_only_when_asked_for(self, command):
        assert "--fs-no-reconall" in command()
        assert "--fs-no-reconall" not in command("--fs-reconall")

    def test_further_options_stand_last(self, command):
        assert command("--fmriprep-args", "--slice-time-ref 0")[-2:] == ["--slice-time-ref", "0"]

    def test_derivatives_of_the_anatomy_are_handed_on(self, command, place):
        folder = place / "smriprep"
        write(folder / "dataset_description.json", {"DatasetType": "derivative"})
        words = command("-d", f"smriprep={folder}")
        assert value_of(words, "--derivatives") == [f"smriprep={folder}"]

    def test_the_template_of_the_atlas_is_the_output_space(self, place, monkeypatch):
        monkeypatch.setattr("brainfm.stages.query.validate.load_atlas", str)
        atlas = "tpl-MNI152NLin6Asym_atlas-Schaefer2018_desc-100Parcels7Networks"
        node = fmriprep_node(place / "raw", place / "out", "--atlas", atlas)
        assert value_of(words_of(node), "--output-spaces") == ["MNI152NLin6Asym:res-2"]


class TestSelection:
    def bold(self, words):
        return filters_of(words)["bold"]

    def test_without_a_selection_all_runs_are_named(self, command):
        assert self.bold(command()) == {"session": ["1", "2"], "task": ["nback", "rest"]}

    def test_labels_of_session_task_and_run_are_handed_on(self, command):
        words = command("--session-label", "2", "--task-label", "rest", "--run-label", "1")
        assert self.bold(words) == {"session": "2", "task": "rest", "run": "01"}

    def test_t1w_images_are_those_of_the_selected_sessions(self, command):
        assert filters_of(command("--session-label", "2"))["t1w"] == {"session": "2"}
        assert "t1w" not in filters_of(command("--task-label", "rest"))

    def test_the_filter_file_is_merged_with_the_labels(self, command, place):
        write(place / "f.json", {"bold": {"task": "rest"}, "fmap": {"acq": ["spinecho", "*"]},
                                 "t2w": {"session": None}, "eeg": {"task": "rest"}})  # fmt: skip
        filters = filters_of(command("--bids-filter-file", place / "f.json", "--run-label", "2"))
        assert filters == {
            "bold": {"session": ["1", "2"], "task": "rest", "run": "02"},
            "fmap": {"acquisition": ["spinecho", "*"]},
            "t2w": {"session": None},
        }

    def test_patterns_and_metadata_become_labels_which_every_version_reads(self, command, place):
        query = {"task": "^re", "regex_search": True, "RepetitionTime": 2.0, "run": "*"}
        write(place / "f.json", {"bold": query})
        filters = filters_of(command("--bids-filter-file", place / "f.json"))
        assert filters["bold"] == {"session": ["1", "2"], "task": "rest", "run": ["01", "02"]}

    def test_an_entity_that_must_be_absent_stays_so(self, command, place):
        write(place / "f.json", {"bold": {"run": None}})
        bold = self.bold(command("--bids-filter-file", place / "f.json"))
        assert bold == {"session": ["1", "2"], "task": "nback", "run": None}

    def test_a_later_call_has_the_same_filter_whatever_is_left_to_do(self, place, monkeypatch):
        first = filters_of(words_of(fmriprep_node(place / "raw", place / "out")))
        plan = "brainfm.stages.query.plan._compare"
        seen = []

        def first_run_is_done(output_dir, entry, hash_inputs):
            seen.append(entry)
            return {"preprocess": False, "embed": False} if len(seen) == 1 else {}

        monkeypatch.setattr(plan, first_run_is_done)
        assert filters_of(words_of(fmriprep_node(place / "raw", place / "out"))) == first

    def test_more_memory_or_processes_do_not_repeat_fmriprep(self, place):
        one, other = (
            fmriprep_node(place / "raw", place / "out", nprocs=n, memory_gb=n).inputs
            for n in (2, 4)
        )
        assert one.get_hashval(hash_method="content") == other.get_hashval(hash_method="content")


class TestContainers:
    @pytest.fixture
    def image(self, place):
        (place / "fmriprep.sif").touch()
        (place / "bin" / "fmriprep").unlink()
        return place / "fmriprep.sif"

    @pytest.mark.parametrize("program", ["apptainer", "singularity"])
    def test_inputs_are_read_only_outputs_writable_and_names_may_have_blanks(
        self, command, place, image, program
    ):
        write_program(place / "bin", program)
        words = command("--fmriprep-container", image)
        raw, out = place / "raw", place / "out" / "sourcedata" / "fmriprep"
        work = place / "out" / "work" / "fmriprep"
        assert words[:5] == [program, "run", "--cleanenv", "--containall", "--workdir"]
        mounts = [words[i + 1] for i, word in enumerate(words) if word == "-B"]
        licence = place / "licence.txt"
        assert {f"{raw}:{raw}:ro", f"{licence}:{licence}:ro"} < set(mounts)
        assert {f"{out}:{out}:rw", f"{work}:{work}:rw"} < set(mounts)
        after = words[words.index(str(image)) + 1 :]
        assert after[:3] == [str(raw), str(out), "participant"]

    def test_docker_runs_as_the_calling_user_with_the_image_before_the_folders(
        self, command, place, image
    ):
        write_program(place / "bin", "docker")
        words = command("--fmriprep-container", "docker://nipreps/fmriprep:25.2.7")
        raw = place / "raw"
        assert words[:4] == ["docker", "run", "--rm", "--user"]
        assert f"{raw}:{raw}:ro" in words
        assert words[words.index("nipreps/fmriprep:25.2.7") + 1] == str(raw)

    def test_outer_folders_are_mounted_before_those_inside(self, place):
        write_program(place / "bin", "docker")
        binds = {Path("/data/derivatives/out"): "rw", Path("/data"): "ro"}
        words = container_command("docker://x", binds=binds, scratch="/scratch")
        assert words.index("/data:/data:ro") < words.index(
            "/data/derivatives/out:/data/derivatives/out:rw"
        )

    def test_folders_of_all_options_are_mounted(self, command, place, image):
        write_program(place / "bin", "apptainer")
        (place / "subjects").mkdir()
        write(place / "smriprep" / "dataset_description.json", {"DatasetType": "derivative"})
        words = command(
            "--fmriprep-container", image, "--fmriprep-args",
            f"--fs-subjects-dir '{place}/subjects'", "--bids-database-dir", place / "db",
            "-d", f"smriprep={place / 'smriprep'}", "--fs-reconall",
        )  # fmt: skip
        for name, mode in {"subjects": "rw", "db": "rw", "smriprep": "ro"}.items():
            assert f"{place / name}:{place / name}:{mode}" in words

    def test_templates_of_the_home_folder_are_used_if_fmriprep_can_work_with_them(
        self, command, place, image
    ):
        write_program(place / "bin", "apptainer")
        words = command("--fmriprep-container", image)
        assert "TEMPLATEFLOW_HOME=/home/fmriprep/.cache/templateflow" in words
        template = place / "templates" / "tpl-OASIS30ANTs" / "tpl-OASIS30ANTs_res-01_T1w.nii.gz"
        template.parent.mkdir(parents=True)
        template.touch()  # not fetched yet
        assert f"TEMPLATEFLOW_HOME={place / 'templates'}" not in command(
            "--fmriprep-container", image
        )
        template.write_text("x")
        words = command("--fmriprep-container", image)
        assert f"TEMPLATEFLOW_HOME={place / 'templates'}" in words
        assert f"{place / 'templates'}:{place / 'templates'}:rw" in words

    def test_an_image_in_this_folder_is_found_wherever_a_step_runs(
        self, command, place, image, monkeypatch
    ):
        write_program(place / "bin", "apptainer")
        monkeypatch.chdir(place)
        assert str(image) in command("--fmriprep-container", "fmriprep.sif")


class TestRefusalsBeforeWorkStarts:
    @pytest.mark.parametrize(
        ("given", "error", "message"),
        [
            (["--fmriprep-args", "--output-spaces T1w"], UsageError,
             "--output-spaces is set by brainfm; use its option --output-spaces"),
            (["--fmriprep-args", "--mem-mb=8000"], UsageError, "use its option --mem"),
            (["--fmriprep-args", "-w/scratch"], UsageError, "use its option --work-dir"),
            (["--fmriprep-args", "--partic 02"], UsageError, "use its option --participant-label"),
            (["--fmriprep-args", "--level minimal"], UsageError, "--level minimal fMRIPrep writes"),
            (["--fmriprep-args", "--anat-only"], UsageError, "leave it out, or run fMRIPrep"),
            (["--fmriprep-args", "low-mem"], UsageError, "such as --low-mem; found 'low-mem'"),
            (["--fmriprep-args", "--x 'open"], UsageError, "No closing quotation"),
            (["--output-spaces", "T1w", "fsaverage"], UsageError,
             "has no MNI152 template, in which parcels are averaged: add MNI152NLin2009cAsym"),
            (["--ignore", "fieldmap"], UsageError, "is 'fieldmap'; expected one of fieldmaps"),
            (["--fs-license-file", "none.txt"], MissingInput, "none.txt does not exist; see --fs"),
        ],
    )  # fmt: skip
    def test_an_option_that_cannot_work(self, command, given, error, message):
        with pytest.raises(error, match=message):
            command(*given)

    def test_an_output_space_that_is_not_that_of_the_atlas(self, command, monkeypatch):
        monkeypatch.setattr("brainfm.stages.query.validate.load_atlas", str)
        atlas = ["--atlas", "tpl-MNI152NLin6Asym_atlas-DiFuMo_desc-64dimensions"]
        with pytest.raises(UsageError, match="lacks MNI152NLin6Asym, the space of the atlas"):
            command(*atlas, "--output-spaces", "MNI152NLin2009cAsym:res-2")

    def test_a_work_folder_that_fmriprep_refuses(self, place):
        raw = place / "raw"
        with pytest.raises(UsageError, match=r"lies inside the input .* give --work-dir outside"):
            fmriprep_node(raw, raw / "derivatives" / "brainfm")

    def test_a_container_image_that_does_not_exist(self, command, place):
        write_program(place / "bin", "apptainer")
        with pytest.raises(MissingInput, match=r"x.sif does not exist; expected an image.sif or"):
            command("--fmriprep-container", "x.sif")

    def test_a_container_that_no_program_runs(self, place):
        with pytest.raises(UsageError, match=r"needs apptainer or singularity, and none is on"):
            container_command("x.sif", binds={}, scratch="/scratch")
        with pytest.raises(UsageError, match=r"needs apptainer, singularity or docker, and none"):
            container_command("docker://x", binds={}, scratch="/scratch")

    def test_a_path_that_cannot_be_mounted(self, place):
        write_program(place / "bin", "apptainer")
        with pytest.raises(UsageError, match="has a colon or comma, which containers cannot mount"):
            container_command("x.sif", binds={Path("/data:1"): "ro"}, scratch="/scratch")

    def test_patterns_in_a_query_that_only_fmriprep_uses(self, command, place):
        write(place / "f.json", {"fmap": {"acquisition": "spin.*", "regex_search": True}})
        with pytest.raises(UsageError, match="cannot read regex_search in the query 'fmap'"):
            command("--bids-filter-file", place / "f.json")

    def test_all_problems_are_reported_together(self, command, monkeypatch):
        monkeypatch.setenv("FS_LICENSE", "/none.txt")
        with pytest.raises(BrainFMError, match="2 problems"):
            command("--fmriprep-args", "--anat-only")


def test_the_licence_is_looked_for_where_fmriprep_does(place, monkeypatch):
    home = place / "freesurfer"
    home.mkdir()
    monkeypatch.setenv("FREESURFER_HOME", str(home))
    named = FmriprepConfig(fs_license_file=place / "named.txt")
    assert fs_license_of(named) == place / "named.txt"
    assert fs_license_of(FmriprepConfig()) == place / "licence.txt"
    monkeypatch.delenv("FS_LICENSE")
    assert fs_license_of(FmriprepConfig()) is None
    (home / "license.txt").touch()
    assert fs_license_of(FmriprepConfig()) == home / "license.txt"


class TestWhatItLeaves:
    CRASH = "Node: fmriprep_wf.sub_01_wf.bold.split\n\nTraceback\n\tValueError: no"

    def run(self, place, script):
        write_program(place / "bin", "fmriprep", script)
        folders = {"bids_dir": str(place / "raw"), "output_dir": str(place / "out")}
        place.joinpath("out").mkdir()
        return FMRIPrep(**folders, participant_label=["01"]).run(cwd=str(place))

    def test_its_crash_files_are_in_the_message_and_in_the_traceback(self, place, monkeypatch):
        monkeypatch.setenv("PATH", f"{place / 'bin'}:/usr/bin:/bin")
        (place / "new.txt").write_text(self.CRASH)
        script = 'mkdir -p "$2/sub-01/log/a"; cp new.txt "$2/sub-01/log/a/crash-1.txt"; exit 1'
        with pytest.raises(StepFailed, match=r"no \(Node: .*bold.split; .*crash-1.txt\)") as caught:
            self.run(place, script)
        assert self.CRASH in "".join(caught.value.__notes__)

    def test_the_derivatives_of_version_20_lie_one_folder_deeper(self, place, monkeypatch):
        monkeypatch.setenv("PATH", f"{place / 'bin'}:/usr/bin:/bin")
        assert self.run(place, "exit 0").outputs.out_dir == str(place / "out")
        (place / "out").rmdir()
        out_dir = self.run(place, 'mkdir "$2/fmriprep"').outputs.out_dir
        assert out_dir == str(place / "out" / "fmriprep")
