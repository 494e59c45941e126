"""Sites, episodes, leaks, confounds: planted truths and refusals."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp
from sklearn.metrics import roc_auc_score

from brainfm.errors import DataError
from brainfm.evaluation.comparison import corrected_t_test
from brainfm.evaluation.confound_audit import audit_confounds, residualise_folds
from brainfm.evaluation.cross_validation import (
    Method,
    cross_predict,
    fold_features,
)
from brainfm.evaluation.few_shot import few_shot_curves, few_shot_differences
from brainfm.evaluation.folds import Folds, participant_folds
from brainfm.evaluation.folds_by_site import site_folds
from brainfm.evaluation.folds_few_shot import episode_folds
from brainfm.evaluation.scores import aggregate_predictions, score
from brainfm.models.estimators.heads import TunedLinearHead
from brainfm.models.features.classical import BlockScaler, linear_head
from brainfm.models.features.covariates import design_matrix
from brainfm.models.features.protocol import FeatureExtractorMixin
from brainfm.recording import Recording, RecordingTable

SITES = np.repeat(["north", "south", "west"], 20)
PEOPLE = np.array([f"d/{index:03d}" for index in range(60)])
Y = np.tile([0, 1], 30)


def table_of(n_rows):
    """Recordings that say who they are in their first sample."""
    return RecordingTable(
        (
            Recording.from_array(
                np.full((100, 2), index, dtype=float),
                sampling_hz=100, modality="eeg", positions=np.eye(3)[:2] * 0.09,
                participant=f"{index:03d}", dataset="d", mask=[True, True],
            ),
        )
        for index in range(n_rows)
    )  # fmt: skip


class Given(FeatureExtractorMixin):
    """Features that are looked up; whatever they are learned from is the row itself."""

    scaler = BlockScaler()

    def __init__(self, values):
        self.values = values

    def precompute(self, X):
        return np.array([self.values[int(row[0].signal[0, 0])] for row in X])

    def fit_precomputed(self, precomputed):
        return self

    def transform_precomputed(self, precomputed):
        return np.array(precomputed)


class ScaledOnAll(Given):
    """The planted leak: features are scaled by all rows that are precomputed."""

    def precompute(self, X):
        values = super().precompute(X)
        return (values - values.mean(axis=0)) / (values.std(axis=0) + 1e-9)


def method(values, kind=Given, name="given"):
    return Method(name=name, kind="classical", features=(kind(values),), head=linear_head())


class TestSites:
    def test_each_site_is_left_out_once_with_all_its_participants(self):
        folds = site_folds(Y, PEOPLE, SITES)
        assert len(folds.pairs) == 3
        for train, test in folds.pairs:
            assert set(SITES[train]).isdisjoint(SITES[test])
        assert sorted(np.concatenate([test for _, test in folds.pairs])) == list(range(60))

    def test_a_score_is_the_mean_over_sites_and_ignores_site_offsets(self):
        rng = np.random.default_rng(0)
        said = Y + rng.normal(size=60)
        shifted = said + 10 * np.unique(SITES, return_inverse=True)[1]
        chances = [np.column_stack([-one, one]) for one in (said, shifted)]
        found = [score(Y, one, "classification", sites=SITES)["roc_auc"][0] for one in chances]
        each = np.split(np.array([Y, said]), 3, axis=1)
        by_site = [roc_auc_score(one, other) for one, other in each]
        assert found[0] == pytest.approx(np.mean(by_site))
        assert found[1] == pytest.approx(found[0])

    def test_site_effects_alone_score_at_chance(self):
        y = np.concatenate([np.repeat([0, 1], [15, 5]), Y[:20], np.repeat([0, 1], [5, 15])])
        values = np.unique(SITES, return_inverse=True)[1][:, None] + np.zeros((60, 3))
        values = values + np.random.default_rng(0).normal(size=(60, 3)) * 1e-3
        table, mine = table_of(60), method(values)
        scores = []
        for folds in (participant_folds(y, PEOPLE, n_splits=5), site_folds(y, PEOPLE, SITES)):
            predicted = cross_predict(mine.head, fold_features(mine, table, folds), y, folds)
            scores.append(aggregate_predictions(y, predicted, folds, "classification").primary()[0])
        assert scores[0] > 0.65
        assert scores[1] == pytest.approx(0.5, abs=0.1)

    @pytest.mark.parametrize(
        ("y", "groups", "sites", "words"),
        [
            (Y, PEOPLE, np.full(60, "north"), r"all rows are of one site \(north\)"),
            (Y, np.repeat(PEOPLE[:20], 3), np.tile(SITES[::20], 20), r"is at sites north and sou"),
            (np.r_[np.ones(20), np.zeros(40)], PEOPLE, SITES,
             r"all participants of class 1.0 are at site north, so the class has no training"),
            (np.r_[np.ones(20), np.zeros(20), np.ones(10), np.zeros(10)], PEOPLE,
             np.repeat(["a", "b", "c", "d"], [20, 20, 10, 10]), r"every site has one class only"),
        ],
    )  # fmt: skip
    def test_invalid_site_folds_are_refused(self, y, groups, sites, words):
        with pytest.raises(DataError, match=words):
            site_folds(y, groups, sites)


class TestEpisodes:
    def test_have_k_training_participants_per_class_and_test_all_others(self):
        folds = episode_folds(Y, PEOPLE, 5, n_episodes=7)
        assert len(folds.pairs) == folds.n_repeats == 7
        for train, test in folds.pairs:
            assert np.bincount(Y[train]).tolist() == [5, 5]
            assert len(train) + len(test) == 60

    def test_are_identical_for_all_methods_and_differ_between_seeds(self):
        drawn = [
            [tuple(train) for train, _ in episode_folds(Y, PEOPLE, 5, seed=seed).pairs]
            for seed in (0, 0, 1)
        ]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_are_not_drawn_where_too_few_test_participants_remain(self):
        assert episode_folds(Y, PEOPLE, 25) is not None
        assert episode_folds(Y, PEOPLE, 26) is None

    def test_participants_with_all_classes_are_drawn_with_all_recordings(self):
        groups = np.repeat(PEOPLE[:30], 2)
        train, test = episode_folds(Y, groups, 3, n_episodes=1).pairs[0]
        assert len(set(groups[train])) == 3
        assert set(groups[train]).isdisjoint(groups[test])

    def test_a_curve_rises_with_the_number_of_participants_where_there_is_an_effect(self):
        rng = np.random.default_rng(0)
        values = rng.normal(size=(60, 10)) + 0.8 * Y[:, None]
        rows = few_shot_curves(
            [method(values)], table_of(60), Y, PEOPLE, task="classification", n_episodes=20
        )
        assert [row["k"] for row in rows] == [1, 2, 5, 10, 25]
        scores = [row["score"] for row in rows]
        assert scores == sorted(scores)
        assert scores[-1] > 0.85
        assert all(row["low"] < row["score"] < row["high"] for row in rows)

    def test_few_participants_of_another_design_are_tested_but_never_trained_on(self):
        groups = np.r_[np.repeat(PEOPLE[:29], 2), PEOPLE[29:31]]  # two people have one class only
        folds = episode_folds(Y, groups, 10, n_episodes=5)
        for train, test in folds.pairs:
            assert not set(PEOPLE[29:31]) & set(groups[train])
            assert set(PEOPLE[29:31]) <= set(groups[test])

    def test_a_difference_is_to_the_best_baseline_on_the_same_episodes(self):
        rows = [
            {"method": name, "k": k, "score": np.mean(scores), "scores": scores}
            for k, each in {1: ([0.5, 0.7], [0.4, 0.6], [0.3, 0.3]),
                            2: ([0.8, 0.9], [0.5, 0.5], [0.7, 0.8])}.items()
            for name, scores in zip(("ours", "one", "two"), each, strict=True)
        ]  # fmt: skip
        found = few_shot_differences(rows, "ours", ("one", "two"))
        assert [(row["k"], row["against"]) for row in found] == [(1, "one"), (2, "two")]
        for row in found:  # as large in every episode, so there is no doubt
            assert row["difference"] == pytest.approx(0.1)
            assert row["low"] == pytest.approx(row["high"])


class TestLeaks:
    def test_a_participant_in_training_and_test_is_refused(self):
        groups = np.repeat(PEOPLE[:30], 2)
        rows = np.arange(60)
        with pytest.raises(DataError, match=r"d/000 is in training and test of fold 0"):
            Folds(
                pairs=((rows[1::2], rows[::2]),), repeat=(0,), kind="participant",
                people=groups, units=groups, strata=np.full(60, "all"),
            )  # fmt: skip

    def test_a_scaler_that_has_seen_all_rows_is_refused(self):
        values = np.random.default_rng(0).normal(size=(60, 4))
        folds = participant_folds(Y, PEOPLE, n_splits=3)
        fold_features(method(values), table_of(60), folds)
        with pytest.raises(
            DataError, match=r"differently with and without other .*: learn from rows in fit only"
        ):
            fold_features(method(values, ScaledOnAll), table_of(60), folds)


class TestComparison:
    def test_equals_the_t_test_where_folds_share_no_training_rows(self):
        difference = np.random.default_rng(0).normal(0.1, size=12)
        found = corrected_t_test(difference, n_train=1, n_test=0)
        plain = ttest_1samp(difference, 0)
        assert found["t"] == pytest.approx(plain.statistic)
        assert found["p"] == pytest.approx(plain.pvalue)

    def test_is_more_conservative_where_folds_share_training_rows(self):
        difference = np.random.default_rng(0).normal(0.1, size=25)
        plain = corrected_t_test(difference, n_train=1, n_test=0)
        assert corrected_t_test(difference, n_train=80, n_test=20)["p"] > plain["p"]

    def test_is_undefined_without_variance_over_folds(self):
        assert corrected_t_test(np.zeros(5), 80, 20) is None
        assert corrected_t_test([0.1, np.nan], 80, 20) is None


class TestAudit:
    @pytest.fixture
    def confounded(self):
        """The target goes with age, and features tell age only."""
        rng = np.random.default_rng(0)
        age = rng.normal(size=60)
        y = (age + 0.3 * rng.normal(size=60) > 0).astype(int)
        return age[:, None] + 0.3 * rng.normal(size=(60, 6)), y, pd.DataFrame({"age": age})

    def test_finds_the_confound_that_explains_the_score(self, confounded):
        values, y, columns = confounded
        table, mine = table_of(60), method(values)
        folds = participant_folds(y, PEOPLE, n_splits=5)
        raw = cross_predict(mine.head, fold_features(mine, table, folds), y, folds)
        assert aggregate_predictions(y, raw, folds, "classification").primary()[0] > 0.85
        (row,) = audit_confounds(
            TunedLinearHead, lambda some: fold_features(mine, table, some), y, folds, columns,
            task="classification",
        )  # fmt: skip
        assert row["read"]["value"] > 0.9
        assert row["without"]["value"] < 0.7

    def test_regressing_out_uses_training_rows_only(self, confounded):
        values, y, columns = confounded
        folds = participant_folds(y, PEOPLE, n_splits=3)
        matrices = fold_features(method(values), table_of(60), folds)
        train, test = folds.pairs[0]
        design = design_matrix(columns)
        other = design.copy()
        other[test] = 1e3
        cleaned = [residualise_folds(matrices, one, folds)[0][0] for one in (design, other)]
        np.testing.assert_allclose(cleaned[0][0], cleaned[1][0])
        left = np.corrcoef(cleaned[0][0].T, design[train, 0])[-1, :-1]
        np.testing.assert_allclose(left, 0, atol=1e-9)

    def test_categories_are_one_hot_encoded_and_missing_values_have_no_effect(self):
        columns = pd.DataFrame({"site": ["a", "b", None, "a"], "age": [1.0, np.nan, 3.0, 4.0]})
        design = design_matrix(columns)
        assert design.shape == (4, 3)
        assert np.isnan(design[1, 2])

    def test_a_column_that_cannot_be_predicted_has_a_reason(self, confounded):
        values, y, _ = confounded
        columns = pd.DataFrame({"kind": ["rare", *["usual"] * 59]})
        folds = participant_folds(y, PEOPLE, n_splits=5)
        (row,) = audit_confounds(
            TunedLinearHead, lambda some: fold_features(method(values), table_of(60), some), y,
            folds, columns, task="classification",
        )  # fmt: skip
        assert row["read"] is None
        assert row["why"] == "fewer than two values, each of 5 participants"
