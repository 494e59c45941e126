"""Folds, scores, intervals and permutation: planted truths, planted leaks, refusals."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

from brainfm.config import EvaluateConfig
from brainfm.errors import DataError, NothingSelected, UsageError
from brainfm.evaluation.cross_validation import (
    Method,
    cross_predict,
    default_methods,
    fold_features,
    permutation_test,
    permute_labels,
)
from brainfm.evaluation.folds import n_arrangements, participant_folds
from brainfm.evaluation.folds_within_participant import block_folds, cut_windows
from brainfm.evaluation.scores import aggregate_predictions, bootstrap_counts, score
from brainfm.models.checkpoint.participants import participant_hash
from brainfm.models.features.classical import BlockScaler, linear_head
from brainfm.models.features.protocol import FeatureExtractorMixin
from brainfm.recording import Recording, RecordingTable
from brainfm.stages.evaluate.run import evaluate_outputs


def recording(participant, *, task=None, seed=0, alpha=0.0, seconds=60, dataset="d"):
    rng = np.random.default_rng(seed)
    times = np.arange(seconds * 100) / 100
    signal = rng.normal(size=(len(times), 4)) + alpha * np.sin(2 * np.pi * 10 * times)[:, None]
    return Recording.from_array(
        1e-5 * signal,
        sampling_hz=100,
        modality="eeg",
        positions=np.linspace(-0.08, 0.08, 12).reshape(4, 3),
        participant=participant,
        task=task,
        dataset=dataset,
    )


class MeanPower(BaseEstimator):
    """Stands in for a pretrained embedder."""

    def transform(self, X):
        return np.array([np.log(row[0].signal.std(axis=0)) for row in X])


def config(**settings):
    return EvaluateConfig(**{"n_permutations": 20, "n_episodes": 0, **settings})


class TestParticipantFolds:
    def test_no_participant_is_in_training_and_test_of_one_fold(self):
        groups = np.repeat([f"p{i}" for i in range(12)], 2)
        y = np.repeat(np.tile([0, 1], 6), 2)
        folds = participant_folds(y, groups, n_splits=4)
        for train, test in folds.pairs:
            assert not set(groups[train]) & set(groups[test])
        assert folds.n_repeats == 5
        tested = np.concatenate([test for _, test in folds.pairs])
        assert (np.bincount(tested) == 5).all()

    def test_same_seed_same_folds(self):
        groups, y = np.arange(20).astype(str), np.tile([0, 1], 10)
        first, second, other = (
            participant_folds(y, groups, n_splits=5, seed=seed).pairs for seed in (1, 1, 2)
        )
        assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, second, strict=True))
        assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, other, strict=True))

    @pytest.mark.parametrize(
        ("y", "words"),
        [
            ([1, 1, 1, 1, 1, 1], "one class only \\(1\\)"),
            ([0, 0, 0, 0, 0, 1], "class 1 has one participant"),
            ([0, 0, 0, 1, 1, 1], "but there are 3: set n_splits to 3 or less"),
            ([0, 1, np.nan, 0, 1, 1.0], "missing in 1 of 6 rows"),
        ],
    )
    def test_invalid_splits_are_refused(self, y, words):
        with pytest.raises(DataError, match=words):
            participant_folds(np.array(y), np.arange(6).astype(str), n_splits=5)

    def test_a_constant_number_is_refused(self):
        with pytest.raises(DataError, match="one value only"):
            participant_folds(np.full(9, 2.5), np.arange(9), n_splits=3, task="regression")

    def test_one_fold_is_refused(self):
        with pytest.raises(UsageError, match="n_splits is 1"):
            participant_folds(np.tile([0, 1], 5), np.arange(10), n_splits=1)


class TestBlockFolds:
    def blocks(self, *, gap_s=5.0, n_splits=4):
        recordings = np.repeat([0, 1], 12)
        start_s = np.tile(np.arange(12) * 5.0, 2)
        y, groups = np.repeat(["open", "closed"], 12), np.full(24, "p")
        folds = block_folds(
            y, groups, recordings, start_s, window_s=5, n_splits=n_splits, gap_s=gap_s
        )
        return folds, recordings, start_s, y

    def test_every_training_window_is_a_gap_away_from_the_test_block_of_its_recording(self):
        folds, recordings, start_s, _ = self.blocks()
        for train, test in folds.pairs:
            for row in train:
                own = test[recordings[test] == recordings[row]]
                nearest_s = np.abs(start_s[own] - start_s[row]).min()
                assert nearest_s >= 10  # 5 s of window and 5 s of gap

    def test_each_window_is_tested_once_and_both_conditions_in_each_fold(self):
        folds, _, _, y = self.blocks()
        assert sorted(np.concatenate([test for _, test in folds.pairs])) == list(range(24))
        assert all(len(np.unique(y[test])) == 2 for _, test in folds.pairs)

    def test_a_gap_that_leaves_no_training_is_refused(self):
        with pytest.raises(DataError, match="with a gap of 60 s around 4 test blocks"):
            self.blocks(gap_s=60)

    def test_more_folds_than_windows_are_refused(self):
        with pytest.raises(
            DataError, match=r"12 windows of 5 s, too few for 20 folds: use at most 12"
        ):
            self.blocks(n_splits=20)

    def test_a_planted_slow_drift_inflates_adjacent_windows_but_not_gapped_blocks(self):
        """Labels random in time, two windows each, and a drift: a nearest neighbour cheats."""
        leaking, honest = [], []
        for seed in range(20):
            rng = np.random.default_rng(seed)
            drift = np.cumsum(rng.normal(size=(60, 30)), axis=0)
            y = np.repeat(rng.permutation(np.tile([0, 1], 15)), 2)
            folds = block_folds(
                y, np.full(60, "p"), np.zeros(60), np.arange(60) * 5.0,
                window_s=5, n_splits=6, gap_s=20,
            )  # fmt: skip
            matrices = [[(drift[train], drift[test])] for train, test in folds.pairs]
            found = cross_predict(KNeighborsClassifier(1), matrices, y, folds)
            honest.append((found[0].argmax(axis=1) == y).mean())
            nearest = [np.abs(drift - row).sum(axis=1).argsort()[1] for row in drift]
            leaking.append((y[nearest] == y).mean())
        assert np.mean(leaking) > 0.65
        assert np.mean(honest) == pytest.approx(0.5, abs=0.06)

    def test_labels_are_permuted_between_whole_blocks(self):
        folds, _, _, y = self.blocks()
        new = permute_labels(y, folds, np.random.default_rng(3))
        for unit in np.unique(folds.units):
            assert len(set(new[folds.units == unit])) == 1
        assert sorted(new) == sorted(y)
        assert n_arrangements(y, folds) == 16  # in each of 4 folds one block of each

    def test_permuted_labels_are_as_balanced_in_each_fold_as_the_true_ones(self):
        folds, _, _, y = self.blocks()
        for seed in range(5):
            new = permute_labels(y, folds, np.random.default_rng(seed))
            for _, test in folds.pairs:
                assert sorted(new[test]) == sorted(y[test])


class TestWindows:
    def test_cover_the_recording_in_order_without_overlap(self):
        whole = recording("01", seconds=23)
        cut = cut_windows(whole, 5)
        assert [window.shape for window in cut] == [(500, 4)] * 4
        np.testing.assert_array_equal(
            np.concatenate([window.signal for window in cut]), whole.signal[:2000]
        )

    def test_of_a_recording_that_is_too_short_are_refused(self):
        with pytest.raises(DataError, match=r"lasts 3\.0 s; expected at least one window of 5 s"):
            cut_windows(recording("01", seconds=3), 5)


class TestScores:
    def test_agree_with_scikit_learn(self):
        rng = np.random.default_rng(0)
        for n_classes in (2, 3):
            y = rng.integers(n_classes, size=60)
            p = rng.dirichlet(np.ones(n_classes), size=60).round(1)
            found = score(y, p, "classification")
            expected = (
                roc_auc_score(y, p[:, 1])
                if n_classes == 2
                else np.mean([roc_auc_score(y == k, p[:, k]) for k in range(3)])
            )
            assert found["roc_auc"] == pytest.approx(expected)
            assert found["balanced_accuracy"] == pytest.approx(
                balanced_accuracy_score(y, p.argmax(axis=1))
            )

    @pytest.mark.parametrize("task", ["classification", "regression"])
    def test_a_draw_is_scored_like_the_rows_it_holds(self, task):
        rng = np.random.default_rng(1)
        y = rng.integers(2, size=40) if task == "classification" else rng.normal(size=40)
        p = rng.dirichlet([1, 1], size=40).round(1) if task == "classification" else y[:, None] + 1
        p = p + 0.1 * rng.normal(size=p.shape).round(1)
        counts = bootstrap_counts(np.repeat(np.arange(20), 2), n_draws=5, seed=3)
        assert (counts.sum(axis=1) == 40).all()
        assert (counts[:, ::2] == counts[:, 1::2]).all()  # whole units are drawn
        drawn = score(y, p, task, counts)
        for index, count in enumerate(counts):
            rows = np.repeat(np.arange(40), count)
            one = score(y[rows], p[rows], task)
            for name, value in one.items():
                assert drawn[name][index] == pytest.approx(value[0])

    def test_of_a_perfect_regression(self):
        y = np.arange(10.0)
        found = score(y, y[:, None], "regression")
        assert {name: value.round(9).item() for name, value in found.items()} == {
            "r": 1, "mae": 0, "r2": 1,
        }  # fmt: skip

    def test_of_a_constant_prediction_have_no_correlation(self):
        found = score(np.arange(5.0), np.full((5, 1), 2.0), "regression")
        assert np.isnan(found["r"])
        assert found["r2"] == pytest.approx([0])

    def test_rows_of_a_participant_are_averaged_before_scoring(self):
        groups = np.repeat(["a", "b", "c", "d"], 2)
        y = np.repeat([0, 1, 0, 1], 2)
        folds = participant_folds(y, groups, n_splits=2)
        predicted = np.tile(np.repeat([[0.9, 0.1], [0.1, 0.9]] * 2, 2, axis=0), (5, 1, 1))
        found = aggregate_predictions(y, predicted, folds, "classification")
        assert found.predicted.shape == (5, 4, 2)
        assert list(found.resample) == ["a", "b", "c", "d"]
        assert found.primary() == [1]


class TestWithoutEffect:
    def test_p_values_are_uniform(self):
        """30 data sets without effect: p of at most 0.2 about a fifth of the time."""
        values = []
        for seed in range(30):
            rng = np.random.default_rng(seed)
            X, y = rng.normal(size=(24, 5)), np.tile([0, 1], 12)
            folds = participant_folds(y, np.arange(24).astype(str), n_splits=3)
            matrices = [[(X[a], X[b])] for a, b in folds.pairs]
            values.append(
                permutation_test(
                    linear_head(), matrices, y, folds,
                    task="classification", n_permutations=9, seed=seed,
                )[2]
            )  # fmt: skip
        assert 0 < np.sum(np.array(values) <= 0.2) <= 14  # 99.9 % of binomial(30, 0.2)
        assert 0.35 < np.mean(values) < 0.75

    def test_permuted_labels_are_as_balanced_in_each_fold_as_the_true_ones(self):
        y, people = np.tile([0, 1], 12), np.arange(24).astype(str)
        folds = participant_folds(y, people, n_splits=5)
        for seed in range(5):
            labels = permute_labels(y, folds, np.random.default_rng(seed))
            for _, test in folds.pairs[:5]:
                assert labels[test].sum() == y[test].sum()

    def test_rotation_changes_no_prediction(self):
        rng = np.random.default_rng(0)

        values = rng.normal(size=(20, 300))

        class Many(FeatureExtractorMixin):
            scaler = BlockScaler()

            def precompute(self, X):
                return np.array([values[int(row[0].participant)] for row in X])

            def fit_precomputed(self, precomputed):
                return self

            def transform_precomputed(self, precomputed):
                return np.array(precomputed)

        y = np.tile([0, 1], 10)
        folds = participant_folds(y, np.arange(20).astype(str), n_splits=4)
        precomputed = {}
        method = Method(name="m", kind="classical", features=(Many(),), head=linear_head())
        table = RecordingTable([(recording(str(index), seconds=1),) for index in range(20)])
        matrices = fold_features(method, table, folds, precomputed=precomputed)
        X = next(iter(precomputed.values()))
        plain = []
        for train, test in folds.pairs:
            scaler = BlockScaler().fit(X[train])
            plain.append([(scaler.transform(X[train]), scaler.transform(X[test]))])
        head = linear_head().set_params(tol=1e-10)
        np.testing.assert_allclose(
            cross_predict(head, matrices, y, folds), cross_predict(head, plain, y, folds), atol=1e-4
        )

    @pytest.mark.parametrize("task", ["classification", "regression"])
    def test_each_block_has_its_own_head_and_predictions_are_averaged(self, task):
        rng = np.random.default_rng(0)
        y = np.tile([0, 1], 10) if task == "classification" else rng.normal(size=20)
        folds = participant_folds(np.tile([0, 1], 10), np.arange(20).astype(str), n_splits=4)
        X = rng.normal(size=(2, 20, 3))
        one, two = ([[(x[a], x[b])] for a, b in folds.pairs] for x in X)
        both = [[*first, *second] for first, second in zip(one, two, strict=True)]
        said = [cross_predict(linear_head(task), each, y, folds) for each in (one, two, both)]
        np.testing.assert_allclose(said[2], (said[0] + said[1]) / 2)


class TestStage:
    def people(self, n=12, *, effect=3.0):
        recordings = [
            recording(f"{i:02d}", seed=i, alpha=effect * (i % 2), seconds=10) for i in range(n)
        ]
        table = pd.DataFrame({
            "participant_id": [f"sub-{i:02d}" for i in range(n)],
            "group": ["control", "patient"] * (n // 2),
            "age": np.arange(n) + 20.5,
            "site": "one",
        })  # fmt: skip
        return recordings, table

    def test_a_large_effect_scores_1_in_all_files(self, tmp_path):
        recordings, people = self.people()
        found = evaluate_outputs(
            tmp_path, config(target="group"),
            recordings=recordings, participants=people, embedder=MeanPower(),
        )  # fmt: skip
        scores = pd.read_csv(tmp_path / "group/scores.tsv", sep="\t").set_index("method")
        assert scores.loc["brainfm", "roc_auc"] == 1
        assert scores.loc["log band power", "balanced_accuracy"] == 1
        assert scores.loc["dummy estimator", "roc_auc"] == 0.5
        assert json.loads((tmp_path / "group/evaluation.json").read_text()) == json.loads(
            json.dumps(found)
        )
        rows = pd.read_csv(tmp_path / "group/folds.tsv", sep="\t")
        assert len(rows) == 12 * 5 * len(scores)  # each participant, in each repeat, by each method
        assert "unseen participants" in found["answer"]["scope"]
        assert "not distinguishable" in found["answer"]["against"]

    def test_evaluating_twice_gives_the_same_bytes(self, tmp_path):
        recordings, people = self.people(effect=0.5)
        for name in ("a", "b"):
            evaluate_outputs(
                tmp_path / name, config(target="group", n_splits=3, n_permutations=5),
                recordings=recordings, participants=people,
            )  # fmt: skip
        for file in ("scores.tsv", "folds.tsv", "null.tsv", "evaluation.json"):
            first, second = ((tmp_path / n / "group" / file).read_bytes() for n in "ab")
            assert first == second

    def test_no_effect_scores_near_chance(self, tmp_path):
        recordings, people = self.people(20, effect=0.0)
        found = evaluate_outputs(
            tmp_path, config(target="group"), recordings=recordings, participants=people
        )
        best = next(m for m in found["methods"] if m["name"] == "log band power")["scores"]
        assert best["roc_auc"]["low"] < 0.5 < best["roc_auc"]["high"] + 0.2
        assert (
            "group (control, patient) could not be predicted from EEG"
            in found["answer"]["headline"]
        )

    def test_a_numeric_target_is_predicted_by_regression(self, tmp_path):
        recordings = [recording(f"{i:02d}", seed=i, alpha=i / 5, seconds=10) for i in range(15)]
        _, people = self.people(16)
        found = evaluate_outputs(
            tmp_path, config(target="age"), recordings=recordings, participants=people
        )
        assert found["question"]["task"] == "regression"
        power = next(m for m in found["methods"] if m["name"] == "log band power")["scores"]
        assert power["r"]["value"] > 0.9
        assert power["mae"]["value"] < 2

    def test_two_tasks_of_one_participant_are_classified_in_blocks(self, tmp_path):
        pair = [
            recording("01", task="eyesopen", seed=1),
            recording("01", task="eyesclosed", seed=2, alpha=2.0),
        ]
        trained = MeanPower()
        trained.training_ = {"participants": [participant_hash("d/01")]}
        found = evaluate_outputs(
            tmp_path, config(contrast=("eyesopen", "eyesclosed")),
            recordings=pair, embedder=trained,
        )  # fmt: skip
        assert found["folds"]["kind"] == "block"
        assert found["methods"][0]["scores"]["roc_auc"]["value"] == 1
        assert "within one participant, not for unseen" in found["answer"]["scope"]
        assert "pretrained on recordings of all participants" in found["answer"]["caution"]
        assert found["n_arrangements"] == 256  # in each of 8 folds one block of each

    def test_synthetic_participants_are_excluded_and_listed(self, tmp_path):
        recordings, people = self.people()
        more = [*recordings, recording("synthetic01", seconds=10), recording("99", seconds=10)]
        people["kind"] = "real"
        people.loc[len(people)] = ["sub-99", "control", 33, "one", "synthetic"]
        found = evaluate_outputs(
            tmp_path, config(target="group"), recordings=more, participants=people
        )
        left_out = [entry["participant"] for entry in found["data"]["excluded"]]
        assert left_out == ["99", "synthetic01"]
        assert found["data"]["n_participants"] == 12

    def test_participants_without_the_target_are_excluded_and_counted(self, tmp_path):
        recordings, people = self.people()
        people.loc[[0, 1], "group"] = [np.nan, "n/a"]
        found = evaluate_outputs(
            tmp_path, config(target="group"), recordings=recordings, participants=people
        )
        assert found["data"]["excluded"] == [
            {"participant": "00", "why": "no group"},
            {"participant": "01", "why": "no group"},
        ]
        assert found["data"]["n_of_each"] == {"control": 5, "patient": 5}

    @pytest.mark.parametrize(
        ("settings", "error", "words"),
        [
            ({"target": "iq"}, UsageError, "no column 'iq'; it has: group, age, site"),
            ({"target": "site"}, DataError, "one class only \\(one\\)"),
            ({}, UsageError, "not neither"),
            ({"target": "a", "contrast": ("x", "y")}, UsageError, "not both"),
            ({"contrast": ("rest",)}, UsageError, "expected two different tasks"),
            ({"contrast": ("rest", "music")}, NothingSelected, "no recording of task rest, music"),
        ],
    )
    def test_invalid_targets_and_contrasts_are_refused(self, tmp_path, settings, error, words):
        recordings, people = self.people(6)
        with pytest.raises(error, match=words):
            evaluate_outputs(
                tmp_path, config(**settings), recordings=recordings, participants=people
            )
        assert not (tmp_path / "group").exists()

    def test_a_participant_listed_twice_is_refused(self, tmp_path):
        recordings, people = self.people(6)
        turned = people.assign(group=people["group"].to_numpy()[::-1])
        with pytest.raises(DataError, match="lists sub-00 more than once, with different group"):
            evaluate_outputs(
                tmp_path, config(target="group"),
                recordings=recordings, participants=pd.concat([people, turned]),
            )  # fmt: skip


def test_without_an_embedder_only_baselines_are_compared():
    kinds = [method.kind for method in default_methods("bold", "classification")]
    assert kinds == ["classical", "classical", "dummy"]


def test_tables_index_as_the_folds_need():
    table = RecordingTable([(recording("01"),), (recording("02"),)])
    assert len(table[np.array([1])]) == 1


def test_several_processes_give_the_result_of_one(tmp_path):
    recordings, people = TestStage().people(effect=0.5)
    settings = config(target="group", n_splits=2, n_episodes=1, n_permutations=5, confounds=())
    found = [
        evaluate_outputs(
            tmp_path / str(n_jobs), settings,
            recordings=recordings, participants=people, embedder=MeanPower(), n_jobs=n_jobs,
        )
        for n_jobs in (1, 2)
    ]  # fmt: skip
    pd.testing.assert_frame_equal(*(pd.json_normalize(one["methods"]) for one in found), rtol=1e-6)
    assert found[0]["curves"] == found[1]["curves"]
