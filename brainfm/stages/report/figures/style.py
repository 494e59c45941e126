"""Figures that only a report draws, as SVG text: the same input gives the same bytes."""

from io import StringIO

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

BLUE, OCHRE, RED, GREY, GREEN = "#1f4e79", "#c98a1b", "#b03a2e", "#8a9199", "#3c7a57"
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
    """Draw on a new figure and return it as SVG text.

    Parameters
    ----------
    draw : callable
        Takes the Figure.
    size : (float, float)
        Inches.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def alpha_figure(recordings):
    """Draw occipital relative alpha of several recordings as bars.

    Parameters
    ----------
    recordings : list of (str, float)
        Title and share of the power, 0 to 1.
    """

    def draw(figure):
        axis = figure.subplots()
        names, shares = zip(*recordings, strict=True)
        places = np.arange(len(names))[::-1]
        axis.barh(places, shares, height=0.55, color=[_eyes_colour(name) for name in names])
        for place, share in zip(places, shares, strict=True):
            axis.text(share + 0.01, place, f"{share:.2f}", va="center")
        axis.set_yticks(places, names)
        axis.tick_params(axis="y", length=0)
        axis.set_xlim(0, max(0.5, *shares) * 1.15)
        axis.set_xlabel("share of alpha (8 to 13 Hz) in the power from 1 to 45 Hz, O1, Oz, O2")

    return figure_svg(draw, size=(7.5, 0.9 + 0.42 * len(recordings)))


def embedding_figure(names, vectors):
    """Draw vectors as rows of colour and how alike they are.

    Parameters
    ----------
    names : list of str
    vectors : ndarray of float, shape (n_recordings, n_dimensions)
    """

    def draw(figure):
        if len(names) == 1:
            _draw_vectors(figure, figure.subplots(), names, vectors)
            return
        left, right = figure.subplots(1, 2, width_ratios=[2, 1])
        _draw_vectors(figure, left, names, vectors)
        alike = cosines(vectors)
        right.imshow(alike, cmap="Blues", vmin=-0.2, vmax=1.2)
        for row, column in np.ndindex(alike.shape):
            dark = alike[row, column] > 0.7
            right.text(column, row, f"{alike[row, column]:.2f}", ha="center", va="center",
                       fontsize=9, color="white" if dark else "black")  # fmt: skip
        right.set_yticks([])
        right.set_xticks(range(len(names)), names, rotation=30, ha="right")
        right.set_title("cosine similarity", fontsize=10)
        right.spines[:].set_visible(False)
        right.tick_params(length=0)

    return figure_svg(draw, size=(11, (1.8 if len(names) > 1 else 1.2) + 0.4 * len(names)))


def _draw_vectors(figure, axis, names, vectors):
    limit = np.percentile(np.abs(vectors), 98) or 1.0
    image = axis.imshow(vectors, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit,
                        interpolation="nearest")  # fmt: skip
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("dimension of the embedding")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    figure.colorbar(image, ax=axis, shrink=0.8, label="value")


def cosines(vectors):
    """Cosine similarity of all pairs of rows, shape (n, n); NaN for a row of zeros."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, lengths, out=np.full_like(vectors, np.nan), where=lengths > 0)
    return unit @ unit.T


def _eyes_colour(name):
    words = name.lower().replace(" ", "")
    if "closed" in words or words.startswith(("ec", "restec")):
        return BLUE
    return OCHRE if "open" in words else GREY
