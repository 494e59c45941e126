"""Docstrings: parameters, returned values, shapes, errors and sources are documented."""

import ast
import re
from pathlib import Path

import pytest

import brainfm

ROOT = Path(__file__).parent.parent
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
SHARE = 0.9


def _modules():
    for path in sorted((ROOT / "brainfm").rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf8"))


def _own_nodes(function):
    """Yield the nodes of a function body without those of nested functions and classes."""
    pending = list(function.body)
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, (*FUNCTION, ast.ClassDef, ast.Lambda)):
            pending += ast.iter_child_nodes(node)


class Documented:
    """A public function, method or class and the sections its docstring needs.

    Classes need ``Parameters`` when they are built from arguments. Methods are those of the
    classes of :data:`brainfm.__all__`; overridden methods that say ``See :meth:`` are complete.
    """

    def __init__(self, path, name, node):
        self.place = f"{path.relative_to(ROOT)}:{node.lineno} {name}"
        self.node = node
        self.text = ast.get_docstring(node) or ""

    def has(self, section):
        return bool(re.search(rf"^{section}\n-+$", self.text, re.MULTILINE))

    @property
    def refers(self):
        return bool(re.search(r"[Ss]ee :(meth|func|class|mod|attr):", self.text))

    @property
    def takes_arguments(self):
        if isinstance(self.node, ast.ClassDef):
            return bool(_fields(self.node))
        arguments = self.node.args
        names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        return bool([one for one in names if one.arg not in ("self", "cls")])

    @property
    def returns(self):
        if isinstance(self.node, ast.ClassDef) or _is_property(self.node):
            return False
        return any(
            isinstance(node, (ast.Yield, ast.YieldFrom))
            or (isinstance(node, ast.Return) and node.value is not None)
            for node in _own_nodes(self.node)
        )

    @property
    def raises(self):
        if isinstance(self.node, ast.ClassDef):
            return False
        raised = [node.exc for node in _own_nodes(self.node) if isinstance(node, ast.Raise)]
        names = [
            ast.unparse(one.func if isinstance(one, ast.Call) else one) for one in raised if one
        ]
        return any(re.fullmatch(r"[A-Z]\w+", name) and name != "AttributeError" for name in names)

    @property
    def is_complete(self):
        if self.refers:
            return True
        needed = [("Parameters", self.takes_arguments), ("(Returns|Yields)", self.returns)]
        return all(self.has(section) for section, is_needed in needed if is_needed)

    @property
    def arrays_without_shape(self):
        """Lines ``name : ndarray ...`` and ``name : Tensor ...`` that tell no shape."""
        typed = re.findall(r"^\s*\w[\w, ]* : .*\b(?:ndarray|Tensor)\b.*$", self.text, re.MULTILINE)
        return [line for line in typed if "shape" not in line and "dict" not in line]


def _is_property(node):
    return any("property" in ast.unparse(one) for one in node.decorator_list)


def _fields(node):
    """Return the names a class is built from: arguments of ``__init__``, fields of a dataclass."""
    for item in node.body:
        if isinstance(item, FUNCTION) and item.name == "__init__":
            arguments = [*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs]
            return [one.arg for one in arguments if one.arg != "self"]
    if any("dataclass" in ast.unparse(one) for one in node.decorator_list):
        return [item.target.id for item in node.body if isinstance(item, ast.AnnAssign)]
    return []


def _documented():
    for path, tree in _modules():
        for node in tree.body:
            if not isinstance(node, (*FUNCTION, ast.ClassDef)) or node.name.startswith("_"):
                continue
            yield Documented(path, node.name, node)
            if isinstance(node, ast.ClassDef) and node.name in brainfm.__all__:
                for item in node.body:
                    if isinstance(item, FUNCTION) and not item.name.startswith("_"):
                        yield Documented(path, f"{node.name}.{item.name}", item)


ALL = list(_documented())


def _share(chosen, complete):
    lacking = [one.place for one in chosen if not complete(one)]
    return 1 - len(lacking) / len(chosen), "\n".join(lacking)


@pytest.mark.xfail(reason="docstrings are being completed", strict=False)
def test_nine_of_ten_public_objects_document_parameters_and_returned_values():
    chosen = [one for one in ALL if one.takes_arguments or one.returns]
    share, lacking = _share(chosen, lambda one: one.is_complete)
    assert share >= SHARE, f"{share:.3f} of {len(chosen)}; lacking:\n{lacking}"


def test_nine_of_ten_public_functions_that_raise_document_it():
    chosen = [one for one in ALL if one.raises]
    share, lacking = _share(chosen, lambda one: one.has("Raises") or one.refers)
    assert share >= SHARE, f"{share:.3f} of {len(chosen)}; lacking:\n{lacking}"


def test_nine_of_ten_docstrings_with_arrays_give_shapes():
    chosen = [one for one in ALL if re.search(r" : .*\b(ndarray|Tensor)\b", one.text)]
    share, lacking = _share(chosen, lambda one: not one.arrays_without_shape)
    assert share >= SHARE, f"{share:.3f} of {len(chosen)}; lacking:\n{lacking}"


@pytest.mark.xfail(reason="docstrings are being completed", strict=False)
def test_no_module_docstring_opens_with_a_question_word():
    opening = re.compile(r"(What|Which|Where|Who|How|Ways|From|Whether|When)\b")
    asking = [
        str(path.relative_to(ROOT))
        for path, tree in _modules()
        if opening.match(ast.get_docstring(tree) or "")
    ]
    assert not asking
