"""Checkpoints to and from the Hugging Face Hub, played by a server on the loopback."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from hub_server import serving

from brainfm.cli.participant import pin_model
from brainfm.cli.settings import coerce
from brainfm.config import ModelConfig, Settings
from brainfm.errors import ModelError
from brainfm.models.checkpoint import hub as module
from brainfm.models.checkpoint.load_save import load_checkpoint, save_checkpoint
from brainfm.models.checkpoint.publish import publish_checkpoint
from brainfm.models.encoder.encoder import BrainEncoder, EncoderConfig

SECRET = "hf_secret"  # noqa: S105
FILES = {"config.json", "model.safetensors", "README.md", "history.json"}

#: What each script starts with; it ends by printing its findings as JSON.
PREAMBLE = """
import json, logging, sys
import numpy as np
logging.basicConfig(level=logging.DEBUG)
sys.path.insert(0, {tests!r})
from brains import bold
from brainfm import BrainEmbedder, BrainPretrainer, RecordingTable, publish_checkpoint
from brainfm.models.checkpoint.load_save import load_checkpoint
people = RecordingTable.from_recordings([bold(seed, n_channels=18) for seed in range(4)])
said = {{}}
def refused(function, *args, **kwargs):
    try:
        return function(*args, **kwargs) and None
    except Exception as error:
        return f"{{type(error).__name__}}: {{error}}"
def same(one, other):
    return bool(np.array_equal(
        *(BrainEmbedder.from_pretrained(name).transform(people) for name in (one, other))
    ))
"""


def save(folder, seed):
    torch.manual_seed(seed)
    encoder = BrainEncoder(EncoderConfig.preset("nano"))
    info = {"licence": "CC BY-NC-SA 4.0", "modalities": ["bold", "eeg"]}
    card = f'# mine\n\nBrainEmbedder.from_pretrained("{Path(folder).name}")\n'
    return save_checkpoint(folder, encoder, info, history=[{"loss": 1.0}], card=card)


class Scripts:
    """Runs scripts, each in a process of its own, against one server and one cache."""

    def __init__(self, hub, home):
        self.hub, self.home = hub, home
        self.one, self.two = save(home / "one", 1), save(home / "two", 2)

    def run(self, code, **environment):
        code = (
            PREAMBLE.format(tests=str(Path(__file__).parent)) + code + "\nprint(json.dumps(said))"
        )
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        environment = {
            **kept,
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HOME": str(self.home / "cache"),
            "HF_TOKEN": self.hub.token,
            **environment,
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True,
            cwd=self.home,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1]) | {"log": done.stderr}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    with serving() as hub:
        yield Scripts(hub, tmp_path_factory.mktemp("hub"))


@pytest.fixture(scope="module")
def round_trip(scripts):
    """Publish one and load it, publish two under the same name and load both."""
    return scripts.run("""
said["one"] = publish_checkpoint("one", "lab/model", private=False)
said["first"] = str(load_checkpoint("lab/model").report)
said["same as one"] = same("lab/model", "one")
said["two"] = publish_checkpoint("two", "lab/model", private=False)
said["same as two"] = same("lab/model", "two")
said["pinned"] = load_checkpoint(said["one"]).sha256
said["pinned as one"] = same(said["one"], "one")
""")


@pytest.mark.slow
class TestRoundTrip:
    def test_what_was_published_is_loaded_by_name_with_equal_embeddings(self, round_trip):
        assert round_trip["same as one"]
        assert round_trip["same as two"]

    def test_a_pinned_revision_gives_the_same_bytes_after_the_next_was_published(
        self, round_trip, scripts
    ):
        assert round_trip["one"] != round_trip["two"]
        assert round_trip["pinned"] == load_checkpoint(scripts.one).sha256
        assert round_trip["pinned as one"]

    def test_only_the_four_files_are_requested(self, round_trip, scripts):
        asked = [request.split(" ", 1)[1] for request in scripts.hub.requests]
        fetched = {
            path.split("/resolve/")[1].split("/", 1)[1] for path in asked if "resolve" in path
        }
        assert fetched == FILES
        known = ("/lab/model", "/api/models/lab/", "/api/repos/create", "/api/validate-yaml",
                 "/large/")  # fmt: skip
        assert [path for path in asked if not path.startswith(known)] == []

    def test_the_report_gives_name_revision_and_bytes_and_is_logged_once(self, round_trip, scripts):
        sha256 = load_checkpoint(scripts.one).sha256
        assert f"sha256 {sha256[:12]}" in round_trip["first"]
        assert "lab/model (revision " in round_trip["first"]
        assert round_trip["log"].count(f"loaded {round_trip['first']}") == 1

    def test_the_model_card_opens_with_the_metadata_of_the_hub(self, round_trip, scripts):
        commit = round_trip["one"].split("@")[1]
        files = scripts.hub.repositories["lab/model"].commits[commit]
        assert set(files) >= FILES
        _, head, text = files["README.md"].decode().split("---\n")
        assert yaml.safe_load(head) == {
            "license": "cc-by-nc-sa-4.0",
            "library_name": "brainfm",
            "pipeline_tag": "feature-extraction",
            "tags": ["brainfm", "neuroimaging", "fmri", "eeg"],
        }
        assert 'from_pretrained("lab/model")' in text
        assert (scripts.one / "model.safetensors").read_bytes() == files["model.safetensors"]

    def test_offline_the_cache_is_used_with_a_message_and_other_names_are_refused(
        self, round_trip, scripts
    ):
        found = scripts.run(
            f"""
