"""Figures of the group report, each with the table of numbers it is drawn from."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.metrics import roc_curve

from brainfm.evaluation.scores import CHANCE
from brainfm.stages.evaluate.summary_text import score_name
from brainfm.stages.report.figures.style import BLUE, GREEN, GREY, OCHRE, RED, figure_svg

KIND_COLOURS = {
    "pretrained": BLUE, "combined": GREEN, "classical": OCHRE, "covariates": RED, "dummy": GREY,
}  # fmt: skip


def methods_figure(evaluation):
    """Draw the primary score of all methods with intervals.

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

    def draw(figure):
        axis = figure.subplots()
        places = np.arange(len(data))[::-1]
        for place, row in zip(places, data.itertuples(), strict=True):
            colour = KIND_COLOURS[row.kind]
            axis.plot([row.low, row.high], [place, place], color=colour, linewidth=2.5, alpha=0.6)
            axis.plot(row.value, place, "o", color=colour, markersize=8)
            axis.text(1.01, place, f"{row.value:.2f}", va="center",
                      transform=axis.get_yaxis_transform())  # fmt: skip
        axis.axvline(CHANCE[primary], color=GREY, linestyle=":", linewidth=1)
        axis.set_yticks(places, data["method"])
        axis.set_ylim(-0.6, len(data) - 0.4)
        axis.set_xlim(min(0.35 if primary == "roc_auc" else -0.4, np.nanmin(data["low"])), 1.02)
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(f"{score_name(primary)} with 95 % interval; dotted: chance")

    return figure_svg(draw, size=(8.5, 0.9 + 0.38 * len(data))), data


def predictions_of(rows, evaluation):
    """Average predictions over repeats and over the rows that are judged as one.

    Parameters
    ----------
    rows : DataFrame
        ``folds.tsv``.

    Returns
    -------
    DataFrame, a row for each method and each participant, recording or window
    """
    unit = ["dataset", "participant"]
    if evaluation["question"]["kind"] == "contrast":
        unit += ["session", "task", "run"]
    if evaluation["folds"]["kind"] == "block":
        unit += ["start_s"]
    outputs = [name for name in rows if name.startswith("p_") or name == "predicted"]
    grouped = rows.groupby(["method", *unit, "target"], dropna=False, sort=False)
    return grouped[outputs].mean().reset_index()


def roc_figure(predictions, evaluation):
    """Draw the ROC curve of each method; None unless there are two classes."""
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

    def draw(figure):
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1)
        styles = {"pretrained": "-", "combined": "--", "classical": "-", "covariates": ":",
                  "dummy": ":"}  # fmt: skip
        seen = {}
        for name, own in data.groupby("method", sort=False):
            kind = own["kind"].iloc[0]
            seen[kind] = seen.get(kind, 0) + 1
            axis.plot(own["false_positive"], own["true_positive"], color=KIND_COLOURS[kind],
                      linestyle="-." if seen[kind] > 1 else styles[kind], label=name,
                      linewidth=2.2 if kind == "pretrained" else 1.5)  # fmt: skip
        axis.set_aspect("equal")
        axis.set_xlabel("false positive rate")
        axis.set_ylabel("true positive rate")
        axis.legend(frameon=False, fontsize=8, loc="lower right")

    return figure_svg(draw, size=(5, 4.8)), data


