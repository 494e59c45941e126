"""The part of the group report that answers a question, with its figures."""

import pandas as pd

from brainfm.files import write_text, write_tsv
from brainfm.stages.evaluate.summary_text import score_name, spell_p
from brainfm.stages.report.figures import evaluation as around
from brainfm.stages.report.figures import group as draw
from brainfm.stages.report.figures.importance import (
    bands_figure,
    edges_figure,
    pairs_figure,
    sensors_figure,
)
from brainfm.stages.report.render import picture

_NULL_CAPTION = (
    "Scores when labels are exchanged between the units that are independent, within the fold that "
    "tests them; what counts is how many reach the score of the real labels."
)
_KINDS = {
    "pretrained": "pretrained",
    "combined": "both",
    "classical": "baseline",
    "covariates": "no signal",
    "dummy": "chance",
}


def evaluation_part(folder, evaluation):
    """The answer, the table of methods and the figures; None when nothing was evaluated."""
    if not evaluation:
        return None
    primary = evaluation["primary"]
    names = list(evaluation["methods"][0]["scores"])
    best = evaluation["comparison"]["best_baseline"]
    lead = evaluation["comparison"].get("method", best)
    methods = [
        {
            "name": method["name"],
            "kind": _KINDS.get(method["kind"], method["kind"])
            + (", best" if method["name"] == best else ""),
            "scores": [spell_score(method["scores"][name]) for name in names],
            "p": "" if method["p"] is None else spell_p(method["p"]),
            "lead": method["name"] == lead,
        }
        for method in evaluation["methods"]
    ]
    return {
        "sentences": evaluation["answer"],
        "score_names": [score_name(name) for name in names],
        "primary": score_name(primary),
        "methods": methods,
        "figures": _evaluation_figures(folder, evaluation, lead),
        "data": evaluation["data"],
        "question": evaluation["question"],
        "audit": [_audited(row) for row in evaluation["audit"]],
        "lead_name": evaluation["methods"][0]["name"],
    }


def _evaluation_figures(folder, evaluation, lead):
    classes = evaluation["question"]["classes"]
    rows = table_of(folder / "folds.tsv", **({"target": str} if classes else {}))
    null = table_of(folder / "null.tsv")
    made = [
        kept(folder, "methods", "Methods on the same folds", draw.methods_figure(evaluation),
              "Points: score; lines: 95 % bootstrap interval."),
    ]  # fmt: skip
    made += [
        kept(folder, "curves", "With few people", around.curves_figure(evaluation),
              "Mean over episodes, the same for all methods, with 95 % interval; all other people "
              "are tested."),
        kept(folder, "audit", "With confounds removed", around.audit_figure(evaluation),
              "Each column is regressed out of the features inside the folds."),
    ]  # fmt: skip
    made += _network_figures(folder, evaluation) + _band_figures(folder, evaluation)
    if rows is not None:
        predictions = draw.predictions_of(rows, evaluation)
        confusion = draw.confusion_figure(predictions, evaluation, lead)
        title = "Confusion" if evaluation["question"]["classes"] else "Predicted against true"
        made += [
            kept(folder, "folds", "Fold by fold", draw.fold_figure(rows, evaluation),
                  "Spread over folds is a part of the uncertainty; folds of one repeat share "
                  "training data, so they are not independent."),
            kept(folder, "roc", "ROC curves", draw.roc_figure(predictions, evaluation),
                  "Pooled over folds.", width="narrow"),
            kept(folder, "confusion", f"{title}, {lead}", confusion, "", width="narrow"),
            kept(folder, "calibration", f"Are probabilities true? {lead}",
                  around.calibration_figure(predictions, evaluation, lead),
                  "Pooled over folds; on the dotted line they are.", width="narrow"),
        ]  # fmt: skip
    if null is not None and lead in null and _has_p(evaluation, lead):
        made.append(
            kept(folder, "permutation", "Could this be chance?",
                  draw.null_figure(null, evaluation, lead),
                  _NULL_CAPTION)
        )  # fmt: skip
    return [figure for figure in made if figure]


def _has_p(evaluation, name):
    return any(one["name"] == name and one["p"] is not None for one in evaluation["methods"])


def _network_figures(folder, evaluation):
    """What the connectivity of some networks, or of all, rests on; none for EEG."""
    pairs, edges = table_of(folder / "networks.tsv"), table_of(folder / "edges.tsv")
    if pairs is None or not len(pairs):
        return []
    return [
        kept(folder, "networks", "What connectivity rests on, by pairs of networks",
             pairs_figure(pairs, evaluation),
             "Fall of the score when all edges of a pair of networks are exchanged among test "
             "rows; lines: deviation over exchanges. Edges that say the same cover each other."),
        kept(folder, "edges", "Edges that go with the prediction", edges_figure(edges),
             f"The strongest; red: the stronger the edge, the more {_more_of(evaluation)}. A "
             "pattern of the model on training rows, not a test of each edge."),
    ]  # fmt: skip


def _band_figures(folder, evaluation):
    """What log band power rests on; none for fMRI and for more than two classes."""
    bands, sensors = table_of(folder / "bands.tsv"), table_of(folder / "sensors.tsv")
    if bands is None or not len(bands):
        return []
    return [
        kept(folder, "bands", "What log band power rests on", bands_figure(bands, evaluation),
             "Fall of the score when the power of all electrodes in a band is exchanged among test "
             "rows; lines: deviation over exchanges. Bands that say the same cover each other."),
        kept(folder, "sensors", "Electrodes that go with the prediction", sensors_figure(sensors),
             f"Log power; red: the more of it, the more {_more_of(evaluation)}. A pattern of the "
             "model on training rows, not a test of each electrode."),
    ]  # fmt: skip


def _more_of(evaluation):
    """What a larger prediction means."""
    return (evaluation["question"]["classes"] or [None, "a larger value"])[1]


def _audited(row):
    """One row of the table of what else is read from the features."""
    read, without = row["read"], row["without"]
    said = f"{score_name(read['score'])} {spell_score(read)}" if read else ""
    said = "; ".join(part for part in (said, row["why"]) if part)
    return [row["column"].replace("_", " "), said, spell_score(without)]


def kept(folder, name, title, drawn, caption, *, width=""):
    """Write a figure and its numbers into ``group/figures``; return what the page shows."""
    if drawn is None:
        return None
    svg, data = drawn
    stem = folder / "figures" / name
    write_text(stem.with_suffix(".svg"), svg)
    write_tsv(stem.with_suffix(".tsv"), data)
    link = f"group/figures/{name}.tsv"
    return picture(title, caption, svg=svg, data=link, width=width)


def spell_score(score):
    """Spell a score with its interval, as far as they are known."""
    value, low, high = (score[key] for key in ("value", "low", "high"))
    if value is None:
        return "n/a"
    if low is None:
        return f"{value:.2f}"
    return f"{value:.2f} ({low:.2f} to {high:.2f})"


def table_of(path, **dtypes):
    """Read a table of the group folder; None where there is none.

    Labels are text, as ``dtypes`` of other columns may say too.
    """
    text = dict.fromkeys(("dataset", "participant", "session", "task", "run", "site"), str)
    options = {"na_values": ["n/a"], "keep_default_na": False, "dtype": text | dtypes}
    try:
        return pd.read_csv(path, sep="\t", **options)
    except (OSError, ValueError):
        return None