said["two"] = load_checkpoint("lab/model").sha256
said["one"] = load_checkpoint({round_trip["one"]!r}).sha256
said["other"] = refused(load_checkpoint, "lab/other")
""",
            HF_HUB_OFFLINE="1",
        )
        assert found["two"] == load_checkpoint(scripts.two).sha256
        assert found["one"] == load_checkpoint(scripts.one).sha256
        assert "lab/model at revision main is read from the cache" in found["log"]
        assert "cache does not hold lab/other at revision main: go online once" in found["other"]
        assert found["other"].startswith("TemporaryFailure")

    def test_an_unreachable_server_is_treated_as_offline(self, round_trip, scripts):
        found = scripts.run(
            """
said["two"] = load_checkpoint("lab/model").sha256
said["other"] = refused(load_checkpoint, "lab/other")
said["push"] = refused(publish_checkpoint, "one", "lab/model")
""",
            HF_ENDPOINT="http://127.0.0.1:9",
        )
        assert found["two"] == load_checkpoint(scripts.two).sha256
        assert "read from the cache" in found["log"]
        assert "cache does not hold lab/other" in found["other"]
        assert "could not be used for lab/model (ConnectError" in found["push"]


@pytest.mark.slow
def test_a_pretrainer_pushes_its_weights_with_their_scores(scripts):
    found = scripts.run("""
import pandas as pd
fitted = BrainPretrainer("nano", max_epochs=1, batch_size=4, device="cpu").fit(people)
scores = pd.DataFrame({"task": ["age", "age"], "method": ["brainfm", "ridge"],
                       "score": [0.2, 0.3], "low": [0.1, 0.2], "high": [0.3, 0.4]})
said["name"] = fitted.push_to_hub("lab/pushed", licence="Own terms, v2", scores=scores)
loaded = BrainEmbedder.from_pretrained(said["name"])
said["equal"] = bool(np.allclose(loaded.transform(people), fitted.transform(people), atol=1e-6))
said["report"] = str(loaded.checkpoint_.report)
""")
    assert found["equal"]
    assert "100 % of the tensors and 100 % of the parameters" in found["report"]
    assert "BOLD of 4 participants from" in found["report"]
    repository = scripts.hub.repositories["lab/pushed"]
    assert repository.private
    card = repository.commits[repository.head]["README.md"].decode()
    assert "license: other\nlicense_name: own-terms-v2\n" in card
    assert "| age | ridge | 0.3 | 0.2 to 0.4 |" in card
    assert 'BrainEmbedder.from_pretrained("lab/pushed")' in card


@pytest.mark.slow
def test_errors_of_the_hub_are_explained_without_the_token(scripts):
    found = scripts.run(
        f"""
