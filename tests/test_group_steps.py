"""The steps of the group level are chosen, and a question trains nothing unless it is asked to."""

import json

import pandas as pd
import pytest
from skeleton import write, write_person, write_skeleton

from brainfm.cli.run import main

FAST = ("--sloppy", "--evaluate-n-permutations", "0", "--evaluate-n-episodes", "0")


@pytest.fixture
def study(tmp_path):
    """Raw dataset with its table of participants, and the output of a participant level."""
    rows = [f"sub-{n:02d}\t{'patient' if n % 2 else 'control'}\n" for n in range(12)]
    write(tmp_path / "raw" / "dataset_description.json", {"Name": "raw", "BIDSVersion": "1.9.0"})
    (tmp_path / "raw" / "participants.tsv").write_text("participant_id\tgroup\n" + "".join(rows))
    for number in range(12):
        write_person(tmp_path / "out", f"{number:02d}", coupled=number % 2, seed=number)
    return tmp_path


def group(study, *words):
    return main([str(study / "raw"), str(study / "out"), "group", *FAST, *words])


def evaluation(study):
    return json.loads((study / "out" / "group" / "evaluation.json").read_text())


def test_a_question_is_answered_with_the_packaged_model_without_training(study, capsys):
    (study / "list.tsv").write_text(
        "participant_id\ttask\treason\nsub-00\tn/a\tmotion\nsub-03\trest\tasleep\n"
    )
    words = ("--target", "group", "--exclude", str(study / "list.tsv"), "--task-label", "rest")
    assert group(study, *words, "--pretrain-max-epochs", "1") == 0
    said = capsys.readouterr().err
    assert "--pretrain-... have no effect" in said
    assert "pretrain started" not in said
    assert not (study / "out" / "models").exists()
    found = evaluation(study)
    assert [one["name"] for one in found["methods"] if one["kind"] == "pretrained"] == ["brainfm"]
    assert found["data"]["n_participants"] == 10
    assert found["data"]["excluded"] == [
        {"participant": "00", "why": "exclusion list: motion"},
        {"participant": "03 task-rest", "why": "exclusion list: asleep"},
    ]
    assert found["answer"]["selection"] == (
        "Selected: task rest. The exclusion list leaves out 2 recordings of 2 participants: "
        "motion (1), asleep (1)."
    )
    page = (study / "out" / "group.html").read_text()
    assert found["answer"]["selection"] in page
    assert (
        "<p>The exclusion list leaves out 2 recordings of 2 participants" in page
    )  # of the corpus
    table = pd.read_csv(study / "out" / "group" / "excluded.tsv", sep="\t", dtype=str)
    assert table["reason"].tolist() == ["motion", "asleep"]
    assert len(pd.read_csv(study / "out/group/corpus/manifest.tsv", sep="\t")) == 10


def test_later_steps_use_what_earlier_calls_left(study, capsys):
    assert group(study, "--steps", "corpus") == 0
    assert not (study / "out" / "group.html").exists()
    assert group(study, "--steps", "pretrain") == 0
    assert len(list(study.glob("out/sub-*/func/*groupbrainfmnano_embedding.npy"))) == 12
    said = capsys.readouterr().err
    assert said.count("corpus started") == 1
    assert group(study, "--steps", "evaluate", "--target", "group") == 0
    pretrained = [one for one in evaluation(study)["methods"] if one["kind"] == "pretrained"]
    assert len(pretrained) == 2  # the packaged model, and the one of the second call
    assert group(study, "--steps", "report") == 0
    assert (study / "out" / "group.html").is_file()
    # Of other recordings, neither the corpus nor the model is used.
    (study / "list.tsv").write_text("participant_id\nsub-01\n")
    exclude = ("--exclude", str(study / "list.tsv"))
    assert group(study, "--steps", "pretrain", *exclude) == 65
    assert "is not of the recordings selected now: add corpus to --steps" in capsys.readouterr().err
    assert group(study, "--steps", "evaluate", "--target", "group", *exclude) == 0
    assert "the model that an earlier call pretrained is not used" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--steps", "pretrain"], 66, "needs a corpus, and there is none in"),
        (["--steps", "evaluate"], 64, "--steps evaluate needs --target COLUMN or --contrast"),
        (["--steps", "embed"], 64, "run.steps is 'embed'; expected one of corpus, pretrain"),
        (["--task-label", "film"], 18, "no standardised recording is selected under"),
        (["--exclude", "none.tsv"], 66, "none.tsv cannot be read"),
    ],
)
def test_what_cannot_be_done_is_refused_before_work(study, capsys, words, code, message):
    assert group(study, *words) == code
    assert message in capsys.readouterr().err
    assert not (study / "out" / "group" / "corpus").exists()


def test_a_contrast_is_of_the_selected_recordings(study, capsys):
    words = ("--contrast", "rest", "film", "--task-label", "film", "--dry-run")
    assert group(study, *words) == 18
    assert "no recording of task rest, film; there are tasks: none" in capsys.readouterr().err


def test_a_dry_run_lists_the_chosen_steps(study, capsys):
    assert group(study, "--dry-run", "--target", "group", "--participant-label", "01", "02") == 0
    said = capsys.readouterr().err
    assert "corpus 2 recordings" in said
    assert "evaluate group" in said
    assert "pretrain" not in said


def test_an_exclusion_list_does_not_stop_the_participant_level(tmp_path, capsys):
    raw = write_skeleton(tmp_path / "raw", ("01",), bold=False)
    (tmp_path / "list.tsv").write_text("participant_id\nsub-01\n")
    words = ("participant", "--dry-run", "--exclude", str(tmp_path / "list.tsv"))
    assert main([str(raw), str(tmp_path / "out"), *words]) == 0
    said = capsys.readouterr().err
    assert "--exclude has no effect at the participant level" in said
    assert "sub-01_task-rest_eeg" in said
