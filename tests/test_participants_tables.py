"""Tables of participants as real datasets have them: files, labels, sessions, names."""

import json
import logging

import numpy as np
import pytest
from tables import Dataset, one, rows

from brainfm.config import EvaluateConfig
from brainfm.errors import DataError, NothingSelected, UsageError
from brainfm.files import read_tsv
from brainfm.models.features.covariates import design_matrix
from brainfm.stages.evaluate.design import build_design
from brainfm.stages.evaluate.match_labels import match_labels
from brainfm.stages.evaluate.participants_table import summarise_match
from brainfm.stages.evaluate.refusals import find_column
from brainfm.stages.evaluate.run import evaluate_outputs
from brainfm.stages.report.group import write_group_report
from brainfm.storage.bids.participants import available_columns, find_tables


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path)


class TestFiles:
    table = "participant_id\tsite\nsub-1\tZürich\nsub-2\tGraz\n"

    @pytest.mark.parametrize(
        "encoding", ["utf8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"]
    )
    def test_every_usual_encoding_gives_the_same_values_and_is_named(self, dataset, encoding):
        dataset.write("participants.tsv", self.table, encoding)
        values, _ = dataset.column("site")
        assert list(values) == ["Zürich", "Graz"]
        told = " ".join(dataset.read().attrs["notes"])
        assert ("is not UTF-8: read as" in told) == (encoding not in ("utf8", "utf-8-sig"))

    def test_signs_of_windows_are_read(self, dataset):
        dataset.write("participants.tsv", b"participant_id\tdose\nsub-1\t5 \x80\n")
        assert list(dataset.column("dose")[0]) == ["5 €"]

    def test_a_spreadsheet_under_another_name_is_refused(self, dataset):
        dataset.write("participants.tsv", b"PK\x03\x04\0\0\x08\0" + bytes(range(256)))
        with pytest.raises(DataError, match="is not a text file, for example a spreadsheet"):
            dataset.read()

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_ends_of_lines_empty_lines_and_blanks_around_values_do_not_matter(self, dataset, end):
        lines = ["participant_id\tgroup ", "sub-1 \tcontrol ", "", "sub-2\t control", ""]
        dataset.write("participants.tsv", end.join(lines))
        assert list(dataset.column("group")[0]) == ["control", "control"]

    def test_quotation_marks_are_removed_in_pairs_and_one_alone_swallows_no_row(self, dataset):
        dataset.write(
            "participants.tsv", 'participant_id\tage\tnote\nsub-1\t"26,9"\t"5\nsub-2\t"27,5"\tx\n'
        )
        assert list(dataset.column("age")[0]) == [26.9, 27.5]
        assert list(dataset.column("note")[0]) == ['"5', "x"]

    def test_a_row_with_more_values_than_columns_is_refused_and_tabs_at_its_end_are_not(
        self, dataset
    ):
        dataset.write("participants.tsv", "participant_id\tage\nsub-1\t20\t\t\nsub-2\n")
        assert dataset.column("age")[1]["n_missing"] == 1
        dataset.write("participants.tsv", "participant_id\tage\nsub-1\t20\tM\n")
        with pytest.raises(DataError, match=r"3 values in row 2 and 2 columns: expected"):
            dataset.read()

    def test_columns_separated_by_commas_are_refused(self, dataset):
        dataset.write("participants.tsv", "participant_id,age\nsub-1,20\n")
        with pytest.raises(DataError, match="columns are not separated by tabs"):
            dataset.read()

    def test_two_columns_of_one_name_are_numbered(self, dataset):
        dataset.write("participants.tsv", "participant_id\tage\tage\nsub-1\t20\t30\n")
        table = dataset.read()
        assert available_columns(table) == ["age (2)", "age (3)"]
        assert "has several columns age" in table.attrs["notes"][0]

    def test_a_description_that_is_no_json_is_refused(self, dataset):
        dataset.write("participants.tsv", self.table)
        dataset.write("participants.json", '{"site": }')
        with pytest.raises(DataError, match=r"participants.json is not valid JSON"):
            dataset.read()

    def test_any_other_table_that_is_not_utf8_is_read_with_a_warning(self, tmp_path, caplog):
        path = tmp_path / "channels.tsv"
        path.write_bytes("name\tunits\nCz\tµV\n".encode("latin-1"))
        assert read_tsv(path)["units"].tolist() == ["µV"]
        assert "channels.tsv is not UTF-8: read as Windows-1252" in caplog.text

    def test_hidden_files_are_no_tables(self, dataset):
        dataset.write("participants.tsv", self.table)
        dataset.write("._participants.tsv", b"\0\x05\x16")
        dataset.write("phenotype/._ace.tsv", b"\0\x05\x16")
        assert [path.name for path in find_tables(dataset.root)] == ["participants.tsv"]

    def test_a_link_to_missing_content_costs_its_own_columns_only(self, dataset):
        dataset.write("participants.tsv", self.table)
        (dataset.root / "phenotype").mkdir()
        (dataset.root / "phenotype" / "ace.tsv").symlink_to(dataset.root / "absent")
        table = dataset.read()
        assert "phenotype/ace.tsv was not read: it is a link" in table.attrs["notes"][0]
        assert available_columns(table) == ["site"]


