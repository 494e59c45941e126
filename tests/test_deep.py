"""Deep baselines: what they learn, the rules of scikit-learn, refusals."""

import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from brains import bold, eeg, pick
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils.estimator_checks import (
    check_no_attributes_set_in_init,
    check_parameters_default_constructible,
)
from torch import nn

from brainfm import DeepClassifier
from brainfm.errors import DataError, ModelError, SignalError
from brainfm.models.estimators import published_networks as deep
from brainfm.recording import Recording, RecordingTable

QUICK = {"network": "brainnetcnn", "max_epochs": 3, "device": "cpu"}


def person(index, coupled, *, n_times=100, **entities):
    """BOLD of twelve parcels of noise; the first four share a source where they are coupled."""
    rng = np.random.default_rng(index)
    series = rng.standard_normal((n_times, 12))
    series[:, :4] += coupled * rng.standard_normal((n_times, 1))
    return Recording.from_array(
        series,
        sampling_hz=0.5,
        modality="bold",
        positions=np.random.default_rng(0).uniform(-60, 60, (12, 3)),
        **{"participant": f"{index:02d}", **entities},
    )


def people(n, first=0, n_classes=2):
    """Recordings of n people, and how strongly the parcels of each are coupled."""
    y = np.arange(n) % n_classes
    recordings = [person(first + index, label) for index, label in enumerate(y)]
    return RecordingTable.from_recordings(recordings), y


def listener(index, alpha, *, duration_s=13):
    """EEG of six channels of noise, with a rhythm of 10 Hz on all of them."""
    rng = np.random.default_rng(index)
    wave = np.sin(2 * np.pi * (10 * np.arange(200 * duration_s) / 200 + rng.uniform()))
    return Recording.from_array(
        1e-5 * (rng.standard_normal((len(wave), 6)) + 2 * alpha * wave[:, None]),
        sampling_hz=200,
        modality="eeg",
        positions=np.random.default_rng(0).uniform(-0.08, 0.08, (6, 3)),
        participant=f"{index:02d}",
    )


def rhythms(n, first=0):
    """EEG of n people, half of them with alpha."""
    y = np.arange(n) % 2
    recordings = [listener(first + index, label) for index, label in enumerate(y)]
    return RecordingTable.from_recordings(recordings), y


@pytest.fixture
def linear(monkeypatch):
    """A network of EEG that needs no other library."""
    make = lambda n_channels, n_outputs: nn.Sequential(  # noqa: E731
        nn.Flatten(), nn.Linear(n_channels * 400, n_outputs)
    )
    monkeypatch.setitem(deep.NETWORKS, "linear", deep.Network(modality="eeg", load=lambda: make))
    return DeepClassifier("linear", max_epochs=2, device="cpu")


class TestPlantedEffects:
    def test_coupled_parcels_are_detected_in_unseen_participants(self):
        model = DeepClassifier("brainnetcnn", device="cpu").fit(*people(40))
        assert model.score(*people(20, first=100)) >= 0.9

    def test_three_named_classes_are_detected(self):
        table, y = people(45, n_classes=3)
        model = DeepClassifier("brainnetcnn", device="cpu").fit(table, np.array([*"cab"])[y])
        new, y = people(30, first=100, n_classes=3)
        assert list(model.classes_) == ["a", "b", "c"]
        assert model.predict_proba(new).shape == (30, 3)
        assert (model.predict(new) == np.array([*"cab"])[y]).mean() >= 0.7

    @pytest.mark.parametrize("network", ["shallow", "eegnet"])
    def test_alpha_is_detected_in_unseen_participants(self, network):
        pytest.importorskip("braindecode", exc_type=(ImportError, OSError))
        model = DeepClassifier(
            network, device="cpu", max_epochs=15, learning_rate=3e-3, batch_size=16
        )
        fitted = model.fit(*rhythms(20))
        new, y = rhythms(12, first=100)
        assert fitted.score(new, y) >= 0.9
        np.testing.assert_array_equal(
            fitted.predict_proba(new),
            pickle.loads(pickle.dumps(fitted)).predict_proba(new),  # noqa: S301
        )

    def test_a_class_with_more_weight_is_predicted_more_often(self):
        table, y = people(12)
        told = [
            DeepClassifier(**QUICK, class_weight=weight).fit(table, y).predict_proba(table)[:, 1]
            for weight in (None, {sorted(set(y))[1]: 20})
        ]
        assert told[1].mean() > told[0].mean()


