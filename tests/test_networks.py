"""Connectivity of networks: a planted edge is found, mapped back and drawn; refusals."""

import json

import numpy as np
import pandas as pd
import pytest

from brainfm.config import EvaluateConfig
from brainfm.errors import SignalError, UsageError
from brainfm.evaluation.folds import participant_folds
from brainfm.evaluation.network_importance import (
    NetworkConnectivity,
    nearest_networks,
    network_importance,
)
from brainfm.models.features.classical import ConnectivityFeatures, linear_head
from brainfm.recording import Recording, RecordingTable
from brainfm.stages.evaluate.design import build_design
from brainfm.stages.evaluate.importance_networks import (
    network_importance_tables,
    whole_brain_method,
)
from brainfm.stages.evaluate.run import evaluate_outputs
from brainfm.stages.report.group import write_group_report
from brainfm.storage.atlas import load_atlas

CHOSEN = (36, 46, 38, 20, 21, 10, 0, 1, 2, 88)  # parcels of several networks


@pytest.fixture(scope="module")
def people():
    """Forty people; in one group a parcel of Cont goes with a parcel of another network."""
    atlas, rng = load_atlas("Schaefer100"), np.random.default_rng(0)
    names = [atlas.names[index] for index in CHOSEN]
    networks = [atlas.networks[index] for index in CHOSEN]
    first = networks.index("Cont")
    second = networks.index("Vis")
    recordings = []
    for index in range(40):
        series = rng.normal(size=(150, len(CHOSEN)))
        if index % 2:
            series[:, second] = series[:, first] + series[:, second]
        recordings.append(
            Recording.from_array(
                series, sampling_hz=0.5, modality="bold", positions=atlas.positions[list(CHOSEN)],
                channels=names, participant=f"{index:02d}", dataset="d",
            )
        )  # fmt: skip
    table = RecordingTable.from_recordings(recordings)
    return (
        table,
        np.arange(40) % 2,
        dict(zip(names, networks, strict=True)),
        (names[first], names[second]),
    )


def test_a_parcel_has_the_network_of_the_nearest_one_of_the_atlas():
    atlas = load_atlas("Schaefer100")
    moved = atlas.positions[[0, 50]] + [3, 0, 0]
    found = nearest_networks(np.vstack([moved, [[0.0, -60, -45]]]), atlas.positions, atlas.networks)
    assert found == [atlas.networks[0], atlas.networks[50], "other"]


def test_features_are_the_edges_with_an_end_in_the_networks(people):
    table, _, network_of, _ = people
    features = NetworkConnectivity(network_of, ("Cont",)).fit(table)
    assert features.transform(table).shape[1] == len(features.edges_)
    assert all("Cont" in {network_of[one], network_of[other]} for one, other in features.edges_)
    everything = NetworkConnectivity(network_of, sorted(set(network_of.values()))).fit(table)
    np.testing.assert_array_equal(
        everything.transform(table), ConnectivityFeatures().fit_transform(table)
    )


def test_networks_without_parcels_are_refused(people):
    table, _, network_of, _ = people
    with pytest.raises(SignalError, match=r"no parcel .* is in Limbic: choose from Cont"):
        NetworkConnectivity(network_of, ("Limbic",)).fit_transform(table)


def test_importance_finds_the_planted_edge_and_nothing_else(people):
    table, y, network_of, planted = people
    folds = participant_folds(y, table.groups, n_splits=4)
    pairs, edges = network_importance(
        NetworkConnectivity(network_of, ("Cont",)), linear_head(), table, y, folds,
        task="classification", n_shuffles=4,
    )  # fmt: skip
    assert set(pairs.iloc[0][["network", "other"]]) == {"Cont", "Vis"}
    assert pairs["drop"].iloc[0] > 0.2
    assert pairs["drop"].iloc[1:].abs().max() < 0.1
    strongest = edges.loc[edges["pattern"].abs().idxmax()]
    assert {strongest["parcel"], strongest["other"]} == set(planted)
    assert strongest["pattern"] > 0.5


def test_the_report_shows_them_from_participants_tsv_in_one_call(people, tmp_path):
    table, y = people[0][:20], people[1][:20]
    frame = pd.DataFrame({
        "participant_id": [f"sub-{row[0].participant}" for row in table],
        "group": np.where(y, "gamer", "other"),
        "age": np.random.default_rng(1).normal(30, 5, size=20),
    })  # fmt: skip
    config = EvaluateConfig(
        target="group", networks=("Cont", "DorsAttn"), n_splits=3, n_permutations=10, n_episodes=3
    )
    evaluation = evaluate_outputs(tmp_path, config, recordings=table.recordings, participants=frame)
    names = [method["name"] for method in evaluation["methods"]]
    assert "connectivity of Cont, DorsAttn" in names
    edges = pd.read_csv(tmp_path / "group" / "edges.tsv", sep="\t")
    assert {"parcel_x", "other_z"} <= set(edges)
    page = write_group_report(tmp_path).read_text(encoding="utf8")
    assert "Permutation importance of pairs of networks" in page
    assert "With age regressed out of" in page
    for name in ("networks", "edges", "curves", "audit"):
        assert (tmp_path / "group" / "figures" / f"{name}.svg").exists()
    assert json.loads((tmp_path / "group" / "evaluation.json").read_text())["curves"]


def test_without_networks_the_whole_brain_is_used(people, tmp_path):
    table, y, _, planted = people
    frame = pd.DataFrame({
        "participant_id": [f"sub-{row[0].participant}" for row in table],
        "group": np.where(y, "gamer", "other"),
    })  # fmt: skip
    design = build_design(EvaluateConfig(target="group"), table.recordings, participants=frame)
    _, edges = network_importance_tables(whole_brain_method(design), design, 0)
    n_parcels = len(table[0][0].channels)
    assert len(edges) == n_parcels * (n_parcels - 1) / 2
    strongest = edges.loc[edges["pattern"].abs().idxmax()]
    assert {strongest["parcel"], strongest["other"]} == set(planted)


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        (("Control",), r"--networks has Control; the atlas has Vis, SomMot, DorsAttn"),
        (("Cont",), r"--networks needs two classes or a numeric target; group has 3 classes"),
    ],
)
def test_invalid_networks_are_refused(people, tmp_path, networks, words):
    table, *_ = people
    frame = pd.DataFrame({
        "participant_id": [f"sub-{row[0].participant}" for row in table],
        "group": [f"g{index % 3}" for index in range(40)],
    })  # fmt: skip
    with pytest.raises(UsageError, match=words):
        evaluate_outputs(
            tmp_path, EvaluateConfig(target="group", networks=networks),
            recordings=table.recordings, participants=frame,
        )  # fmt: skip
