"""Templates and embedded figures: each report is one self-contained HTML file."""

import base64
import re
from importlib.resources import files
from pathlib import Path

import jinja2

from brainfm import __version__
from brainfm.files import read_json, write_text, write_tsv
from brainfm.stages.report.read import format_value

_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
REPORTS = files("brainfm.data") / "reports"
#: Figures of recordings that need less than the width of the page.
_WIDTHS = {"sensors": "narrow", "connectivity": "medium"}
#: Space between a value and its unit.
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=(?:%|s|h|mm|Hz|µV|T)(?!\w))")


def render(template, **context):
    """Render a template of ``brainfm/data/reports``; values and units are not separated by breaks.

    Parameters
    ----------
    template : str
        File name.
    **context
        Variables of the template. They are escaped, so labels and table values cannot become
        markup.

    Returns
    -------
    html : str
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (REPORTS / name).read_text("utf8")),
        autoescape=True,
        finalize=_join_units,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"as_text": format_value, "pictures": _pictures}
    return environment.get_template(template).render(
        css=(REPORTS / "style.css").read_text("utf8"),
        version=__version__,
        citations=read_json(REPORTS / "citations.json"),
        references={},
        **context,
    )


def _pictures(recording):
    """Build the pictures of a recording from its figure files."""
    found = (
        picture(one.title, one.caption, path=one.path, width=_WIDTHS.get(one.desc, ""))
        for one in recording.figures
    )
    return [one for one in found if one]


def _join_units(value):
    """Join each value and its unit by a no-break space."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return _BEFORE_UNIT.sub("\u00a0", value)


def picture(title, caption="", *, path=None, svg=None, data=None, width=""):
    """Build the argument of the ``picture`` macro of the templates.

    Parameters
    ----------
    title, caption : str
    path : Path, optional
        PNG or SVG file that is embedded in the page.
    svg : str, optional
        SVG text, if there is no file.
    data : str, optional
        Relative link to the data of the figure.
    width : {"", "medium", "narrow"}
        Width on the page.

    Returns
    -------
    picture : dict or None
        None if the file cannot be read.
    """
    try:
        content = svg.encode("utf8") if svg is not None else Path(path).read_bytes()
    except OSError:
        return None
    kind = _TYPES[".svg" if svg is not None else Path(path).suffix]
    # As an image, an SVG cannot run scripts or load anything.
    uri = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
    return {
        "uri": uri,
        "title": title.rstrip(". "),
        "caption": caption.strip(),
        "data": data,
        "class": width,
    }


def write_figure(folder, name, figure, *, entry=None, **words):
    """Write a figure and its data to ``group/figures``.

    Parameters
    ----------
    folder : Path
        ``group`` folder.
    name : str
        File name without extension.
    figure : tuple of (str, DataFrame) or None
        SVG text and data of the figure.
    entry : str, optional
        Entry of ``figures.json`` with title, caption and width, if it differs from the name.
    **words : str
        Words to insert in title and caption.

    Returns
    -------
    picture : dict or None
        As :func:`picture` returns it; None if there is no figure.
    """
    if figure is None:
        return None
    svg, data = figure
    path = folder / "figures" / name
    write_text(path.with_suffix(".svg"), svg)
    write_tsv(path.with_suffix(".tsv"), data)
    title, caption, width = read_json(REPORTS / "figures.json")[entry or name]
    title, caption = title.format(**words), caption.format(**words)
    return picture(title, caption, svg=svg, data=f"group/figures/{name}.tsv", width=width)
