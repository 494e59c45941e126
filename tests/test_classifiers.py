"""Classifiers and the regressor: rules of scikit-learn, adaptation, fusion, refusals."""

import pickle

import joblib
import numpy as np
import pytest
from brains import SMALL, bold, eeg, open_and_closed
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import (
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
)

from brainfm import (
    BrainClassifier,
    BrainEmbedder,
    BrainPretrainer,
    BrainRegressor,
    FewShotClassifier,
)
from brainfm.errors import BrainFMError, DataError, ModelError
from brainfm.models.encoder.windows import prepare
from brainfm.models.features import registry as features
from brainfm.recording import RecordingTable

QUICK = {"max_epochs": 8, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def table():
    return open_and_closed()


@pytest.fixture(scope="module")
def target(table):
    return np.array([row[0].task for row in table])


@pytest.fixture(scope="module")
def checkpoint(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "nano"
    return BrainPretrainer(**SMALL).fit(table).save(folder)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Six people with both modalities, one with BOLD only, one with EEG only; a model of both."""
    paired = [one for seed in range(6) for one in (bold(seed), eeg(seed, alpha=seed % 2))]
    table = RecordingTable.from_recordings([*paired, bold(8), eeg(9)])
    folder = BrainPretrainer(**SMALL).fit(table).save(tmp_path_factory.mktemp("model") / "both")
    return table, np.arange(8) % 2, folder


@pytest.mark.parametrize("make", [BrainClassifier, FewShotClassifier, BrainRegressor])
class TestRules:
    def test_checks_of_scikit_learn_without_data_pass(self, make):
        check_parameters_default_constructible(make.__name__, make())
        check_no_attributes_set_in_init(make.__name__, make())
        assert clone(make(model="x")).get_params() == make(model="x").get_params()

    def test_use_before_fit_raises_not_fitted(self, make, table):
        with pytest.raises(NotFittedError):
            make().predict(table)

    def test_fit_changes_no_parameter_and_returns_itself(self, make, checkpoint, table, target):
        estimator = make(checkpoint)
        before = dict(estimator.get_params())
        y = target == "open"
        assert estimator.fit(table, y.astype(int)) is estimator
        assert estimator.get_params() == before

    def test_fitted_estimators_survive_pickle_and_joblib(
        self, make, checkpoint, table, target, tmp_path
    ):
        fitted = make(checkpoint).fit(table, (target == "open").astype(int))
        expected = fitted.predict(table)
        joblib.dump(fitted, tmp_path / "model")
        pickled = pickle.loads(pickle.dumps(fitted))  # noqa: S301
        for copy in (pickled, joblib.load(tmp_path / "model")):
            np.testing.assert_array_equal(copy.predict(table), expected)

    def test_unknown_features_are_refused(self, make, table, target):
        with pytest.raises(BrainFMError, match=r"fusion is 'spikes'; expected 'auto', or one"):
            make(fusion="spikes").fit(table, (target == "open").astype(int))


class TestClassifiers:
    @pytest.mark.parametrize(
        ("make", "parameters"),
        [
            (BrainClassifier, {}),
            (BrainClassifier, {"adaptation": "prototype"}),
            (BrainClassifier, {"adaptation": "lora", **QUICK}),
            (BrainClassifier, {"adaptation": "full", **QUICK}),
            (BrainClassifier, {"fusion": ("eeg", "band_power", "aperiodic", "riemann")}),
            (FewShotClassifier, {}),
            (FewShotClassifier, {"head": "lda"}),
        ],
    )
    def test_distinguish_alpha_in_unseen_participants(
        self, checkpoint, table, target, make, parameters
    ):
        classifier = make(checkpoint, **parameters)
        folds = GroupKFold(3)
        scores = cross_val_score(classifier, table, target, groups=table.groups, cv=folds)
        assert scores.mean() > 0.7

    def test_probabilities_decision_and_classes_agree(self, checkpoint, table, target):
        classifier = BrainClassifier(checkpoint).fit(table, target)
        assert list(classifier.classes_) == ["closed", "open"]
        chance = classifier.predict_proba(table)
        np.testing.assert_allclose(chance.sum(axis=1), 1)
        guessed = classifier.classes_[chance.argmax(axis=1)]
        np.testing.assert_array_equal(guessed, classifier.predict(table))
        np.testing.assert_array_equal(guessed == "open", classifier.decision_function(table) > 0)

    def test_three_classes_have_a_column_each(self, checkpoint, table):
        y = np.arange(len(table)) % 3
        classifier = FewShotClassifier(checkpoint).fit(table, y)
        assert classifier.predict_proba(table).shape == (len(table), 3)
        assert classifier.decision_function(table).shape == (len(table), 3)

    def test_grid_search_and_pipelines_work(self, checkpoint, table, target):
        search = GridSearchCV(
            BrainClassifier(checkpoint), {"adaptation": ["probe", "prototype"]}, cv=GroupKFold(2)
        )
        search.fit(table, target, groups=table.groups)
        assert search.best_params_["adaptation"] in ("probe", "prototype")
        pipeline = make_pipeline(
            BrainEmbedder(checkpoint), StandardScaler(), LogisticRegression(max_iter=500)
        )
        assert clone(pipeline).fit(table, target).score(table, target) > 0.9

    def test_groups_of_arrays_are_routed_to_where_penalties_are_chosen(self, checkpoint, table):
        X = np.stack([row[0].signal for row in table])
        described = {
            "positions": table[0][0].positions, "sampling_hz": 200, "modality": "eeg",
        }  # fmt: skip
        y = np.repeat(np.arange(12) % 2, 2)  # of the person, not of the recording
        with config_context(enable_metadata_routing=True):
            classifier = BrainClassifier(checkpoint, **described).set_fit_request(groups=True)
            found = cross_validate(
                classifier, X, y, params={"groups": table.groups}, cv=GroupKFold(3),
                return_estimator=True,
            )  # fmt: skip
        head = found["estimator"][0].blocks_["eeg"].head_[-1]
        inner = [set(train) & set(test) for train, test in head.cv]
        assert not any(inner)
        for train, test in head.cv:  # both recordings of a person are on one side
            assert not {row // 2 for row in train} & {row // 2 for row in test}

    def test_class_weights_shift_the_predictions(self, checkpoint, table, target):
        rare = np.r_[np.flatnonzero(target == "open")[:3], np.flatnonzero(target == "closed")]
        subset, y = table[rare], target[rare]
        chances = [
            BrainClassifier(checkpoint, class_weight=weight).fit(subset, y).predict_proba(table)
            for weight in ("balanced", None)
        ]
        assert chances[0][:, 1].mean() > chances[1][:, 1].mean()

    def test_class_weights_go_by_label(self, checkpoint, table, target):
        chances = [
            BrainClassifier(checkpoint, class_weight={label: 20}).fit(table, target)
            .predict_proba(table)[:, 1].mean()
            for label in ("closed", "open")
        ]  # fmt: skip
        assert chances[1] > chances[0]  # the second class is "open"
        with pytest.raises(ModelError, match="class_weight has 'opened', but the classes are 'c"):
            BrainClassifier(checkpoint, class_weight={"opened": 2}).fit(table, target)

    @pytest.mark.parametrize("missing", [None, np.nan, "n/a"])
    def test_missing_labels_of_pandas_are_refused(self, checkpoint, table, target, missing):
        y = target.astype(object)
        y[3] = missing
        with pytest.raises(DataError, match="the target is missing in 1 of"):
            BrainClassifier(checkpoint).fit(table, y)


class TestFineTuning:
    @pytest.mark.parametrize("adaptation", ["lora", "full"])
    def test_the_seed_decides_and_the_checkpoint_stays_as_it_is(
        self, checkpoint, table, target, adaptation
    ):
        before = (checkpoint / "model.safetensors").read_bytes()
        found = [
            BrainClassifier(
                checkpoint, adaptation=adaptation, max_epochs=2, random_state=seed
            ).fit(table, target).predict_proba(table)
            for seed in (0, 0, 1)
        ]  # fmt: skip
        np.testing.assert_array_equal(found[0], found[1])
        assert not np.allclose(found[0], found[2])
        assert (checkpoint / "model.safetensors").read_bytes() == before

    def test_lora_leaves_positions_and_tokens_unchanged(self, checkpoint, table, target):
        from brainfm.models.checkpoint.load_save import load_checkpoint

        start = load_checkpoint(checkpoint).encoder.state_dict()
        classifier = BrainClassifier(checkpoint, adaptation="lora", **QUICK).fit(table, target)
        end = classifier.blocks_["eeg"].tuner_.net_.module_.encoder.state_dict()
        assert set(end) == set(start)
        changed = {name for name in start if not (start[name] == end[name]).all()}
        assert changed
        assert all(name.startswith("blocks.") for name in changed)

    def test_training_stops_early_without_improvement_on_validation_participants(
        self, checkpoint, table
    ):
        y = np.random.default_rng(0).permutation(np.arange(24) % 2)  # nothing to learn
        classifier = BrainClassifier(
            checkpoint, adaptation="full", max_epochs=40, patience=2, learning_rate=3e-3
        ).fit(table, y)
        history = classifier.blocks_["eeg"].tuner_.net_.history
        assert len(history) < 40
        assert "valid_loss" in history[-1]

    def test_a_pickle_holds_no_recording(self, checkpoint, table, target):
        classifier = BrainClassifier(checkpoint, adaptation="lora", max_epochs=1)
        kept = pickle.dumps(classifier.fit(table, target))
        for (one,) in table:
            for channel in prepare(one).signal:
                assert channel[:50].tobytes() not in kept

    def test_few_participants_have_no_validation_split(self, checkpoint, table, target):
        classifier = BrainClassifier(checkpoint, adaptation="lora", max_epochs=3)
        history = classifier.fit(table[:6], target[:6]).blocks_["eeg"].tuner_.net_.history
        assert len(history) == 3
        assert "valid_loss" not in history[-1]


class TestFusion:
    def test_a_missing_modality_is_skipped_and_the_other_is_used(self, both):
        table, y, folder = both
        classifier = FewShotClassifier(folder).fit(table, y)
        assert set(classifier.blocks_) == {"bold", "eeg"}
        chance = classifier.predict_proba(table)
        only_bold = FewShotClassifier(folder, fusion="bold").fit(table[:7], y[:7])
        np.testing.assert_allclose(chance[6], only_bold.predict_proba(table[6:7])[0])

    def test_the_prediction_is_the_mean_over_modalities(self, both):
        table, y, folder = both
        chances = [
            BrainClassifier(folder, fusion=fusion).fit(table[:6], y[:6]).predict_proba(table[:6])
            for fusion in (("bold", "eeg"), "bold", "eeg")
        ]
        np.testing.assert_allclose(chances[0], (chances[1] + chances[2]) / 2)

    def test_a_row_without_any_fused_modality_is_refused(self, both):
        table, y, folder = both
        classifier = BrainClassifier(folder, fusion="bold").fit(table[:7], y[:7])
        with pytest.raises(BrainFMError, match=r"row 0 has .*eeg.* fitted on bold: fit it on both"):
            classifier.predict(table[7:])

    def test_features_of_an_absent_modality_are_refused(self, both):
        *_, folder = both
        with pytest.raises(BrainFMError, match=r"'pearson', which needs bold, but X holds eeg"):
            BrainClassifier(folder, fusion="pearson").fit([eeg(1), eeg(2)], [0, 1])

    def test_third_party_encoders_are_found_by_name(self, checkpoint, table, target, request):
        def loudness(rows):
            return np.array([[np.log(row[0].signal.std())] for row in rows])

        features.register_features(
            "loudness", lambda: FunctionTransformer(loudness), modality="eeg"
        )
        request.addfinalizer(lambda: features.FEATURES.pop("loudness"))
        with pytest.raises(BrainFMError, match=r"'loudness' are already registered"):
            features.register_features("loudness", None, modality="eeg")
        classifier = BrainClassifier(checkpoint, fusion=("eeg", "loudness")).fit(table, target)
        assert set(classifier.blocks_) == {"eeg", "loudness"}


class TestRegressor:
    @pytest.mark.parametrize("parameters", [{}, {"adaptation": "lora", **QUICK}])
    def test_predicts_a_numeric_target(self, checkpoint, parameters):
        strength = np.linspace(0, 1.5, 16)
        recordings = [eeg(seed, alpha=one) for seed, one in enumerate(strength)]
        regressor = BrainRegressor(checkpoint, **parameters).fit(recordings, strength)
        assert regressor.score(recordings, strength) > 0.5

    def test_prototypes_need_classes(self, checkpoint, table):
        with pytest.raises(BrainFMError, match=r"'prototype', which needs classes"):
            BrainRegressor(checkpoint, adaptation="prototype").fit(table, np.arange(24))


class TestRefusals:
    @pytest.mark.parametrize(
        ("make", "y", "words"),
        [
            (BrainClassifier, ["a"] * 24, r"one class only \(a\)"),
            (FewShotClassifier, ["a"] * 24, r"one class only \(a\)"),
            (BrainClassifier, ["a", "b"], r"X has 24 rows but y has 2 values"),
            (BrainClassifier, [np.nan, *[1.0] * 23], r"missing in 1 of 24 rows"),
            (BrainRegressor, [np.nan] * 24, r"missing in 24 of 24 rows"),
            (BrainRegressor, [1.0] * 24, r"one value only"),
            (BrainRegressor, ["old"] * 24, r"y is not numeric"),
        ],
    )
    def test_targets_without_variation_are_refused(self, checkpoint, table, make, y, words):
        with pytest.raises(BrainFMError, match=words):
            make(checkpoint).fit(table, y)

    def test_groups_of_another_length(self, checkpoint, table, target):
        with pytest.raises(BrainFMError, match=r"X has 24 rows but groups has 3 values"):
            BrainClassifier(checkpoint).fit(table, target, groups=["a", "b", "c"])

    @pytest.mark.parametrize(
        ("estimator", "words"),
        [
            (BrainClassifier(adaptation="tree"), r"adaptation is 'tree'; expected one of probe, "),
            (FewShotClassifier(head="tree"), r"head is 'tree'; expected prototype or lda"),
        ],
    )
    def test_unknown_names(self, checkpoint, table, target, estimator, words):
        with pytest.raises(BrainFMError, match=words):
            estimator.set_params(model=checkpoint).fit(table, target)

    def test_lda_refuses_one_row_per_class(self, checkpoint, table, target):
        with pytest.raises(BrainFMError, match=r"class 0 has one row but shrinkage LDA needs two"):
            FewShotClassifier(checkpoint, head="lda").fit(table[:2], target[:2])
