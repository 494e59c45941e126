"""Style of the report figures: the same input gives the same bytes of SVG."""

from io import StringIO

import matplotlib as mpl
from matplotlib.figure import Figure

BLUE, OCHRE, RED, GREY, GREEN = "#1f4e79", "#c98a1b", "#b03a2e", "#8a9199", "#3c7a57"
#: Colours of the kinds of methods.
KIND_COLOURS = {
    "pretrained": BLUE, "combined": GREEN, "classical": OCHRE, "covariates": RED, "dummy": GREY,
}  # fmt: skip
_STYLE = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a9199",
    "xtick.color": "#3d434a",
    "ytick.color": "#3d434a",
    "svg.hashsalt": "brainfm",
    "svg.fonttype": "path",
}


def figure_svg(draw, *, size):
    """Draw a new figure and return it as SVG text.

    Parameters
    ----------
    draw : callable
        Draws on the Figure it is called with.
    size : tuple of (float, float)
        Width and height in inches.

    Returns
    -------
    svg : str
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
