"""Values of one column as real tables have them: numbers, codes, classes, descriptions."""

import pytest
from tables import Dataset, interpret, texts

from brainfm.errors import DataError
from brainfm.models.features.covariates import design_matrix
from brainfm.stages.evaluate.describe_column import describe_column, is_missing_label


@pytest.fixture
def dataset(tmp_path):
    return Dataset(tmp_path)


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
