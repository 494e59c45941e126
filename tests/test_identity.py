"""A run is identified by all its labels, and a dataset by more than its name."""

import json

import pytest
from brains import bold, eeg
from derivatives import labels, write_dataset, write_series

from brainfm import add_to_corpus, load_recordings, read_corpus, withdraw_participant
from brainfm.errors import DataError
from brainfm.models.checkpoint.participants import seen_in_training
from brainfm.models.estimators.pretrainer import _describe
from brainfm.recording import RUN_LABELS, RecordingTable
from brainfm.stages.corpus.build import build_corpus
from brainfm.stages.corpus.included import included_recordings
from brainfm.storage.corpus.manifest import read_manifest
from brainfm.storage.derivatives.dataset_description import write_description
from brainfm.storage.derivatives.study import normalise_doi, study_of, table_hash

ENTITIES = ["_acq-a", "_ce-gd", "_rec-a", "_dir-AP", "_run-1", "_echo-1", "_part-mag"]


class TestRuns:
    @pytest.mark.parametrize("entity", ENTITIES)
    def test_two_runs_that_differ_by_one_entity_are_two_rows(self, tmp_path, entity):
        name, _, label = entity.partition("-")
        other = f"{name}-{label[:-1]}2"
        for number, more in enumerate((entity, other)):
            write_series(tmp_path / "data", "01", more=more, seed=number)
        table = load_recordings(tmp_path / "data")
        assert len(table) == 2
        add_to_corpus(tmp_path / "data", tmp_path / "corpus")
        assert {one.key for one in read_corpus(tmp_path / "corpus")} == {
            one.key for one in table.recordings
        }

    def test_the_labels_of_a_run_are_read_from_its_name(self, tmp_path):
        write_series(tmp_path, "01", more="_acq-a_ce-b_rec-c_dir-AP_run-02_echo-1_part-mag")
        (one,) = load_recordings(tmp_path).recordings
        found = [getattr(one, name) for name in RUN_LABELS]
        assert found == [None, "rest", "a", "b", "c", "AP", "02", "1", "mag", None]
        assert "dir-AP" in repr(one)

    def test_eeg_pairs_with_the_only_bold_run_of_its_task_whatever_its_direction(self):
        pair = [bold(direction="AP"), eeg()]
        (row,) = RecordingTable.from_recordings(pair)
        assert [one.modality for one in row] == ["bold", "eeg"]

    def test_eeg_pairs_with_neither_of_two_bold_runs_that_its_labels_do_not_tell_apart(self):
        runs = [bold(direction="AP"), bold(direction="PA"), eeg()]
        assert [len(row) for row in RecordingTable.from_recordings(runs)] == [1, 1, 1]

    def test_eeg_pairs_with_the_bold_run_of_the_same_labels(self):
        runs = [bold(acquisition="a"), bold(acquisition="b"), eeg(acquisition="b")]
        rows = RecordingTable.from_recordings(runs).rows
        assert [len(row) for row in rows] == [1, 2]

    def test_a_corpus_of_an_earlier_version_is_read_and_not_extended(self, tmp_path):
        write_series(tmp_path / "data", "01", more="_dir-AP")
        manifest = add_to_corpus(tmp_path / "data", tmp_path / "corpus")
        old = read_manifest(manifest.parent).drop(columns=["doi", "study", "direction", "echo"])
        old.to_csv(manifest, sep="\t", index=False, na_rep="n/a")
        assert read_corpus(manifest.parent)[0].direction is None
        with pytest.raises(DataError, match=r"earlier version .* build it again"):
            add_to_corpus(tmp_path / "data", manifest.parent)
        build_corpus(tmp_path / "data", manifest.parent)
        assert [one.direction for one in read_corpus(manifest.parent)] == ["AP"]


def describe(root, **fields):
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Study", **fields}))


@pytest.fixture
def two(tmp_path):
    """Two folders of one name with the same participants."""
    return [write_dataset(tmp_path / name, "Study", ["01", "02"], task=name) for name in "ab"]


