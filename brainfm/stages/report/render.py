"""Fill the templates of the reports: one HTML file that needs nothing else."""

import base64
from importlib.resources import files
from pathlib import Path

import jinja2

from brainfm import __version__

_TYPES = {".svg": "image/svg+xml", ".png": "image/png"}
_REPORTS = files("brainfm.data") / "reports"


def render(template, **context):
    """Render a template of ``brainfm/data/reports``.

    Everything in ``context`` is escaped, so that labels and table values are text, never markup.

    Returns
    -------
    html : str
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (_REPORTS / name).read_text("utf8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = (_REPORTS / "style.css").read_text("utf8")
    return environment.get_template(template).render(css=css, version=__version__, **context)


def picture(title, caption="", *, path=None, svg=None, data=None, width=""):
    """Make what the ``picture`` macro shows.

    Parameters
    ----------
    title, caption : str
    path : Path, optional
        PNG or SVG file to put into the page.
    svg : str, optional
        SVG text, where there is no file.
    data : str, optional
        Relative link to the numbers behind the figure.
    width : {"", "medium", "narrow"}
        Part of the page it is shown on.

    Returns
    -------
    dict, or None when the file cannot be read
    """
    try:
        content = svg.encode("utf8") if svg is not None else Path(path).read_bytes()
    except OSError:
        return None
    kind = _TYPES[".svg" if svg is not None else Path(path).suffix]
    # As an image, an SVG cannot run scripts or load anything.
    uri = f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
    title, caption = title.rstrip(". "), caption.strip()
    return {
        "uri": uri,
        "title": title,
        "caption": caption,
        "data": data,
        "class": width,
    }
