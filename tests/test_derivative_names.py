"""Names of outputs: one table of PyBIDS path patterns, in the order of BIDS."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from bids.layout import parse_file_entities
from bidsschematools.schema import load_schema

from brainfm.errors import DataError
from brainfm.files import read_json
from brainfm.storage.derivatives.names import PATTERNS_FILE, derivative_path, name_problem

PATTERNS = read_json(PATTERNS_FILE)["default_path_patterns"]
#: Written by fMRIPrep and XCP-D where BIDS has no place for them.
NOT_BIDS = ("cohort", "stat")
#: Labels where a letter is not allowed.
LABELS = {"subject": "01", "session": "pre", "run": "01", "echo": "2", "part": "mag", "chunk": "3"}
MANY = "sub-01_ses-pre_task-rest_acq-a_ce-b_rec-c_dir-AP_run-01_echo-2_part-mag"


def entities_in(pattern):
    return re.findall(r"([a-z]+)-\{(\w+)\}", pattern.rpartition("/")[2])


def choices(pattern, entity):
    return re.search(rf"\{{{entity}<([^>]+)>", pattern)[1].split("|")


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pattern_is_written_and_parsed_back(pattern):
    labels = {long: LABELS.get(long, "x") for _, long in entities_in(pattern)}
    (datatype,) = choices(pattern, "datatype")
    for suffix in choices(pattern, "suffix"):
        for extension in choices(pattern, "extension"):
            kind = {"datatype": datatype, "suffix": suffix, "extension": extension}
            path = derivative_path("/out", f"sub-01_{suffix}.x", **kind, **labels)
            config = ["bids", "derivatives", str(PATTERNS_FILE)]
            found = {k: str(v) for k, v in parse_file_entities(str(path), config=config).items()}
            if datatype == "figures":  # no datatype of BIDS
                del kind["datatype"]
            assert found == labels | kind


@pytest.mark.parametrize("pattern", PATTERNS)
def test_each_pattern_has_the_entities_in_the_order_of_bids(pattern):
    schema = load_schema()
    order = [schema.objects.entities[name].name for name in schema.rules.entities]
    found = [short for short, _ in entities_in(pattern) if short not in NOT_BIDS]
    assert found == sorted(found, key=order.index)


def test_the_entities_of_a_run_stay_with_its_outputs_in_the_order_of_bids():
    shuffled = "_".join([MANY.split("_")[0], *reversed(MANY.split("_")[1:])])
    for raw in (MANY, shuffled):
        path = derivative_path(
            "/out", f"/raw/{raw}_bold.nii.gz", datatype="func", suffix="timeseries",
            extension=".tsv", desc="denoised", scale="100", seg="7n", atlas="A", space="M", res="2",
        )  # fmt: skip
        assert path == Path(
            f"/out/sub-01/ses-pre/func/{MANY}_space-M_atlas-A_seg-7n_scale-100_res-2"
            "_desc-denoised_timeseries.tsv"
        )


def test_figures_of_all_sessions_lie_in_one_folder_of_the_participant():
    path = derivative_path("out", "sub-1_ses-2_T1w.nii", datatype="figures", desc="brain",
                           suffix="T1w", extension=".png")  # fmt: skip
    assert path == Path("out/sub-1/figures/sub-1_ses-2_desc-brain_T1w.png")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("sub-01_task-rest_foo-1_bold.nii", r"has 'foo-1' in its name; expected entities are sub,"),
        ("sub-01_task-rest_first_bold.nii", r"has 'first' in its name"),
        ("sub-01_run-1_run-2_bold.nii", r"lacks sub-<label> or repeats an entity"),
        ("task-rest_bold.nii", r"lacks sub-<label> or repeats an entity"),
        ("sub-01_task-a-b_bold.nii", r"has 'task-a-b' in its name"),
    ],
)
def test_a_file_whose_name_is_not_bids_is_refused(name, problem):
    assert re.match(problem, name_problem(name, "func"))
    with pytest.raises(DataError, match=rf"^{name} {problem}"):
        derivative_path("out", name, datatype="func", suffix="bold", extension=".json")


def test_entities_of_another_modality_are_refused():
    assert name_problem("sub-01_task-rest_dir-AP_bold.nii", "func") is None
    assert "has 'dir-AP'" in name_problem("sub-01_task-rest_dir-AP_eeg.edf", "eeg")


@pytest.mark.parametrize("wrong", [{"suffix": "sbref"}, {"flavour": "x"}, {"desc": "a_b"}])
def test_entities_without_a_pattern_are_refused(wrong):
    name = {"suffix": "bold", "extension": ".json", "desc": "x", **wrong}
    with pytest.raises(DataError, match=r"derivative_patterns.json has no pattern for .*=\w+"):
        derivative_path("out", "sub-01_bold.nii", datatype="func", **name)


def test_names_are_checked_without_pybids():
    code = (
        "import sys; from brainfm.storage.derivatives.names import name_problem; "
        "name_problem('sub-01_bold.nii', 'func'); sys.exit('bids' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
