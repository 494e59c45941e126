"""The query of raw runs: selection, sidecars, filters and refusals."""

import json
import os

import pytest
from skeleton import write, write_mri, write_skeleton

from brainfm.errors import MissingInput, UsageError
from brainfm.storage.bids.filters import read_filters
from brainfm.storage.bids.names import entities_of, extension_of, stem_of
from brainfm.storage.bids.query import QUERIES, participants_of, raw_runs


@pytest.fixture
def dataset(tmp_path):
    return write_skeleton(tmp_path / "raw")


def names(runs):
    return [run.name for run in runs]


class TestNames:
    def test_a_name_is_parsed_into_entities(self):
        path = "x/sub-01_ses-2_task-rest_run-1_bold.nii.gz"
        assert stem_of(path) == "sub-01_ses-2_task-rest_run-1"
        assert extension_of(path) == ".nii.gz"
        assert entities_of(path) == {"sub": "01", "ses": "2", "task": "rest", "run": "1"}


class TestSelection:
    def test_all_raw_runs_of_the_participants_are_found(self, dataset):
        assert participants_of(dataset) == ["01", "02"]
        found = raw_runs(dataset, participants=["02"])
        assert names(found) == ["sub-02_T1w", "sub-02_task-rest_bold", "sub-02_task-rest_eeg"]

    def test_labels_select_recordings_but_not_t1w_images(self, dataset):
        write_mri(dataset, "01", task="film")
        found = raw_runs(dataset, participants=["01"], tasks=["film"])
        assert names(found) == ["sub-01_T1w", "sub-01_task-film_bold"]

    def test_run_01_is_run_1(self, tmp_path):
        path = tmp_path / "sub-1" / "func" / "sub-1_task-rest_run-01_bold.nii.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
        assert len(raw_runs(tmp_path, participants=["1"], runs=["1"])) == 1
        assert not raw_runs(tmp_path, participants=["1"], runs=["2"])

    @pytest.mark.parametrize(
        ("query", "n_selected"),
        [({"task": "rest"}, 1), ({"task": ["film", "rest"]}, 2), ({"run": None}, 2),
         ({"run": "*"}, 0), ({"session": "1"}, 0), ({"datatype": "func", "suffix": "bold"}, 2)],
        ids=str,
    )  # fmt: skip
    def test_a_filter_file_selects_runs(self, dataset, tmp_path, query, n_selected):
        write_mri(dataset, "01", task="film")
        write(tmp_path / "filter.json", {"bold": query, "fmap": {"session": "9"}})
        filters = read_filters(tmp_path / "filter.json", QUERIES)
        found = raw_runs(dataset, participants=["01"], filters=filters)
        assert sum(run.modality == "bold" for run in found) == n_selected


class TestSidecars:
    def test_the_nearer_sidecar_wins_and_the_farther_fills_in(self, dataset):
        write(dataset / "sub-01" / "func" / "sub-01_task-rest_bold.json", {"RepetitionTime": 1.5})
        write(dataset / "bold.json", {"MagneticFieldStrength": 3, "RepetitionTime": 9})
        first, second = (
            raw_runs(dataset, participants=[label], tasks=["rest"])[1] for label in ("01", "02")
        )
        assert first.metadata == {
            "MagneticFieldStrength": 3,
            "RepetitionTime": 1.5,
            "TaskName": "rest",
        }
        assert second.metadata["RepetitionTime"] == 2.0

    def test_a_sidecar_of_another_task_is_not_used(self, dataset):
        write(dataset / "task-film_bold.json", {"RepetitionTime": 7})
        assert raw_runs(dataset, participants=["01"])[1].metadata["RepetitionTime"] == 2.0

    def test_a_broken_sidecar_is_a_problem_of_its_runs_and_does_not_stop_the_query(self, dataset):
        (dataset / "sub-01" / "func" / "sub-01_task-rest_bold.json").write_text("{")
        bold = raw_runs(dataset, participants=["01"])[1]
        assert "is not valid JSON" in bold.problems[0]


class TestRobustness:
    def test_broken_links_are_listed(self, dataset):
        path = dataset / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
        path.unlink()
        path.symlink_to("../../.git/annex/objects/gone")
        assert "sub-01_T1w" in names(raw_runs(dataset, participants=["01"]))

    def test_folders_of_other_participants_are_never_opened(self, dataset, monkeypatch):
        seen, listdir = [], os.listdir
        monkeypatch.setattr(os, "listdir", lambda p: seen.append(str(p)) or listdir(p))
        raw_runs(dataset, participants=["01"])
        assert seen
        assert not [path for path in seen if "sub-02" in path]

    @pytest.mark.parametrize("label", ["../secret", "01/../02", "", "*"])
    def test_a_label_that_is_a_path_is_refused(self, dataset, label):
        with pytest.raises(UsageError, match=r"is not a BIDS label; expected letters and digits"):
            raw_runs(dataset, participants=[label])

    def test_a_file_in_the_folder_of_another_is_a_problem(self, dataset):
        folder = dataset / "sub-01" / "eeg"
        os.rename(folder / "sub-01_task-rest_eeg.edf", folder / "sub-02_task-rest_eeg.edf")
        eeg = raw_runs(dataset, participants=["01"])[-1]
        assert eeg.participant == "01"
        assert "does not carry the participant of its folder" in eeg.misnamed


class TestFilterFiles:
    @pytest.mark.parametrize(
        ("content", "text"),
        [("{", "is not valid JSON"), ("[]", r"expected \{query: \{entity: value\}\}"),
         (json.dumps({"boldd": {}}), "no query 'boldd'; expected t1w, bold, eeg"),
         (json.dumps({"bold": {"tsk": "a"}}), "no entity 'tsk'; expected one of")],
    )  # fmt: skip
    def test_a_malformed_filter_file_is_refused(self, tmp_path, content, text):
        (tmp_path / "f.json").write_text(content)
        with pytest.raises(UsageError, match=text):
            read_filters(tmp_path / "f.json", QUERIES)

    def test_a_missing_filter_file_is_refused(self):
        with pytest.raises(MissingInput, match=r"--bids-filter-file /none.json"):
            read_filters("/none.json", QUERIES)