def confusion_figure(predictions, evaluation, method):
    """Draw counts of true against predicted classes, or of true against predicted values."""
    own = predictions[predictions["method"] == method]
    classes = evaluation["question"]["classes"]
    if not classes:
        return _scatter(own, evaluation["question"]["name"])
    guessed = own[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
    true = own["target"].astype(str)
    counts = [[int(((true == a) & (guessed == j)).sum()) for j in range(len(classes))]
              for a in classes]  # fmt: skip
    data = pd.DataFrame(counts, columns=[f"predicted {name}" for name in classes])
    data.insert(0, "true", classes)

    def draw(figure):
        axis = figure.subplots()
        table = np.array(counts)
        share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        axis.imshow(share, cmap="Blues", vmin=0, vmax=1.15)
        for row, column in np.ndindex(table.shape):
            axis.text(column, row, table[row, column], ha="center", va="center", fontsize=13,
                      color="white" if share[row, column] > 0.6 else "black")  # fmt: skip
        axis.set_xticks(range(len(classes)), classes)
        axis.set_yticks(range(len(classes)), classes, rotation=90, va="center")
        axis.set_xlabel("predicted")
        axis.set_ylabel("true")
        axis.spines[:].set_visible(False)
        axis.tick_params(length=0)

    return figure_svg(draw, size=(4.6, 4.4)), data


def fold_figure(rows, evaluation):
    """Draw how often each fold was right (or its mean absolute error), a dot a fold."""
    classes = evaluation["question"]["classes"]
    if classes:
        guess = rows[[f"p_{name}" for name in classes]].to_numpy().argmax(axis=1)
        good = np.array(classes)[guess] == rows["target"].astype(str)
        label = "share of test rows right"
    else:
        good = (rows["predicted"] - rows["target"].astype(float)).abs()
        label = "mean absolute error"
    scored = rows.assign(score=good.astype(float))
    data = scored.groupby(["method", "repeat", "fold"], sort=False)["score"].mean().reset_index()
    kinds = {m["name"]: m["kind"] for m in evaluation["methods"]}

    def draw(figure):
        axis = figure.subplots()
        names = list(kinds)
        for place, name in enumerate(reversed(names)):
            own = data.loc[data["method"] == name, "score"].to_numpy()
            shift = 0.5 * ((np.arange(len(own)) + 0.5) / len(own) - 0.5)
            axis.plot(own, place + shift, "o", color=KIND_COLOURS[kinds[name]], alpha=0.55,
                      markersize=5, markeredgewidth=0)  # fmt: skip
            axis.plot([own.mean()] * 2, [place - 0.33, place + 0.33], color="black", linewidth=1.5)
        axis.set_yticks(range(len(names)), names[::-1])
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(f"{label}; a dot a fold, line: mean")

    return figure_svg(draw, size=(8.5, 0.9 + 0.42 * len(kinds))), data


def null_figure(null, evaluation, method):
    """Draw scores with exchanged labels and the score with the real ones."""
    of_method = next(m for m in evaluation["methods"] if m["name"] == method)
    observed = of_method["permutation_score"]

    def draw(figure):
        axis = figure.subplots()
        axis.hist(null[method].dropna(), bins=25, color="#c3cad1")
        axis.axvline(observed, color=RED, linewidth=2)
        axis.text(observed, axis.get_ylim()[1], f" real labels: {observed:.2f}", color=RED,
                  va="bottom", ha="center")  # fmt: skip
        axis.set_xlabel(f"{score_name(evaluation['primary'])} of {method} with exchanged labels")
        axis.set_ylabel("permutations")

    return figure_svg(draw, size=(6.5, 3)), null[[method]]


def embedding_map(frame, vectors):
    """Draw recordings on two principal components, coloured by person, shaped by task.

    Parameters
    ----------
    frame : DataFrame
        Columns ``dataset``, ``participant``, ``task`` of each recording.
    vectors : ndarray of float, shape (n_recordings, n_dimensions)
        Of one modality and one model.
    """
    spread = vectors.std(axis=0)
    scaled = (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1)
    pca = PCA(2, svd_solver="full").fit(scaled)
    data = frame.copy()
    data[["pc1", "pc2"]] = pca.transform(scaled)
    people = (data["dataset"] + "/" + data["participant"]).to_numpy()
    by_person = len(set(people)) <= 10
    colour_of = people if by_person else data["dataset"].to_numpy()
    tasks = data["task"].fillna("no task").to_numpy()

    def draw(figure):
        axis = figure.subplots()
        palette = mpl.colormaps["tab10"].colors
        colours = {name: palette[i % 10] for i, name in enumerate(dict.fromkeys(colour_of))}
        shapes = {name: "osD^vP*X"[i % 8] for i, name in enumerate(dict.fromkeys(tasks))}
        for x, y, name, task in zip(data["pc1"], data["pc2"], colour_of, tasks, strict=True):
            axis.plot(x, y, shapes[task], color=colours[name], markersize=7, alpha=0.8)
        handles = [mpl.lines.Line2D([], [], color=c, marker="o", linestyle="", label=name)
                   for name, c in colours.items()]  # fmt: skip
        handles += [mpl.lines.Line2D([], [], color="black", marker=shape, linestyle="", label=task)
                    for task, shape in shapes.items()]  # fmt: skip
        figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize=8)
        shares = 100 * pca.explained_variance_ratio_
        axis.set_xlabel(f"component 1 ({shares[0]:.0f} % of variance)")
        axis.set_ylabel(f"component 2 ({shares[1]:.0f} % of variance)")

    return figure_svg(draw, size=(8, 4.6)), data


