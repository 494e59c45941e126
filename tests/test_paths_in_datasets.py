"""Paths that a dataset names, in tables, sidecars and headers, never lead outside it."""

import json

import pytest
from eeg_dataset import eeg_signal, write_run
from fake_engines import stand_ins
from skeleton import write, write_person, write_skeleton

from brainfm.cli.run import main
from brainfm.storage.bids.validate_eeg import check_eeg

OUTSIDE_WORDS = "what lies outside"


@pytest.fixture
def outside(tmp_path):
    """Folder beside the dataset which nobody asked for, and words that lead into it."""
    folder = tmp_path / "outside"
    write(folder / "dataset_description.json", {"Name": OUTSIDE_WORDS, "BIDSVersion": "1.9.0"})
    (folder / "bait.nii.gz").write_text(OUTSIDE_WORDS)
    return folder


def plant_paths(dataset, outside):
    """Name the folder outside, relative and absolute, wherever a dataset may name files."""
    ways = [f"../../../{outside.name}/bait.nii.gz", str(outside / "bait.nii.gz")]
    for path in dataset.rglob("sub-*/**/*.json"):
        named = dict.fromkeys(("IntendedFor", "Sources", "RawSources", "B0FieldSource"), ways)
        path.write_text(json.dumps({**json.loads(path.read_text()), **named}))
    ids = "".join(f"sub-{way}\t30\n" for way in [*ways, "../outside", "..", "/"])
    with open(dataset / "participants.tsv", "a", encoding="utf8") as table:
        table.write(ids)


def assert_nothing_leads_outside(tmp_path, outside, before):
    assert {p: p.read_bytes() for p in outside.rglob("*") if p.is_file()} == before
    assert {p.name for p in tmp_path.iterdir()} == {"outside", "raw", "out"}
    for path in (tmp_path / "out").rglob("*"):
        if path.is_file():
            assert OUTSIDE_WORDS.encode() not in path.read_bytes(), path


def test_paths_in_sidecars_and_participants_do_not_lead_the_participant_level_outside(
    tmp_path, outside, monkeypatch
):
    for place, stand_in in stand_ins():
        monkeypatch.setattr(place, stand_in)
    raw = write_skeleton(tmp_path / "raw", ("01",))
    write(raw / "sub-01" / "func" / "sub-01_task-rest_bold.json", {})
    plant_paths(raw, outside)
    before = {p: p.read_bytes() for p in outside.rglob("*") if p.is_file()}
    words = [str(raw), str(tmp_path / "out"), "participant", "--nprocs", "1"]
    assert main(words) == 0
    assert main([*words, "--participant-label", "../outside"]) == 18
    assert_nothing_leads_outside(tmp_path, outside, before)


def test_paths_in_derivatives_and_participants_do_not_lead_the_group_level_outside(
    tmp_path, outside
):
    raw = write_skeleton(tmp_path / "raw", ("01",))
    derivative = raw / "derivatives" / "other"
    write(derivative / "dataset_description.json", {"Name": "x", "DatasetType": "derivative"})
    (derivative / "participants.tsv").write_text("participant_id\tage\n")
    for number, label in enumerate(("01", "02")):
        write_person(derivative, label, coupled=True, seed=number)
    for dataset in (raw, derivative):
        plant_paths(dataset, outside)
    before = {p: p.read_bytes() for p in outside.rglob("*") if p.is_file()}
    words = [str(raw), str(tmp_path / "out"), "group", "--sloppy", "-d", f"other={derivative}"]
    assert main(words) == 0
    assert_nothing_leads_outside(tmp_path, outside, before)


@pytest.mark.parametrize("way", ["../../../outside/x.eeg", "{outside}/x.eeg"])
def test_a_header_that_names_samples_outside_its_folder_is_refused(tmp_path, outside, way):
    path = write_run(tmp_path / "raw", eeg_signal(), extension=".vhdr")
    signal = path.with_suffix(".eeg")
    (outside / "x.eeg").write_bytes(signal.read_bytes())
    text = path.read_text(encoding="utf8")
    assert check_eeg(path, {"PowerLineFrequency": 50}) == []
    path.write_text(text.replace(signal.name, way.format(outside=outside)), encoding="utf8")
    (problem,) = check_eeg(path, {"PowerLineFrequency": 50})
    assert "in another folder; expected it beside the header" in problem
