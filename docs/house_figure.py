"""Draw the folders of brainfm and the imports between them as SVG.

    python docs/house_figure.py [FILE]

Rows are the layers of the import contract in ``setup.cfg``, boxes are folders or modules, and
arrows are imports. An import that follows from others (A imports B, B imports C, A imports C) is
not drawn.
"""

import ast
import configparser
import sys
from pathlib import Path

import brainfm

ROOT = Path(brainfm.__file__).parent.parent
WIDTH, ROW, BOX, GAP, LEFT = 980, 70, 36, 8, 8
#: What a row is for, by the first box in it.
ROLES = {
    "cli": "command line, demo",
    "workflows": "Nipype: names and wires",
    "interfaces": "Nipype: one call each",
    "evaluation": "folds, scores | formats on disk",
    "models.estimators": "scikit-learn estimators",
    "models.features": "embeddings and baselines",
    "models.training": "loops and objectives | weights",
    "models.encoder": "the neural network",
    "models.inputs": "arrays and targets",
    "signal": "arrays in, arrays out",
    "config": "settings | the data model",
    "files": "the only writer of files",
    "errors": "exit codes",
}
PATH = ("query", "preprocess", "standardise", "embed", "corpus", "pretrain", "evaluate", "report",
        "publish")  # fmt: skip
COLOURS = ("#1f4e79", "#c98a1b", "#3c7a57", "#b03a2e", "#6b4e9b", "#8a9199")


def modules():
    """Return the path of each module by its dotted name."""
    paths = sorted((ROOT / "brainfm").rglob("*.py"))
    dotted = {path: path.relative_to(ROOT).with_suffix("").parts for path in paths}
    return {".".join(parts).removesuffix(".__init__"): path for path, parts in dotted.items()}


def rows(names):
    """Return the boxes of each row, from top to bottom, as dotted names."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    layers = config["importlinter:contract:layers"]["layers"].split("\n")
    inner = config["importlinter:contract:models"]["layers"].split("\n")
    found = []
    for line in filter(None, layers):
        row = []
        for name in (part.strip() for part in line.split("|")):
            if name == "brainfm.models":
                found += [
                    [f"{name}.{part.strip()}" for part in each.split("|")]
                    for each in filter(None, inner)
                ]
            elif name == "brainfm.stages":
                row += sorted(folders(name, names), key=order)
            else:
                row.append(name)
        if row:
            found.append(row)
    return found


def folders(package, names):
    """Return the folders of a package."""
    below = (name.split(".") for name in names if name.startswith(f"{package}."))
    return {".".join(parts[:3]) for parts in below}


def order(name):
    """Sort stages along the path."""
    last = name.rpartition(".")[2]
    return (PATH.index(last) if last in PATH else len(PATH), last)


def box_of(module, boxes):
    """Return the box that a module is drawn in, or None."""
    parts = module.split(".")
    prefixes = (".".join(parts[:size]) for size in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in boxes), None)


def imports(names, boxes):
    """Return which boxes each box imports."""
    found = {box: set() for box in boxes}
    for name, path in names.items():
        source = box_of(name, boxes)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            targets = []
            if isinstance(node, ast.ImportFrom) and node.module:
                targets = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            for target in (box_of(target, boxes) for target in targets):
                if source and target and target != source:
                    found[source].add(target)
    return found


def reduced(found):
    """Leave out the imports that follow from others."""
    reach = {}

    def below(box):
        if box not in reach:
            reach[box] = set()
            reach[box] = set().union(found[box], *(below(other) for other in found[box]))
        return reach[box]

    return {
        box: {other for other in others
              if not any(other in below(middle) for middle in others - {other})}
        for box, others in found.items()
    }  # fmt: skip


def draw():
    """Return the figure as SVG text; the same imports give the same text."""
    names = modules()
    table = rows(names)
    boxes = {box for row in table for box in row}
    arrows = reduced(imports(names, boxes))
    place = places(table)
    height = ROW * len(table) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="DejaVu Sans, Arial, sans-serif" font-size="13">',
        "<title>Folders of brainfm and the imports between them</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#5b646e"/></marker></defs>',
    ]
    for box in sorted(arrows):
        parts += [arrow(place[box], place[other]) for other in sorted(arrows[box])]
    for number, row in enumerate(table):
        role = ROLES.get(row[0].removeprefix("brainfm."), "")
        parts.append(f'<text x="{LEFT}" y="{42 + number * ROW}" fill="#5b646e">{role}</text>')
        for box in row:
            files = sum(box_of(name, boxes) == box for name in names)
            parts.append(rectangle(box, files, place[box], COLOURS[number % len(COLOURS)]))
    return "\n".join([*parts, "</svg>"]) + "\n"


def places(table):
    """Return left, top and width of each box."""
    place = {}
    for number, row in enumerate(table):
        width = min(230, (WIDTH - 2 * LEFT - GAP * (len(row) - 1)) / len(row))
        start = (WIDTH - width * len(row) - GAP * (len(row) - 1)) / 2
        for index, box in enumerate(row):
            place[box] = (start + index * (width + GAP), 20 + number * ROW, width)
    return place


def rectangle(box, files, place, colour):
    """Return one box with its name and number of files."""
    left, top, width = place
    label = box.removeprefix("brainfm.").replace(".", "/").removeprefix("stages/")
    more = f" ({files})" if files > 1 else ".py"
    lines = [label, more.strip()] if width < 120 and files > 1 else [label + more]
    middle, first = left + width / 2, top + (23 if len(lines) == 1 else 16)
    text = "".join(
        f'<text x="{middle:.0f}" y="{first + 14 * number}" text-anchor="middle" '
        f'fill="#1b1f24">{line}</text>'
        for number, line in enumerate(lines)
    )
    return (
        f'<rect x="{left:.0f}" y="{top}" width="{width:.0f}" height="{BOX}" rx="5" '
        f'fill="#ffffff" stroke="{colour}" stroke-width="2"/>{text}'
    )


def arrow(source, target):
    """Return the curve of one import: down, or in an arc below two boxes of one row."""
    x1, y1 = source[0] + source[2] / 2, source[1] + BOX
    x2, y2 = target[0] + target[2] / 2, target[1]
    if y2 < y1:
        y2, bend = target[1] + BOX, 26
        curve = f"M{x1:.0f} {y1} C{x1:.0f} {y1 + bend} {x2:.0f} {y2 + bend} {x2:.0f} {y2}"
    else:
        half = (y2 - y1) / 2
        curve = f"M{x1:.0f} {y1} C{x1:.0f} {y1 + half:.0f} {x2:.0f} {y2 - half:.0f} {x2:.0f} {y2}"
    return (
        f'<path d="{curve}" fill="none" stroke="#5b646e" stroke-opacity="0.65" '
        'marker-end="url(#tip)"/>'
    )


if __name__ == "__main__":
    text = draw()
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, encoding="utf8")
    else:
        print(text)
