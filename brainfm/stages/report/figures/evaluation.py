"""Figures of what surrounds a score: few-shot curves, calibration, audit, maps by column."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from sklearn.calibration import calibration_curve

from brainfm.evaluation.scores import CHANCE
from brainfm.stages.evaluate.summary_text import score_name
from brainfm.stages.report.figures.group import KIND_COLOURS
from brainfm.stages.report.figures.style import BLUE, GREY, OCHRE, figure_svg

_FEWEST_TO_CALIBRATE = 40
_MOST_COLOURS = 12
_MAPS_OF_A_ROW = 3
_MOST_MAPS = 12


def curves_figure(evaluation):
    """Draw score against people of each class; None where no curve could be drawn.

    Returns
    -------
    svg : str
    data : DataFrame
    """
    rows = [{k: v for k, v in row.items() if k != "scores"} for row in evaluation["curves"]]
    data = pd.DataFrame(rows)
    if not len(data) or data["k"].nunique() < 2:
        return None
    primary = evaluation["primary"]
    kinds = {method["name"]: method["kind"] for method in evaluation["methods"]}

    def draw(figure):
        axis = figure.subplots()
        seen = {}
        for name, own in data.groupby("method", sort=False):
            kind = kinds[name]
            seen[kind] = seen.get(kind, 0) + 1
            axis.fill_between(own["k"], own["low"].astype(float), own["high"].astype(float),
                              color=KIND_COLOURS[kind], alpha=0.12, linewidth=0)  # fmt: skip
            axis.plot(own["k"], own["score"], marker="o", color=KIND_COLOURS[kind], label=name,
                      linestyle=("-", "--", ":", "-.")[(seen[kind] - 1) % 4])  # fmt: skip
        axis.axhline(CHANCE[primary], color=GREY, linestyle=":", linewidth=1)
        axis.set_xscale("log")
        ticks = sorted(data["k"].unique())
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
        axis.set_xlabel("people of each class to learn from")
        axis.set_ylabel(score_name(primary))
        axis.legend(frameon=False, fontsize=8, loc="upper left")

    return figure_svg(draw, size=(8.5, 3.8)), data


def calibration_figure(predictions, evaluation, method):
    """Draw how often the second class is true where it is said with each probability.

    None unless there are two classes and 40 rows.
    """
    classes = evaluation["question"]["classes"]
    own = predictions[predictions["method"] == method]
    if not classes or len(classes) != 2 or len(own) < _FEWEST_TO_CALIBRATE:
        return None
    true = own["target"].astype(str) == classes[1]
    chance = own[f"p_{classes[1]}"].clip(0, 1)
    found, said = calibration_curve(
        true, chance, n_bins=min(8, len(own) // 10), strategy="quantile"
    )
    data = pd.DataFrame({"said": said, "true": found})

    def draw(figure):
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        axis.plot(data["said"], data["true"], "o-", color=BLUE)
        axis.set_xlim(0, 1)
        axis.set_ylim(0, 1)
        axis.set_aspect("equal")
        axis.set_xlabel(f"probability said of {classes[1]}")
        axis.set_ylabel(f"share that is {classes[1]}")

    return figure_svg(draw, size=(5, 4.8)), data


def audit_figure(evaluation):
    """Draw the score of the target as it is and with each column regressed out; None if none."""
    audit, primary = evaluation["audit"], evaluation["primary"]
    if not audit:
        return None
    lead = evaluation["methods"][0]
    rows = [{"removed": "nothing", **lead["scores"][primary]}]
    rows += [{"removed": row["column"].replace("_", " "), **row["without"]} for row in audit]
    data = pd.DataFrame(rows).astype({"value": float, "low": float, "high": float})

    def draw(figure):
        axis = figure.subplots()
        places = np.arange(len(data))[::-1]
        for place, row in zip(places, data.itertuples(), strict=True):
            colour = BLUE if row.removed == "nothing" else OCHRE
            axis.plot([row.low, row.high], [place, place], color=colour, linewidth=2.5, alpha=0.6)
            axis.plot(row.value, place, "o", color=colour, markersize=8)
        axis.axvline(CHANCE[primary], color=GREY, linestyle=":", linewidth=1)
        axis.set_yticks(places, data["removed"])
        axis.set_ylim(-0.6, len(data) - 0.4)
        axis.tick_params(axis="y", length=0)
        axis.set_ylabel("removed")
        axis.set_xlabel(f"{score_name(primary)} of {evaluation['question']['name']}")

    return figure_svg(draw, size=(8.5, 0.9 + 0.38 * len(data))), data


def maps_figure(data, first):
    """Draw the rows of an evaluation on their map, once for each column that varies.

    Parameters
    ----------
    data : DataFrame
        ``map.tsv``: ``pc1``, ``pc2`` and columns.
    first : str
        The column that is drawn first.

    Returns
    -------
    svg : str
    data : DataFrame
    """
    columns = [name for name in data if name not in ("pc1", "pc2") and _colours(data[name])]
    columns = sorted(columns, key=lambda name: name != first)[:_MOST_MAPS]
    n_rows = -(-len(columns) // _MAPS_OF_A_ROW)
    n_columns = min(len(columns), _MAPS_OF_A_ROW)

    def draw(figure):
        axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for axis in axes[len(columns) :]:
            axis.set_axis_off()
        for axis, name in zip(axes, columns, strict=False):
            _coloured(figure, axis, data, name)
            axis.set_xticks([])
            axis.set_yticks([])
            axis.set_title(name.replace("_", " "), fontsize=9.5)

    return figure_svg(draw, size=(2.9 * n_columns, 3 * n_rows)), data


def _colours(values):
    """Whether a column tells rows apart, and is no name of each."""
    return values.nunique() > 1 and (
        pd.api.types.is_numeric_dtype(values) or values.nunique() < len(values)
    )


def _coloured(figure, axis, data, name):
    """A scatter with a bar of colours for numbers, or a legend for classes."""
    values = data[name]
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > _MOST_COLOURS:
        points = axis.scatter(data["pc1"], data["pc2"], c=values, s=14, cmap="viridis")
        figure.colorbar(points, ax=axis, shrink=0.7)
        return
    names = values.astype(str).where(values.notna(), "n/a")
    palette = mpl.colormaps["tab20"].colors
    for index, (label, own) in enumerate(data.groupby(names)):
        axis.plot(own["pc1"], own["pc2"], "o", color=palette[2 * index % 20 + index // 10 % 2],
                  markersize=3.5, alpha=0.8, label=label)  # fmt: skip
    if names.nunique() <= _MOST_COLOURS:
        axis.legend(frameon=False, fontsize=7, markerscale=1.2, handletextpad=0.1)
