"""The container recipes, read strictly: builders accept misspelt sections without a word."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SECTIONS = {
    "help", "setup", "files", "labels", "environment", "post", "runscript", "test",
    "startscript", "arguments", "pre",
}  # fmt: skip
SHELL = ("post", "environment", "runscript", "test")


def read_definition(text):
    """Return the header and the sections of a Singularity definition."""
    header, sections, current = {}, {}, None
    for number, line in enumerate(text.splitlines(), 1):
        begin = re.match(r"%(\w+)(.*)", line)
        if begin:
            current = begin[1]
            if current not in SECTIONS or begin[2].strip():
                raise ValueError(f"line {number}: {line!r} begins no known section")
            if current in sections:
                raise ValueError(f"line {number}: %{current} comes twice")
            sections[current] = []
        elif current is None and line.strip() and not line.startswith("#"):
            key, colon, value = line.partition(":")
            if not colon or key not in ("Bootstrap", "From"):
                raise ValueError(f"line {number}: {line!r} is no header")
            header[key] = value.strip()
        elif current:
            sections[current].append(line)
    if set(header) != {"Bootstrap", "From"}:
        raise ValueError(f"header has {sorted(header)}; expected Bootstrap and From")
    return header, {name: "\n".join(lines) + "\n" for name, lines in sections.items()}


def read_dockerfile(text):
    """Return (instruction, arguments) pairs, continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def definition():
    return read_definition((ROOT / "Singularity.def").read_text())


@pytest.fixture(scope="module")
def dockerfile():
    return read_dockerfile((ROOT / "Dockerfile").read_text())


def install_words(text):
    """Return the words of the pip installation."""
    joined = re.sub(r"\\\n\s*", "", text)
    return next(line.split() for line in re.split(r"\n|&&", joined) if "torch==" in line)


class TestTheParser:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("Bootstrap: docker\nFrom: x\n%pots\n", "begins no known section"),
            ("Bootstrap: docker\nFrom: x\n%post x\n", "begins no known section"),
            ("Bootstrap: docker\nFrom: x\n%post\n%post\n", "comes twice"),
            ("From: x\n%post\n", "expected Bootstrap and From"),
            ("Bootstrap docker\nFrom: x\n", "is no header"),
        ],
    )
    def test_refuses_what_container_builders_ignore(self, text, said):
        with pytest.raises(ValueError, match=said):
            read_definition(text)


class TestDefinition:
    def test_has_all_sections(self, definition):
        _, sections = definition
        needed = {"labels", "help", "files", "post", "environment", "runscript", "test"}
        assert needed <= set(sections)

    @pytest.mark.parametrize("section", SHELL)
    def test_sections_are_valid_shell(self, definition, section):
        done = subprocess.run(
            ["sh", "-n"], input=definition[1][section], text=True, capture_output=True
        )
        assert done.returncode == 0, done.stderr

    def test_files_exist(self, definition):
        for line in definition[1]["files"].split("\n"):
            if line.strip():
                source, target = line.split()
                assert (ROOT / source).exists(), source
                assert target.startswith("/")

    def test_passes_all_arguments_to_brainfm(self, definition, tmp_path):
        program = tmp_path / "brainfm"
        program.write_text('#!/bin/sh\nfor word in "$@"; do echo "<$word>"; done\n')
        program.chmod(0o755)
        script = definition[1]["runscript"].replace("/opt/brainfm/bin/brainfm", str(program))
        done = subprocess.run(
            ["sh", "-c", script, "run", "/a b", "participant"], capture_output=True, text=True
        )
        assert done.stdout == "</a b>\n<participant>\n"

    def test_its_test_runs_the_demo(self, definition):
        assert "-m brainfm.demo " in definition[1]["test"]


class TestBothRecipes:
    def test_start_from_the_same_pinned_image(self, definition, dockerfile):
        base = next(words for name, words in dockerfile if name == "ARG" and "BASE=" in words)
        assert base == f"BASE={definition[0]['From']}"
        assert re.fullmatch(r"nipreps/fmriprep:\d+\.\d+\.\d+", definition[0]["From"])

    def test_install_the_same_into_an_environment_of_their_own(self, definition, dockerfile):
        run = next(words for name, words in dockerfile if name == "RUN" and "torch==" in words)
        assert install_words(run) == install_words(definition[1]["post"])
        assert install_words(run)[0] == "/opt/brainfm/bin/python"
        assert "constraints.txt" in run

    def test_set_the_same_environment_and_nothing_in_home(self, definition, dockerfile):
        env = next(words for name, words in dockerfile if name == "ENV").split()
        exported = re.findall(r"export (\S+)", definition[1]["environment"])
        assert sorted(env) == sorted(exported)
        assert not [word for word in env if word.startswith("HOME=") or "$HOME" in word]

    def test_take_the_same_files(self, definition, dockerfile):
        copied = {
            word.rstrip("/")
            for name, words in dockerfile
            if name == "COPY"
            for word in words.split()[:-1]
        }
        lines = [line.split() for line in definition[1]["files"].split("\n") if line.strip()]
        assert copied == {source for source, _ in lines}

    def test_end_in_brainfm(self, definition, dockerfile):
        assert dockerfile[-1] == ("ENTRYPOINT", '["/opt/brainfm/bin/brainfm"]')
        assert 'exec /opt/brainfm/bin/brainfm "$@"' in definition[1]["runscript"]

    def test_torch_is_the_one_of_the_constraints_and_the_makefile(self, definition):
        constraint = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), re.M)[0]
        assert constraint in install_words(definition[1]["post"])
        assert constraint in (ROOT / "Makefile").read_text()
