"""Figures of the scores of an evaluation."""

import numpy as np
import pandas as pd

from brainfm.evaluation.scores import CHANCE
from brainfm.stages.evaluate.summary_text import score_name
from brainfm.stages.report.figures.style import BLUE, COLOURS, GREY, OCHRE, RED, axes_svg, name_rows

_LINE_STYLES = ("-", "--", ":", "-.")


def methods_figure(evaluation):
    """Draw the primary score of all methods with intervals.

    Parameters
    ----------
    evaluation : dict
        Content of ``evaluation.json``.

    Returns
    -------
    svg : str
    data : DataFrame
    """
    primary = evaluation["primary"]
    data = pd.DataFrame(
        [
            {"method": m["name"], "kind": m["kind"], **m["scores"][primary]}
            for m in evaluation["methods"]
        ]
    ).astype({"value": float, "low": float, "high": float})

    def draw(axis):
        heights = name_rows(axis, data["method"])
        _draw_intervals(axis, heights, data, data["kind"].map(COLOURS), primary)
        for height, value in zip(heights, data["value"], strict=True):
            axis.text(1.01, height, f"{value:.2f}", va="center",
                      transform=axis.get_yaxis_transform())  # fmt: skip
        axis.set_xlim(min(0.35 if primary == "roc_auc" else -0.4, np.nanmin(data["low"])), 1.02)
        axis.set_xlabel(f"{score_name(primary)} with 95 % interval; dotted: chance level")

    return axes_svg(draw, size=(8.5, 0.9 + 0.38 * len(data))), data


def audit_figure(evaluation):
    """Draw the score of the target, unchanged and with each confound regressed out.

    Parameters
    ----------
    evaluation : dict
        Content of ``evaluation.json``.

    Returns
    -------
    svg : str
    data : DataFrame
        None is returned instead of both if no confound was audited.
    """
    audit, primary = evaluation["audit"], evaluation["primary"]
    if not audit:
        return None
    rows = [{"removed": "nothing", **evaluation["methods"][0]["scores"][primary]}]
    rows += [{"removed": row["column"].replace("_", " "), **row["without"]} for row in audit]
    data = pd.DataFrame(rows).astype({"value": float, "low": float, "high": float})

    def draw(axis):
        heights = name_rows(axis, data["removed"])
        _draw_intervals(axis, heights, data, [BLUE, *[OCHRE] * len(audit)], primary)
        xlabel = f"{score_name(primary)} of {evaluation['question']['name']}"
        axis.set(ylabel="regressed out", xlabel=xlabel)

    return axes_svg(draw, size=(8.5, 0.9 + 0.38 * len(data))), data


def _draw_intervals(axis, heights, data, colours, primary):
    """Draw a score and its interval per row, from top to bottom, and the chance level."""
    for height, row, colour in zip(heights, data.itertuples(), colours, strict=True):
        axis.plot([row.low, row.high], [height, height], color=colour, linewidth=2.5, alpha=0.6)
        axis.plot(row.value, height, "o", color=colour, markersize=8)
    axis.axvline(CHANCE[primary], color=GREY, linestyle=":", linewidth=1)
    axis.set_ylim(-0.6, len(data) - 0.4)


def curves_figure(evaluation):
    """Draw few-shot learning curves: scores by the number of training participants per class.

    Parameters
    ----------
    evaluation : dict
        Content of ``evaluation.json``.

    Returns
    -------
    svg : str
    data : DataFrame
        None is returned instead of both if there are fewer than two numbers of participants.
    """
    rows = [{k: v for k, v in row.items() if k != "scores"} for row in evaluation["curves"]]
    data = pd.DataFrame(rows)
    if not len(data) or data["k"].nunique() < 2:
        return None
    primary = evaluation["primary"]
    kinds = {method["name"]: method["kind"] for method in evaluation["methods"]}

    def draw(axis):
        n_drawn = dict.fromkeys(COLOURS, 0)
        for name, own in data.groupby("method", sort=False):
            kind = kinds[name]
            axis.fill_between(own["k"], own["low"].astype(float), own["high"].astype(float),
                              color=COLOURS[kind], alpha=0.12, linewidth=0)  # fmt: skip
            axis.plot(own["k"], own["score"], marker="o", color=COLOURS[kind], label=name,
                      linestyle=_LINE_STYLES[n_drawn[kind] % 4])  # fmt: skip
            n_drawn[kind] += 1
        axis.axhline(CHANCE[primary], color=GREY, linestyle=":", linewidth=1)
        axis.set_xscale("log")
        ticks = sorted(data["k"].unique())
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
        axis.set(xlabel="training participants per class", ylabel=score_name(primary))
        axis.legend(frameon=False, fontsize=8, loc="upper left")

    return axes_svg(draw, size=(8.5, 3.8)), data


def null_figure(null, evaluation, method):
    """Draw the scores with permuted labels and the score with the true labels.

    Parameters
    ----------
    null : DataFrame
        ``null.tsv``: one column per method.
    evaluation : dict
        Content of ``evaluation.json``.
    method : str

    Returns
    -------
    svg : str
    data : DataFrame
    """
    of_method = next(m for m in evaluation["methods"] if m["name"] == method)
    observed = of_method["permutation_score"]

    def draw(axis):
        axis.hist(null[method].dropna(), bins=25, color="#c3cad1")
        axis.axvline(observed, color=RED, linewidth=2)
        axis.text(observed, axis.get_ylim()[1], f" true labels: {observed:.2f}", color=RED,
                  va="bottom", ha="center")  # fmt: skip
        axis.set_xlabel(f"{score_name(evaluation['primary'])} of {method} with permuted labels")
        axis.set_ylabel("permutations")

    return axes_svg(draw, size=(6.5, 3)), null[[method]]
