"""PyBIDS finds the same files, the same metadata and the same selection by filter files."""

import re
from pathlib import Path

import pytest
from bids import BIDSLayout, BIDSLayoutIndexer
from bids.layout import Query
from skeleton import write

from brainfm.errors import UsageError
from brainfm.storage.bids.filters import read_filters
from brainfm.storage.bids.query import QUERIES, participants_of, raw_runs

#: Folders without T1w images, BOLD or EEG, which PyBIDS need not index.
IGNORED = re.compile(r"/(dwi|fmap|meg|ieeg|nirs|emg|derivatives|sourcedata|code|stimuli)/")
EXTENSIONS = [extension for _, _, extensions in QUERIES.values() for extension in extensions]
#: Two sidecars in one folder fit these images; PyBIDS prefers the less specific one.
DIFFERENCES = {"ds000001-fmriprep": "_space-MNI152NLin2009cAsym_res-2_desc-preproc_T1w.nii.gz"}


def by_walker(dataset):
    runs = raw_runs(dataset, participants=participants_of(dataset))
    return {run.path.relative_to(dataset).as_posix(): run.metadata for run in runs}


def by_pybids(dataset):
    indexer = BIDSLayoutIndexer(
        validate=False, ignore=[IGNORED], suffix=["T1w", "bold", "eeg"], extension=EXTENSIONS
    )
    layout = BIDSLayout(dataset, indexer=indexer)
    return {
        Path(file.path).relative_to(dataset).as_posix(): dict(file.get_metadata())
        for datatype, suffix, extensions in QUERIES.values()
        for file in layout.get(
            datatype=datatype, suffix=suffix, extension=list(extensions), subject=Query.ANY
        )
    }


@pytest.mark.slow
def test_the_walker_agrees_with_pybids_on_107_of_108_example_datasets(real_data):
    datasets = sorted(real_data("bids-examples").glob("*/dataset_description.json"))
    assert len(datasets) == 108
    n_files = 0
    for dataset in [path.parent for path in datasets]:
        ours, theirs = by_walker(dataset), by_pybids(dataset)
        assert set(ours) == set(theirs), dataset.name
        different = {name for name in ours if ours[name] != theirs[name]}
        expected = DIFFERENCES.get(dataset.name)
        assert different == {name for name in ours if expected and name.endswith(expected)}
        n_files += len(ours)
    assert n_files > 3000


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Dataset with sessions, padded runs, echoes and parts; files are empty."""
    root = tmp_path_factory.mktemp("pybids") / "raw"
    write(root / "dataset_description.json", {"Name": "names", "BIDSVersion": "1.10.0"})
    write(root / "task-rest_bold.json", {"RepetitionTime": 2.0, "Manufacturer": "A"})
    write(root / "task-film_bold.json", {"RepetitionTime": 1.5, "EchoTrain": 3})
    names = ("task-rest", "task-rest_run-01", "task-rest_run-2", "task-film_echo-1",
             "task-film_echo-2", "task-film_acq-fast_part-mag", "task-restless_dir-AP")  # fmt: skip
    for session in ("1", "02"):
        for name in names:
            path = root / "sub-01" / f"ses-{session}" / "func"
            path.mkdir(parents=True, exist_ok=True)
            (path / f"sub-01_ses-{session}_{name}_bold.nii.gz").touch()
    (root / "sub-01" / "ses-1" / "func" / "sub-01_ses-1_task-rest_run-3_bold.nii").touch()
    return root


@pytest.fixture(scope="module")
def layout(raw):
    return BIDSLayout(raw, validate=False)


def selected(raw, tmp_path, query):
    write(tmp_path / "filter.json", {"bold": query, "fmap": {"session": "9"}})
    filters = read_filters(tmp_path / "filter.json", QUERIES)
    return {run.path.name for run in raw_runs(raw, participants=["01"], filters=filters)}


@pytest.mark.parametrize(
    "query",
    [
        {"task": "rest"},
        {"task": ["film", "rest"]},
        {"run": None},
        {"run": "*"},
        {"run": 1},
        {"run": "1"},
        {"run": [1, 2]},
        {"run": [None, 2]},
        {"run": [None, "*"]},
        {"echo": 1},
        {"echo": ["2", None]},
        {"session": "02"},
        {"session": "2"},
        {"session": []},
        {"part": ["mag", None]},
        {"acquisition": "*", "direction": None},
        {"extension": "nii"},
        {"extension": [".nii", "nii.gz"]},
        {"datatype": "func", "suffix": "bold"},
        {"task": "^rest$", "regex_search": True},
        {"task": "REST", "regex_search": True},
        {"task": ["^f", "less$"], "run": None, "regex_search": True},
        {"RepetitionTime": 2.0},
        {"RepetitionTime": [1.5, None]},
        {"Manufacturer": "A", "session": "1"},
        {"Manufacturer": None},
        {"EchoTrain": "*"},
        {"EchoTrain": 3},
    ],
    ids=str,
)
def test_a_filter_file_selects_what_pybids_selects(raw, layout, tmp_path, query):
    special = {None: Query.NONE, "*": Query.ANY}
    given = {
        name: [special.get(item, item) for item in value]
        if isinstance(value, list)
        else special.get(value, value)
        for name, value in query.items()
    }
    given = {"suffix": "bold", "extension": [".nii", ".nii.gz"], **given}
    expected = {Path(path).name for path in layout.get(return_type="file", **given)}
    assert selected(raw, tmp_path, query) == expected


@pytest.mark.parametrize(
    ("spelled", "value"),
    [("Query.NONE", None), ("<Query.NONE: 1>", None), ("Query.ANY", "*"),
     ("Query.REQUIRED", "*"), ("Query.OPTIONAL", ["*", None])],
)  # fmt: skip
def test_queries_written_out_are_understood(raw, tmp_path, spelled, value):
    assert selected(raw, tmp_path, {"run": spelled}) == selected(raw, tmp_path, {"run": value})


@pytest.mark.parametrize("name", ["tsk", "Task", "return_type", "sub_ject"])
def test_a_name_that_pybids_does_not_know_is_refused(raw, tmp_path, name):
    with pytest.raises(UsageError, match=rf"no entity '{name}'; expected one of subject, session"):
        selected(raw, tmp_path, {name: "x"})