class TestRules:
    def test_checks_of_scikit_learn_without_data_pass(self):
        check_parameters_default_constructible("DeepClassifier", DeepClassifier())
        check_no_attributes_set_in_init("DeepClassifier", DeepClassifier())

    def test_use_before_fit_raises_not_fitted(self):
        with pytest.raises(NotFittedError):
            DeepClassifier().predict(people(2)[0])

    def test_fit_changes_no_parameter_and_returns_itself(self):
        model = DeepClassifier(**QUICK)
        before = dict(model.get_params())
        assert model.fit(*people(6)) is model
        assert model.get_params() == before == clone(model).get_params()

    def test_the_same_seed_gives_the_same_probabilities_and_leaves_the_state_of_torch(self):
        table, y = people(12)
        state = torch.get_rng_state()
        first, again, other = (
            DeepClassifier(**QUICK, random_state=seed).fit(table, y).predict_proba(table)
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert not np.allclose(first, other)
        assert torch.equal(torch.get_rng_state(), state)

    def test_probabilities_sum_to_one_and_do_not_depend_on_other_rows(self):
        table, y = people(12)
        model = DeepClassifier(**QUICK).fit(table, y)
        told = model.predict_proba(table)
        np.testing.assert_allclose(told.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_array_equal(model.predict_proba(table[3:4])[0], told[3])

    def test_a_pickle_predicts_the_same_and_holds_no_signal(self):
        recordings = [person(index, index % 2, n_times=4000) for index in range(12)]
        table = RecordingTable.from_recordings(recordings)
        model = DeepClassifier(**QUICK).fit(table, np.arange(12) % 2)
        kept = pickle.dumps(model)
        assert len(kept) < recordings[0].signal.nbytes
        np.testing.assert_array_equal(
            pickle.loads(kept).predict_proba(table),  # noqa: S301
            model.predict_proba(table),
        )

    def test_it_can_be_cross_validated(self):
        table, y = people(12)
        scores = cross_val_score(
            DeepClassifier(**QUICK), table, y, groups=table.groups, cv=GroupKFold(3)
        )
        assert np.isfinite(scores).all()

    def test_training_and_validation_have_different_participants(self, monkeypatch):
        splits, split = [], deep.ValidSplit
        monkeypatch.setattr(deep, "ValidSplit", lambda pairs: splits.extend(pairs) or split(pairs))
        table = RecordingTable.from_recordings(
            [person(index, index % 2, run=run) for index in range(10) for run in "12"]
        )
        DeepClassifier(**QUICK).fit(table, np.repeat(np.arange(10) % 2, 2))
        ((learned, apart),) = splits
        assert len(learned) == 16
        assert not set(table.groups[learned]) & set(table.groups[apart])

    def test_a_channel_missing_in_a_new_recording_is_zero(self, linear):
        model = linear.fit(*rhythms(4))
        whole = listener(9, 1)
        silent = np.where(np.arange(6) == 3, np.nan, whole.signal)
        lost, left_out = replace(whole, read=lambda: silent), pick(whole, [5, 4, 2, 1, 0])
        told = model.predict_proba([lost, left_out, whole])
        np.testing.assert_array_equal(told[0], told[1])
        assert not np.allclose(told[0], told[2])

    def test_a_parcel_missing_in_a_new_recording_has_no_effect(self):
        table, y = people(12)
        model = DeepClassifier(**QUICK).fit(table, y)
        lost = RecordingTable([(pick(table[0][0], range(11)),)])
        assert np.isfinite(model.predict_proba(lost)).all()


class TestRefusals:
    def test_unknown_network(self):
        with pytest.raises(ModelError, match="'resnet'; expected one of shallow, eegnet, brainne"):
            DeepClassifier("resnet").fit(*people(4))

    def test_braindecode_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "braindecode", None)
        with pytest.raises(ModelError, match=r'pip install "brainfm\[deep\]"'):
            DeepClassifier("shallow").fit(*rhythms(2))

    def test_a_row_of_another_modality(self):
        model = DeepClassifier(**QUICK)
        with pytest.raises(ModelError, match=r"row 1 has .*eeg.* but brainnetcnn reads bold"):
            model.fit([person(0, 0), eeg(1)], [0, 1])
        with pytest.raises(ModelError, match=r"row 1 has .*eeg.* but brainnetcnn reads bold"):
            model.fit(*people(4)).predict([person(0, 0), eeg(1)])

    def test_one_class(self):
        with pytest.raises(DataError, match=r"one class only \(0\)"):
            DeepClassifier(**QUICK).fit(people(4)[0], [0, 0, 0, 0])

    def test_labels_of_another_length(self):
        with pytest.raises(ModelError, match="X has 4 rows, y 3 values and groups 4"):
            DeepClassifier(**QUICK).fit(people(4)[0], [0, 1, 0])

    def test_too_few_channels_in_common(self, linear):
        said = "1 channels in common; expected at least 2"
        with pytest.raises(SignalError, match=said):
            DeepClassifier(**QUICK).fit(
                [pick(bold(0), range(5)), pick(bold(1), range(4, 9))], [0, 1]
            )
        with pytest.raises(SignalError, match=said):
            linear.fit([pick(eeg(0), range(5)), pick(eeg(1), range(4, 9))], [0, 1])

    def test_eeg_shorter_than_a_window(self, linear):
        short = listener(0, 1, duration_s=3)
        with pytest.raises(
            ModelError, match=r"has 3 s of signal but a window is 4 s long: exclude it"
        ):
            linear.fit([short, listener(1, 0)], [0, 1])
