"""The output is a BIDS derivative dataset from the first moment."""

import json
import shutil
import subprocess
import threading

import pandas as pd
import pytest
from skeleton import write, write_skeleton

from brainfm import __version__
from brainfm.storage.derivatives.dataset_description import write_description


@pytest.fixture
def places(tmp_path):
    return tmp_path / "out", write_skeleton(tmp_path / "raw", ("01",))


def described(out):
    return json.loads((out / "dataset_description.json").read_text())


def test_it_states_generator_and_sources_by_relative_links(places):
    out, raw = places
    facts = {"Name": "A study", "License": "PDDL", "DatasetDOI": "doi:10.1/x"}
    write(raw / "dataset_description.json", {"BIDSVersion": "1.9.0", **facts})
    write_description(out, raw, derivatives={"fmriprep": raw.parent / "fp"})
    content = described(out)
    assert content["DatasetType"] == "derivative"
    assert content["GeneratedBy"][0]["Name"] == "brainfm"
    assert content["GeneratedBy"][0]["Version"] == __version__
    assert content["DatasetLinks"] == {"raw": "../raw", "fmriprep": "../fp"}
    (source,) = content["SourceDatasets"]
    named = {"URL": "doi:10.1/x", "DOI": "doi:10.1/x", "Name": "A study", "Version": "A study"}
    assert source == named
    assert content["License"] == "PDDL"


def test_the_container_is_named_when_there_is_one(places, monkeypatch):
    monkeypatch.setenv("APPTAINER_CONTAINER", "/images/brainfm.sif")
    write_description(*places)
    container = described(places[0])["GeneratedBy"][0]["Container"]
    assert container == {"Type": "singularity", "URI": "brainfm.sif"}


def test_fields_added_to_the_descriptions_remain(places):
    out, raw = places
    write_description(out, raw)
    path = out / "descriptions.tsv"
    path.write_text(path.read_text() + "desc-mymodel\tAn embedding\n")
    write_description(out, raw, models=["brainfm-tiny"])
    rows = pd.read_csv(path, sep="\t").set_index("desc_id")["description"]
    assert rows["desc-mymodel"] == "An embedding"
    assert rows.index.is_unique
    assert rows["desc-brainfmtiny"] == "Embedding by the checkpoint brainfm-tiny"
    assert "desc-denoised" in rows.index


def test_several_jobs_may_write_it_at_once(places):
    threads = [threading.Thread(target=write_description, args=places) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert described(places[0])["Name"]
    assert not list(places[0].glob(".partial-*"))


def test_the_validator_finds_no_error(places):
    if not shutil.which("bids-validator-deno"):
        pytest.skip("bids-validator-deno is not installed")
    out, raw = places
    write_description(out, raw)
    for name in ("sub-01.html", "sub-01/status.json", "logs/x/brainfm.log", "work/x.json",
                 "sub-01/figures/sub-01_desc-x_T1w.svg", "group.html", "models/tiny/config.json",
                 "sub-01/eeg/sub-01_task-rest_desc-tiny_embedding.json"):  # fmt: skip
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("{}")
    done = subprocess.run(
        ["bids-validator-deno", str(out), "--json"], capture_output=True, text=True
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert not [issue for issue in issues if issue["severity"] == "error"]