class TestLabels:
    @pytest.mark.parametrize("written", ["1", "sub-1", "001", "1.0", "Sub-01", "sub-001"])
    def test_a_label_is_matched_without_padding(self, written):
        assert match_labels([written], {"001", "002"}, "sub") == {written: "001"}

    def test_signs_and_case_do_not_matter(self):
        assert match_labels(["CC_0001"], {"cc0001"}, "sub") == {"CC_0001": "cc0001"}

    def test_equal_labels_come_first(self):
        found = match_labels(["01", "001"], {"01", "001", "1"}, "sub")
        assert found == {"01": "01", "001": "001"}

    @pytest.mark.parametrize(
        ("written", "labels"), [(["1", "01"], ["001"]), (["1"], ["01", "001"])]
    )
    def test_two_labels_that_may_be_meant_are_refused(self, written, labels):
        with pytest.raises(DataError, match="so that it is clear which row is whose"):
            match_labels(written, labels, "sub")

    def test_people_without_row_and_rows_without_person_are_counted(self, dataset):
        dataset.write("participants.tsv", rows("participant_id age", [1, 20], [2, 30], [9, 50]))
        recordings = [one("01"), one("02"), one("03")]
        found = summarise_match(recordings, dataset.read())
        assert (found["n_matched"], found["n_without_row"]) == (2, 1)
        assert found["n_rows_without_recording"] == 1
        assert "2 of 2 participants are written otherwise in the table" in found["notes"][0]
        assert "1 participants have no row in the table: sub-03" in found["notes"][1]

    def test_a_table_of_other_people_is_refused(self, dataset):
        dataset.write("participants.tsv", rows("participant_id age", *[[n, n] for n in range(9)]))
        recordings = [one(f"x{n}") for n in range(9)]
        with pytest.raises(NothingSelected, match=r"no participant of the recordings \(sub-x0"):
            build_design(EvaluateConfig(target="age"), recordings, participants=dataset.read())


