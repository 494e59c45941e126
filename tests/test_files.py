"""Whole files: every file is written by brainfm/files.py, and is complete or not there."""

import ast
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brainfm.errors import CannotCreateOutput, ReadWriteFailed
from brainfm.files import (
    atomic,
    atomic_files,
    atomic_folder,
    former_folder,
    nan_to_none,
    read_json,
    read_tsv,
    write_json,
    write_npy,
    write_npz,
    write_text,
    write_tsv,
)

ROOT = Path(__file__).parent.parent

#: Calls that write to a path; allowed on what ``atomic`` or a sibling of it yields.
_INSIDE_ATOMIC = {
    "np.save", "np.savez", "np.savetxt", "nib.save", "torch.save", "save_file", "sitk.WriteImage",
    "ants.image_write", "shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copytree",
    "shutil.move",
}  # fmt: skip
#: Calls that stand in files.py only.
_RENAMES = {"os.replace", "os.rename", "os.link", "tempfile.mkdtemp", "tempfile.mkstemp"}
_METHODS = {"write_bytes", "write_text", "to_csv", "to_parquet"}
#: A lock is no output: its file is linked into place and renamed away by one of several.
_EXEMPT = {"files.py", "storage/lock.py"}


def _is_mode(node):
    return isinstance(node, ast.Constant) and str(node.value) in {"w", "wb", "a", "ab", "x", "xb"}


def _writes(tree):
    """Yield line and name of each call that writes a file by itself."""
    inside = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.With)
        and any("atomic" in ast.unparse(item.context_expr) for item in block.items)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        last = called.split(".")[-1]
        values = [*node.args, *(keyword.value for keyword in node.keywords)]
        if (
            called in _RENAMES
            or (called in _INSIDE_ATOMIC and id(node) not in inside)
            or ("." in called and last in _METHODS)  # without a dot, it is that of files.py
            or (last == "open" and any(map(_is_mode, values)))
        ):
            yield f"{node.lineno} {called}"


def test_only_files_py_writes_files():
    found = {
        f"{path.relative_to(ROOT)}:{write}"
        for path in (ROOT / "brainfm").rglob("*.py")
        if path.relative_to(ROOT / "brainfm").as_posix() not in _EXEMPT
        for write in _writes(ast.parse(path.read_text(encoding="utf8")))
    }
    assert not found


@pytest.mark.parametrize(
    "code",
    [
        "os.replace(a, b)", "path.write_text(text)", "open(path, 'w')", "path.open(mode='ab')",
        "np.save(path, array)", "frame.to_csv(path)", "shutil.move(a, b)",
    ],
)  # fmt: skip
def test_each_way_around_files_py_is_found(code):
    assert len(list(_writes(ast.parse(code)))) == 1
    assert not list(_writes(ast.parse("with atomic(path) as partial:\n    np.save(partial, x)")))


def test_a_file_is_replaced_only_by_a_complete_one(tmp_path):
    path = write_text(tmp_path / "new" / "a.txt", "before")

    def stop(error):
        with atomic(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(ReadWriteFailed, match=r"a.txt could not be written \(No space.*unchanged"):
        stop(OSError(28, "No space left on device"))
    with pytest.raises(KeyError):
        stop(KeyError())
    assert path.read_text() == "before"
    with atomic(path, sync=True) as partial:
        assert partial.suffix == ".txt"
        partial.write_text("after")
    assert path.read_text() == "after"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_created_is_refused_with_advice(tmp_path):
    write_text(tmp_path / "file", "")
    for writer in (atomic, atomic_folder):
        with (
            pytest.raises(CannotCreateOutput, match=r"cannot be written .* you may write to"),
            writer(tmp_path / "file" / "x"),
        ):
            pass


def test_several_files_move_with_the_one_that_readers_look_for_at_the_end(tmp_path, monkeypatch):
    moved, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (moved.append(b.suffix), replace(a, b)))
    with atomic_files(tmp_path, last=".vhdr") as partial:
        for name in ("a.vhdr", "a.eeg", "a.vmrk"):
            (partial / name).write_text(name)
    assert moved[2:] == [".vhdr"]
    assert {path.name for path in tmp_path.iterdir()} == {"a.vhdr", "a.eeg", "a.vmrk"}


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "model"
    for names in (("a", "b"), ("b",)):
        with atomic_folder(folder) as partial:
            for name in names:
                (partial / name).write_text("")
        assert {path.name for path in folder.iterdir()} == set(names)
    assert not former_folder(folder).exists()
    assert list(tmp_path.iterdir()) == [folder]


def test_json_has_null_for_what_is_not_finite_and_plain_values_for_those_of_numpy(tmp_path):
    data = {"a": np.float32(0.5), 1: [np.nan, float("inf"), np.arange(2)], "p": Path("x/y")}
    assert nan_to_none(data) == {"a": 0.5, "1": [None, None, [0, 1]], "p": "x/y"}
    assert read_json(write_json(tmp_path / "a.json", data)) == nan_to_none(data)


def test_arrays_and_tables_are_read_as_written(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(np.load(write_npy(tmp_path / "a.npy", array)), array)
    with np.load(write_npz(tmp_path / "a.npz", {"x": array})) as arrays:
        np.testing.assert_array_equal(arrays["x"], array)
    frame = pd.DataFrame({"name": ["a", None], "score": [0.5, np.nan]})
    table = read_tsv(write_tsv(tmp_path / "a.tsv", frame), na_values="n/a")
    pd.testing.assert_frame_equal(table, frame)
    assert "n/a" in (tmp_path / "a.tsv").read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_an_array_on_a_full_disk_is_reported_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "open", lambda path, mode: open("/dev/full", mode))  # noqa: SIM115
    with pytest.raises(ReadWriteFailed, match=r"No space left on device.*is the disk full\?"):
        write_npy(tmp_path / "a.npy", np.zeros(100_000))


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_are_written_as_numpy_writes_them(tmp_path, order):
    array = np.asarray(np.random.default_rng(0).normal(size=(30, 4)), order=order)
    np.save(tmp_path / "expected.npy", array)
    write_npy(tmp_path / "a.npy", array)
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "expected.npy").read_bytes()
