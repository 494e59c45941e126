"""Pretrainer and embedder keep scikit-learn's rules."""

import numpy as np
import pytest
from brains import SMALL, bold, eeg, open_and_closed
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from brainfm import BrainEmbedder, BrainPretrainer
from brainfm.errors import ModelError, SignalError
from brainfm.models.training.loop import WarmupCosine
from brainfm.recording import RecordingTable


@pytest.fixture(scope="module")
def table():
    return open_and_closed()


@pytest.fixture(scope="module")
def checkpoint(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "nano"
    return BrainPretrainer(**SMALL).fit(table).save(folder)


class TestBrainPretrainer:
    def test_needs_no_labels_and_gives_finite_vectors(self, table):
        pretrainer = BrainPretrainer(**SMALL)
        vectors = pretrainer.fit_transform(table)
        assert vectors.shape[0] == len(table)
        assert vectors.dtype == np.float32
        assert np.isfinite(vectors).all()
        assert [epoch["epoch"] for epoch in pretrainer.history_] == [1, 2]
        assert {"train_loss", "effective_rank", "connectivity_eeg_explained"} <= set(
            pretrainer.history_[0]
        )

    def test_metrics_that_need_two_recordings_are_not_in_the_history(self):
        recordings = [bold(0), eeg(1), eeg(2)]
        table = RecordingTable.from_recordings(recordings)
        (*_, last) = BrainPretrainer(**SMALL).fit(table).history_
        assert "connectivity_bold_explained" not in last  # one recording: nothing varies
        assert last["connectivity_eeg_explained"] < 1
        assert all(np.isfinite(value) for value in last.values())

    def test_fit_and_clone_preserve_the_parameters(self, table):
        pretrainer = BrainPretrainer(objective={"masked": 1.0}, **SMALL)
        before = dict(pretrainer.get_params())
        pretrainer.fit(table[:4])
        assert pretrainer.get_params() == before
        assert clone(pretrainer).get_params() == before
        assert not hasattr(clone(pretrainer), "encoder_")

    def test_the_seed_decides_and_nothing_else(self, table):
        one, two, other = (
            BrainPretrainer(random_state=seed, **SMALL).fit_transform(table[:6])
            for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(one, two)
        assert not np.allclose(one, other)

    def test_a_resumed_run_gives_the_weights_of_an_uninterrupted_one(self, table, tmp_path):
        whole = BrainPretrainer(**SMALL).fit(table[:6])

        pretrainer = BrainPretrainer(resume_dir=tmp_path / "resume", **SMALL)
        begin = WarmupCosine.on_epoch_begin

        def stop_in_second(self, net, **more):
            if len(net.history) > 1:
                raise InterruptedError
            begin(self, net, **more)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(WarmupCosine, "on_epoch_begin", stop_in_second)
            with pytest.raises(InterruptedError):
                pretrainer.fit(table[:6])
        resumed = pretrainer.fit(table[:6])
        np.testing.assert_array_equal(resumed.transform(table), whole.transform(table))
        assert len(resumed.history_) == 2

    def test_both_modalities_of_a_session_give_two_blocks_and_a_missing_one_is_nan(self):
        paired = [one for seed in range(3) for one in (bold(seed), eeg(seed))]
        table = RecordingTable.from_recordings([*paired, bold(8), eeg(9)])
        pretrainer = BrainPretrainer(**SMALL)
        vectors = pretrainer.fit_transform(table)
        assert vectors.shape[1] == len(pretrainer.get_feature_names_out())
        lost = np.isnan(vectors)
        assert not lost[:3].any()
        assert lost[3].sum() + lost[4].sum() == vectors.shape[1]

    def test_use_before_fit_raises_not_fitted(self, table):
        with pytest.raises(NotFittedError, match="not fitted"):
            BrainPretrainer().transform(table)

    def test_one_recording_is_not_enough(self, table):
        with pytest.raises(ModelError, match=r"at least two recordings"):
            BrainPretrainer(**SMALL).fit(table[:1])


class TestBrainEmbedder:
    def test_a_saved_pretrainer_embeds_as_it_did(self, table, tmp_path):
        pretrainer = BrainPretrainer(**SMALL).fit(table[:6])
        embedder = BrainEmbedder.from_pretrained(pretrainer.save(tmp_path / "one"))
        np.testing.assert_array_equal(embedder.transform(table), pretrainer.transform(table))

    def test_lists_tables_and_arrays_give_the_same(self, checkpoint, table):
        recordings = [row[0] for row in table[:3]]
        given = {"positions": recordings[0].positions, "sampling_hz": 200, "modality": "eeg"}
        arrays = np.stack([one.signal for one in recordings])
        same_place = [one.with_entities(positions=given["positions"]) for one in recordings]
        expected = BrainEmbedder.from_pretrained(checkpoint).transform(same_place)
        found = BrainEmbedder.from_pretrained(checkpoint, **given).transform(arrays)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        as_table = RecordingTable((one,) for one in same_place)
        np.testing.assert_array_equal(BrainEmbedder(checkpoint).fit_transform(as_table), expected)

    def test_each_row_is_embedded_alone(self, checkpoint, table):
        embedder = BrainEmbedder.from_pretrained(checkpoint)
        np.testing.assert_array_equal(
            embedder.transform(table)[5:7], embedder.transform(table[5:7])
        )

    def test_a_modality_fit_has_not_seen_is_refused(self, checkpoint, table):
        embedder = BrainEmbedder(checkpoint).fit(table)
        with pytest.raises(ModelError, match=r"fitted on eeg: fit it on both"):
            embedder.transform([bold()])

    def test_use_before_fit_raises_not_fitted(self, checkpoint, table):
        with pytest.raises(NotFittedError, match=r"call fit, or make it with .*from_pretrained"):
            BrainEmbedder(checkpoint).transform(table)

    def test_columns_have_names_and_set_output_gives_pandas(self, checkpoint, table):
        embedder = BrainEmbedder(checkpoint).fit(table).set_output(transform="pandas")
        frame = embedder.transform(table[:2])
        assert list(frame.columns) == list(embedder.get_feature_names_out())
        assert frame.columns[0] == "eeg_summary_0"
        assert frame.columns.is_unique

    @pytest.mark.parametrize(
        ("X", "words"),
        [
            ([], r"X is empty"),
            (np.ones((2, 900, 3)), r"the estimator has no positions, sampling_hz, modality"),
            (["a.nii"], r"X holds str; expected a RecordingTable"),
        ],
    )
    def test_other_input_is_refused(self, checkpoint, X, words):
        with pytest.raises(ModelError, match=words):
            BrainEmbedder.from_pretrained(checkpoint).transform(X)

    def test_one_recording_as_a_matrix_is_refused(self, checkpoint):
        embedder = BrainEmbedder.from_pretrained(
            checkpoint, positions=np.eye(3) * 0.1, sampling_hz=200, modality="eeg"
        )
        with pytest.raises(SignalError, match=r"for one recording, use X\[None\]"):
            embedder.transform(np.ones((900, 3)))

    def test_an_absent_device_is_refused(self, checkpoint, table, monkeypatch):
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
        with pytest.raises(ModelError, match=r"torch sees no GPU"):
            BrainEmbedder.from_pretrained(checkpoint, device="cuda").transform(table)
