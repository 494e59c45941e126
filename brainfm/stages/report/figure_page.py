"""Page with the figures of all participants, kind by kind, loaded from their files."""

import re
import struct
from urllib.parse import quote

from brainfm.files import write_text
from brainfm.stages.report.collect import TITLES
from brainfm.stages.report.render import render
from brainfm.stages.report.usual import outside_text, outside_usual

NAME = "group_figures.html"
_VIEW_BOX = re.compile(rb"viewBox=[\"'][\d.-]+[ ,]+[\d.-]+[ ,]+([\d.]+)[ ,]+([\d.]+)")


def write_figure_page(out_dir, participants, reasons):
    """Write ``group_figures.html``, which shows the figures in the folders of the participants.

    Parameters
    ----------
    out_dir : Path
        Output folder of brainfm.
    participants : list of brainfm.stages.report.collect.ParticipantOutputs
    reasons : dict of str to str
        Reasons of excluded runs, by name.

    Returns
    -------
    name : str or None
        Name of the page; None, and no page, if there are no figures.
    """
    sections = {}
    for participant in participants:
        for run in participant.recordings:
            remarks = [outside_text(run, measure) for measure, _ in outside_usual(run)]
            for figure in run.figures:
                entry = {
                    "participant": participant.label,
                    "title": run.title,
                    "remarks": remarks,
                    "excluded": reasons.get(run.name),
                    "source": quote(figure.path.relative_to(out_dir).as_posix()),
                    "size": _size(figure.path),
                }
                sections.setdefault((run.suffix, figure.desc), []).append((figure, entry))
    if not sections:
        (out_dir / NAME).unlink(missing_ok=True)
        return None
    kinds = [_section(*key, sections[key]) for key in _in_order(sections)]
    write_text(out_dir / NAME, render("figures.html", title="Figures", kinds=kinds))
    return NAME


def _in_order(sections):
    """Kinds of recordings in their order, and their figures in the order of the reports."""
    suffixes = list(TITLES)
    found = {
        key: (suffixes.index(key[0]), *figures[0][0].rank) for key, figures in sections.items()
    }
    return sorted(found, key=found.get)


def _section(suffix, desc, figures):
    return {
        "anchor": f"{suffix}-{desc}",
        "title": figures[0][0].title,
        "entries": [entry for _, entry in figures],
    }


def _size(path):
    """Width and height of a PNG or SVG file, to leave space before it is loaded; or None."""
    with path.open("rb") as file:
        head = file.read(2000)
    if head.startswith(b"\x89PNG") and len(head) >= 24:
        return struct.unpack(">II", head[16:24])
    box = _VIEW_BOX.search(head)
    return tuple(round(float(side)) for side in box.groups()) if box else None
