"""The rules of CONTRIBUTING.md, as tests."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from code_figures import FUNCTION, bodies, body_lines, file_lines, import_cycles

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "brainfm").rglob("*.py"))


def _functions(path):
    tree = ast.parse(path.read_text(encoding="utf8"))
    return [node for node in ast.walk(tree) if isinstance(node, FUNCTION)]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
class TestEveryModule:
    def test_has_at_most_500_lines(self, path):
        assert len(path.read_text(encoding="utf8").splitlines()) <= 500

    def test_has_no_function_body_over_40_lines(self, path):
        long = {f.name: body_lines(f) for f in _functions(path) if body_lines(f) > 40}
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

    def test_has_a_docstring(self, path):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf8")))

    def test_documents_every_public_function(self, path):
        tree = ast.parse(path.read_text(encoding="utf8"))
        public = [
            node
            for node in tree.body
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        ]
        assert not [node.name for node in public if not ast.get_docstring(node)]


def test_half_of_the_modules_have_at_most_150_lines():
    assert np.median(file_lines()) <= 150


def test_nine_of_ten_function_bodies_have_at_most_20_lines():
    assert np.percentile(bodies(), 90) <= 20


def test_no_modules_import_each_other_not_even_inside_functions():
    assert import_cycles() == []


def test_a_cycle_through_an_import_inside_a_function_is_found(tmp_path, monkeypatch):
    (tmp_path / "brainfm").mkdir()
    files = {
        "__init__": "",
        "a": "from brainfm import b",
        "b": "import os",
        "c": "def f():\n    import brainfm.d",
        "d": "from brainfm import c",
    }
    for name, text in files.items():
        (tmp_path / "brainfm" / f"{name}.py").write_text(text)
    monkeypatch.setattr("code_figures.ROOT", tmp_path)
    assert import_cycles() == [["brainfm.c", "brainfm.d"]]


def test_imports_point_down_only():
    done = subprocess.run(["lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_ruff_finds_nothing():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(["ruff", *command, "."], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_importing_brainfm_changes_no_environment_variable():
    code = "import os; before = dict(os.environ); import brainfm; assert dict(os.environ) == before"
    subprocess.run([sys.executable, "-c", code], check=True)
