"""What looks like a run or a participant under a wrong name is named, and never left out."""

import json
import os
import shutil

import pytest
from preprocessed import write_preprocessed
from skeleton import write, write_mri, write_skeleton
from test_preflight import check, texts

from brainfm.errors import NothingSelected
from brainfm.files import read_json
from brainfm.storage.bids.query import misnamed_participants, participants_of, raw_runs

BOLD = "func/sub-01_task-rest_bold.nii.gz"
JUNK = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        \xb0" + bytes(64)


@pytest.fixture
def raw(tmp_path):
    return write_skeleton(tmp_path / "raw", eeg=False)


def rename(raw, new, old=BOLD):
    path = raw / "sub-01" / new
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(raw / "sub-01" / old, path)


class TestRuns:
    @pytest.mark.parametrize(
        "name",
        ["func/sub-01_task-rest_BOLD.nii.gz", "func/sub-01_task-rest_bold.NII.GZ",
         "func/sub-01_task-rest.nii.gz", "func/sub-01_task-rest_bold.v2.nii.gz",
         "func/sub-01_task-rest_bold.img", "func/sub-01_task-rest_blod.nii.gz",
         "Func/sub-01_task-rest_bold.nii.gz", "sub-01_task-rest_bold.nii.gz",
         "anat/sub-01_task-rest_bold.nii.gz", "func/old/sub-01_task-rest_bold.nii.gz",
         "session1/func/sub-01_task-rest_bold.nii.gz"],
    )  # fmt: skip
    def test_a_file_that_looks_like_a_run_is_named_in_one_sentence(self, raw, name):
        rename(raw, name)
        checks = check(raw)
        (text,) = texts(checks)
        assert text.startswith(f"sub-01/{name}: looks like a BOLD run but is not named as one")
        assert "expected func/sub-<label>[_ses-<label>]_task-<label>_bold with .nii.gz or" in text
        assert checks.participants == ["02"]

    @pytest.mark.parametrize(
        ("part", "hint"),
        [("task-rest-eo", "rename it, such as to task-resteo"),
         ("task-rest.eo", "looks like a BOLD run but is not named as one"),
         ("task-rest_eo", "has 'eo' in its name; expected entities with labels, as in task-rest"),
         ("task-rest_acqu-1", "has 'acqu-1' in its name; expected entities are"),
         ("Task-rest", "has 'Task-rest' in its name; expected entities are"),
         ("task-", "has 'task-' in its name; expected letters and digits after task-")],
    )  # fmt: skip
    @pytest.mark.parametrize("selected", [(), ("rest",)], ids=["all", "selected"])
    def test_a_label_or_entity_that_bids_does_not_have_is_named(self, raw, part, hint, selected):
        rename(raw, f"func/sub-01_{part}_bold.nii.gz")
        found = texts(check(raw, task_label=selected))
        is_another_task = selected and part == "task-rest-eo"
        assert len(found) == (0 if is_another_task else 1)
        assert all(hint in text for text in found)

    @pytest.mark.parametrize(
        ("folder", "name", "expected"),
        [("ses-1/func", "sub-01_task-rest_bold.nii.gz", "sub-01_ses-1_"),
         ("ses-1/func", "sub-01_ses-2_task-rest_bold.nii.gz", "sub-01_ses-1_"),
         ("func", "sub-01_ses-2_task-rest_bold.nii.gz", "sub-01_"),
         ("func", "sub-02_task-rest_bold.nii.gz", "sub-01_"),
         ("func", "task-rest_bold.nii.gz", "sub-01_")],
    )  # fmt: skip
    def test_a_name_that_disagrees_with_its_folder_is_named(self, raw, folder, name, expected):
        rename(raw, f"{folder}/{name}")
        (text,) = texts(check(raw))
        assert "does not carry the" in text
        assert f"of its folder; expected {expected} at its beginning: rename it" in text

    def test_two_sessions_whose_names_lack_them_are_two_runs(self, raw):
        for session in ("1", "2"):
            folder = raw / "sub-01" / f"ses-{session}" / "func"
            folder.mkdir(parents=True)
            shutil.copy(raw / "sub-01" / BOLD, folder)
        (raw / "sub-01" / BOLD).unlink()
        checks = check(raw)
        assert len(texts(checks)) == 2
        assert {run.session for run in checks.runs if run.modality == "bold"} == {"1", "2", None}

    @pytest.mark.parametrize("name", ["sub-01_task-rest_bold.nii", "task-rest_sub-01_bold.nii.gz"])
    def test_one_run_as_two_files_is_named_once(self, raw, name):
        shutil.copy(raw / "sub-01" / BOLD, raw / "sub-01" / "func" / name)
        (text,) = texts(check(raw))
        assert "is there a second time as" in text
        assert "expected one file: remove the others" in text

    @pytest.mark.parametrize("tasks", [("rest-eo", "rest-ec"), ("rest-eo",)], ids=str)
    def test_a_malformed_label_is_named_where_derivatives_are_used(self, raw, tasks):
        for task in tasks:
            path = raw / "sub-01" / "func" / f"sub-01_task-{task}_bold.nii.gz"
            shutil.copy(raw / "sub-01" / BOLD, path)
        (raw / "sub-01" / BOLD).unlink()
        preprocessed = raw.parent / "fmriprep"
        write_preprocessed(preprocessed, "sub-02_task-rest")
        checks = check(raw, engine="derivatives", derivatives=(f"fmriprep={preprocessed}",))
        assert len(texts(checks)) == len(tasks)
        assert all("expected letters and digits after task-" in text for text in texts(checks))

    def test_a_run_in_the_root_of_the_dataset_is_named(self, raw):
        shutil.copy(raw / "sub-01" / BOLD, raw / "sub-03_task-rest_bold.nii.gz")
        (text,) = texts(check(raw), "03")
        assert "sub-03_task-rest_bold.nii.gz lies in the root of the dataset; it looks" in text

    def test_other_images_and_files_of_a_functional_folder_are_no_runs(self, raw):
        folder = raw / "sub-01" / "func"
        for name in ("sub-01_task-rest_sbref.nii.gz", "sub-01_task-rest_events.tsv", "Thumbs.db",
                     "sub-01_task-rest_physio.tsv.gz", ".DS_Store", "desktop.ini"):  # fmt: skip
            (folder / name).write_bytes(b"")
        assert not check(raw).problems

    def test_the_t1w_image_is_named_where_it_is_needed(self, raw):
        rename(raw, "func/sub-01_T1w.nii.gz", old="anat/sub-01_T1w.nii.gz")
        (text,) = [text for text in texts(check(raw)) if "T1w" in text]
        assert "sub-01/func/sub-01_T1w.nii.gz: looks like a T1w image but is not" in text
        write_mri(raw, "01")
        assert not check(raw).problems

    def test_hidden_files_are_no_files(self, raw):
        for name in (f"sub-01/{BOLD}", "sub-01/anat/sub-01_T1w.nii.gz", "task-rest_bold.json"):
            (raw / name).with_name("._" + (raw / name).name).write_bytes(JUNK)
        (raw / "._sub-01").mkdir()
        assert not check(raw).problems

    def test_an_eeg_recording_in_a_format_that_bids_does_not_have(self, tmp_path):
        raw = write_skeleton(tmp_path / "eeg", bold=False)
        rename(raw, "eeg/sub-01_task-rest_eeg.cnt", old="eeg/sub-01_task-rest_eeg.edf")
        (text,) = texts(check(raw))
        assert "with .edf or .vhdr or .bdf or .set, in exactly these letters" in text


