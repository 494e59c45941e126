"""What the documentation shows runs as it stands."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import brainfm
from brainfm.cli.parser import flags_of
from brainfm.config import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf8")
SCRIPTS = sorted((ROOT / "docs" / "how_to").glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_how_to_runs_as_it_stands(script, tmp_path):
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_how_to_is_shown(script):
    assert f"literalinclude}} {script.name}" in (ROOT / "docs/how_to/index.md").read_text()


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A folder with the derivatives and the table that the README speaks of."""
    rng = np.random.default_rng(0)
    places = {f"p{number}": [9.0 * number - 40, 10, 20] for number in range(10)}
    rows = []
    for number in range(20):
        label, ill = f"{number:02d}", number % 2
        series = rng.standard_normal((90, 10)) + 2 * ill * rng.standard_normal((90, 1))
        stem = tmp_path / f"derivatives/brainfm/sub-{label}/func/sub-{label}_task-rest_atlas-X"
        stem.parent.mkdir(parents=True)
        frame = pd.DataFrame(series, columns=list(places))
        frame.to_csv(f"{stem}_timeseries.tsv", sep="\t", index=False)
        sidecar = {"RepetitionTime": 2.0, "Positions": places}
        Path(f"{stem}_timeseries.json").write_text(json.dumps(sidecar))
        rows.append({"participant_id": f"sub-{label}", "diagnosis": ill})
    pd.DataFrame(rows).to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    monkeypatch.chdir(tmp_path)


def test_the_python_example_of_the_readme_runs_and_finds_what_is_there(study, capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    model, baseline = (float(line) for line in capsys.readouterr().out.split())
    assert baseline > 0.8
    assert 0 <= model <= 1


def test_the_readme_opens_with_the_two_commands():
    first = re.search(r"```\n(.*?)```", README, re.DOTALL)[1].splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["make run", "make test"]
    assert README.index("make run") < 200


def test_the_options_in_the_readme_exist():
    shown = re.findall(r"brainfm \S+ \S+ (?:participant|group)(.*)", README)
    flags = {flag for words in shown for flag in re.findall(r"(?<!\S)-{1,2}[a-z][a-z-]*", words)}
    known = {
        flag
        for section in fields(Settings)
        for item in fields(section.type)
        for flag in flags_of(section.name, item)
    }
    assert flags
    assert flags <= known


def test_the_documentation_builds_without_a_warning(tmp_path):
    words = ["sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "index.html").is_file()


@pytest.mark.parametrize("name", ["README.md", "CHANGES.md", "CONTRIBUTING.md", "CITATION.cff",
                                  "LICENSE", "NOTICE", "AGENTS.md"])  # fmt: skip
def test_what_a_project_shows_is_there(name):
    assert (ROOT / name).read_text(encoding="utf8").strip()


def test_versions_agree():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf8")
    assert f"version: {brainfm.__version__}\n" in citation
    assert f"## {brainfm.__version__}" in (ROOT / "CHANGES.md").read_text(encoding="utf8")
