"""The group level: steps are done once, refusals come before work, the answer is written."""

import json
import os
import time

import pandas as pd
import pytest
from brains import bold
from skeleton import write, write_person

from brainfm import readmit_participant, withdraw_participant
from brainfm.cli.group import _clear_partial
from brainfm.cli.run import main
from brainfm.config import Settings
from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.stages.evaluate.n_jobs import n_jobs_for
from brainfm.stages.evaluate.tables import remove_outdated_evaluation
from brainfm.storage.cache.steps import StepCache
from brainfm.storage.corpus.manifest import read_manifest
from brainfm.storage.lock import WorkLock
from brainfm.workflows.group_steps import GroupContext


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Raw dataset with its table of participants, and the output of a participant level."""
    root = tmp_path_factory.mktemp("study")
    rows = [f"sub-{n:02d}\t{'patient' if n % 2 else 'control'}\t{n}\n" for n in range(12)]
    write(root / "raw" / "dataset_description.json", {"Name": "raw", "BIDSVersion": "1.9.0"})
    (root / "raw" / "participants.tsv").write_text("participant_id\tgroup\tage\n" + "".join(rows))
    for number in range(12):
        write_person(root / "out", f"{number:02d}", coupled=number % 2, seed=number)
    return root


def group(study, *words, out="out"):
    return main([str(study / "raw"), str(study / out), "group", "--sloppy", *words])


ALL = ("--steps", "corpus", "pretrain", "evaluate", "report")


@pytest.fixture(scope="module")
def finished(study):
    assert group(study, "--target", "group", *ALL) == 0
    return study / "out"


@pytest.mark.parametrize("tasks", [["rest"], ["rest", "rest"], ["a", "b", "c"]], ids=len)
def test_a_contrast_of_other_than_two_tasks_is_refused_before_processing(study, capsys, tasks):
    assert group(study, "--contrast", *tasks, "--dry-run") == 64
    assert "expected two different tasks" in capsys.readouterr().err


def test_all_steps_leave_their_files(finished):
    assert (finished / "group.html").is_file()
    assert (finished / "group" / "corpus" / "manifest.tsv").is_file()
    assert len(list(finished.glob("sub-*/func/*_desc-groupbrainfmnano_embedding.npy"))) == 12
    assert list(finished.glob("models/*/model.safetensors"))
    evaluation = json.loads((finished / "group" / "evaluation.json").read_text())
    assert evaluation["data"]["n_participants"] == 12
    kinds = {method["kind"] for method in evaluation["methods"]}
    assert {"pretrained", "classical"} <= kinds


def test_a_planted_difference_is_found_by_the_classical_baseline(finished):
    scores = pd.read_csv(finished / "group" / "scores.tsv", sep="\t")
    best = scores[scores["kind"] == "classical"]["roc_auc"].max()
    assert best > 0.9


def test_the_same_command_again_does_nothing(study, finished, capsys):
    before = {p: p.stat().st_mtime_ns for p in finished.glob("group/**/*.tsv")}
    assert group(study, "--target", "group", *ALL) == 0
    said = capsys.readouterr().err
    for step in ("corpus", "pretrain", "embed", "evaluate", "publish"):
        assert f"{step}: nothing to do" in said
    assert before == {p: p.stat().st_mtime_ns for p in finished.glob("group/**/*.tsv")}
    assert f"report: {finished}/group.html" in said


def test_another_target_only_repeats_the_evaluation(study, finished, capsys):
    assert group(study, "--target", "age", *ALL) == 0
    said = capsys.readouterr().err
    for step in ("corpus", "pretrain", "embed"):
        assert f"{step}: nothing to do" in said
    assert "evaluate done in" in said
    assert "publish done in" in said


def test_a_missing_embedding_is_computed_again(study, finished, capsys):
    next(finished.glob("sub-*/func/*_embedding.npy")).unlink()
    assert group(study, "--target", "age", *ALL) == 0
    said = capsys.readouterr().err
    assert "pretrain: nothing to do" in said
    assert "embed done in" in said


def test_a_withdrawn_participant_is_not_trained_on_until_readmitted(study, finished, capsys):
    corpus = finished / "group" / "corpus"
    (dataset,) = set(read_manifest(corpus)["dataset"])
    withdraw_participant(corpus, dataset, "sub-03")
    assert group(study) == 0
    assert "pretrain done in" in capsys.readouterr().err
    (checkpoint,) = (finished / "models").iterdir()
    assert load_checkpoint(checkpoint).seen_in_training([f"{dataset}/03"]) == [False]
    assert "03" not in set(read_manifest(corpus)["participant"])
    assert not list(finished.glob("sub-03/func/*groupbrainfmnano_embedding*"))
    assert len(list(finished.glob("sub-*/func/*groupbrainfmnano_embedding.npy"))) == 11
    readmit_participant(corpus, dataset, "sub-03")
    assert group(study) == 0
    assert len(read_manifest(corpus)) == 12


def test_a_report_alone_needs_no_recordings(study, tmp_path, capsys):
    (tmp_path / "group").mkdir()
    assert main([str(study / "raw"), str(tmp_path), "group", "--reports-only"]) == 0
    assert (tmp_path / "group.html").is_file()


def test_without_target_or_contrast_only_a_report_is_written(study, tmp_path, capsys):
    (tmp_path / "raw").symlink_to(study / "raw")
    words = [str(tmp_path / "raw"), str(tmp_path / "new"), "group", "--sloppy"]
    other = tmp_path / "other"
    write(other / "dataset_description.json", {"Name": "x", "DatasetType": "derivative"})
    for folder in (study / "out").glob("sub-*"):
        (other / folder.name).symlink_to(folder)
    assert main([*words, "-d", f"other={other}"]) == 0
    assert "evaluate" not in capsys.readouterr().err
    assert (tmp_path / "new" / "group.html").is_file()


class TestRefusals:
    def refused(self, capsys, code, study, *words, out="out"):
        assert group(study, *words, out=out) == code
        return capsys.readouterr().err

    def test_an_output_without_participants(self, study, capsys):
        said = self.refused(capsys, 66, study, out="empty")
        assert "holds no participants; run the participant level first" in said

    def test_an_absent_column(self, study, capsys):
        said = self.refused(capsys, 64, study, "--target", "diagnosis")
        assert "no column 'diagnosis'; it has: age, group." in said

    def test_a_target_together_with_a_contrast(self, study, capsys):
        said = self.refused(capsys, 64, study, "--target", "age", "--contrast", "a", "b")
        assert "or --contrast TASK TASK, not both" in said

    def test_an_absent_task(self, study, capsys):
        before = sorted((study / "out").rglob("*"))
        said = self.refused(capsys, 18, study, "--contrast", "rest", "film")
        assert "no recording of task film; there are tasks: rest." in said
        assert sorted((study / "out").rglob("*")) == before  # refused before any work


def test_a_dry_run_lists_the_steps_and_writes_nothing(study, tmp_path, capsys):
    before = sorted((study / "out").rglob("*"))
    assert group(study, "--dry-run", "--target", "group") == 0
    said = capsys.readouterr().err
    assert f"recordings from output: {study / 'out'}" in said
    assert "corpus 12 recordings" in said
    assert "evaluate group" in said
    assert sorted((study / "out").rglob("*")) == before


def test_partial_files_of_a_killed_call_are_removed_unless_locked(tmp_path):
    left = [tmp_path / name for name in ("group/corpus", "models", "sub-01/func", "sub-02/func")]
    for folder in left:
        write(folder / ".partial-x" / "half.json", {})
    for age_s, name in ((7200, ".partial-old"), (0, ".partial-new")):
        write(tmp_path / name / "sub-01.html", {})
        os.utime(tmp_path / name, (time.time() - age_s,) * 2)
    lock = WorkLock(tmp_path, "sub-02").acquire()
    _clear_partial(tmp_path)
    lock.release()
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob(".partial-*")} == {
        "sub-02/func/.partial-x",
        ".partial-new",
    }


class TestParticipants:
    def of(self, out, *roots):
        return GroupContext(output_dir=out, work_dir=out / "work", roots=roots or (out,), tables=(),
                     settings=Settings())  # fmt: skip

    def test_the_order_of_the_derivatives_does_not_change_the_order_of_participants(self, tmp_path):
        for name, label in (("a", "02"), ("b", "01")):
            write_person(tmp_path / name, label, coupled=0, seed=int(label))
            description = {"Name": name, "DatasetType": "derivative"}
            write(tmp_path / name / "dataset_description.json", description)
        one, two = tmp_path / "a", tmp_path / "b"
        orders = [
            [person.key for person in self.of(tmp_path / "out", *roots).recordings]
            for roots in ((one, two), (two, one))
        ]
        assert orders[0] == orders[1]
        assert len(orders[0]) == 2

    def test_the_number_of_processes_fits_into_memory(self):
        many = [bold(number, n_channels=400, n_times=3) for number in range(200)]
        assert n_jobs_for(many[:10], max_jobs=8, memory_gb=8.0) == 6
        assert n_jobs_for(many, max_jobs=8, memory_gb=8.0) == 2
        assert n_jobs_for(many, max_jobs=8, memory_gb=1.0) == 1
        assert n_jobs_for(many[:10], max_jobs=1, memory_gb=8.0) == 1

    def test_withdrawn_participants_are_neither_embedded_nor_evaluated(self, study, finished):
        corpus = finished / "group" / "corpus"
        (dataset,) = set(read_manifest(corpus)["dataset"])
        withdraw_participant(corpus, dataset, "sub-05")
        left = {one.participant for one in self.of(finished).recordings}
        assert left == {f"{number:02d}" for number in range(12)} - {"05"}
        readmit_participant(corpus, dataset, "sub-05")

    def test_one_signal_under_two_participants_is_refused_before_training(self, tmp_path, capsys):
        for label in ("01", "02", "03"):
            write_person(tmp_path / "out", label, coupled=0, seed=int(label) % 2)
        write(tmp_path / "raw" / "dataset_description.json", {"Name": "r", "BIDSVersion": "1.9.0"})
        assert group(tmp_path) == 65
        said = capsys.readouterr().err
        assert "recordings of different participants are identical (1 in total: " in said
        assert "/01 and " in said
        assert "Each person must have one participant label" in said
        assert not list(tmp_path.glob("out/models/*"))


@pytest.mark.parametrize(
    ("made_from", "removed"), [({"corpus": "a"}, False), ({"corpus": "b"}, True), (None, False)]
)
def test_an_evaluation_is_removed_when_its_data_have_changed(tmp_path, made_from, removed):
    path = tmp_path / "group" / "evaluation.json"
    write(path, {})
    assert remove_outdated_evaluation(tmp_path, made_from, {"corpus": "a"}) == removed
    assert path.exists() != removed


class TestStepBook:
    def make(self, path, text="x"):
        def write_it():
            path.write_text(text)
            return [path]

        return write_it

    def test_a_step_is_done_once_until_facts_or_files_change(self, tmp_path):
        path, ran = tmp_path / "a.txt", []

        def make():
            ran.append(1)
            return self.make(path)()

        for facts in ({"a": 1}, {"a": 1}, {"a": 2}):
            assert StepCache(tmp_path).run("step", facts, make) == [path]
        assert len(ran) == 2
        path.write_text("changed")
        StepCache(tmp_path).run("step", {"a": 2}, make)
        assert len(ran) == 3

    def test_the_provenance_of_a_step_is_read_from_status_files_of_every_version(self, tmp_path):
        path = tmp_path / "group" / "scores.tsv"
        path.parent.mkdir()
        path.write_text("x")
        StepCache(tmp_path).run("new", {}, lambda: [path], provenance={"corpus": "abc"})
        status = json.loads((tmp_path / "group" / "status.json").read_text())
        status["steps"]["old"] = {"noted": {"corpus": "def"}}
        (tmp_path / "group" / "status.json").write_text(json.dumps(status))
        cache = StepCache(tmp_path)
        found = [cache.provenance(name) for name in ("new", "old", "none")]
        assert found == [{"corpus": "abc"}, {"corpus": "def"}, None]

    def test_a_failure_is_recorded_and_finished_steps_remain(self, tmp_path):
        book = StepCache(tmp_path)
        book.run("one", {}, self.make(tmp_path / "a.txt"))
        book.fail(ValueError("no signal"))
        written = json.loads(book.path.read_text())
        assert written["state"] == "failed"
        assert written["error"] == "no signal"
        assert "one" in written["steps"]

    def test_a_damaged_record_is_treated_as_missing(self, tmp_path):
        (tmp_path / "group").mkdir()
        (tmp_path / "group" / "status.json").write_text("{")
        assert StepCache(tmp_path).steps == {}


class TestLearningFromLabels:
    def test_participants_whose_labels_are_learned_are_excluded_with_a_warning(self, study, capsys):
        assert group(study, "--pretrain-phenotypes", "group", "--target", "age", *ALL) == 65
        said = capsys.readouterr().err
        assert not (study / "out" / "models" / "brainfm-nano-phenotypes").exists()
        assert "9 of 12 participants are excluded: the model was pretrained on the group" in said
        assert "there are 3: set n_splits to 3 or less" in said

    def test_an_absent_column_is_refused_before_processing(self, study, capsys):
        assert group(study, "--pretrain-phenotypes", "iq", "--dry-run") == 64
        assert "participants.tsv has no column 'iq'; it has: age, group" in capsys.readouterr().err
