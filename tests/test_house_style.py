"""The rules of the house, as tests."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "brainfm").rglob("*.py"))


def _functions(path):
    tree = ast.parse(path.read_text(encoding="utf8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def _body_lines(function):
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
class TestEveryModule:
    def test_has_at_most_400_lines(self, path):
        assert len(path.read_text(encoding="utf8").splitlines()) <= 400

    def test_has_no_function_body_over_40_lines(self, path):
        long = {f.name: _body_lines(f) for f in _functions(path) if _body_lines(f) > 40}
        assert not long

    def test_has_no_function_of_more_than_five_positional_arguments(self, path):
        many = {
            f.name: len(f.args.posonlyargs + f.args.args)
            for f in _functions(path)
            if len([a for a in f.args.posonlyargs + f.args.args if a.arg not in ("self", "cls")])
            > 5
            and f.name != "__init__"
        }
        assert not many

    def test_says_what_it_is_for(self, path):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf8")))

    def test_documents_every_public_function(self, path):
        tree = ast.parse(path.read_text(encoding="utf8"))
        public = [
            node
            for node in tree.body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        ]
        assert not [node.name for node in public if not ast.get_docstring(node)]


def test_imports_point_down_only():
    done = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_ruff_finds_nothing():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(["ruff", *command, "."], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_importing_brainfm_changes_no_environment_variable_and_is_fast():
    code = (
        "import os, time; before = dict(os.environ); start = time.perf_counter(); import brainfm; "
        "assert dict(os.environ) == before; print(time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1


def test_help_comes_within_half_a_second():
    code = (
        "import sys, time; start = time.perf_counter()\n"
        "from brainfm.cli.run import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(time.perf_counter() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout.splitlines()[-1]) < 0.5


@pytest.mark.parametrize(
    "folder",
    [path.parent for path in sorted((ROOT / "brainfm" / "stages").glob("*/__init__.py"))],
    ids=lambda path: path.name,
)
def test_a_stage_lists_its_files_and_names_its_public_function(folder):
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf8")))
    listed = set(re.findall(r"``(\w+\.py)``", text))
    assert listed == {path.name for path in folder.glob("*.py")} - {"__init__.py"}
    for module, name in re.findall(r":func:`~(brainfm\.stages\.[\w.]+)\.(\w+)`", text):
        assert hasattr(importlib.import_module(module), name)
