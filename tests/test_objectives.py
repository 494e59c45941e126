"""Objectives: each can be learned, none sees what it must predict, all follow the seed."""

import numpy as np
import pytest
import torch
from brains import bold, eeg

from brainfm.errors import ModelError
from brainfm.models.encoder import BrainEncoder, EncoderConfig
from brainfm.models.objectives import OBJECTIVES, Batch, build_objective
from brainfm.models.objectives.base import hide_blocks
from brainfm.models.objectives.crops import sigreg
from brainfm.models.objectives.watch import effective_rank, same_person, watch
from brainfm.models.windows import collate, prepare, random_crop

CONFIG = EncoderConfig.preset("nano")
N_ROWS = 6


def _batch(*modalities):
    rng = np.random.default_rng(0)
    make = {"bold": bold, "eeg": eeg}
    windows, statistics = {}, {}
    for name in modalities:
        prepared = [prepare(make[name](seed)) for seed in range(N_ROWS)] * 2
        windows[name] = collate([random_crop(one, rng) for one in prepared])
        statistics[name] = torch.from_numpy(rng.standard_normal((N_ROWS, 32))).float()
    return Batch(windows=windows, statistics=statistics)


def _learn(objective, batch, *, n_steps, seed=0):
    torch.manual_seed(seed)
    encoder = BrainEncoder(CONFIG)
    objective = build_objective(objective, CONFIG)
    parameters = [*encoder.parameters(), *objective.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=3e-3)
    losses = []
    for _ in range(n_steps):
        loss, metrics = objective.loss(encoder, batch, torch.Generator().manual_seed(seed))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses, metrics


@pytest.mark.parametrize("modalities", [("bold",), ("eeg",), ("bold", "eeg")], ids="+".join)
@pytest.mark.parametrize("name", [*OBJECTIVES, "default"])
def test_a_small_batch_can_be_learned_by_heart(name, modalities):
    losses, metrics = _learn(name, _batch(*modalities), n_steps=25)
    assert losses[-1] < 0.95 * losses[0]  # six points are never quite Gaussian: crops stay near
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_same_seed_gives_the_same_losses_and_another_seed_others():
    batch = _batch("bold")
    one, two, other = (_learn("default", batch, n_steps=3, seed=seed)[0] for seed in (0, 0, 1))
    assert one == two
    assert one != other


def test_what_is_hidden_does_not_reach_the_encoder():
    torch.manual_seed(0)
    encoder = BrainEncoder(CONFIG).eval()
    windows = _batch("eeg").windows["eeg"]
    visible = hide_blocks(windows, torch.Generator().manual_seed(0))
    changed = torch.where(visible[..., None], windows.signal, windows.signal + 5)
    other = type(windows)(**{**vars(windows), "signal": changed})
    one = encoder({"eeg": windows}, {"eeg": visible})
    two = encoder({"eeg": other}, {"eeg": visible})
    torch.testing.assert_close(one.tokens, two.tokens)


def test_about_half_is_hidden_in_blocks_of_time_and_something_is_left():
    windows = _batch("bold").windows["bold"]
    visible = hide_blocks(windows, torch.Generator().manual_seed(0))
    share = 1 - visible.sum() / windows.usable.sum()
    assert 0.45 < share < 0.65
    assert (visible[:, :, 0] == visible[:, :, 1]).all()
    assert visible.any(dim=1).all()


def test_sigreg_is_least_for_a_gaussian_and_large_after_collapse():
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(256, 16, generator=draw)
    found = {
        name: float(sigreg(one, torch.Generator().manual_seed(1)))
        for name, one in {
            "gaussian": points,
            "wide": 3 * points,
            "line": points[:, :1].expand(-1, 16),
            "collapsed": torch.zeros(256, 16),
        }.items()
    }
    assert all(found["gaussian"] < 0.2 * found[name] for name in ("wide", "line", "collapsed"))


def test_effective_rank_counts_directions():
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(500, 8, generator=draw)
    assert effective_rank(points) == pytest.approx(8, abs=0.3)
    assert effective_rank(points[:, :1] * torch.ones(1, 8)) == pytest.approx(1, abs=0.1)


def test_a_crop_whose_neighbour_is_of_the_same_person_counts_as_found():
    one = torch.tensor([[0.0, 0], [1, 0], [5, 5], [9, 9]])
    people = ("a", "a", "b", "c")  # the second crops: of a beside a, of b beside c, of c beside b
    two = torch.tensor([[0.1, 0], [1.1, 0], [9, 9.1], [5, 5.1]])
    found, by_chance = same_person(torch.cat([one, two]), people)
    assert found == pytest.approx(0.5)
    assert by_chance == pytest.approx((4 * 3 + 4 * 1) / 8 / 7)


def test_a_collapse_is_seen_whatever_is_learned():
    draw = torch.Generator().manual_seed(0)
    person = torch.randn(12, 8, generator=draw)
    crops = person.repeat(2, 1) + 0.1 * torch.randn(24, 8, generator=draw)
    people = tuple(f"{number}" for number in range(12))
    well = watch(crops, people)
    assert well["person_found"] == 1
    assert well["person_by_chance"] == pytest.approx(1 / 23)
    assert well["summary_explained"] > 0.9
    assert well["effective_rank"] > 6
    collapsed = watch(torch.randn(24, 1, generator=draw) * torch.ones(8), people)
    assert collapsed["effective_rank"] == pytest.approx(1, abs=0.1)
    assert collapsed["summary_explained"] < 0.1
    assert collapsed["person_found"] < 0.4


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_is_watched(name):
    batch = _batch("bold")
    batch = Batch(windows=batch.windows, statistics=batch.statistics, people=tuple("abcdef"))
    objective = build_objective(name, CONFIG)
    _, metrics = objective.loss(BrainEncoder(CONFIG), batch, torch.Generator().manual_seed(0))
    wanted = {"effective_rank", "summary_explained", "person_found", "person_by_chance"}
    assert wanted <= set(metrics)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ("magic", r"objective is 'magic'; expected 'default', or one or several of masked, crops"),
        ({"masked": 0}, r"leave out what is not wanted"),
        ({}, r"expected 'default'"),
    ],
)
def test_unknown_objectives_are_refused(objective, words):
    with pytest.raises(ModelError, match=words):
        build_objective(objective, CONFIG)
