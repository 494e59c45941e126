"""Standardised recordings are selected by labels, filter files and exclusion lists."""

import json

import numpy as np
import pytest
from derivatives import labels, write_clean_eeg, write_dataset, write_series

from brainfm import add_to_corpus, load_recordings
from brainfm.errors import DataError, MissingInput, NothingSelected
from brainfm.stages.corpus.duplicates import check_duplicates
from brainfm.stages.corpus.included import included_recordings
from brainfm.storage.derivatives.exclusions import read_exclusions
from brainfm.storage.derivatives.selection import make_selection


@pytest.fixture
def dataset(tmp_path):
    """Two people, two tasks with two runs each, and one EEG."""
    root = tmp_path / "data"
    number = 0
    for label in ("01", "02"):
        for task in ("rest", "film"):
            for run in ("01", "02"):
                number += 1
                write_series(root, label, task=task, more=f"_run-{run}", seed=number)
    write_clean_eeg(root, "01")
    return root


def listed(tmp_path, text):
    path = tmp_path / "exclude.tsv"
    path.write_text(text)
    return path


class TestLabels:
    @pytest.mark.parametrize(
        ("selected", "n_found"),
        [
            ({}, 9),
            ({"task": "film"}, 4),
            ({"run": "1"}, 4),
            ({"run": ["run-02"], "participant": "sub-01"}, 2),
            ({"participant": ["01", "02"], "task": ["task-rest"], "modality": "bold"}, 4),
        ],
    )
    def test_labels_select_as_at_the_participant_level(self, dataset, selected, n_found):
        assert len(load_recordings(dataset, **selected).recordings) == n_found

    @pytest.mark.parametrize(
        ("filters", "n_found"),
        [
            ({"bold": {"task": "rest", "run": 1}}, 3),
            ({"bold": {"task": "rest", "suffix": "bold", "extension": ".nii.gz"}}, 5),
            ({"bold": {"RepetitionTime": 2.0}, "eeg": {"run": None}, "t1w": {"run": 5}}, 9),
            ({"bold": {"direction": "*"}}, 1),
            ({"bold": {"RepetitionTime": 3.0}}, 1),
        ],
    )
    def test_a_filter_file_selects_derivatives_by_the_labels_they_keep(
        self, dataset, tmp_path, filters, n_found
    ):
        path = tmp_path / "filter.json"
        path.write_text(json.dumps(filters))
        assert len(load_recordings(dataset, bids_filter_file=path).recordings) == n_found

    def test_a_participant_that_is_not_there_is_named(self, dataset, caplog):
        load_recordings(dataset, participant=["01", "77"])
        assert "no recording of participant 77 is there" in caplog.text


