"""Recordings, and the table scikit-learn splits."""

import pickle

import joblib
import numpy as np
import pytest
from brains import bold, eeg
from sklearn.base import BaseEstimator
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.utils import _safe_indexing

from brainfm.errors import SignalError
from brainfm.recording import Recording, RecordingTable


def _table(n=6):
    recordings = [one for seed in range(n) for one in (bold(seed), eeg(seed))]
    return RecordingTable.from_recordings(recordings)


class Longest(BaseEstimator):
    """Says nothing useful, but asks a table for what scikit-learn would."""

    def fit(self, X, y):
        self.n_ = len(X)
        return self

    def score(self, X, y):
        return len(X) + 100 * len(set(X.groups))


def test_bold_and_eeg_of_one_run_share_a_row():
    table = _table(3)
    assert [tuple(one.modality for one in row) for row in table] == [("bold", "eeg")] * 3
    assert list(table.groups) == ["made-up/00", "made-up/01", "made-up/02"]


def test_recordings_without_participant_are_not_paired():
    anonymous = [bold(participant="unknown"), eeg(participant="unknown")]
    assert len(RecordingTable.from_recordings(anonymous)) == 2


def test_two_recordings_with_the_same_labels_are_refused():
    with pytest.raises(SignalError, match=r"two bold recordings .* different task, run or session"):
        RecordingTable.from_recordings([bold(0), bold(0)])


@pytest.mark.parametrize("rows", [[4, 0], np.array([4, 0]), np.arange(6) % 4 == 0, slice(0, 5, 4)])
def test_scikit_learn_indexes_rows(rows):
    table = _table()
    kept = {row[0].participant for row in _safe_indexing(table, rows)}
    assert kept == {"00", "04"}


def test_one_row_comes_as_a_tuple_of_recordings():
    assert [one.modality for one in _table(1)[0]] == ["bold", "eeg"]


def test_groups_put_each_participant_into_one_fold():
    recordings = [bold(seed, run=run) for seed in range(4) for run in "12"]
    table = RecordingTable.from_recordings(recordings)
    for train, test in GroupKFold(4).split(table, groups=table.groups):
        assert not set(table[train].groups) & set(table[test].groups)
    scores = cross_val_score(Longest(), table, np.zeros(8), groups=table.groups, cv=GroupKFold(4))
    assert list(scores) == [102] * 4


def test_it_survives_pickle_and_joblib(tmp_path):
    table = _table(2)
    joblib.dump(table, tmp_path / "table")
    pickled = pickle.loads(pickle.dumps(table))  # noqa: S301
    for copy in (pickled, joblib.load(tmp_path / "table")):
        np.testing.assert_array_equal(copy[1][0].signal, table[1][0].signal)
        assert list(copy.groups) == list(table.groups)


def test_properties_derived_from_the_signal():
    recording = bold(n_times=90, tr_s=2.0)
    assert recording.duration_s == 180
    assert recording.signal.dtype == np.float32
    assert "sub-00_task-rest bold: 90 samples at 0.5 Hz x 20 channels" in repr(recording)


def test_channels_that_are_not_finite_are_masked():
    signal = np.ones((5, 3))
    signal[2, 1] = np.nan
    recording = Recording.from_array(
        signal, sampling_hz=1, modality="bold", positions=np.eye(3) * 50
    )
    assert list(recording.mask) == [True, False, True]


GOOD = {
    "signal": np.ones((5, 3)), "sampling_hz": 0.5, "modality": "bold",
    "positions": np.eye(3) * 50,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"signal": np.ones(5)}, r"shape \(5,\); expected \(n_times, n_channels\)"),
        ({"modality": "meg"}, r"'meg'; expected one of bold, eeg"),
        ({"sampling_hz": 0}, r"expected samples per second above 0"),
        ({"positions": np.eye(3)[:2] * 50}, r"positions has shape \(2, 3\) but .* 3 channels"),
        ({"positions": np.eye(3) * 0.05}, r"look like metres: multiply by 1000"),
        ({"positions": np.eye(3) * 5000}, r"MNI millimetres, at most 200"),
        ({"positions": np.full((3, 3), np.nan)}, r"no position for 0, 1, 2 \(3 in all\)"),
        ({"modality": "eeg"}, r"in metres, not millimetres"),
        ({"channels": ["a"]}, r"channels has shape \(1,\)"),
    ],
)
def test_inconsistent_input_is_refused(change, words):
    arguments = {**GOOD, **change}
    with pytest.raises(SignalError, match=words):
        Recording.from_array(arguments.pop("signal"), **arguments)