class TestParticipants:
    @pytest.fixture
    def misnamed(self, raw):
        os.rename(raw / "sub-01", raw / "sub-CON_01")
        return raw

    def test_a_folder_whose_label_is_not_alphanumeric_is_named(self, misnamed):
        checks = check(misnamed)
        (text,) = texts(checks, "CON_01")
        assert "the folder sub-CON_01 is not named as one of a participant" in text
        assert "such as sub-CON01" in text
        assert checks.participants == ["02"]
        assert checks.exit_code == 65

    def test_it_is_named_when_selected_and_not_when_another_is(self, misnamed):
        assert len(check(misnamed, participant_label=("CON_01", "02")).problems) == 1
        assert not check(misnamed, participant_label=("02",)).problems

    def test_it_is_named_when_nothing_else_is_there(self, misnamed):
        shutil.rmtree(misnamed / "sub-02")
        with pytest.raises(NothingSelected, match="the folder sub-CON_01 is not named as"):
            check(misnamed)

    def test_other_spellings_of_the_prefix_are_named_and_other_folders_are_not(self, tmp_path):
        for name in ("sub-01", "Sub-02", "sub03", "sub_04", "subjects", "sourcedata", "sub-"):
            (tmp_path / name).mkdir()
        assert participants_of(tmp_path) == ["01"]
        assert set(misnamed_participants(tmp_path)) == {"Sub-02", "sub03", "sub_04", ""}

    @pytest.mark.parametrize(
        ("label", "near"), [("1", "01"), ("001", "01"), ("con1", "CON1"), ("CON11", "CON1")]
    )
    def test_a_label_that_does_not_exist_names_the_nearest(self, raw, label, near):
        write_mri(raw, "CON1")
        (text,) = texts(check(raw, participant_label=(label, "02")), label)
        assert text == f"there is no participant {label}; did you mean {near}?"
        with pytest.raises(NothingSelected, match=f"did you mean {near}"):
            check(raw, participant_label=(label,))


class TestSidecars:
    def test_the_sidecar_of_a_malformed_name_is_of_its_own_run_only(self, raw):
        write(raw / "sub-01/func/sub-01_task-nback-1_bold.json", {"RepetitionTime": 0.8})
        (bold,) = [r for r in raw_runs(raw, participants=["01"]) if r.modality == "bold"]
        assert bold.metadata["RepetitionTime"] == 2.0
        rename(raw, "func/sub-01_task-nback-1_bold.nii.gz")
        (bold,) = [r for r in raw_runs(raw, participants=["01"]) if r.modality == "bold"]
        assert bold.metadata["RepetitionTime"] == 0.8

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
    def test_json_is_read_in_the_encodings_that_editors_write(self, raw, encoding):
        data = {"RepetitionTime": 2.0, "InstitutionName": "Universität"}
        text = json.dumps(data, ensure_ascii=False).encode(encoding)
        (raw / "task-rest_bold.json").write_bytes(text)
        assert read_json(raw / "task-rest_bold.json") == data
        assert not check(raw).problems
