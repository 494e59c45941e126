"""Figures of the recordings of a group: embeddings, quality measures and pretraining."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA

from brainfm.stages.report.figures.style import BLUE, GREEN, GREY, OCHRE, RED, axes_svg

_MOST_COLOURS = 12
_MAPS_PER_ROW = 3
_STRIPS_PER_ROW = 4
_MOST_MAPS = 12
_COLOURS = (BLUE, OCHRE, GREEN, RED, GREY)


def embedding_map_figure(frame, vectors):
    """Draw recordings on two principal components, coloured by participant, shaped by task.

    With more than 10 participants, the colour is the dataset.

    Parameters
    ----------
    frame : DataFrame
        Columns ``dataset``, ``participant`` and ``task``, one row per recording.
    vectors : ndarray of float, shape (n_recordings, n_dimensions)
        Embeddings by one model, of one modality.

    Returns
    -------
    svg : str
    data : DataFrame
    """
    spread = vectors.std(axis=0)
    scaled = (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1)
    pca = PCA(2, svd_solver="full").fit(scaled)
    data = frame.copy()
    data[["pc1", "pc2"]] = pca.transform(scaled)
    participants = (data["dataset"] + "/" + data["participant"]).to_numpy()
    colour_of = participants if len(set(participants)) <= 10 else data["dataset"].to_numpy()
    tasks = data["task"].fillna("no task").to_numpy()

    def draw(axis):
        palette = mpl.colormaps["tab10"].colors
        colours = {name: palette[i % 10] for i, name in enumerate(dict.fromkeys(colour_of))}
        shapes = {name: "osD^vP*X"[i % 8] for i, name in enumerate(dict.fromkeys(tasks))}
        for x, y, name, task in zip(data["pc1"], data["pc2"], colour_of, tasks, strict=True):
            axis.plot(x, y, shapes[task], color=colours[name], markersize=7, alpha=0.8)
        handles = [_legend_entry(name, colour, "o") for name, colour in colours.items()]
        handles += [_legend_entry(task, "black", shape) for task, shape in shapes.items()]
        axis.figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
        shares = 100 * pca.explained_variance_ratio_
        axis.set_xlabel(f"component 1 ({shares[0]:.0f} % of variance)")
        axis.set_ylabel(f"component 2 ({shares[1]:.0f} % of variance)")

    return axes_svg(draw, size=(8, 4.6)), data


def _legend_entry(label, colour, marker):
    return mpl.lines.Line2D([], [], color=colour, marker=marker, linestyle="", label=label)


def maps_figure(data, first):
    """Draw the evaluated rows on two principal components, one panel per informative column.

    Parameters
    ----------
    data : DataFrame
        ``map.tsv``: ``pc1``, ``pc2`` and the columns to colour the rows by.
    first : str
        Column of the first panel.

    Returns
    -------
    svg : str
    data : DataFrame
    """
    columns = [name for name in data if name not in ("pc1", "pc2") and _is_shown(data[name])]
    columns = sorted(columns, key=lambda name: name != first)[:_MOST_MAPS]
    n_rows = -(-len(columns) // _MAPS_PER_ROW)
    n_columns = min(len(columns), _MAPS_PER_ROW)

    def draw(axes):
        for axis in axes[len(columns) :]:
            axis.set_axis_off()
        for axis, name in zip(axes, columns, strict=False):
            _draw_map(axis, data, name)
            axis.set(xticks=[], yticks=[])
            axis.set_title(name.replace("_", " "), fontsize=9.5)

    return axes_svg(draw, size=(2.9 * n_columns, 3 * n_rows), grid=(n_rows, n_columns)), data


def _is_shown(values):
    """Whether a column varies and is not a label that is unique to each row."""
    is_numeric = pd.api.types.is_numeric_dtype(values)
    return values.nunique() > 1 and (is_numeric or values.nunique() < len(values))


def _draw_map(axis, data, name):
    """Draw points with a colour bar for numbers, or with a legend for classes."""
    values = data[name]
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > _MOST_COLOURS:
        points = axis.scatter(data["pc1"], data["pc2"], c=values, s=14, cmap="viridis")
        axis.figure.colorbar(points, ax=axis, shrink=0.7)
        return
    names = values.astype(str).where(values.notna(), "n/a")
    palette = mpl.colormaps["tab20"].colors
    for index, (label, own) in enumerate(data.groupby(names)):
        axis.plot(own["pc1"], own["pc2"], "o", color=palette[2 * index % 20 + index // 10 % 2],
                  markersize=3.5, alpha=0.8, label=label)  # fmt: skip
    if names.nunique() <= _MOST_COLOURS:
        axis.legend(frameon=False, fontsize=7, markerscale=1.2, handletextpad=0.1)


def quality_figure(data, panels):
    """Draw one strip plot per quality measure, one mark per recording.

    Parameters
    ----------
    data : DataFrame
        Columns ``participant``, ``recording`` and the measures.
    panels : dict of str to tuple of (str, float or None, float or None)
        Title, lowest and highest usual value of each measure.

    Returns
    -------
    svg : str
    data : DataFrame
    """
    shown = [key for key in panels if data[key].notna().any()]
    n_rows = -(-len(shown) // _STRIPS_PER_ROW)
    n_columns = -(-len(shown) // n_rows)

    def draw(axes):
        for axis in axes[len(shown) :]:
            axis.set_axis_off()
        for axis, key in zip(axes, shown, strict=False):
            _draw_strip(axis, data[key].dropna().sort_values().to_numpy(float), *panels[key][1:])
            axis.set_title(panels[key][0], fontsize=9.5)

    return axes_svg(draw, size=(2.3 * n_columns, 2.8 * n_rows), grid=(n_rows, n_columns)), data


def _draw_strip(axis, values, low, high):
    """Draw values as dots, those outside the usual range as triangles."""
    # Neighbours in rank are shifted to different sides, so equal values stay visible.
    shift = 0.28 * ((np.arange(len(values)) * 0.618) % 1 - 0.5)
    above = values > (np.inf if high is None else high)
    below = values < (-np.inf if low is None else low)
    inside = ~(above | below)
    axis.plot(shift[inside], values[inside], "o", color=BLUE, alpha=0.55, markersize=5,
              markeredgewidth=0)  # fmt: skip
    for marker, which in (("^", above), ("v", below)):
        axis.plot(shift[which], values[which], marker, color=RED, markersize=7, markeredgewidth=0)
    for bound, is_crossed in ((low, below.any()), (high, above.any())):
        if is_crossed:  # a limit far from all values would squeeze them
            axis.axhline(bound, color=GREY, linestyle=":", linewidth=1)
    axis.plot([-0.22, 0.22], [np.median(values)] * 2, color="black", linewidth=1.5)
    axis.set(xlim=(-0.5, 0.5), xticks=[])
    axis.spines["bottom"].set_visible(False)


def training_figure(history):
    """Draw loss, explained variance, effective rank and identifiability over epochs.

    Parameters
    ----------
    history : DataFrame
        ``history.json``, one row per epoch, with a column ``epoch``.

    Returns
    -------
    svg : str
    data : DataFrame
        None is returned instead of both if the history has none of these.
    """
    training = [c for c in history if c == "valid_loss" or not c.startswith("valid_")]
    panels = {
        "loss": [c for c in training if c.endswith("loss")],
        "explained variance\n(0: as good as the mean)":
            [c for c in training if c.endswith("explained")],
        "effective rank of the embeddings\n(1: collapsed)":
            [c for c in history if c == "effective_rank"],
        "nearest crop is of the\nsame participant (share)":
            [c for c in history if c.startswith("person_")],
    }  # fmt: skip
    panels = {title: columns for title, columns in panels.items() if columns}
    if not panels:
        return None
    shown = ["epoch", *(name for names in panels.values() for name in names)]

    def draw(axes):
        for axis, (title, columns) in zip(axes, panels.items(), strict=True):
            _draw_curves(axis, history, columns)
            if "explained" in title:
                _limit_explained(axis, history[columns])
            axis.set_title(title, fontsize=9.5)
            axis.set_xlabel("epoch")

    svg = axes_svg(draw, size=(3.2 * len(panels), 3.2), grid=(1, len(panels)))
    return svg, history[shown]


def _draw_curves(axis, history, columns):
    for index, name in enumerate(columns):
        label = name.removesuffix("_loss").removesuffix("_explained").replace("_", " ")
        axis.plot(history["epoch"], history[name], label=label,
                  marker="o" if len(history) == 1 else None, color=_COLOURS[index % 5])  # fmt: skip
    if len(columns) > 1:
        axis.legend(frameon=False, fontsize=7.5)


def _limit_explained(axis, values):
    """Show the range around 0; the values of early epochs may be far below."""
    axis.axhline(0, color=GREY, linestyle=":", linewidth=1)
    lowest, highest = np.nanmin(values), np.nanmax(values)
    axis.set_ylim(max(-1.05, lowest - 0.05), min(1.05, max(highest, 0) + 0.05))
