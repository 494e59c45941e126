"""What the documentation shows runs as it stands."""

import ast
import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pandas as pd
import pytest

import brainfm
from brainfm.cli.parser import flags_of
from brainfm.config import Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf8")
#: Built by ``make docs``, which fails at any warning.
HTML = ROOT / "docs" / "_build" / "html"
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*/plot_*.py"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")),
         *sorted((ROOT / "docs").glob("[a-z]*/*.md"))]  # fmt: skip
#: Words in backticks at the start of an entry; "..." stands for names and numbers.
MESSAGES = re.findall(
    r"^`(.+)`$\n: ", (ROOT / "docs/troubleshooting.md").read_text(encoding="utf8"), re.MULTILINE
)


@pytest.mark.slow
@pytest.mark.skipif("BRAINFM_TEST_EXAMPLES" not in os.environ, reason="make docs runs the examples")
@pytest.mark.parametrize("script", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_unchanged(script, tmp_path):
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "MPLBACKEND": "agg"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_file_named_on_a_page_exists(page):
    named = re.findall(
        r"`((?:brainfm|docs|benchmarks|tests)/[\w./-]*)`", page.read_text(encoding="utf8")
    )
    made = ("docs/_build/html",)
    assert [name for name in named if name not in made and not (ROOT / name).exists()] == []


def test_the_gallery_has_at_least_eight_examples_and_each_draws():
    assert len(EXAMPLES) >= 8
    assert all("plt.show()" in path.read_text(encoding="utf8") for path in EXAMPLES)


@pytest.fixture(scope="module")
def messages_of_the_code():
    """Every string of the package, with a zero byte where a value is put in."""
    found = []
    for path in (ROOT / "brainfm").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (getattr(part, "value", None) for part in node.values)
                found.append("".join(p if isinstance(p, str) else "\0" for p in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_of_the_troubleshooting_page_is_in_the_code(message, messages_of_the_code):
    words = ".*".join(re.escape(part.strip()) for part in message.split("..."))
    assert re.search(words, messages_of_the_code)


def test_the_troubleshooting_page_has_at_least_25_messages():
    assert len(set(MESSAGES)) >= 25


def test_the_figure_of_the_folders_has_every_stage_and_no_import_that_points_up(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    import house_figure

    names = house_figure.modules()
    rows = house_figure.rows(names)
    level = {box: number for number, row in enumerate(rows) for box in row}
    assert {f"brainfm.stages.{name}" for name in house_figure.PATH[:8]} <= set(level)
    arrows = house_figure.imports(names, set(level))
    assert sum(map(len, arrows.values())) > 30
    assert all(level[box] <= level[other] for box in arrows for other in arrows[box])


@pytest.mark.parametrize("code", [0, 75])
def test_the_slurm_array_script_runs_one_participant_and_requeues_temporary_failures(
    code, tmp_path
):
    for label in ("01", "02"):
        (tmp_path / "bids" / f"sub-{label}").mkdir(parents=True)
    for name, line in {"brainfm": f"exit {code}", "scontrol": ""}.items():
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@" >> "{tmp_path}/log"\n{line}\n')
        (tmp_path / name).chmod(0o755)
    script = ROOT / "docs" / "getting_started" / "participants.sbatch"
    done = subprocess.run(
        ["bash", str(script), "bids", "out", "--atlas", "a b"], cwd=tmp_path,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_ARRAY_TASK_ID": "2",
             "SLURM_ARRAY_JOB_ID": "7"},
    )  # fmt: skip
    assert done.returncode == code
    said = (tmp_path / "log").read_text().splitlines()
    assert said[0] == "brainfm bids out participant --participant-label sub-02 --atlas a b"
    assert said[1:] == (["scontrol requeue 7_2"] if code == 75 else [])


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A folder with the derivatives and the table that the README speaks of."""
    rng = np.random.default_rng(0)
    positions = {f"p{number}": [9.0 * number - 40, 10, 20] for number in range(10)}
    rows = []
    for number in range(20):
        label, ill = f"{number:02d}", number % 2
        series = rng.standard_normal((90, 10)) + 2 * ill * rng.standard_normal((90, 1))
        stem = tmp_path / f"derivatives/brainfm/sub-{label}/func/sub-{label}_task-rest_atlas-X"
        stem.parent.mkdir(parents=True)
        frame = pd.DataFrame(series, columns=list(positions))
        frame.to_csv(f"{stem}_timeseries.tsv", sep="\t", index=False)
        sidecar = {"RepetitionTime": 2.0, "Positions": positions}
        Path(f"{stem}_timeseries.json").write_text(json.dumps(sidecar))
        rows.append({"participant_id": f"sub-{label}", "diagnosis": ill})
    pd.DataFrame(rows).to_csv(tmp_path / "participants.tsv", sep="\t", index=False)
    monkeypatch.chdir(tmp_path)


def test_the_python_example_of_the_readme_runs_and_finds_the_effect(study, capsys):
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102
    model, baseline = (float(line) for line in capsys.readouterr().out.split())
    assert baseline > 0.8
    assert 0 <= model <= 1


def test_the_readme_opens_with_the_two_commands():
    first = re.search(r"```\n(.*?)```", README, re.DOTALL)[1].splitlines()
    assert [line.split("#")[0].strip() for line in first] == ["make run", "make test"]
    assert README.index("make run") < 200


COMMAND = re.compile(r"^(?:python -m )?(brainfm\S*) \S+ \S+ (.*)$", re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_the_options_of_the_commands_on_a_page_exist(page):
    known = {
        flag
        for section in fields(Settings)
        for item in fields(section.type)
        for flag in flags_of(section.name, item)
    }
    text = page.read_text(encoding="utf8").replace("\\\n", " ")
    commands = [words for name, words in COMMAND.findall(text) if name == "brainfm"]
    given = {
        flag
        for words in commands
        for flag in re.findall(r"(?<!\S)-{1,2}[a-z][a-z-]*", words.partition("#")[0])
    }
    assert given <= known
    assert commands or page.name not in ("README.md", "query.md", "evaluate.md")


class Links(HTMLParser):
    """Collect the targets and the anchors of a page."""

    def __init__(self, page):
        super().__init__()
        self.targets, self.anchors = [], set()
        self.feed(page.read_text(encoding="utf8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.targets += [attrs[key] for key in ("href", "src") if attrs.get(key)]
        self.anchors.add(attrs.get("id"))


def dead_links(html):
    """Return the links of a folder of pages that lead nowhere inside it."""
    pages = {path: Links(path) for path in html.rglob("*.html") if "_static" not in path.parts}
    dead = []
    for path, links in pages.items():
        for target in links.targets:
            address = urlsplit(target)
            if address.scheme or address.netloc:
                continue
            there = (path.parent / unquote(address.path)).resolve() if address.path else path
            anchor = unquote(address.fragment)
            known = pages[there].anchors if there in pages else {anchor}
            if not there.is_file() or (anchor and anchor not in known):
                dead.append(f"{path.relative_to(html)}: {target}")
    return dead


@pytest.mark.skipif(not HTML.is_dir(), reason="make docs builds the pages")
def test_no_link_of_the_built_pages_is_dead():
    assert dead_links(HTML.resolve()) == []


@pytest.mark.parametrize("name", ["README.md", "CHANGES.md", "CONTRIBUTING.md", "CITATION.cff",
                                  "LICENSE", "NOTICE", "AGENTS.md"])  # fmt: skip
def test_project_files_exist(name):
    assert (ROOT / name).read_text(encoding="utf8").strip()


def test_versions_agree():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf8")
    assert f"version: {brainfm.__version__}\n" in citation
    assert f"## {brainfm.__version__}" in (ROOT / "CHANGES.md").read_text(encoding="utf8")