class TestExclusionList:
    def test_a_row_leaves_out_all_recordings_with_its_labels(self, dataset, tmp_path):
        text = (
            "participant_id\ttask\trun\treason\nsub-01\trest\t1\tmotion\n02\tn/a\tn/a\twithdrew\n"
        )
        table = load_recordings(dataset, exclude=listed(tmp_path, text), modality="bold")
        found = {(one.participant, one.task, one.run) for one in table.recordings}
        assert found == {("01", "rest", "02"), ("01", "film", "01"), ("01", "film", "02")}

    @pytest.mark.parametrize("column", ["dir", "direction"])
    def test_columns_have_the_short_or_the_long_name_of_an_entity(self, tmp_path, column):
        for direction in ("AP", "PA"):
            write_series(tmp_path / "data", "01", more=f"_dir-{direction}")
        path = listed(tmp_path, f"participant_id\t{column}\nsub-01\tAP\n")
        (one,) = load_recordings(tmp_path / "data", exclude=path).recordings
        assert one.direction == "PA"

    def test_one_modality_or_dataset_can_be_left_out(self, dataset, tmp_path):
        (dataset / "dataset_description.json").write_text('{"Name": "Mine"}')
        text = "participant_id\tdataset\tmodality\nsub-01\tMine\teeg\nsub-02\tYours\tn/a\n"
        found = load_recordings(dataset, exclude=listed(tmp_path, text)).recordings
        assert [one.modality for one in found] == ["bold"] * 8

    def test_reasons_are_counted_and_rows_without_a_recording_named(
        self, dataset, tmp_path, caplog
    ):
        caplog.set_level("INFO")
        text = (
            "participant_id\ttask\treason\n"
            "sub-01\tfilm\tmotion\nsub-09\trest\t\nsub-02\trest\tmotion\n"
        )
        load_recordings(dataset, exclude=listed(tmp_path, text), task="film")
        assert "2 recordings of 1 participants are excluded: motion (2)" in caplog.text
        # Recordings of another task are not selected, but they are there.
        assert "1 rows of the exclusion list match no recording: sub-09 task-rest" in caplog.text

    def test_an_excluded_recording_is_not_opened(self, dataset, tmp_path):
        broken = write_series(dataset, "03")
        broken.with_suffix(".json").write_text("{")
        path = listed(tmp_path, "participant_id\treason\nsub-03\tbroken\n")
        assert len(load_recordings(dataset, exclude=path)) == 9

    def test_a_corpus_loses_what_is_excluded_later(self, dataset, tmp_path):
        add_to_corpus(dataset, tmp_path / "corpus", modality="bold")
        path = listed(tmp_path, "participant_id\ttask\nsub-01\trest\n")
        add_to_corpus(dataset, tmp_path / "corpus", modality="bold", exclude=path)
        left = labels(tmp_path / "corpus")
        assert len(left) == 6
        assert ("data", "01", "rest", "01", "bold") not in left

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("participant_id\ttasks\nsub-01\trest\n", r"has a column 'tasks'; expected"),
            ("participant_id,reason\nsub-01,motion\n", r"has a column 'participant_id,reason'"),
            ("task\treason\nrest\tmotion\n", r"has no column participant_id; expected"),
            ("participant_id\ttask\nsub-01\trest\n\trest\n", r"line 3, names no participant"),
        ],
    )
    def test_a_malformed_list_is_refused_before_it_excludes_too_much(self, tmp_path, text, words):
        with pytest.raises(DataError, match=words):
            read_exclusions(listed(tmp_path, text))

    def test_a_list_that_does_not_exist_is_refused(self, tmp_path):
        with pytest.raises(MissingInput, match=r"nothing.tsv cannot be read"):
            read_exclusions(tmp_path / "nothing.tsv")

    def test_excluding_everything_is_refused(self, dataset, tmp_path):
        path = listed(tmp_path, "participant_id\nsub-01\nsub-02\n")
        with pytest.raises(NothingSelected, match=r"no standardised recording is selected"):
            included_recordings([dataset], tmp_path / "corpus", make_selection(exclude=path))


class TestIdenticalRecordings:
    def test_the_refusal_prints_the_exclusion_list_that_is_the_way_out(self, tmp_path):
        root = write_dataset(tmp_path / "data", "One", ["01", "02"])
        write_series(root, "03", seed=300)
        with pytest.raises(DataError) as refusal:
            check_duplicates(load_recordings(root).recordings)
        said = str(refusal.value)
        assert "are identical (1 in total: One/01 and One/03)" in said
        table = said[said.index("participant_id") :]
        path = listed(tmp_path, table + "\n")
        check_duplicates(load_recordings(root, exclude=path).recordings)
        assert [str(one) for one in read_exclusions(path)] == ["sub-03"]
        assert read_exclusions(path)[0].reason == "identical to sub-01"

    def test_the_dataset_is_listed_where_two_hold_one_label(self, tmp_path):
        roots = [write_dataset(tmp_path / name, name, ["01"]) for name in ("One", "Two")]
        recordings = [one for root in roots for one in load_recordings(root).recordings]
        with pytest.raises(DataError, match=r"sub-01\tTwo\tidentical to sub-01 of One"):
            check_duplicates(recordings)

    def test_identical_numbers_written_differently_are_found(self, tmp_path):
        def rounded(frame):
            frame[:] = frame.round(1)

        one = write_series(tmp_path / "data", "01", edit=rounded)
        two = write_series(tmp_path / "data", "02", edit=rounded)
        two.write_text(two.read_text().replace(".1\t", ".10\t"))
        assert one.read_bytes() != two.read_bytes()
        with pytest.raises(DataError, match=r"identical \(1 in total"):
            check_duplicates(load_recordings(tmp_path / "data").recordings)

    def test_recordings_that_only_begin_alike_are_accepted(self, tmp_path):
        def change_the_end(frame):
            frame.iloc[-1] += np.float32(1)

        write_series(tmp_path / "data", "01")
        write_series(tmp_path / "data", "02", edit=change_the_end)
        check_duplicates(load_recordings(tmp_path / "data").recordings)

    def test_a_copy_of_a_run_under_another_run_of_one_person_is_named(self, tmp_path, caplog):
        for echo in ("1", "2"):
            write_series(tmp_path / "data", "01", more=f"_echo-{echo}")
        check_duplicates(load_recordings(tmp_path / "data").recordings)
        assert "of one participant are identical, and count as 2: <Recording sub-01" in caplog.text
