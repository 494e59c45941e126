"""The command of the workflow against fMRIPrep itself: ``make test-fmriprep``.

fMRIPrep is installed in an environment of its own, whose programs ``$BRAINFM_FMRIPREP`` names.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from fmriprep_call import fmriprep_node, value_of, words_of, write_sessions
from skeleton import write
from stand_ins import write_programs, write_templates

PROGRAMS = os.environ.get("BRAINFM_FMRIPREP")
pytestmark = pytest.mark.skipif(not PROGRAMS, reason="BRAINFM_FMRIPREP is unset")

#: Options of brainfm, and what fMRIPrep understands by them.
COMBINATIONS = {
    "defaults": ([], {
        "run_reconall": "False", "notrack": "True", "nprocs": "4", "omp_nthreads": "2",
        "memory_gb": "16.0", "level": "full",
        "output_spaces": "Spatial References: MNI152NLin2009cAsym:res-2",
        "cifti_output": "False", "regressors_fd_th": "0.5", "participant_label": "['01']",
        "use_syn_sdc": "False", "derivatives": "None", "dummy_scans": "None",
        "_random_seed": "0",
    }),
    "spaces": (["--output-spaces", "MNI152NLin6Asym:res-2", "T1w", "fsnative"], {
        "output_spaces": "Spatial References: MNI152NLin6Asym:res-2, T1w, fsnative"}),
    "surfaces": (["--fs-reconall", "--fmriprep-args", "--cifti-output 91k --no-submm-recon"], {
        "run_reconall": "True", "cifti_output": "91k", "hires": "False"}),
    "fieldmaps": (["--use-syn-sdc", "--ignore", "fieldmaps", "slicetiming", "sbref", "t2w",
                   "flair", "fmap-jacobian"], {
        "use_syn_sdc": "error",
        "ignore": "['fieldmaps', 'slicetiming', 'sbref', 't2w', 'flair', 'fmap-jacobian']"}),
    "thresholds": (["--bold-n-dummy", "4", "--bold-fd-threshold-mm", "0.3"], {
        "dummy_scans": "4", "regressors_fd_th": "0.3"}),
    "run": (["--sloppy", "--stop-on-first-crash", "--resource-monitor", "--random-seed", "7",
             "--skip-bids-validation"], {
        "sloppy": "True", "stop_on_first_crash": "True", "resource_monitor": "True",
        "_random_seed": "7", "skip_bids_validation": "True"}),
    "further options": (
        ["--fmriprep-args", "--level full --me-t2s-fit-method curvefit --force syn-sdc "
         "--subject-anatomical-reference sessionwise --slice-time-ref 0"],
        {"level": "full", "me_t2s_fit_method": "curvefit", "force": "['syn-sdc']",
         "subject_anatomical_reference": "sessionwise", "slice_time_ref": "0.0"}),
    "database": (["--bids-database-dir", "{place}/data base"], {
        "bids_database_dir": "{place}/data base"}),
    "derivatives": (["-d", "smriprep={place}/smriprep of us"], {
        "derivatives": "{{'smriprep': PosixPath('{place}/smriprep of us')}}"}),
    "selection": (["--session-label", "1", "--task-label", "rest", "--run-label", "1"], {
        "bids_filters": "{{'bold': {{'session': '1', 'task': 'rest', 'run': '01'}}, "
                        "'t1w': {{'session': '1'}}}}"}),
    "filter file": (["--bids-filter-file", "{place}/filter.json"], {
        "bids_filters": "{{'bold': {{'session': ['1', '2'], 'task': 'nback', "
                        "'run': <Query.NONE: 1>}}, 't1w': {{'acquisition': <Query.NONE: 1>}}, "
                        "'t2w': {{'session': <Query.REQUIRED: 2>}}}}"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Folder with a blank in its name, with a dataset and a licence."""
    place = tmp_path_factory.mktemp("fmriprep") / "my study"
    write_sessions(place / "raw")
    (place / "licence.txt").write_text("x")
    write(place / "smriprep of us" / "dataset_description.json", {"DatasetType": "derivative"})
    write(place / "filter.json", {"bold": {"run": None}, "t1w": {"acquisition": None},
                                  "t2w": {"session": "*"}, "eeg": {"task": "x"}})  # fmt: skip
    return place


@pytest.fixture(scope="module", autouse=True)
def environment(place):
    """The programs of fMRIPrep on PATH, with stand-ins for what they call."""
    with pytest.MonkeyPatch.context() as patch:
        programs = [str(write_programs(place / "bin")), PROGRAMS, os.environ["PATH"]]
        patch.setenv("PATH", os.pathsep.join(programs))
        patch.setenv("TEMPLATEFLOW_HOME", str(place / "templates"))
        patch.setenv("FS_LICENSE", str(place / "licence.txt"))
        patch.setenv("NO_ET", "1")
        patch.delenv("PYTHONPATH", raising=False)
        yield


@pytest.fixture(scope="module")
def parsed(place):
    """What fMRIPrep understands by each command, by the name of the combination."""
    commands = []
    for name, (words, _) in COMBINATIONS.items():
        words = [word.format(place=place) for word in words]
        commands.append(words_of(fmriprep_node(place / "raw", place / name, *words))[1:])
    done = subprocess.run(
        [f"{PROGRAMS}/python", "-W", "ignore", Path(__file__).parent / "parse_commands.py"],
        input=json.dumps(commands), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return dict(zip(COMBINATIONS, json.loads(done.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("name", COMBINATIONS)
def test_fmriprep_understands_the_options_as_they_were_meant(parsed, place, name):
    expected = {k: v.format(place=place) for k, v in COMBINATIONS[name][1].items()}
    understood = parsed[name]
    assert "error" not in understood, understood["error"]
    assert {option: understood.get(option) for option in expected} == expected
    assert understood["bids_dir"] == str(place / "raw")
    assert understood["fs_license_file"] == str(place / "licence.txt")


@pytest.fixture(scope="module")
def done(place):
    """The node of one participant after fMRIPrep built its whole graph, without running it."""
    write_templates(f"{PROGRAMS}/python", place / "templates")
    words = ["--session-label", "1", "--task-label", "rest", "--run-label", "2",
             "--skip-bids-validation",
             "--fmriprep-args", "--boilerplate-only --md-only-boilerplate"]  # fmt: skip
    node = fmriprep_node(place / "raw", place / "out", *words)
    node.base_dir = str(place / "out" / "work")
    node.run()
    return node


class TestGraph:
    def test_is_built_from_the_command_of_the_workflow(self, done):
        assert "nodes built successfully" in done.result.runtime.merged
        assert value_of(words_of(done), "--participant-label") == ["01"]

    def test_contains_the_selected_run_only(self, done, place):
        folder = Path(done.result.outputs.out_dir)
        assert folder == place / "out" / "sourcedata" / "fmriprep"
        text = (folder / "logs" / "CITATION.md").read_text()
        assert "For each of the 1 BOLD runs found per subject" in text
        (settings,) = folder.glob("sub-01/**/log/*/fmriprep.toml")
        assert "memory_gb = 16.0" in settings.read_text()


def test_a_graph_that_cannot_be_built_is_reported_with_the_words_of_fmriprep(place):
    shutil.rmtree(place / "bin")
    node = fmriprep_node(
        place / "raw", place / "failing", "--fmriprep-args", "--no-such-option", "--sloppy"
    )
    node.base_dir = str(place / "failing" / "work")
    with pytest.raises(Exception, match=r"(?s)exit code 2; .*unrecognized arguments: --no-such"):
        node.run()
