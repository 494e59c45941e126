"""Style of the report figures: the same input gives the same bytes of SVG."""

from io import StringIO

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

BLUE, OCHRE, RED, GREY, GREEN = "#1f4e79", "#c98a1b", "#b03a2e", "#8a9199", "#3c7a57"
#: Colours of the kinds of methods.
COLOURS = {
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


def axes_svg(draw, *, size, grid=None, **options):
    """Draw on the axes of a new figure and return it as SVG text.

    Parameters
    ----------
    draw : callable
        Draws on the Axes it is called with, or on a list of them with ``grid``.
    size : tuple of (float, float)
        Width and height in inches.
    grid : tuple of (int, int), optional
        Rows and columns of panels; one panel by default.
    **options
        Passed to :meth:`matplotlib.figure.Figure.subplots`.

    Returns
    -------
    svg : str
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(*grid or (1, 1), squeeze=False, **options).ravel().tolist()
        draw(axes if grid else axes[0])
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def name_rows(axis, names):
    """Name the rows of an axis from top to bottom.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    names : sequence of str

    Returns
    -------
    heights : ndarray of int, shape (n_rows,)
        Positions of the rows.
    """
    heights = np.arange(len(names))[::-1]
    axis.set_yticks(heights, names)
    axis.tick_params(axis="y", length=0)
    return heights


def draw_cells(axis, values, texts, *, vmin, vmax, dark, fontsize):
    """Draw a matrix as colours with a text in each cell.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
    values, texts : ndarray, shape (n_rows, n_columns)
    vmin, vmax : float
        Limits of the colours.
    dark : float
        Texts on larger values are white.
    fontsize : float
    """
    axis.imshow(values, cmap="Blues", vmin=vmin, vmax=vmax)
    for row, column in np.ndindex(values.shape):
        axis.text(column, row, texts[row, column], ha="center", va="center", fontsize=fontsize,
                  color="white" if values[row, column] > dark else "black")  # fmt: skip
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
