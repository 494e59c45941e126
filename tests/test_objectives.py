"""Objectives: each can be learned, none sees what it must predict, all follow the seed."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from brains import bold, eeg

from brainfm.errors import ModelError
from brainfm.models.encoder.encoder import BrainEncoder, EncoderConfig
from brainfm.models.encoder.windows import SPECS, collate, prepare, random_crop
from brainfm.models.training.objectives import OBJECTIVES, Batch, PhenotypeTargets, build_objective
from brainfm.models.training.objectives.base import mask_blocks
from brainfm.models.training.objectives.masked import masked_target
from brainfm.models.training.objectives.metrics import (
    batch_metrics,
    effective_rank,
    nearest_neighbour_accuracy,
)
from brainfm.models.training.objectives.phenotypes import PhenotypePrediction
from brainfm.models.training.objectives.two_crops import TwoCrops, sigreg

CONFIG = EncoderConfig.preset("nano")
N_ROWS = 6
MIX = {"masked": 1.0, "crops": 0.5, "connectivity": 0.5, "phenotypes": 0.5}


def _batch(*modalities):
    rng = np.random.default_rng(0)
    make = {"bold": bold, "eeg": eeg}
    windows, targets = {}, {}
    for name in modalities:
        prepared = [prepare(make[name](seed)) for seed in range(N_ROWS)] * 2
        windows[name] = collate([random_crop(one, rng) for one in prepared])
        targets[name] = torch.from_numpy(rng.standard_normal((N_ROWS, 32))).float()
    phenotypes = torch.from_numpy(rng.standard_normal((N_ROWS, 2))).float()
    phenotypes[0, 1] = torch.nan
    return Batch(windows=windows, connectivity_targets=targets, phenotypes=phenotypes)


def _build(objective):
    return build_objective(objective, CONFIG, ("age", "sex"))


def _learn(objective, batch, *, n_steps, seed=0):
    torch.manual_seed(seed)
    encoder = BrainEncoder(CONFIG)
    objective = _build(objective)
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
def test_a_small_batch_can_be_overfitted(name, modalities):
    losses, metrics = _learn(name, _batch(*modalities), n_steps=25)
    assert losses[-1] < 0.95 * losses[0]  # six points are never quite Gaussian: crops stay near
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_same_seed_gives_the_same_losses_and_another_seed_others():
    batch = _batch("bold")
    one, two, other = (_learn(MIX, batch, n_steps=3, seed=seed)[0] for seed in (0, 0, 1))
    assert one == two
    assert one != other


def test_masked_patches_do_not_reach_the_encoder():
    torch.manual_seed(0)
    encoder = BrainEncoder(CONFIG).eval()
    windows = _batch("eeg").windows["eeg"]
    visible = mask_blocks(windows, torch.Generator().manual_seed(0))
    changed = torch.where(visible[..., None], windows.signal, windows.signal + 5)
    other = type(windows)(**{**vars(windows), "signal": changed})
    one = encoder({"eeg": windows}, {"eeg": visible})
    two = encoder({"eeg": other}, {"eeg": visible})
    torch.testing.assert_close(one.tokens, two.tokens)


def test_about_half_is_masked_in_blocks_of_time():
    windows = _batch("bold").windows["bold"]
    visible = mask_blocks(windows, torch.Generator().manual_seed(0))
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


def test_collapsed_participants_have_a_larger_loss_than_similar_crops():
    draw = torch.Generator().manual_seed(0)
    person, noise = (torch.randn(n, 64, generator=draw) for n in (16, 32))
    alike = 0.8**0.5 * person.repeat(2, 1) + 0.2**0.5 * noise  # correlated by 0.8
    objective = TwoCrops(CONFIG)
    objective.project = torch.nn.Identity()

    def loss(summary):
        encoded = SimpleNamespace(summary=summary)
        return objective.score(None, None, encoded, torch.Generator().manual_seed(1))[0]

    assert loss(alike) < 0.5 * loss(torch.zeros(32, 64))


def test_effective_rank_counts_directions():
    draw = torch.Generator().manual_seed(0)
    points = torch.randn(500, 8, generator=draw)
    assert effective_rank(points) == pytest.approx(8, abs=0.3)
    assert effective_rank(points[:, :1] * torch.ones(1, 8)) == pytest.approx(1, abs=0.1)


def test_a_crop_whose_neighbour_is_of_the_same_person_counts_as_found():
    one = torch.tensor([[0.0, 0], [1, 0], [5, 5], [9, 9]])
    people = ("a", "a", "b", "c")  # the second crops: of a beside a, of b beside c, of c beside b
    two = torch.tensor([[0.1, 0], [1.1, 0], [9, 9.1], [5, 5.1]])
    found, by_chance = nearest_neighbour_accuracy(torch.cat([one, two]), people)
    assert found == pytest.approx(0.5)
    assert by_chance == pytest.approx((4 * 3 + 4 * 1) / 8 / 7)


def test_metrics_show_a_collapse_for_every_objective():
    draw = torch.Generator().manual_seed(0)
    person = torch.randn(12, 8, generator=draw)
    crops = person.repeat(2, 1) + 0.1 * torch.randn(24, 8, generator=draw)
    people = tuple(f"{number}" for number in range(12))
    well = batch_metrics(crops, people)
    assert well["person_found"] == 1
    assert well["person_by_chance"] == pytest.approx(1 / 23)
    assert well["summary_explained"] > 0.9
    assert well["effective_rank"] > 6
    collapsed = batch_metrics(torch.randn(24, 1, generator=draw) * torch.ones(8), people)
    assert collapsed["effective_rank"] == pytest.approx(1, abs=0.1)
    assert collapsed["summary_explained"] < 0.1
    assert collapsed["person_found"] < 0.4


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_metrics(name):
    batch = replace(_batch("bold"), participants=tuple("abcdef"))
    _, metrics = _build(name).loss(BrainEncoder(CONFIG), batch, torch.Generator().manual_seed(0))
    wanted = {"effective_rank", "summary_explained", "person_found", "person_by_chance"}
    assert wanted <= set(metrics)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (
            "magic",
            r"objective is 'magic'; expected .default., or one or several of masked,",
        ),
        ({"masked": 0}, r"expected positive weights"),
        ({}, r"expected 'default'"),
    ],
)
def test_unknown_objectives_are_refused(objective, words):
    with pytest.raises(ModelError, match=words):
        build_objective(objective, CONFIG)


@pytest.mark.parametrize("modality", ["bold", "eeg"])
class TestMaskedTargets:
    def patches(self, modality):
        windows = _batch(modality).windows[modality]
        patch = SPECS[modality].patch
        slow = torch.sin(2 * torch.pi * torch.arange(patch) / patch)
        return windows.signal[:, :, 0].flatten(0, 1) + 3 * slow

    def test_they_weight_every_frequency_alike(self, modality):
        target = masked_target(modality, self.patches(modality))
        sd = target.std(dim=0, correction=0)
        varies = sd > 1e-2
        assert varies.float().mean() > 0.5
        torch.testing.assert_close(sd[varies], torch.ones(int(varies.sum())))
        torch.testing.assert_close(
            target.mean(dim=0), torch.zeros(target.shape[1]), atol=1e-4, rtol=0
        )

    def test_the_log_spectrum_of_eeg_has_no_sign_and_the_coefficients_of_bold_have(self, modality):
        patches = self.patches(modality)
        one, other = (masked_target(modality, x) for x in (patches, -patches))
        assert torch.allclose(one, other) == (modality == "eeg")


class TestPhenotypes:
    table = pd.DataFrame({
        "age": [20.0, 30, np.nan, 50],
        "sex": ["F", "M", "M", None],
        "group": ["a", "b", "c", "a"],
    })  # fmt: skip

    def test_numbers_and_classes_become_standardised_columns(self):
        targets = PhenotypeTargets(self.table)
        assert targets.names == ("age", "sex_M", "group_a", "group_b", "group_c")
        values = targets(self.table)
        np.testing.assert_allclose(np.nanmean(values, axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(np.nanstd(values, axis=0), 1, rtol=1e-5)
        np.testing.assert_array_equal(np.isnan(values[:, :2]), self.table[["age", "sex"]].isna())

    def test_validation_participants_are_scaled_as_the_training_participants(self):
        targets = PhenotypeTargets(self.table)
        other = pd.DataFrame({"age": [20.0], "sex": ["F"], "group": ["a"]})
        np.testing.assert_allclose(targets(other)[0], targets(self.table)[0], rtol=1e-6)

    def test_missing_values_have_no_weight_in_the_loss(self):
        objective = _build("phenotypes")
        batch = _batch("bold")
        encoder = BrainEncoder(CONFIG).eval()
        draw = torch.Generator().manual_seed(0)
        nothing = replace(batch, phenotypes=torch.full_like(batch.phenotypes, torch.nan))
        loss, metrics = objective.loss(encoder, nothing, draw)
        loss.backward()
        assert loss.item() == 0
        assert not any(name.startswith("phenotype_") for name in metrics)

    def test_one_missing_value_leaves_the_loss_of_the_others(self):
        objective, batch = PhenotypePrediction(CONFIG, ("age", "sex")).eval(), _batch("bold")
        encoded = SimpleNamespace(summary=torch.randn(2 * N_ROWS, CONFIG.dim))
        loss, _ = objective.score(batch, None, encoded, None)
        known = batch.phenotypes.repeat(2, 1).isfinite()
        errors = torch.nn.functional.smooth_l1_loss(
            objective.predict(encoded.summary)[known],
            batch.phenotypes.repeat(2, 1)[known],
        )
        torch.testing.assert_close(loss, errors)

    def test_numbers_among_gaps_and_texts_are_numbers_and_infinite_ones_are_missing(self):
        column = pd.Series([20, "30", None, 40, np.inf], dtype=object)
        targets = PhenotypeTargets(pd.DataFrame({"age": column}))
        assert targets.names == ("age",)
        assert list(np.isnan(targets(pd.DataFrame({"age": column}))[:, 0])) == [
            False, False, True, False, True
        ]  # fmt: skip

    def test_a_value_that_no_training_person_has_is_missing(self):
        targets = PhenotypeTargets(self.table[["sex"]])
        assert np.isnan(targets(pd.DataFrame({"sex": ["other"]}))).all()

    def test_two_targets_of_one_name_are_refused(self):
        table = pd.DataFrame({"sex": ["F", "M"], "sex_M": [0, 1]})
        with pytest.raises(ModelError, match="two phenotypes would be called sex_M"):
            PhenotypeTargets(table)

    def test_an_objective_without_phenotypes_is_refused(self):
        with pytest.raises(ModelError, match="predicts phenotypes but there are none"):
            build_objective("phenotypes", CONFIG)

    @pytest.mark.parametrize(
        ("column", "words"),
        [
            (["F"] * 4, "'x' does not vary among these participants: leave it out"),
            ([1.0, np.nan, 1.0, 1.0], "does not vary"),
        ],
        ids=str,
    )
    def test_a_constant_column_is_refused(self, column, words):
        with pytest.raises(ModelError, match=words):
            PhenotypeTargets(pd.DataFrame({"x": column}))

    def test_a_column_of_texts_is_refused(self):
        with pytest.raises(ModelError, match=r"has 30 different texts; expected numbers or up to"):
            PhenotypeTargets(pd.DataFrame({"notes": [f"note {n}" for n in range(30)]}))

    def test_a_column_lost_later_is_named(self):
        with pytest.raises(
            ModelError, match=r"no column sex; the training participants have age, sex"
        ):
            PhenotypeTargets(self.table)(self.table[["age", "group"]])
