"""Tables of participants as real datasets have them: encodings, codes, units, labels, sessions."""

import json
import logging

import numpy as np
import pandas as pd
import pytest
from brains import bold

from brainfm.config import EvaluateConfig
from brainfm.errors import DataError, NothingSelected, UsageError
from brainfm.files import read_tsv
from brainfm.models.features.covariates import design_matrix
from brainfm.stages.evaluate.column_values import interpret_column
from brainfm.stages.evaluate.describe_column import describe_column, is_missing_label
from brainfm.stages.evaluate.design import build_design
from brainfm.stages.evaluate.match_labels import match_labels
from brainfm.stages.evaluate.participants_table import read_columns, summarise_match
from brainfm.stages.evaluate.refusals import find_column
from brainfm.stages.evaluate.run import evaluate_outputs
from brainfm.stages.report.group import write_group_report
from brainfm.storage.bids.participants import available_columns, find_tables, read_participants


def interpret(values, name="score", **sidecar):
    column = pd.Series([*values], dtype=object)
    return interpret_column(column, name, describe_column({"participants.tsv": sidecar}, name))


def texts(found):
    return " / ".join(found.notes)


class Dataset:
    """A dataset of tables in a folder."""

    def __init__(self, root):
        self.root = root

    def write(self, name, text, encoding="utf8"):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))

    def describe(self, name="participants.json", **columns):
        self.write(name, json.dumps(columns))

    def read(self):
        return read_participants(find_tables(self.root))

    def column(self, name, recordings=None):
        table = self.read()
        people = table["participant_id"].str.removeprefix("sub-").unique()
        recordings = recordings or [one(label) for label in people]
        columns, (decision,) = read_columns(recordings, table, [name])
        return columns[name], decision


def one(participant, session=None, seed=0):
    return bold(seed, n_channels=4, n_times=40, participant=participant, session=session)


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path)


def rows(header, *lines):
    return "\n".join("\t".join(map(str, line)) for line in [header.split(), *lines]) + "\n"


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


class TestNumbers:
    @pytest.mark.parametrize(
        ("written", "value"),
        [
            ("26.9", 26.9), ("26,9", 26.9), ("1.234,5", 1234.5), ("-3", -3), ("−3", -3),
            ("1e3", 1000), (".5", 0.5), ("034Y", 34), ("34 years", 34), ("95 %", 95),
        ],
    )  # fmt: skip
    def test_numbers_are_read_as_people_write_them(self, written, value):
        found = interpret([written], "x")
        assert found.kind == "numbers"
        assert found.values[0] == pytest.approx(value)

    @pytest.mark.parametrize(
        ("written", "limit"),
        [("89+", "at least"), ("90+", "at least"), (">89", "at least"), ("≥ 89", "at least"),
         ("89 and over", "at least"), ("89 or older", "at least"), ("< 5", "at most")],
    )  # fmt: skip
    def test_a_capped_age_stays_a_number_and_is_counted(self, written, limit):
        found = interpret(["61", "72.5", written, "n/a"], "age")
        assert found.kind == "numbers"
        assert list(found.status) == ["read", "read", "capped", "missing"]
        assert f"age: 1 values are {limit} {found.values[2]:g}" in texts(found)

    def test_a_comma_that_may_separate_thousands_is_refused_unless_other_values_decide(self):
        with pytest.raises(DataError, match=r"1,234, which may be 1.234 or 1234: write numbers"):
            interpret(["1,234", "2,345"])
        assert list(interpret(["1,234.5", "2,345.5"]).values) == [1234.5, 2345.5]
        assert list(interpret(["1,234", "2,34"]).values) == [1.234, 2.34]

    @pytest.mark.parametrize("values", [["95%", "0.93", "0.9"], ["3 years", "30 months"]])
    def test_values_of_several_units_are_refused(self, values):
        with pytest.raises(DataError, match="has values of different units"):
            interpret(values)

    def test_words_for_missing_among_numbers_are_counted_and_named(self):
        words = ["NaN", "unknown", "None", "-", "N/A", "", "n/a"]
        found = interpret([*words, "20", "30"])
        assert list(found.status) == ["missing"] * 7 + ["read", "read"]
        assert "unknown counts as missing in 1 rows" in texts(found)

    def test_numbers_with_a_few_other_words_are_refused_not_read_as_classes(self):
        with pytest.raises(DataError, match=r"12 numbers and 1 other values \('twenty'\)"):
            interpret([*map(str, range(20, 32)), "twenty"], "age")
        assert interpret([*map(str, range(12)), "3b"], "site").kind == "classes"

    @pytest.mark.parametrize("dates", [["2001-02-03", "2001-02-04"], ["3.2.2001"], ["03/02/01"]])
    def test_dates_are_refused(self, dates):
        with pytest.raises(DataError, match="holds dates or times"):
            interpret(dates, "birth")

    def test_ranges_are_classes(self):
        assert interpret(["20-25", "25-30"], "age").kind == "classes"