publish_checkpoint("one", "lab/open", private=False, token="{scripts.hub.token}")
publish_checkpoint("one", "lab/closed", token="{scripts.hub.token}")
said["absent"] = refused(load_checkpoint, "lab/absent")
said["closed"] = refused(load_checkpoint, "lab/closed")
said["revision"] = refused(load_checkpoint, "lab/open@" + 40 * "0")
said["branch"] = refused(load_checkpoint, "lab/open@devel")
said["write"] = refused(publish_checkpoint, "one", "lab/mine", token="{SECRET}")
said["newline"] = refused(publish_checkpoint, "one", "lab/mine", token="{SECRET}\\n")
said["bytes"] = refused(publish_checkpoint, "one", "lab/mine", token="{SECRET}\\N{{EURO SIGN}}")
said["public"] = refused(publish_checkpoint, "one", "lab/open", token="{scripts.hub.token}")
import traceback
try:
    publish_checkpoint("one", "lab/mine", token="{SECRET}\\n")
except Exception:
    said["traceback"] = traceback.format_exc()
""",
        HF_TOKEN=SECRET,
    )
    assert [line for line in found.pop("log").splitlines() if SECRET in line] == []
    assert SECRET not in json.dumps(found)
    for name in ("absent", "closed"):
        assert f"does not give access to lab/{name} at revision main" in found[name]
    assert "has no such revision: lab/open at revision 0000" in found["revision"]
    assert "has no such revision: lab/open at revision devel" in found["branch"]
    assert "does not give access to lab/mine (status 401)" in found["write"]
    assert "token contains spaces, line breaks" in found["newline"]
    assert "or non-ASCII letters" in found["bytes"]
    assert "lab/open exists already and is public" in found["public"]


def test_a_broken_checkpoint_is_not_published(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "upload", None)
    broken = save(tmp_path / "broken", 0) / "model.safetensors"
    broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"cannot be read as safetensors .* it is truncated"):
        publish_checkpoint(broken.parent, "lab/model")


@pytest.mark.parametrize("name", ["model", "lab/model@main", "a/b/c", "../model", "lab/.."])
def test_publishing_to_an_invalid_name_is_refused(name, tmp_path):
    with pytest.raises(ModelError, match=r"is not the name of a repository; expected org/name"):
        publish_checkpoint(save(tmp_path / "one", 0), name)


@pytest.mark.parametrize(
    "name",
    ["../name", "org/..", "org/../name", "org/name/more", "org//name", "/org/name", "~/name",
     "./name", "org/name@", "org/name@../other", "org/name@a/../b", "org/na--me", "org/name.git",
     "org\\name", "https://org/name", "org/name\n", "org/\x00", "org/nämé"],
)  # fmt: skip
def test_a_name_with_a_path_is_refused_without_a_request(name, monkeypatch):
    monkeypatch.setattr(module, "download", None)
    with pytest.raises(ModelError, match=r"no checkpoint called .* expected a folder"):
        load_checkpoint(name)


def test_a_path_and_a_folder_without_checkpoint_send_no_request(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "download", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=r"no checkpoint called 'org/name'"):
        load_checkpoint(Path("org/name"))
    (tmp_path / "org" / "name").mkdir(parents=True)
    with pytest.raises(ModelError, match=r"no checkpoint called 'org/name'"):
        load_checkpoint("org/name")


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("lab/model", ("lab/model", "main")),
        ("my-lab/Model_1.2@v1.0", ("my-lab/Model_1.2", "v1.0")),
        ("l/m@refs/pr/3", ("l/m", "refs/pr/3")),
    ],
)
def test_names_of_the_hub_are_parsed(name, parts):
    assert module.split_name(name) == parts


def test_the_program_takes_a_name_of_the_hub_unless_there_is_such_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert coerce("model.model", "lab/model@v1", "command line") == "lab/model@v1"
    (tmp_path / "lab" / "model").mkdir(parents=True)
    assert coerce("model.model", "lab/model", "command line") == str(tmp_path / "lab" / "model")


def test_a_call_of_the_program_pins_the_revision_it_starts_with(monkeypatch, tmp_path):
    folder = save(tmp_path / ("ab" * 20), 0)
    monkeypatch.setattr(module, "download", lambda *_: folder)
    job = SimpleNamespace(settings=Settings(model=ModelConfig(model="lab/model")))
    pin_model(job)
    assert job.settings.model.model == f"lab/model@{folder.name}"
    assert load_checkpoint(job.settings.model.model).name == "model"


def test_without_the_library_the_error_names_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"pip install 'brainfm\[hub\]'"):
        load_checkpoint("lab/model")
