"""Figures of one participant: occipital alpha and embeddings."""

import numpy as np
from sklearn.metrics.pairwise import cosine_similarity

from brainfm.stages.report.figures.style import BLUE, GREY, OCHRE, axes_svg, draw_cells, name_rows


def alpha_figure(recordings):
    """Draw the relative occipital alpha power of several recordings as bars.

    Parameters
    ----------
    recordings : list of (str, float)
        Title, and share of alpha in the total power (0 to 1).

    Returns
    -------
    svg : str
    """

    def draw(axis):
        names, shares = zip(*recordings, strict=True)
        heights = name_rows(axis, names)
        axis.barh(heights, shares, height=0.55, color=[_eyes_colour(name) for name in names])
        for height, share in zip(heights, shares, strict=True):
            axis.text(share + 0.01, height, f"{share:.2f}", va="center")
        axis.set_xlim(0, max(0.5, *shares) * 1.15)
        axis.set_xlabel("alpha power (8 to 13 Hz) / total power (1 to 45 Hz) at O1, Oz and O2")

    return axes_svg(draw, size=(7.5, 0.9 + 0.42 * len(recordings)))


def _eyes_colour(name):
    words = name.lower().replace(" ", "")
    if "closed" in words or words.startswith(("ec", "restec")):
        return BLUE
    return OCHRE if "open" in words else GREY


def embedding_figure(names, vectors):
    """Draw embeddings as rows of colour, and their cosine similarity.

    Parameters
    ----------
    names : list of str
        Names of the recordings.
    vectors : ndarray of float, shape (n_recordings, n_dimensions)

    Returns
    -------
    svg : str
    """

    n_panels = min(len(names), 2)

    def draw(axes):
        _draw_vectors(axes[0], names, vectors)
        for axis in axes[1:]:
            similarity = cosine_similarity(vectors)
            texts = np.char.replace(np.char.mod("%.2f", similarity), "-", "−")
            draw_cells(axis, similarity, texts, vmin=-0.2, vmax=1.2, dark=0.7, fontsize=9)
            axis.set_yticks([])
            axis.set_xticks(range(len(names)), names, rotation=30, ha="right")
            axis.set_title("cosine similarity", fontsize=10)

    return axes_svg(
        draw, size=(11, (1.8 if n_panels > 1 else 1.2) + 0.4 * len(names)), grid=(1, n_panels),
        width_ratios=[2, 1][:n_panels],
    )  # fmt: skip


def _draw_vectors(axis, names, vectors):
    limit = np.percentile(np.abs(vectors), 98) or 1.0
    image = axis.imshow(vectors, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit,
                        interpolation="nearest")  # fmt: skip
    axis.set_yticks(range(len(names)), names)
    axis.set_xlabel("dimension of the embedding")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    axis.figure.colorbar(image, ax=axis, shrink=0.8, label="value")