class TestSentinels:
    def test_minus_9999_counts_as_missing_and_is_named(self):
        found = interpret([-9999, *range(90, 110), -9999.0], "FIQ")
        assert found.status.tolist() == ["sentinel", *["read"] * 20, "sentinel"]
        assert found.values.min() == 90
        assert "FIQ: -9999 counts as missing in 2 rows, far from all other values" in texts(found)

    @pytest.mark.parametrize("code", [999, 9999, -99, -9, 777, -999])
    def test_repeated_digits_far_from_all_others_count_as_missing(self, code):
        assert interpret([1, 2, 3, 4, code]).status[4] == "sentinel"

    @pytest.mark.parametrize(
        "values", [[97, 98, 99, 101], [-12, -9, 3, 8], [600, 777, 950, 999, 1100]]
    )
    def test_such_numbers_among_the_others_are_values(self, values):
        assert set(interpret(values).status) == {"read"}

    def test_9_and_99_are_kept_and_named_as_possible_sentinels(self):
        found = interpret([1, 2, 1, 2, 9], "answer")
        assert found.values[4] == 9
        assert "answer: 9 may stand for a missing value, in 1 rows" in texts(found)

    @pytest.mark.parametrize(
        "sidecar",
        [
            {"Levels": {"9": "missing"}},
            {"Levels": {"9": {"Description": "Unknown / not reported"}}},
            {"Description": "Number of siblings (9 = not available)"},
            {"Description": "Number of siblings; missing values are coded as 9."},
            {"MissingValues": [9]},
        ],
        ids=["level", "level with description", "before", "after", "field"],
    )
    def test_a_described_code_counts_as_missing_and_the_column_stays_numbers(self, sidecar):
        found = interpret(["1", "2", "1", "3", "9.0"], **sidecar)
        assert found.kind == "numbers"
        assert list(found.status) == ["read"] * 4 + ["sentinel"]
        assert "9 counts as missing in 1 rows, as described" in texts(found)

    def test_a_described_maximum_keeps_a_value(self):
        assert interpret([1, 2, 3, 999], Maximum=1000).status[3] == "read"

    @pytest.mark.parametrize("label", ["Missing limb", "Unknown aetiology", "No", "Refusal task"])
    def test_descriptions_that_only_begin_so_are_values(self, label):
        assert not is_missing_label(label)

    def test_impossible_ages_are_named(self):
        assert "age: 250 is implausible" in texts(interpret([20, 30, 250], "age"))
        assert not interpret([200, 300, 250], "age", Units="months").notes


class TestClasses:
    @pytest.mark.parametrize(
        "name", ["site", "SITE_ID", "sex", "Gender", "DX_GROUP", "scannerID", "hand", "age_group"]
    )
    def test_integers_in_a_column_of_names_are_classes(self, name):
        found = interpret([1, 2, 3, 1, 2, 3], name)
        assert found.kind == "classes"
        assert set(found.values) == {"1", "2", "3"}
        assert "codes" in found.why

    @pytest.mark.parametrize(
        ("name", "values"),
        [("handedness", [100, 86, -84]), ("age_at_diagnosis", [3, 4, 5]), ("n_sites", [1, 2, 3]),
         ("sex", [0.5, 1.5]), ("risk_sex", range(30)), ("group_size", [3, 4])],
    )  # fmt: skip
    def test_scales_and_counts_of_similar_names_are_numbers(self, name, values):
        assert interpret(values, name).kind == "numbers"

    def test_thirty_sites_are_thirty_classes(self):
        found = interpret([*range(30)], "site")
        assert design_matrix(found.values.to_frame()).shape == (30, 29)

    def test_described_codes_are_shown_by_their_labels(self):
        found = interpret(["1", "2.0", "1"], "x", Levels={"1": "male", "2": "female"})
        assert list(found.values) == ["male", "female", "male"]
        assert found.why == "its Levels are described"

    def test_codes_of_text_and_long_labels_are_not_replaced(self):
        levels = {"p": "patients", "c": "controls"}
        assert list(interpret(["p", "c"], Levels=levels).values) == ["p", "c"]
        levels = {"1": "a description " * 5, "2": "no"}
        assert list(interpret(["1", "2"], Levels=levels).values) == ["1", "no"]

    def test_levels_of_the_ends_of_a_scale_leave_it_a_scale(self):
        found = interpret([*range(11)] * 2, Levels={"0": "not at all", "10": "very much"})
        assert found.kind == "numbers"

    def test_spellings_that_differ_in_case_and_blanks_are_joined_and_named(self):
        found = interpret(["patient", "patient", "Patient", "control", " control"], "diagnosis")
        assert set(found.values) == {"patient", "control"}
        assert "diagnosis: Patient is read as patient in 1 rows" in texts(found)
        assert "diagnosis: blanks removed from 1 values" in texts(found)

    def test_described_levels_that_differ_in_case_stay_apart(self):
        found = interpret(["AA", "Aa", "aa"], "genotype", Levels=["AA", "Aa", "aa"])
        assert set(found.values) == {"AA", "Aa", "aa"}

    def test_one_letter_spelled_in_two_ways_of_unicode_is_one_class(self):
        assert len(set(interpret(["Z\u00fcrich", "Zu\u0308rich"], "site").values)) == 1

    def test_a_word_that_may_be_a_class_or_missing_is_named(self):
        found = interpret(["M", "F", "unknown", "NaN"], "sex")
        assert set(found.values.dropna()) == {"M", "F", "unknown"}
        assert "sex is unknown for 1 participants, and counts as a class" in texts(found)

    def test_a_value_that_is_no_level_is_named(self):
        assert "X not among its Levels" in texts(interpret(["M", "X"], Levels=["M", "F"]))


class TestDescriptionsOfSeveralTables:
    def test_units_are_told_and_two_units_are_refused(self):
        assert interpret([3, 4], "age", Units="month").unit == "months"
        with pytest.raises(DataError, match=r"age is in years in a.tsv and in months in b.tsv"):
            describe_column({"a.tsv": {"Units": "year"}, "b.tsv": {"Units": "months"}}, "age")

    def test_two_labels_of_one_code_are_refused(self):
        both = {"a": {"Levels": {"1": "male"}}, "b": {"Levels": {"1": "female"}}}
        with pytest.raises(DataError, match="sex 1 is male in one table and female in b"):
            describe_column(both, "sex")


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
