"""What is asked and of whom: columns and people as real datasets have them."""

import logging
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from brains import bold, eeg
from sklearn.linear_model import LogisticRegression, Ridge

from brainfm.config import EvaluateConfig
from brainfm.errors import DataError, UsageError
from brainfm.evaluation.confound_audit import residualise_folds
from brainfm.evaluation.cross_validation import permutation_test
from brainfm.evaluation.folds import participant_folds
from brainfm.evaluation.folds_within_participant import recording_folds
from brainfm.evaluation.scores import aggregate_predictions, bootstrap_counts, score
from brainfm.models.features.covariates import CovariateFeatures, design_matrix
from brainfm.stages.evaluate.design import build_design
from brainfm.stages.evaluate.participants_table import log_notes, read_columns
from brainfm.stages.evaluate.run import evaluate_outputs
from brainfm.stages.evaluate.summary_text import summarise_evaluation
from brainfm.stages.evaluate.tables import join_columns
from brainfm.stages.evaluate.target import column_target
from brainfm.storage.bids.participants import read_participants


def people(n=12, **columns):
    return pd.DataFrame({
        "participant_id": [f"sub-{number:02d}" for number in range(n)],
        "group": ["a", "b"] * (n // 2),
        **columns,
    })  # fmt: skip


def runs(n=12, **entities):
    return [bold(number, n_channels=4, n_times=40, **entities) for number in range(n)]


def column_values(participants, column):
    """Values by participant, with a recording of each."""
    labels = participants["participant_id"].str.removeprefix("sub-")
    everybody = [bold(0, participant=x) for x in labels]
    found, decisions = read_columns(everybody, participants, [column])
    log_notes(decisions)
    return found[column].set_axis(labels).dropna()


def build(participants=None, recordings=None, **settings):
    config = EvaluateConfig(**{"target": "group"} | settings)
    table = people() if participants is None else participants
    return build_design(config, recordings or runs(), participants=table)


class TestSites:
    def test_numeric_site_labels_are_categories_and_site_means_are_regressed_out(self):
        found = build(people(site=[1, 2, 3, 3] * 3))
        assert set(found.confounds["site"]) == {"1", "2", "3"}
        of_site = found.confounds["site"].map({"1": 5.0, "2": -1.0, "3": 2.0}).to_numpy()[:, None]
        matrices = [[(of_site[train], of_site[test])] for train, test in found.folds.pairs]
        for ((train, test),) in residualise_folds(
            matrices, design_matrix(found.confounds), found.folds
        ):
            np.testing.assert_allclose(train, 0, atol=1e-12)
            np.testing.assert_allclose(test, 0, atol=1e-12)

    def test_sites_confounded_with_the_classes_are_refused_without_site_folds_too(self):
        with pytest.raises(DataError, match="every site has one class only, so classes and sites"):
            build(people(site=["x", "y"] * 6))

    @pytest.mark.parametrize(
        "site", [["x", None, "x", None, "y", None] * 2, list("abcdefghijkl")],
        ids=["known of one class only", "everybody at another"],
    )  # fmt: skip
    def test_sites_independent_of_the_classes_are_accepted(self, site):
        table = people(site=site)
        if site[0] == "x":
            table["group"] = ["a", "a", "a", "b", "b", "b"] * 2
        assert len(build(table).y) == 12

    def test_a_class_at_one_site_gives_a_caution(self, tmp_path):
        table = people(site=["x", "x", "y", "x"] * 3)  # those of b are at x
        config = EvaluateConfig(target="group", n_splits=2, n_permutations=0, n_episodes=0)
        found = evaluate_outputs(tmp_path, config, recordings=runs(), participants=table)
        assert "All participants of class b are at site x" in found["answer"]["caution"]


class TestColumns:
    def test_an_absent_confound_is_refused_if_it_was_requested(self, caplog):
        with pytest.raises(UsageError, match="--evaluate-confounds has SITE_ID, but participants"):
            build(confounds=("SITE_ID", "age"), participants=people(age=range(12)))
        with caplog.at_level(logging.INFO, logger="brainfm"):
            build()
        assert (
            "not audited, because participants.tsv has no such column: site, age, sex"
            in caplog.text
        )

    def test_none_and_na_are_valid_class_names(self, tmp_path):
        path = tmp_path / "participants.tsv"
        path.write_text("participant_id\tmedication\nsub-1\tNone\nsub-2\tNA\nsub-3\tn/a\n")
        assert column_values(read_participants([path]), "medication").to_dict() == {
            "1": "None", "2": "NA",
        }  # fmt: skip

    def test_missing_value_markers_of_other_programs_are_missing_among_numbers(self, caplog):
        ages = ["NA", *map(str, range(20, 31))]
        values = column_values(people(age=ages), "age")
        assert values.dtype.kind == "f"
        assert len(values) == 11
        assert set(column_values(people(hand=["NA", "l"] * 6), "hand")) == {"NA", "l"}
        assert "hand is NA for 6 participants, and counts as a class" in caplog.text

    def test_an_unused_malformed_column_is_ignored(self):
        twice = pd.concat([people(iq=range(12)), people(iq=range(5, 17))])
        assert "iq" not in build(twice).phenotypes
        found = build(pd.DataFrame({"name": ["x"]}), [
            eeg(n, task=task, participant="01", duration_s=42)
            for n, task in enumerate(("rest", "film"))
        ], target=None, contrast=("rest", "film"))  # fmt: skip
        assert found.phenotypes.empty

    def test_a_second_table_without_the_column_removes_no_value(self, tmp_path):
        first, second = tmp_path / "a.tsv", tmp_path / "b.tsv"
        first.write_text("participant_id\tage\tkind\nsub-1\t30\tsynthetic\nsub-2\t40\treal\n")
        second.write_text("participant_id\tsite\nsub-1\tx\nsub-2\tx\n")
        both = read_participants([first, second])
        assert column_values(both, "age").to_dict() == {"1": 30, "2": 40}
        rows = [f"sub-{number}\t{number}\n" for number in range(3, 9)]
        first.write_text(first.read_text() + "".join(rows).replace("\n", "\treal\n"))
        both = read_participants([first, second])
        recordings = [bold(number, n_channels=4, participant=str(number)) for number in range(1, 9)]
        found = build_design(EvaluateConfig(target="age"), recordings, participants=both)
        assert [one["participant"] for one in found.excluded] == ["1"]  # synthetic in one table

    def test_a_mostly_unique_numeric_column_is_a_regression_target(self):
        assert build(people(8, iq=range(95, 103)), runs(8), target="iq").target.task == "regression"
        found = build(people(16, score=[1, 2] * 8), runs(16), target="score")
        assert found.target.task == "classification"
        few = people(4).iloc[:3].assign(score=[0, 1, 1])
        question, *_ = column_target(runs(3), "score", few)
        assert question.task == "classification"

    def test_large_numeric_labels_remain_different_classes(self):
        found = build(people(scanner=[1000001.0, 1000002.0] * 6), target="scanner")
        assert set(found.y) == {"1000001", "1000002"}

    def test_a_column_with_the_name_of_an_entity_does_not_replace_it(self):
        rows = pd.DataFrame({"run": ["1", "2"]})
        assert list(join_columns(rows, pd.DataFrame({"run": [5, 6]}))) == [
            "run",
            "run_of_participant",
        ]

    def test_free_text_columns_do_not_colour_the_map(self):
        table = people(iq=np.arange(12) + 90.5, remark=list("abcdefghijkl"), hand=["l", "r"] * 6)
        assert list(build(table).phenotypes) == ["iq", "remark", "hand"]
        many = people(60, remark=[f"born {number}" for number in range(60)])
        assert "remark" not in build(many, runs(60)).phenotypes

    def test_a_covariate_missing_at_the_tested_site_has_no_effect(self):
        table = [(one,) for one in runs(4)]
        columns = pd.DataFrame({"mean_fd": [np.nan, np.nan, 0.1, 0.2]})
        features = CovariateFeatures.of(table, columns).fit(table[:2])
        np.testing.assert_array_equal(features.transform(table), np.zeros((4, 1)))


class TestDesigns:
    def test_participants_with_only_the_other_modality_are_listed(self):
        found = build(recordings=[*runs(10), eeg(10), eeg(11)])
        assert found.excluded == [
            {"participant": "10", "why": "no fMRI recording"},
            {"participant": "11", "why": "no fMRI recording"},
        ]

    def test_few_participants_with_both_tasks_are_excluded_from_a_between_participant_design(self):
        one_each = [bold(n, n_channels=4, task=("rest", "film")[n % 2]) for n in range(20)]
        odd = bold(99, n_channels=4, participant="00", task="film")
        found = build(recordings=[*one_each, odd], target=None, contrast=("rest", "film"))
        assert found.excluded == [
            {"participant": "00", "why": "has both tasks, where most participants have one"}
        ]
        assert set(found.folds.units) == set(found.labels["group"])

    def test_participants_with_both_tasks_are_selected_where_a_task_would_be_lost(self):
        rest = [bold(n, n_channels=4, task="rest") for n in range(20)]
        film = [bold(50 + n, n_channels=4, task="film", participant=f"{n:02d}") for n in range(8)]
        found = build(recordings=[*rest, *film], target=None, contrast=("rest", "film"))
        assert set(found.y) == {"rest", "film"}
        assert len(set(found.labels["group"])) == 8
        assert found.excluded[0] == {
            "participant": "08", "why": "has one task, where others have both",
        }  # fmt: skip

    def test_sessions_of_one_task_are_separate_recordings(self, tmp_path):
        recordings = [
            eeg(10 * session + number, participant="01", session=str(session), task=task,
                alpha=number, duration_s=30, n_channels=6)
            for session in range(3) for number, task in enumerate(("closed", "open"))
        ]  # fmt: skip
        config = EvaluateConfig(contrast=("open", "closed"), n_permutations=3)
        found = evaluate_outputs(tmp_path, config, recordings=recordings)
        assert found["data"]["n_recordings"] == 6
        assert found["folds"]["kind"] == "recording"
        assert found["n_arrangements"] == 8  # in each of three folds, which of two is which
        assert "folds leave out whole recordings (3 folds)" in found["answer"]["scope"]
        assert "one recording per condition" not in found["answer"].get("caution", "")
        assert "may or may not be distinguished" in found["answer"]["headline"]
        assert "p is at least 0.12" in found["answer"]["sure"]
        rows = pd.read_csv(tmp_path / "group" / "rows.tsv", sep="\t")
        assert rows["session"].nunique() == 3


class TestRecordingFolds:
    def folds(self, n_each=(3, 3), n_windows=4):
        recordings = np.repeat(np.arange(sum(n_each)), n_windows)
        y = np.repeat(np.repeat(["a", "b"], n_each), n_windows)
        return recording_folds(y, np.full(len(y), "p"), recordings, n_splits=5), y, recordings

    def test_no_recording_is_in_training_and_test_and_each_fold_tests_both_classes(self):
        folds, y, recordings = self.folds(n_each=(3, 5))
        assert len(folds.pairs) == 3
        for train, test in folds.pairs:
            assert not set(recordings[train]) & set(recordings[test])
            assert set(y[test]) == set(y[train]) == {"a", "b"}
        assert sorted(np.concatenate([test for _, test in folds.pairs])) == list(range(len(y)))

    def test_one_recording_per_class_gives_no_recording_folds(self):
        assert self.folds(n_each=(1, 4))[0] is None

    def test_recording_specific_offsets_score_at_chance(self):
        p_values = []
        for seed in range(12):
            folds, y, recordings = self.folds(n_each=(4, 4))
            rng = np.random.default_rng(seed)
            X = rng.normal(size=(8, 10))[recordings] + 0.1 * rng.normal(size=(len(y), 10))
            matrices = [[(X[train], X[test])] for train, test in folds.pairs]
            p_values.append(permutation_test(
                LogisticRegression(), matrices, y, folds, task="classification", n_permutations=19,
            )[2])  # fmt: skip
        assert np.mean(p_values) == pytest.approx(0.5, abs=0.2)

    def test_the_interval_of_one_participant_resamples_recordings(self):
        folds, y, recordings = self.folds(n_each=(4, 4))
        said = np.random.default_rng(0).random(8)[recordings]
        predicted = np.stack([1 - said, said], axis=-1)[None]
        found = aggregate_predictions(y, predicted, folds, "classification")
        drawn = found.primary(bootstrap_counts(found.resample))
        assert np.nanstd(drawn) > 0.05


class TestUndefinedScores:
    def test_a_site_without_a_class_is_scored_on_its_other_classes(self):
        y = np.array([0, 0, 1, 1, 1, 1, 2, 2])
        predicted = np.eye(3)[y]
        sites = np.repeat(["x", "y"], 4)
        assert score(y, predicted, "classification", sites=sites)["roc_auc"][0] == 1

    def test_p_is_undefined_where_the_score_of_the_true_labels_is_undefined(self):
        y, groups = np.arange(8.0), np.arange(8).astype(str)
        folds = participant_folds(y, groups, n_splits=2, task="regression")
        nothing = [[(np.zeros((len(a), 1)), np.zeros((len(b), 1)))] for a, b in folds.pairs]
        folds = replace(folds, sites=groups)  # nobody to compare with
        observed, _, p = permutation_test(
            Ridge(), nothing, y, folds, task="regression", n_permutations=5
        )
        assert np.isnan(observed)
        assert np.isnan(p)

    def test_a_summary_without_a_score_makes_no_claim(self, tmp_path):
        table = people(site=["x", "x", "y", "y"] * 3, age=np.arange(12) + 20)
        config = EvaluateConfig(
            target="age", groups="site", confounds=("site",), n_permutations=3, n_episodes=0
        )
        found = evaluate_outputs(tmp_path, config, recordings=runs(), participants=table)
        alone = next(one for one in found["methods"] if one["kind"] == "covariates")
        assert alone["p"] is None
        assert "headline" in summarise_evaluation(found)
