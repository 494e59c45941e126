"""Figures of the predictions of an evaluation."""

import numpy as np
import pandas as pd
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, roc_curve

from brainfm.recording import RUN_LABELS
from brainfm.stages.report.figures.style import BLUE, COLOURS, GREY, axes_svg, draw_cells

_FEWEST_TO_CALIBRATE = 40
_LINE_STYLES = {
    "pretrained": "-", "combined": "--", "classical": "-", "covariates": ":", "dummy": ":",
}  # fmt: skip


def average_predictions(rows, evaluation):
    """Average predictions over repeats and over the rows of one unit.

    Parameters
    ----------
    rows : DataFrame
        ``folds.tsv``.
    evaluation : dict
        Content of ``evaluation.json``.

    Returns
    -------
    predictions : DataFrame
        One row per method and unit; units are participants, recordings or windows.
    """
    unit = ["dataset", "participant"]
    if evaluation["question"]["kind"] == "contrast":
        unit += [name for name in RUN_LABELS if name in rows]
    if evaluation["folds"]["kind"] == "block":
        unit += ["start_s"]
    outputs = [name for name in rows if name.startswith("p_") or name == "predicted"]
    grouped = rows.groupby(["method", *unit, "target"], dropna=False, sort=False)
    return grouped[outputs].mean().reset_index()


def fold_figure(rows, evaluation):
    """Draw the accuracy, or the mean absolute error, of each fold as a dot.

    Parameters
    ----------
    rows : DataFrame
        ``folds.tsv``.
    evaluation : dict
        Content of ``evaluation.json``.

    Returns
    -------
    svg : str
    data : DataFrame
    """
    classes = evaluation["question"]["classes"]
    if classes:
        predicted = rows[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
        score = np.array(classes)[predicted] == rows["target"].astype(str)
        label = "accuracy"
    else:
        score = (rows["predicted"] - rows["target"].astype(float)).abs()
        label = "mean absolute error"
    scored = rows.assign(score=score.astype(float))
    data = scored.groupby(["method", "repeat", "fold"], sort=False)["score"].mean().reset_index()
    kinds = {m["name"]: m["kind"] for m in evaluation["methods"]}

    def draw(axis):
        names = list(reversed(kinds))
        for height, name in enumerate(names):
            own = data.loc[data["method"] == name, "score"].to_numpy()
            shift = 0.5 * ((np.arange(len(own)) + 0.5) / len(own) - 0.5)
            axis.plot(own, height + shift, "o", color=COLOURS[kinds[name]], alpha=0.55,
                      markersize=5, markeredgewidth=0)  # fmt: skip
            axis.plot([own.mean()] * 2, [height - 0.33, height + 0.33], color="black", lw=1.5)
        axis.set_yticks(range(len(names)), names)
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(f"{label} of each fold; line: mean")

    return axes_svg(draw, size=(8.5, 0.9 + 0.42 * len(kinds))), data


def roc_figure(predictions, evaluation):
    """Draw the ROC curve of each method.

    Parameters
    ----------
    predictions : DataFrame
        As :func:`average_predictions` returns it.
    evaluation : dict
        Content of ``evaluation.json``.

    Returns
    -------
    svg : str
    data : DataFrame
        None is returned instead of both unless there are two classes.
    """
    classes = evaluation["question"]["classes"]
    if not classes or len(classes) != 2:
        return None
    parts = []
    for method in evaluation["methods"]:
        own = predictions[predictions["method"] == method["name"]]
        false, true, _ = roc_curve(own["target"].astype(str) == classes[1], own[f"p_{classes[1]}"])
        parts.append(pd.DataFrame({"method": method["name"], "kind": method["kind"],
                                   "false_positive": false, "true_positive": true}))  # fmt: skip
    data = pd.concat(parts, ignore_index=True)

    def draw(axis):
        axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        drawn = set()
        for name, own in data.groupby("method", sort=False):
            kind = own["kind"].iloc[0]
            axis.plot(own["false_positive"], own["true_positive"], color=COLOURS[kind],
                      linestyle="-." if kind in drawn else _LINE_STYLES[kind], label=name,
                      linewidth=2.2 if kind == "pretrained" else 1.5)  # fmt: skip
            drawn.add(kind)
        axis.set(aspect="equal", xlabel="false positive rate", ylabel="true positive rate")
        axis.legend(frameon=False, fontsize=8, loc="lower right")

    return axes_svg(draw, size=(5, 4.8)), data


def confusion_figure(predictions, evaluation, method):
    """Draw the confusion matrix of a method, or its predicted against the true values.

    Parameters
    ----------
    predictions : DataFrame
        As :func:`average_predictions` returns it.
    evaluation : dict
        Content of ``evaluation.json``.
    method : str

    Returns
    -------
    svg : str
    data : DataFrame
    """
    own = predictions[predictions["method"] == method]
    classes = evaluation["question"]["classes"]
    if not classes:
        return _scatter(own, evaluation["question"]["name"])
    predicted = own[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
    true = own["target"].astype(str)
    counts = confusion_matrix(true, np.array(classes)[predicted], labels=classes)
    data = pd.DataFrame(counts, columns=[f"predicted {name}" for name in classes])
    data.insert(0, "true", classes)

    def draw(axis):
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        draw_cells(axis, share, counts, vmin=0, vmax=1.15, dark=0.6, fontsize=13)
        axis.set_xticks(range(len(classes)), classes)
        axis.set_yticks(range(len(classes)), classes, rotation=90, va="center")
        axis.set(xlabel="predicted", ylabel="true")

    return axes_svg(draw, size=(4.6, 4.4)), data


def _scatter(own, name):
    data = own[["participant", "target", "predicted"]]

    def draw(axis):
        values = data[["target", "predicted"]].astype(float)
        axis.plot(values["target"], values["predicted"], "o", color=BLUE, alpha=0.6)
        ends = [values.min().min(), values.max().max()]
        axis.plot(ends, ends, color=GREY, linestyle=":", linewidth=1)
        axis.set(xlabel=f"true {name}", ylabel=f"predicted {name}")

    return axes_svg(draw, size=(4.8, 4.6)), data


def calibration_figure(predictions, evaluation, method):
    """Draw the observed frequency of the second class against its predicted probability.

    Parameters
    ----------
    predictions : DataFrame
        As :func:`average_predictions` returns it.
    evaluation : dict
        Content of ``evaluation.json``.
    method : str

    Returns
    -------
    svg : str
    data : DataFrame
        None is returned instead of both unless there are two classes and 40 rows.
    """
    classes = evaluation["question"]["classes"]
    own = predictions[predictions["method"] == method]
    if not classes or len(classes) != 2 or len(own) < _FEWEST_TO_CALIBRATE:
        return None
    true = own["target"].astype(str) == classes[1]
    probability = own[f"p_{classes[1]}"].clip(0, 1)
    observed, predicted = calibration_curve(
        true, probability, n_bins=min(8, len(own) // 10), strategy="quantile"
    )
    data = pd.DataFrame({"said": predicted, "true": observed})

    def draw(axis):
        axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        axis.plot(predicted, observed, "o-", color=BLUE)
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axis.set_xlabel(f"predicted probability of {classes[1]}")
        axis.set_ylabel(f"observed frequency of {classes[1]}")

    return axes_svg(draw, size=(5, 4.8)), data