class TestDatasets:
    def test_two_folders_of_one_name_are_refused_if_nothing_tells_them_apart(self, two, tmp_path):
        words = r"both have the Name 'Study' and 2 participants with the same label \(sub-01\)"
        for use in (build_corpus, included_recordings):
            with pytest.raises(DataError, match=words):
                use(two, tmp_path / "corpus")
        assert not (tmp_path / "corpus").exists()

    def test_another_name_in_one_description_is_a_way_out(self, two, tmp_path):
        with pytest.raises(DataError, match=r"write another Name to one"):
            build_corpus(two, tmp_path / "corpus")
        (two[1] / "dataset_description.json").write_text(json.dumps({"Name": "Other"}))
        build_corpus(two, tmp_path / "corpus")
        assert {key[:2] for key in labels(tmp_path / "corpus")} == {
            (name, who) for name in ("Study", "Other") for who in ("01", "02")
        }

    def test_folders_without_a_common_participant_are_joined(self, tmp_path):
        roots = [write_dataset(tmp_path / one, "Study", [one]) for one in "ab"]
        build_corpus(roots, tmp_path / "corpus")
        assert len(labels(tmp_path / "corpus")) == 2

    def test_one_doi_makes_them_one_study_whatever_its_version(self, two, tmp_path):
        describe(two[0], DatasetDOI="doi:10.18112/openneuro.ds000114.v1.0.0")
        describe(two[1], DatasetDOI="https://doi.org/10.18112/OpenNeuro.ds000114.v1.0.2")
        build_corpus(two, tmp_path / "corpus")
        assert len({one.group for one in read_corpus(tmp_path / "corpus")}) == 2

    def test_two_dois_make_them_two_studies_with_other_people(self, two, tmp_path):
        for number, root in enumerate(two):
            describe(root, DatasetDOI=f"10.1/{number}")
        build_corpus(two, tmp_path / "corpus")
        table = RecordingTable.from_recordings(read_corpus(tmp_path / "corpus"))
        assert len(set(table.groups)) == 4
        training = _describe(table)
        assert training["n_participants"] == 4
        assert training["participants_by_dataset"] == {"Study": 4}

    def test_a_model_recognises_a_participant_where_the_doi_is_not_known(self):
        trained = _describe(RecordingTable([(bold(doi="10.1/x", dataset="S"),)]))
        assert seen_in_training(trained, ["S/00", "S (doi:10.1_x)/00"]) == {
            "S/00", "S (doi:10.1_x)/00",
        }  # fmt: skip
        assert not seen_in_training(trained, ["S/01"])

    def test_withdrawing_covers_all_studies_of_a_name(self, two, tmp_path):
        for number, root in enumerate(two):
            describe(root, DatasetDOI=f"10.1/{number}")
        build_corpus(two, tmp_path / "corpus")
        assert withdraw_participant(tmp_path / "corpus", "Study", "01") == 2

    def test_outputs_of_one_raw_dataset_are_of_one_study(self, two, tmp_path):
        (tmp_path / "raw").mkdir()
        describe(tmp_path / "raw")
        for root in two:
            write_description(root, tmp_path / "raw")
        assert study_of(str(two[0])).name == "Study"
        build_corpus(two, tmp_path / "corpus")
        assert {one.dataset for one in read_corpus(tmp_path / "corpus")} == {"Study"}

    def test_outputs_that_were_moved_are_known_by_the_table_of_participants(self, two, tmp_path):
        raw = tmp_path / "raw"
        raw.mkdir()
        describe(raw)
        rows = [f"sub-{n:02d}\t{20 + n}\n" for n in range(9)]
        (raw / "participants.tsv").write_text("participant_id\tage\n" + "".join(rows))
        for root in two:
            write_description(root, raw)
        raw.rename(tmp_path / "gone")
        build_corpus(two, tmp_path / "corpus")
        assert {one.dataset for one in read_corpus(tmp_path / "corpus")} == {"Study"}

    def test_folders_in_the_derivatives_of_a_raw_dataset_are_of_its_study(self, tmp_path):
        raw = tmp_path / "raw"
        roots = [write_dataset(raw / "derivatives" / one, one, ["01"], task=one) for one in "ab"]
        describe(raw)
        build_corpus(roots, tmp_path / "corpus")
        assert {one.group for one in read_corpus(tmp_path / "corpus")} == {"Study/01"}

    def test_a_table_of_labels_alone_tells_nothing(self, tmp_path):
        path = tmp_path / "participants.tsv"
        path.write_text("participant_id\tsex\n" + "".join(f"{n}\tM\n" for n in range(20)))
        assert table_hash(tmp_path) is None

    def test_a_second_study_is_not_added_to_the_corpus_of_the_first(self, two, tmp_path):
        add_to_corpus(two[0], tmp_path / "corpus")
        add_to_corpus(two[0], tmp_path / "corpus")
        with pytest.raises(DataError, match=r"^the corpus and .*b both have the Name 'Study'"):
            add_to_corpus(two[1], tmp_path / "corpus")
        assert len(labels(tmp_path / "corpus")) == 2

    def test_the_doi_of_a_derivative_is_not_that_of_its_study(self, two):
        describe(two[0], DatasetType="derivative", DatasetDOI="10.1/derivative")
        assert study_of(str(two[0])).doi is None


@pytest.mark.parametrize(
    ("text", "doi"),
    [
        ("doi:10.18112/openneuro.ds000114.v1.0.1", "10.18112/openneuro.ds000114"),
        ("https://doi.org/10.5281/Zenodo.123", "10.5281/zenodo.123"),
        ("https://openneuro.org/datasets/ds000114", None),
        (None, None),
    ],
)
def test_a_doi_is_compared_without_resolver_and_version(text, doi):
    assert normalise_doi(text) == doi
