"""The whole path with the real engines, on a synthetic participant: raw BIDS to reports."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from identities import plant_identities, where_identities_show
from skeleton import write, write_person

from brainfm.cli.run import main
from brainfm.demo.synthetic_dataset import write_synthetic_dataset
from brainfm.models.checkpoint.load_save import save_checkpoint
from brainfm.models.encoder.encoder import BrainEncoder, EncoderConfig
from brainfm.storage.bids.names import extension_of
from brainfm.storage.derivatives.names import derivative_path

pytestmark = pytest.mark.slow


def brainfm(raw, out, level, *words):
    """Run in a process of its own: what it needs of the machine is then its own too."""
    done = subprocess.run(
        [sys.executable, "-m", "brainfm", str(raw), str(out), level, "--sloppy", *words],
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Raw dataset, an encoder that was never trained, and the output of the participant level."""
    root = tmp_path_factory.mktemp("whole")
    write_synthetic_dataset(root / "raw", participants=1, seed=0, size="tiny")
    assert plant_identities(root / "raw") == 2  # T1w and BOLD; BrainVision holds no names
    encoder = BrainEncoder(EncoderConfig.preset("nano"))
    save_checkpoint(root / "untrained", encoder, {"training": {"participants": []}})
    code, said = brainfm(
        root / "raw", root / "out", "participant", "--model", str(root / "untrained")
    )
    assert code == 0, said
    return root


@pytest.fixture(scope="module")
def person(study):
    (folder,) = (path for path in (study / "out").glob("sub-*") if path.is_dir())
    return folder


def test_both_modalities_are_standardised_and_embedded(person):
    (series,) = person.glob("func/*_desc-denoised_timeseries.tsv")
    assert pd.read_csv(series, sep="\t").shape[1] == 100
    assert list(person.glob("func/*_desc-pearson_relmat.tsv"))
    assert list(person.glob("eeg/*_desc-preproc_eeg.vhdr"))
    embeddings = list(person.glob("*/*_desc-untrained_embedding.npy"))
    assert len(embeddings) == 2
    for path in embeddings:
        vector = np.load(path)
        assert vector.dtype == np.float32
        assert vector.ndim == 1
        assert np.isfinite(vector).all()


def test_the_status_is_done_and_names_every_file_of_each_recording(study, person):
    status = json.loads((person / "status.json").read_text())
    assert status["state"] == "done"
    named = {name for entry in status["recordings"].values() for name in entry["outputs"]}
    there = {
        str(path.relative_to(study / "out"))
        for folder in ("anat", "func", "eeg", "figures")
        for path in (person / folder).rglob("*")
        if path.is_file()
    }
    assert there == named


def test_every_file_of_a_recording_has_a_name_from_the_table_of_patterns(study, person):
    files = [path for path in person.rglob("*") if path.is_file() and path.name != "status.json"]
    assert {path.parent.name for path in files} == {"anat", "func", "eeg", "figures"}
    for path in files:
        kind = {"datatype": path.parent.name, "extension": extension_of(path)}
        suffix = path.name.removesuffix(kind["extension"]).rpartition("_")[2]
        assert derivative_path(study / "out", path, suffix=suffix, **kind) == path


def test_the_report_stands_alone(study, person):
    html = (study / "out" / f"{person.name}.html").read_text()
    assert 'src="http' not in html
    assert "all steps completed" in html


def test_the_validator_finds_no_error(study):
    if not shutil.which("bids-validator-deno"):
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run(
        ["bids-validator-deno", str(study / "out"), "--json"], capture_output=True, text=True
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    errors = [(i["code"], i["location"]) for i in issues if i["severity"] == "error"]
    assert not errors


def test_no_name_no_birth_date_and_no_date_of_recording_reaches_the_output(study):
    assert where_identities_show(study / "raw")
    assert not where_identities_show(study / "out")


def test_the_same_command_again_does_nothing(study):
    model = str(study / "untrained")
    code, said = brainfm(study / "raw", study / "out", "participant", "--model", model)
    assert code == 0
    assert "2 recordings of 1 participant: 0 to do" in said
    assert "started" not in said


@pytest.mark.parametrize("engine", ["derivatives", "fmriprep"])
def test_other_engines_lead_to_the_same_series(study, person, monkeypatch, engine):
    words = ["--fmri-engine", engine, "--model", str(study / "untrained")]
    write(study / "filter.json", {"eeg": {"task": "none"}})
    if engine == "derivatives":
        words += ["-d", f"fmriprep={study / 'out'}"]
    else:  # a program of that name which writes what it is expected to write
        program = study / "bin" / "fmriprep"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\ncp -r {person} {study}/out/dataset_description.json "$2"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    out = study / engine
    filters = ["--bids-filter-file", str(study / "filter.json")]
    code, said = brainfm(study / "raw", out, "participant", *words, *filters)
    assert code == 0, said
    assert f"fMRI by {engine}" in said
    (series,) = out.glob("sub-*/func/*_desc-denoised_timeseries.tsv")
    (built_in,) = person.glob("func/*_desc-denoised_timeseries.tsv")
    pd.testing.assert_frame_equal(pd.read_csv(series, sep="\t"), pd.read_csv(built_in, sep="\t"))


def test_the_group_level_goes_on_from_there(study, capsys):
    other = study / "other"
    write(other / "dataset_description.json", {"Name": "other", "DatasetType": "derivative"})
    write_person(other, "77", coupled=True, seed=0)
    words = [str(study / "raw"), str(study / "out"), "group", "--sloppy", "-d", f"other={other}"]
    assert main(words) == 0
    assert (study / "out" / "group.html").is_file()
    assert f"report: {study / 'out' / 'group.html'}" in capsys.readouterr().err
    assert not where_identities_show(study / "out")
