"""The benchmarks judge fairly: what they compare, who is trained on, and what a score is."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from brainfm.recording import Recording

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture(scope="module", autouse=True)
def _import_by_path():
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


def _load(name):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture
def scoring():
    return _load("scoring")


@pytest.fixture
def features():
    return _load("features")


@pytest.fixture
def representation():
    return _load("representation")


@pytest.mark.parametrize("script", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_every_script_has_a_usage(script):
    if "__main__" not in script.read_text(encoding="utf8"):
        pytest.skip("a module of the others")
    if script.stem == "corpus_storage":  # compares storages that brainfm does not need
        pytest.importorskip("zarr")
        pytest.importorskip("datasets")
    done = subprocess.run(
        [sys.executable, script, "--help"], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


def _within(scoring, scores, y, sites):
    pairs = scoring.pairs_within(y, sites)
    return scoring.within(scoring.agreement(scores[None], pairs), pairs, np.ones((1, len(y))))[0]


@pytest.fixture
def two_sites():
    """200 people of two sites; most patients are from the second."""
    rng = np.random.default_rng(0)
    sites = np.repeat([0, 1], 100)
    y = (rng.random(200) < np.where(sites, 0.8, 0.2)).astype(float)
    return sites, y


class TestScoresWithinSites:
    def test_a_site_effect_alone_scores_at_chance(self, scoring, two_sites):
        sites, y = two_sites
        site_signal = sites.astype(float)
        assert roc_auc_score(y, site_signal) > 0.75
        assert _within(scoring, site_signal, y, sites) == 0.5

    def test_an_effect_within_sites_scores_1_whatever_the_site_effect(self, scoring, two_sites):
        sites, y = two_sites
        assert _within(scoring, y - 10 * sites, y, sites) == 1.0

    def test_one_site_gives_the_area_under_the_curve(self, scoring):
        rng = np.random.default_rng(1)
        y = np.repeat([0.0, 1.0], 30)
        scores = rng.normal(size=60) + y
        one = _within(scoring, scores, y, np.zeros(60))
        assert one == pytest.approx(roc_auc_score(y, scores))

    def test_numbers_are_scored_by_the_share_of_pairs_in_order(self, scoring):
        y, scores = np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])
        assert _within(scoring, scores, y, np.zeros(3)) == pytest.approx(2 / 3)

    def test_sites_are_weighted_by_their_size(self, scoring):
        y = np.array([0.0, 1.0] + [0.0, 1.0] * 20)
        sites = np.repeat([0, 1], [2, 40])
        scores = np.where(sites == 0, y, -y)  # right in the small site, wrong in the large
        assert _within(scoring, scores, y, sites) == pytest.approx((1 / 3) / (1 / 3 + 400 / 41))

    def test_sites_without_variation_are_refused(self, scoring):
        with pytest.raises(ValueError, match="no stratum has two rows that differ"):
            scoring.pairs_within(np.array([0.0, 1.0]), np.array(["a", "b"]))

    def test_the_bootstrap_draws_all_recordings_of_a_participant_together(self, scoring):
        groups = np.array(["a", "a", "b", "b", "c", "c"])
        people, _ = scoring.draws(groups, np.array([1, 1, 1, 1, 0, 0], bool), 1, n_draws=50)
        assert (people[:, 0] == people[:, 1]).all()
        assert (people[:, 4:] == 0).all()
        assert (people.sum(axis=1) == 4).all()


class TestTheHead:
    def test_is_a_ridge_regression_whose_penalty_leaves_one_out(self, scoring):
        rng = np.random.default_rng(0)
        X, new = rng.normal(size=(30, 60)), rng.normal(size=(7, 60))
        y = X[:, 0] + 0.3 * rng.normal(size=30)

        def left_out(alpha):
            rest = [np.delete(np.arange(30), row) for row in range(30)]
            fits = [Ridge(alpha).fit(X[rows], y[rows]) for rows in rest]
            return sum((fit.predict(X[[i]])[0] - y[i]) ** 2 for i, fit in enumerate(fits))

        best = min(scoring.ALPHAS, key=left_out)
        found = scoring.ridge_scores(X @ X.T, new @ X.T, y, np.arange(30))
        np.testing.assert_allclose(found, Ridge(best).fit(X, y).predict(new), rtol=1e-6)

    def test_leaves_out_all_recordings_of_a_participant(self, scoring):
        rng = np.random.default_rng(0)
        people = np.repeat(np.arange(10), 2)
        X = np.repeat(rng.normal(size=(10, 25)), 2, axis=0) + 0.1 * rng.normal(size=(20, 25))
        y = np.repeat(rng.normal(size=10), 2)  # a neighbour tells it, other people do not

        def left_out(alpha):
            total = 0
            for person in range(10):
                mine = people == person
                fit = Ridge(alpha).fit(X[~mine], y[~mine])
                total += np.square(fit.predict(X[mine]) - y[mine]).sum()
            return total

        best = min(scoring.ALPHAS, key=left_out)
        found = scoring.ridge_scores(X @ X.T, X @ X.T, y, people)
        np.testing.assert_allclose(found, Ridge(best).fit(X, y).predict(X), rtol=1e-5)
        by_row = scoring.ridge_scores(X @ X.T, X @ X.T, y, np.arange(20))
        assert not np.allclose(found, by_row)

    def test_scores_of_noise_are_at_chance_in_folds(self, scoring, features):
        rng = np.random.default_rng(0)
        y, people = np.tile([0.0, 1.0], 20), np.arange(40).astype(str)
        splits, found = scoring.repeated_folds(np.arange(40), y, people, n_repeats=1), []
        pairs = scoring.pairs_within(y, np.zeros(40))
        for _ in range(40):
            X, scores = rng.normal(size=(40, 30)), np.full((5, 40), np.nan)
            for number, (train, test) in enumerate(splits):
                kernels = features.kernel_pair(X[train], X[test])
                scores[number, test] = scoring.ridge_scores(*kernels, y[train], people[train])
            agree = scoring.agreement(scores, pairs)
            found.append(scoring.within(agree, pairs, np.ones((1, 40)))[0])
        assert abs(np.mean(found) - 0.5) < 3 * np.std(found) / np.sqrt(40)


class TestSplits:
    groups = np.repeat([f"p{n}" for n in range(40)], 2)
    classes = np.repeat(np.arange(40) % 2, 2)

    def test_no_participant_is_in_training_and_test(self, scoring):
        rows = np.arange(80)
        splits = scoring.repeated_folds(rows, self.classes, self.groups)
        splits += scoring.episodes(rows, self.classes, self.groups, 5)
        for train, test in splits:
            assert not set(self.groups[train]) & set(self.groups[test])

    def test_an_episode_has_k_participants_per_class(self, scoring):
        drawn = scoring.episodes(np.arange(80), self.classes, self.groups, 5)
        for train, test in drawn:
            assert len(set(self.groups[train])) == 10
            assert self.classes[train].mean() == 0.5
            assert len(train) + len(test) == 80

    def test_an_episode_draws_all_recordings_of_participants_with_all_classes(self, scoring):
        drawn = scoring.episodes(np.arange(80), np.tile([0, 1], 40), self.groups, 5)
        assert {len(set(self.groups[train])) for train, _ in drawn} == {5}

    def test_episodes_without_enough_test_participants_are_not_drawn(self, scoring):
        assert scoring.episodes(np.arange(80), self.classes, self.groups, 16) == []

    def test_scalers_are_fitted_on_training_rows_only(self, features):
        rng = np.random.default_rng(0)
        seen, new = rng.normal(size=(20, 5)), rng.normal(size=(10, 5))
        one = features.kernel_pair(seen, new)
        other = features.kernel_pair(seen, np.vstack([new[:1], 100 * new[1:]]))
        np.testing.assert_allclose(one[0], other[0])
        np.testing.assert_allclose(one[1][0], other[1][0], rtol=1e-5)


class TestATable:
    @pytest.fixture
    def table(self, representation, scoring, features, tmp_path):
        rng = np.random.default_rng(0)
        n = 60
        y = np.arange(n) % 2
        sites = np.where(np.arange(n) < 30, "a", "b")
        good, bad = rng.normal(size=(2, n, 4))
        good[:, 0] += 3 * y
        task = SimpleNamespace(title="planted", y=y.astype(float), classes=y)
        cohort = SimpleNamespace(groups=np.arange(n).astype(str), sites=sites)
        found = [
            features.Method("guess", "dummy"),
            features.Method("noise", "baseline", ((features.Block("bad", bad),),)),
            features.Method("planted", "checkpoint", ((features.Block("good", good),),)),
        ]
        kernels = features.Kernels(features.Cache(tmp_path))
        splits = scoring.episodes(np.arange(n), y, cohort.groups, 10)
        rows = representation.score_all(found, kernels, cohort, task, "few-shot 10", splits)
        return {row["method"]: row for row in rows}

    def test_finds_a_planted_effect_and_none_in_noise(self, table):
        assert table["planted"]["score"] > 0.9
        assert table["noise"]["low"] < 0.5 < table["noise"]["high"]
        assert table["guess"]["score"] == 0.5

    def test_differences_are_to_the_best_baseline(self, table):
        assert table["noise"]["difference"] == 0
        assert table["planted"]["against"] == "noise"
        assert table["planted"]["difference_low"] > 0

    def test_is_printed_with_every_row(self, table, representation):
        text = representation.markdown(list(table.values()), "all people")
        assert [line.split(" | ")[0] for line in text.splitlines()[-3:]] == [
            "| guess", "| noise", "| planted"
        ]  # fmt: skip


class TestOtherAtlases:
    rng = np.random.default_rng(0)
    positions = rng.uniform(-60, 60, (41, 3))
    names = tuple(f"p{number}" for number in range(41))

    @pytest.fixture
    def montage(self):
        return _load("any_montage")

    def _recording(self, signal=None):
        signal = self.rng.normal(size=(60, 41)) if signal is None else signal
        return Recording.from_array(
            signal, sampling_hz=0.5, modality="bold", positions=self.positions, channels=self.names
        )

    def test_a_coarser_atlas_has_each_parcel_once_and_none_across_the_midline(self, montage):
        groups = montage.coarse_groups(self.names, self.positions)
        assert sorted(name for group in groups for name in group) == sorted(self.names)
        assert len(groups) <= 22
        left = dict(zip(self.names, self.positions[:, 0] < 0, strict=True))
        assert all(len({left[name] for name in group}) == 1 for group in groups)

    def test_halves_have_no_channel_in_common(self, montage):
        _, to_half, halves = montage.views_of(self._recording())
        assert not set(halves[0].groups) & set(halves[1].groups)
        assert set(halves[0].groups) | set(halves[1].groups) == set(to_half[0].groups)

    def test_a_missing_parcel_leaves_the_other_parcel_of_its_group(self, montage):
        signal = self.rng.normal(size=(60, 41)).astype(np.float32)
        signal[:, [0, 2, 3]] = np.nan
        view = montage.View("three", (("p0", "p1"), ("p2", "p3"), ("p4", "p5")))
        seen = montage.through(self._recording(signal), view)
        np.testing.assert_array_equal(seen.signal[:, 0], signal[:, 1])
        np.testing.assert_allclose(seen.signal[:, 2], signal[:, 4:6].mean(axis=1), rtol=1e-5)
        np.testing.assert_allclose(seen.positions[2], self.positions[4:6].mean(axis=0))
        assert list(seen.mask) == [True, False, True]

    def test_participants_are_identified_only_if_vectors_differ_between_them(self, montage):
        person, sites = self.rng.normal(size=(50, 20)), np.repeat(["a", "b"], 25)
        noisy = person + 0.1 * self.rng.normal(size=(50, 20)) + 7  # an offset of the version
        found = dict(
            zip(montage.COLUMNS[2:], montage.identified(person, noisy, sites), strict=True)
        )
        assert found["found"] == found["found_back"] == found["site"] == 1
        assert found["margin_low"] > 0
        noise = montage.identified(person, self.rng.normal(size=(50, 20)), sites)
        lost = dict(zip(montage.COLUMNS[2:], noise, strict=True))
        assert lost["found"] < 0.1
        assert lost["site_low"] < 0.5 < lost["site_high"]

    def test_site_effects_do_not_help_within_a_site(self, montage):
        sites = np.repeat(["a", "b"], 25)
        shared = np.repeat(self.rng.normal(size=(2, 20)), 25, axis=0)
        one, other = (shared + 0.1 * self.rng.normal(size=(50, 20)) for _ in range(2))
        found = dict(zip(montage.COLUMNS[2:], montage.identified(one, other, sites), strict=True))
        assert found["site_low"] < 0.5 < found["site_high"]

    def test_regions_of_the_same_signal_agree_across_atlases(self, montage):
        sources = self.rng.normal(size=(200, 30))
        centres = self.rng.uniform(-60, 60, (5, 3))
        nearest = np.linalg.norm(self.positions[:, None] - centres, axis=-1).argmin(axis=1)
        recording = self._recording(sources[:, nearest] + 0.1 * self.rng.normal(size=(200, 41)))
        view = montage.View("half", tuple((name,) for name in self.names[::2]))
        whole = montage._of_regions(recording, centres)
        half = montage._of_regions(montage.through(recording, view), centres)
        both = np.isfinite(whole) & np.isfinite(half)
        assert both.sum() >= 3
        np.testing.assert_allclose(whole[both], half[both], atol=0.05)
