"""The evaluation stage by site: one command, one column; what is left out is said."""

import json

import numpy as np
import pandas as pd
import pytest

from brainfm.config import EvaluateConfig
from brainfm.errors import DataError, NothingSelected, UsageError
from brainfm.recording import Recording
from brainfm.stages.evaluate.design import build_design
from brainfm.stages.evaluate.run import evaluate_outputs

QUICK = {"n_permutations": 5, "n_episodes": 3}


def recordings(n=24):
    """People whose two parcels go together if their number is odd."""
    made = []
    for index in range(n):
        rng = np.random.default_rng(index)
        series = rng.normal(size=(80, 4))
        series[:, 1] += (index % 2) * 2 * series[:, 0]
        made.append(
            Recording.from_array(
                series, sampling_hz=0.5, modality="bold", positions=np.eye(4)[:, :3] * 50,
                participant=f"{index:02d}", dataset="d",
            )
        )  # fmt: skip
    return made


@pytest.fixture
def people():
    return pd.DataFrame({
        "participant_id": [f"sub-{index:02d}" for index in range(24)],
        "group": ["a", "b"] * 12,
        "site": [*np.repeat(["x", "y", "z"], 7), None, None, None],
        "mean_fd": np.linspace(0.1, 0.4, 24),
    })  # fmt: skip


def test_one_site_is_left_out_at_a_time_and_outputs_are_reproducible(people, tmp_path):
    config = EvaluateConfig(target="group", groups="site", **QUICK)
    for name in ("one", "two"):
        found = evaluate_outputs(
            tmp_path / name, config, recordings=recordings(), participants=people
        )
    assert found["folds"] | {"gap_s": 0} == {
        "kind": "site", "groups": "site", "n_splits": 3, "n_repeats": 1, "gap_s": 0,
        "window_s": None,
    }  # fmt: skip
    assert "an unseen site: 21 participants, each of 3 values" in found["answer"]["scope"]
    assert [one["why"] for one in found["data"]["excluded"]] == ["no site"] * 3
    assert {row["column"] for row in found["audit"]} == {"site", "mean_fd", "all of them"}
    folds = pd.read_csv(tmp_path / "one" / "group" / "folds.tsv", sep="\t")
    tested = folds.groupby(["method", "fold"])["participant"].nunique()
    assert (tested == 7).all()
    for path in sorted((tmp_path / "one" / "group").glob("*.*")):
        assert path.read_bytes() == (tmp_path / "two" / "group" / path.name).read_bytes(), path.name


def test_a_model_pretrained_on_the_same_data_is_compared_too(people, tmp_path):
    class Powers:
        def transform(self, X):
            return np.array([row[0].signal.std(axis=0) for row in X])

    found = evaluate_outputs(
        tmp_path,
        EvaluateConfig(target="group", confounds=(), n_splits=2, n_permutations=0, n_episodes=0),
        recordings=recordings(),
        participants=people,
        embedder=Powers(),
        in_domain=Powers(),
    )
    names = [method["name"] for method in found["methods"]]
    assert names[0] == found["comparison"]["method"] == "brainfm"
    assert "brainfm, pretrained on these data" in names


@pytest.mark.parametrize(
    ("change", "settings", "error", "words"),
    [
        ({}, {"groups": "scanner"}, UsageError, r"no column 'scanner'"),
        ({"site": "x"}, {"groups": "site"}, DataError, r"all rows are of one site \(x\)"),
        ({"site": ["x", "y"] * 12}, {"groups": "site"}, DataError,
         r"all participants of class a are at site x"),
        ({"group": "a"}, {}, DataError, r"one class only \(a\)"),
        ({"group": ["b", *["a"] * 23]}, {}, DataError, r"class b has one participant"),
        ({"group": None}, {}, NothingSelected, r"no recording remains to evaluate"),
        ({}, {"target": "grade"}, UsageError, r"no column 'grade'; it has: group, site, mean_fd"),
        ({}, {"n_splits": 13}, DataError, r"13 folds need as many participants .*there are 12"),
    ],
)  # fmt: skip
def test_invalid_designs_are_refused_before_a_signal_is_read(
    people, change, settings, error, words
):
    def unread():
        raise AssertionError("a signal was read")

    blind = [one.with_entities(read=unread) for one in recordings()]
    config = EvaluateConfig(**{"target": "group", **settings})
    with pytest.raises(error, match=words):
        build_design(config, blind, participants=people.assign(**change))


def test_motion_is_read_from_the_quality_files_where_the_table_has_none(people, tmp_path):
    moved = []
    for index, one in enumerate(recordings()):
        folder = tmp_path / f"sub-{one.participant}" / "func"
        folder.mkdir(parents=True)
        stem = f"sub-{one.participant}_task-rest"
        quality = {"fd_mean_mm": index / 100}
        (folder / f"{stem}_desc-bold_qc.json").write_text(json.dumps(quality))
        source = folder / f"{stem}_atlas-A_seg-7n_desc-denoised_timeseries.tsv"
        moved.append(one.with_entities(source=str(source)))
    asked = build_design(
        EvaluateConfig(target="group"), moved, participants=people.drop(columns="mean_fd")
    )
    np.testing.assert_allclose(asked.confounds["mean_fd"], np.arange(24) / 100)


def test_one_label_in_two_datasets_is_refused(people):
    twice = recordings()[:6] + [one.with_entities(dataset="e") for one in recordings()[:1]]
    with pytest.raises(DataError, match=r"sub-00 is in d and in e"):
        build_design(EvaluateConfig(target="group"), twice, participants=people)
