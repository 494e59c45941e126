"""What a killed evaluation had found is kept: the next call goes on, and finds the same."""

import logging
import os
import signal

import numpy as np
import pytest
import test_evaluation as evaluation

from brainfm.stages.evaluate.run import evaluate_outputs
from brainfm.stages.evaluate.tables import FILES
from brainfm.storage.cache.results import ResultCache

FACTS = {"target": "group"}


class KilledAfter(ResultCache):
    """Kills its process, as a scheduler does, when so many results are kept."""

    n_left = 4

    def __setitem__(self, name, arrays):
        super().__setitem__(name, arrays)
        self.n_left -= 1
        if not self.n_left:
            os.kill(os.getpid(), signal.SIGKILL)


def evaluate(out_dir, cache=None):
    recordings, people = evaluation.TestStage().people(effect=0.5)
    evaluate_outputs(
        out_dir,
        evaluation.config(target="group", n_splits=2, n_episodes=2, n_permutations=3, confounds=()),
        recordings=recordings,
        participants=people,
        embedder=evaluation.MeanPower(),
        cache=cache,
    )
    return {name: (out_dir / "group" / name).read_bytes() for name in FILES}


def test_a_killed_evaluation_is_resumed_with_the_same_result(tmp_path, caplog):
    child = os.fork()
    if not child:
        evaluate(tmp_path / "out", KilledAfter(tmp_path / "kept", FACTS))
        os._exit(0)  # not reached
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert not (tmp_path / "out").exists()
    kept = ResultCache(tmp_path / "kept", FACTS)
    with caplog.at_level(logging.INFO, logger="brainfm"):
        found = evaluate(tmp_path / "out", kept)
    made = [line for line in caplog.messages if line.startswith("evaluate: ")]
    # Embeddings and three methods were kept.
    assert made == [
        "evaluate: Riemannian tangent space", "evaluate: dummy estimator",
        "evaluate: few-shot curves",
    ]  # fmt: skip
    assert found == evaluate(tmp_path / "whole")
    kept.clear()
    assert not (tmp_path / "kept").exists()


class TestResultCache:
    def test_cached_results_are_read_by_another_call(self, tmp_path):
        ResultCache(tmp_path, FACTS)["Pearson / tangent"] = {"null": np.arange(3.0), "p": 0.5}
        found = ResultCache(tmp_path, FACTS).get("Pearson / tangent")
        np.testing.assert_array_equal(found["null"], np.arange(3.0))
        assert found["p"] == 0.5

    def test_results_of_other_inputs_are_removed(self, tmp_path):
        ResultCache(tmp_path, FACTS)["a"] = {"x": np.arange(3)}
        assert ResultCache(tmp_path, {"target": "age"}).get("a") is None
        assert ResultCache(tmp_path, FACTS).get("a") is None

    @pytest.mark.parametrize("content", [b"", b"PK\x03\x04half"], ids=["empty", "half"])
    def test_a_damaged_file_is_recomputed_with_a_warning(self, tmp_path, content, caplog):
        kept = ResultCache(tmp_path, FACTS)
        kept["a"] = {"x": np.arange(3)}
        (path,) = kept.folder.iterdir()
        path.write_bytes(content)
        assert kept.get("a") is None
        assert "is damaged" in caplog.text

    def test_cached_results_are_never_unpickled(self, tmp_path):
        kept = ResultCache(tmp_path, FACTS)
        kept["a"] = {"x": np.array([print], dtype=object)}
        assert kept.get("a") is None
