"""What the documentation shows runs as it stands."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPTS = sorted((ROOT / "docs" / "how_to").glob("*.py"))


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


def test_the_python_example_of_the_readme_names_what_there_is():
    import brainfm

    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    imported = [
        alias.name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and node.module == "brainfm"
        for alias in node.names
    ]
    assert imported
    assert all(hasattr(brainfm, name) for name in imported)