def quality_figure(data, names):
    """Draw one strip of dots a measure, a dot a recording.

    Parameters
    ----------
    data : DataFrame
        Columns ``participant``, ``recording`` and the measures.
    names : dict of str to str
        What each measure is called.
    """
    shown = [key for key in names if data[key].notna().any()]

    def draw(figure):
        axes = np.atleast_1d(figure.subplots(1, len(shown)))
        for axis, key in zip(axes, shown, strict=True):
            values = data[key].dropna().sort_values().to_numpy(float)
            # Neighbours in rank go to different sides, so that equal values do not hide each other.
            aside = 0.28 * ((np.arange(len(values)) * 0.618) % 1 - 0.5)
            axis.plot(aside, values, "o", color=BLUE, alpha=0.55, markersize=5, markeredgewidth=0)
            axis.plot([-0.22, 0.22], [np.median(values)] * 2, color="black", linewidth=1.5)
            axis.set_xlim(-0.5, 0.5)
            axis.set_xticks([])
            axis.spines["bottom"].set_visible(False)
            axis.set_title(names[key], fontsize=9.5)

    return figure_svg(draw, size=(2.3 * len(shown), 2.8)), data


def training_figure(history):
    """Draw loss, share explained and effective rank over epochs.

    Parameters
    ----------
    history : DataFrame
        One row an epoch, from ``history.json``.
    """
    parts = [c for c in history if c == "valid_loss" or not c.startswith("valid_")]
    panels = {
        "loss": [c for c in parts if c.endswith("loss")],
        "share of variance explained\n(0: as good as predicting the mean)":
            [c for c in parts if c.endswith("explained")],
        "effective rank of the embeddings\n(1: collapsed)":
            [c for c in history if c == "effective_rank"],
        "nearest crop is of the same person": [c for c in history if c.startswith("person_")],
    }  # fmt: skip
    panels = {title: columns for title, columns in panels.items() if columns}
    if not panels:
        return None
    shown = ["epoch", *(name for names in panels.values() for name in names)]

    def draw(figure):
        axes = np.atleast_1d(figure.subplots(1, len(panels)))
        for axis, (title, columns) in zip(axes, panels.items(), strict=True):
            for index, name in enumerate(columns):
                told = name.removesuffix("_loss").removesuffix("_explained").replace("_", " ")
                axis.plot(history["epoch"], history[name], label=told,
                          marker="o" if len(history) == 1 else None,
                          color=(BLUE, OCHRE, GREEN, RED, GREY)[index % 5])  # fmt: skip
            if "explained" in title:
                axis.axhline(0, color=GREY, linestyle=":", linewidth=1)
                # Early epochs may lie far below; what matters is around 0.
                least, most = np.nanmin(history[columns]), np.nanmax(history[columns])
                axis.set_ylim(max(-1.05, least - 0.05), min(1.05, max(most, 0) + 0.05))
            axis.set_title(title, fontsize=9.5)
            axis.set_xlabel("epoch")
            if len(columns) > 1:
                axis.legend(frameon=False, fontsize=7.5)

    return figure_svg(draw, size=(3.2 * len(panels), 3.2)), history[shown]


def _scatter(own, name):
    data = own[["participant", "target", "predicted"]]

    def draw(figure):
        axis = figure.subplots()
        values = data[["target", "predicted"]].astype(float)
        axis.plot(values["target"], values["predicted"], "o", color=BLUE, alpha=0.6)
        ends = [values.min().min(), values.max().max()]
        axis.plot(ends, ends, color=GREY, linestyle=":", linewidth=1)
        axis.set_xlabel(f"true {name}")
        axis.set_ylabel(f"predicted {name}")

    return figure_svg(draw, size=(4.8, 4.6)), data