class TestSessions:
    def test_the_value_of_the_session_of_the_recording_is_used(self, dataset):
        dataset.write("participants.tsv", rows(
            "participant_id session age sex", ["sub-1", "ses-1", 20, "F"], ["sub-1", "2", 22, "F"],
            ["sub-2", "ses-1", 30, "M"],
        ))  # fmt: skip
        recordings = [one("1", "01"), one("1", "02"), one("2", "01"), one("2", "02")]
        values, decision = dataset.column("age", recordings)
        np.testing.assert_array_equal(values, [20, 22, 30, np.nan])
        assert decision["n_read"] == 2

    def test_tables_of_sessions_are_read_and_win_over_the_participant(self, dataset):
        dataset.write("participants.tsv", rows("participant_id age", ["sub-1", 20], ["sub-2", 30]))
        dataset.write(
            "sub-1/sub-1_sessions.tsv", rows("session_id age", ["ses-1", 21], ["ses-2", 25])
        )
        values, decision = dataset.column("age", [one("1", "1"), one("1", "2"), one("2", "1")])
        assert list(values) == [21, 25, 30]
        assert decision["source"] == "participants.tsv, sub-*/sub-*_sessions.tsv"

    def test_one_value_of_a_session_without_recording_is_used_and_told(self, dataset):
        dataset.write("participants.tsv", rows("participant_id", ["sub-1"], ["sub-2"]))
        dataset.write("phenotype/ace.tsv", rows(
            "participant_id session_id total", ["sub-1", "ses-web", 3], ["sub-2", "ses-web", 4]
        ))  # fmt: skip
        values, decision = dataset.column("total", [one("1", "1"), one("2", "1")])
        assert list(values) == [3, 4]
        assert (
            "2 participants have one value, of a session without recording" in decision["notes"][0]
        )

    def test_several_values_of_other_sessions_are_left_out_and_told(self, dataset):
        dataset.write("participants.tsv", rows(
            "participant_id session_id age", ["sub-1", 1, 20], ["sub-1", 2, 22], ["sub-2", 1, 30]
        ))  # fmt: skip
        values, decision = dataset.column("age", [one("1"), one("2")])
        np.testing.assert_array_equal(values, [np.nan, 30])
        assert "1 participants (sub-1) have values of several sessions" in decision["notes"][0]

    def test_a_row_twice_is_one_and_two_values_are_refused(self, dataset):
        dataset.write("participants.tsv", rows("participant_id age", *[["sub-1", 20]] * 2))
        assert list(dataset.column("age")[0]) == [20]
        dataset.write("participants.tsv", rows("participant_id age", ["sub-1", 20], ["sub-1", 21]))
        with pytest.raises(DataError, match=r"lists sub-1 more than once, .* column session_id"):
            dataset.column("age")


class TestPhenotypes:
    def write(self, dataset, total):
        dataset.write("participants.tsv", rows("participant_id total", ["sub-1", 3], ["sub-2", 4]))
        dataset.write("phenotype/ace.tsv", rows("participant_id total ace", ["1", total, 7]))

    def test_columns_of_phenotype_are_used_by_their_name(self, dataset):
        self.write(dataset, 3)
        dataset.describe("phenotype/ace.json", ace={"Levels": {"7": "missing"}})
        values, decision = dataset.column("ace", [one("1"), one("2")])
        assert values.isna().all()
        assert (decision["n_sentinel"], decision["n_without_row"]) == (1, 1)
        assert decision["source"] == "phenotype/ace.tsv"

    def test_equal_values_of_two_tables_are_one(self, dataset):
        self.write(dataset, "3.0")
        assert list(dataset.column("total", [one("1"), one("2")])[0]) == [3, 4]

    def test_different_values_of_two_tables_are_refused_until_the_table_is_named(self, dataset):
        self.write(dataset, 5)
        words = r"total of sub-1 is 3 in participants.tsv and 5 in phenotype/ace.tsv: give"
        with pytest.raises(DataError, match=words):
            dataset.column("total", [one("1"), one("2")])
        np.testing.assert_array_equal(
            dataset.column("ace.total", [one("1"), one("2")])[0], [5, np.nan]
        )


class TestNames:
    def test_a_column_is_found_in_another_case(self, dataset):
        dataset.write("participants.tsv", rows("participant_id Age", ["sub-1", 20]))
        assert list(dataset.column("age")[0]) == [20]

    def test_columns_that_differ_in_case_only_are_refused_unless_one_is_meant(self):
        assert find_column("Age", ["AGE", "Age"]) == "Age"
        with pytest.raises(UsageError, match=r"no column 'age', but AGE and Age: give one"):
            find_column("age", ["AGE", "Age"])

    def test_a_long_list_of_columns_is_cut(self):
        with pytest.raises(UsageError, match="c39 and 60 more"):
            find_column("x", [f"c{n}" for n in range(100)])


