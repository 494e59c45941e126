"""Covariates alone: a baseline that knows no signal, and says so where that is enough."""

import numpy as np
import pandas as pd
import pytest
from brains import eeg
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from brainfm.config import EvaluateConfig
from brainfm.errors import DataError
from brainfm.models.features.classical import BandPowerFeatures
from brainfm.models.features.covariates import CovariateFeatures, WithoutCovariates
from brainfm.recording import RecordingTable
from brainfm.stages.evaluate.run import evaluate_outputs


@pytest.fixture(scope="module")
def table():
    return RecordingTable([(eeg(number, n_channels=4, duration_s=6),) for number in range(16)])


def test_missing_values_become_the_mean_of_the_training_rows(table):
    columns = pd.DataFrame({"age": [20.0, 40.0, np.nan, *[60.0] * 13], "site": list("ab") * 8})
    features = CovariateFeatures.of(table, columns).fit(table[:3])
    np.testing.assert_array_equal(features.transform(table[2:4]), [[30, 0], [60, 1]])


def test_a_column_without_training_values_is_dropped(table):
    columns = pd.DataFrame({"age": [np.nan] * 8 + [50.0] * 8, "iq": np.arange(16.0)})
    features = CovariateFeatures.of(table, columns).fit(table[:8])
    np.testing.assert_array_equal(features.transform(table[8:]), np.arange(8.0, 16)[:, None])


def test_an_unknown_participant_is_refused(table):
    features = CovariateFeatures.of(table[:4], pd.DataFrame({"age": [1.0, 2, 3, 4]})).fit(table[:4])
    with pytest.raises(DataError, match=r"no covariates of .*sub-09.*: add its row"):
        features.transform(table[9:])


def test_a_report_warns_where_covariates_alone_explain_the_score(table, tmp_path):
    people = pd.DataFrame({
        "participant_id": [f"sub-{row[0].participant}" for row in table],
        "group": ["old", "young"] * 8,
        "age": np.tile([60.0, 20.0], 8) + np.arange(16) / 10,
    })  # fmt: skip
    config = EvaluateConfig(target="group", n_permutations=0, n_episodes=0, n_splits=4)
    found = evaluate_outputs(tmp_path, config, recordings=table.recordings, participants=people)
    alone = next(one for one in found["methods"] if one["name"] == "covariates only")
    assert alone["kind"] == "covariates"
    assert alone["scores"]["roc_auc"]["value"] == 1
    assert found["comparison"]["best_baseline"] != "covariates only"
    assert "age regressed out" in found["answer"]["without"]
    assert (
        "These covariates alone, without any signal, score 1.00, at least"
        in found["answer"]["without"]
    )


class TestWithoutCovariates:
    @pytest.fixture
    def people(self, table):
        return pd.DataFrame({
            "participant_id": [f"sub-{row[0].participant}" for row in table],
            "age": np.linspace(20, 60, 16),
            "site": ["north", "south"] * 8,
        })  # fmt: skip

    def features(self, people):
        """Say age and site of a recording, and a number that has nothing to do with them."""
        known = people.set_index("participant_id")

        def read(X):
            found = known.loc[[f"sub-{row[0].participant}" for row in X]]
            own = [row[0].signal.std() * 1e5 for row in X]
            south = found["site"] == "south"
            return np.column_stack([3 * found["age"] + 5, 7.0 * south, own])

        return FunctionTransformer(read)

    def test_covariate_effects_are_removed_in_new_participants_and_the_mean_remains(
        self, table, people
    ):
        step = WithoutCovariates(self.features(people), people).fit(table[:10])
        new = step.transform(table[10:])
        seen = self.features(people).transform(table[:10])
        np.testing.assert_allclose(new[:, :2], seen[:, :2].mean(axis=0) * np.ones((6, 1)))
        assert np.ptp(new[:, 2]) > 0

    def test_coefficients_are_of_the_training_rows(self, table, people):
        step = make_pipeline(WithoutCovariates(self.features(people), people), Ridge())
        y = np.arange(16.0)
        changed = people.assign(age=np.where(np.arange(16) < 10, people["age"], 1e6))
        other = make_pipeline(WithoutCovariates(self.features(people), changed), Ridge())
        one, two = (
            clone(each).fit(table[:10], y[:10])[0].regression_.weights_ for each in (step, other)
        )
        np.testing.assert_array_equal(one, two)

    def test_missing_values_become_the_mean_and_missing_participants_are_refused(
        self, table, people
    ):
        people.loc[3, "age"] = np.nan
        step = WithoutCovariates(BandPowerFeatures(), people)
        assert np.isfinite(step.fit_transform(table)).all()
        with pytest.raises(DataError, match="covariates has no row of sub-15: add it"):
            WithoutCovariates(BandPowerFeatures(), people[:15]).fit(table)
        with pytest.raises(DataError, match="covariates has sub-00 more than once"):
            WithoutCovariates(BandPowerFeatures(), pd.concat([people, people[:1]])).fit(table)

    def test_columns_have_the_names_of_the_features(self, table, people):
        step = WithoutCovariates(BandPowerFeatures(), people).set_output(transform="pandas")
        assert list(step.fit_transform(table)) == list(step.features_.get_feature_names_out())
