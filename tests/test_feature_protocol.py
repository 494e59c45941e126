"""The interface of features: every transformer that ships keeps it."""

import numpy as np
import pandas as pd
import pytest
from brains import bold, eeg
from sklearn.base import clone
from sklearn.preprocessing import FunctionTransformer

from brainfm.evaluation.network_importance import NetworkConnectivity
from brainfm.models.estimators.published_networks import _INPUTS
from brainfm.models.features.covariates import CovariateFeatures
from brainfm.models.features.protocol import FeatureExtractor
from brainfm.models.features.registry import FEATURES, make_features
from brainfm.recording import RecordingTable

TABLES = {
    "bold": RecordingTable([(bold(seed),) for seed in range(4)]),
    "eeg": RecordingTable([(eeg(seed),) for seed in range(4)]),
}


def shipped():
    """Name, table and transformer of all features."""
    for name, feature in FEATURES.items():
        yield name, TABLES[feature.modality], make_features(name, "brainfm-tiny", device="cpu")
    table = TABLES["bold"]
    ages = pd.DataFrame({"age": [20.0, 30.0, np.nan, 50.0]})
    yield "covariates", table, CovariateFeatures.of(table, ages)
    network_of = dict.fromkeys(table.recordings[0].channels, "Vis")
    yield "networks", table, NetworkConnectivity(network_of, ("Vis",))


@pytest.mark.parametrize(
    ("table", "features"), [pytest.param(*rest, id=name) for name, *rest in shipped()]
)
def test_features_follow_the_protocol(table, features):
    assert isinstance(features, FeatureExtractor)
    precomputed = features.precompute(table)
    assert len(precomputed) == len(table)
    one, other = clone(features), clone(features)
    assert one.fit_precomputed([precomputed[row] for row in (0, 1, 2)]) is one
    assert other.fit(table[[0, 1, 2]]) is other
    features_of_all = one.transform_precomputed([precomputed[row] for row in range(4)])
    assert features_of_all.shape[0] == 4
    assert features_of_all.ndim == 2
    np.testing.assert_allclose(other.transform(table), features_of_all, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(
        clone(features).fit_transform(table), clone(features).fit(table).transform(table), rtol=1e-5
    )


@pytest.mark.parametrize("modality", ["bold", "eeg"])
def test_inputs_of_published_networks_follow_the_protocol(modality):
    features = _INPUTS[modality]()
    assert isinstance(features, FeatureExtractor)
    examples = features.fit_transform(TABLES[modality].recordings)
    assert len(examples) == 4


def test_a_transformer_without_precompute_is_no_feature_extractor():
    assert not isinstance(FunctionTransformer(), FeatureExtractor)