class TestDesign:
    def people(self, dataset, **describe):
        lines = [
            [n, "Patient" if n == 3 else "patient" if n % 2 else "control", n % 3 + 1,
             "89+" if n == 4 else 40 + n]
            for n in range(1, 21)
        ]  # fmt: skip
        dataset.write("participants.tsv", rows("participant_id diagnosis site Age", *lines))
        return dataset.read()

    def test_decisions_about_all_columns_are_kept_and_logged(self, dataset, caplog):
        recordings = [one(f"{n:03d}", seed=n) for n in range(1, 22)]
        with caplog.at_level(logging.WARNING, logger="brainfm"):
            found = build_design(
                EvaluateConfig(target="diagnosis"), recordings, participants=self.people(dataset)
            )
        of = {decision["column"]: decision for decision in found.columns}
        assert list(of) == ["diagnosis", "site", "age"]
        assert of["diagnosis"]["n_without_row"] == 1
        assert (of["age"]["kind"], of["age"]["n_capped"], of["site"]["kind"]) == (
            "numbers", 1, "classes",
        )  # fmt: skip
        assert set(found.confounds["site"]) == {"1", "2", "3"}
        assert found.confounds["age"].max() == 89
        assert set(found.y) == {"patient", "control"}
        assert found.match["n_without_row"] == 1
        for words in ("Patient is read as patient", "at least 89", "are written otherwise"):
            assert words in caplog.text

    def test_the_target_in_another_case_is_no_confound_and_no_colour(self, dataset):
        recordings = [one(f"{n}", seed=n) for n in range(1, 21)]
        config = EvaluateConfig(target="AGE")
        found = build_design(config, recordings, participants=self.people(dataset))
        assert list(found.confounds) == ["site"]
        assert list(found.phenotypes) == ["diagnosis", "site"]

    def test_ages_of_two_sessions_are_permuted_between_participants(self, dataset):
        lines = [[n, session, 20 + n + 2 * session] for n in range(12) for session in (1, 2)]
        dataset.write("participants.tsv", rows("participant_id session_id age", *lines))
        recordings = [one(f"{n}", f"{session}", seed=n) for n in range(12) for session in (1, 2)]
        config = EvaluateConfig(target="age")
        found = build_design(config, recordings, participants=dataset.read())
        assert found.y[:2].tolist() == [22, 24]
        assert set(found.folds.units) == set(found.labels["group"])

    def test_the_few_whose_class_changes_between_sessions_are_left_out(self, dataset):
        lines = [[n, session, "MCI" if n % 2 or (n == 0 and session == 2) else "control"]
                 for n in range(14) for session in (1, 2)]  # fmt: skip
        dataset.write("participants.tsv", rows("participant_id session_id diagnosis", *lines))
        recordings = [one(f"{n}", f"{session}", seed=n) for n in range(14) for session in (1, 2)]
        config = EvaluateConfig(target="diagnosis")
        found = build_design(config, recordings, participants=dataset.read())
        why = "has both classes, where most participants have one"
        assert found.excluded == [{"participant": "0", "why": why}]
        assert set(found.folds.units) == set(found.labels["group"])

    def test_decisions_stand_in_the_answer_and_in_the_report(self, dataset, tmp_path):
        recordings = [one(f"{n:03d}", seed=n) for n in range(1, 13)]
        config = EvaluateConfig(target="diagnosis", n_splits=2, n_permutations=0, n_episodes=0)
        out = tmp_path / "out"
        evaluate_outputs(out, config, recordings=recordings, participants=self.people(dataset))
        found = json.loads((out / "group" / "evaluation.json").read_text(encoding="utf8"))
        assert [one["column"] for one in found["data"]["columns"]] == ["diagnosis", "site", "age"]
        assert found["answer"]["columns"] == (
            "Participants by column: diagnosis (classes): 12 read; site (classes): 12 read; age "
            "(numbers): 12 read, 1 of them known to be at least or at most the value. 8 "
            "participants of the tables have no recording."
        )
        page = write_group_report(out).read_text(encoding="utf8")
        assert "Age: 1 values are at least 89, and are used as that number" in page
        assert "numbers: all values are numbers" in page

    def test_integer_sites_are_regressed_out_as_named_sites_are(self, dataset):
        table = self.people(dataset)
        recordings = [one(f"{n:03d}", seed=n) for n in range(1, 21)]
        design = build_design(EvaluateConfig(target="diagnosis"), recordings, participants=table)
        assert design_matrix(design.confounds[["site"]]).shape == (20, 2)
