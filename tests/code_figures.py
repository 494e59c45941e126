"""Figures of the code of brainfm: lines, function bodies, import cycles and docstrings."""

import ast
import io
import re
import tokenize
from pathlib import Path

import numpy as np

import brainfm

ROOT = Path(__file__).parent.parent
FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)


def modules():
    for path in sorted((ROOT / "brainfm").rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf8"))


def own_nodes(function):
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
            for node in own_nodes(self.node)
        )

    @property
    def raises(self):
        if isinstance(self.node, ast.ClassDef):
            return False
        raised = [node.exc for node in own_nodes(self.node) if isinstance(node, ast.Raise)]
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


def documented():
    for path, tree in modules():
        for node in tree.body:
            if not isinstance(node, (*FUNCTION, ast.ClassDef)) or node.name.startswith("_"):
                continue
            yield Documented(path, node.name, node)
            if isinstance(node, ast.ClassDef) and node.name in brainfm.__all__:
                for item in node.body:
                    if isinstance(item, FUNCTION) and not item.name.startswith("_"):
                        yield Documented(path, f"{node.name}.{item.name}", item)


def body_lines(function):
    """Count the lines of a function body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return function.end_lineno - body[0].lineno + 1 if body else 0


def bodies():
    """List the lines of all function bodies."""
    return [
        body_lines(node)
        for _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, FUNCTION)
    ]


def file_lines():
    """List the lines of all modules."""
    return [len(path.read_text(encoding="utf8").splitlines()) for path, _ in modules()]


def code_lines():
    """Count the lines that hold code: no docstring, comment or empty line."""
    return sum(len(_lines_of_code(path, tree)) for path, tree in modules())


def _lines_of_code(path, tree):
    ignored = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
               tokenize.ENDMARKER}  # fmt: skip
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf8")).readline):
        if token.type not in ignored:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, (*FUNCTION, ast.ClassDef, ast.Module)) and ast.get_docstring(node):
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return lines


def import_cycles():
    """List the groups of modules that import each other, also inside functions.

    Returns
    -------
    list of list of str
    """
    names = {_module_name(path): tree for path, tree in modules()}
    imports = {name: _imports(tree, names) - {name} for name, tree in names.items()}
    reached = {name: _reachable(name, imports) for name in names}
    cyclic = sorted(name for name in names if name in reached[name])
    groups = {tuple(sorted(other for other in reached[name] if name in reached[other]))
              for name in cyclic}  # fmt: skip
    return [list(group) for group in sorted(groups)]


def _module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree, names):
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            deeper = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in names else node.module for name in deeper}
    return found & set(names)


def _reachable(name, imports):
    seen, pending = set(), [name]
    while pending:
        new = imports[pending.pop()] - seen
        seen |= new
        pending += new
    return seen


def share(chosen, complete):
    """Return the share of documented objects that are complete, and the places of the others."""
    lacking = [one.place for one in chosen if not complete(one)]
    return 1 - len(lacking) / len(chosen), "\n".join(lacking)


def docstring_shares():
    """Return the shares of complete docstrings, by what they must hold."""
    everything = list(documented())
    takes = [one for one in everything if one.takes_arguments or one.returns]
    raises = [one for one in everything if one.raises]
    arrays = [one for one in everything if re.search(r" : .*\b(ndarray|Tensor)\b", one.text)]
    return {
        "docstrings with Parameters and Returns": share(takes, lambda one: one.is_complete)[0],
        "docstrings with Raises": share(raises, lambda one: one.has("Raises") or one.refers)[0],
        "docstrings with shapes": share(arrays, lambda one: not one.arrays_without_shape)[0],
    }


def figures():
    """Return all figures by name."""
    files, functions = file_lines(), bodies()
    return {
        "lines": sum(files),
        "lines of code": code_lines(),
        "files": len(files),
        "file median": int(np.median(files)),
        "file p90": int(np.percentile(files, 90)),
        "file max": max(files),
        "body p50": int(np.median(functions)),
        "body p90": int(np.percentile(functions, 90)),
        "body max": max(functions),
        "import cycles": len(import_cycles()),
        **{name: round(value, 3) for name, value in docstring_shares().items()},
    }
