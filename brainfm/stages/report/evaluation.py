"""Evaluation section of the group report: summary, table of methods and figures."""

from importlib.resources import files

from brainfm.files import read_json
from brainfm.stages.evaluate.summary_text import score_name, spell_p
from brainfm.stages.report.figures import evaluation as figures
from brainfm.stages.report.figures import importance, predictions
from brainfm.stages.report.read import read_group_table
from brainfm.stages.report.render import write_figure

_KINDS = {
    "pretrained": "pretrained",
    "combined": "pretrained + baseline",
    "classical": "baseline",
    "covariates": "confounds only",
    "dummy": "chance",
}


def evaluation_section(folder, evaluation):
    """Build the evaluation section and write its figures.

    Parameters
    ----------
    folder : Path
        ``group`` folder.
    evaluation : dict
        Content of ``evaluation.json``; empty if nothing was evaluated.

    Returns
    -------
    section : dict or None
        Variables of the template; None if nothing was evaluated.
    """
    if not evaluation:
        return None
    names = list(evaluation["methods"][0]["scores"])
    best = evaluation["comparison"]["best_baseline"]
    main = evaluation["comparison"].get("method", best)
    methods = [
        {
            "name": method["name"],
            "kind": _KINDS.get(method["kind"], method["kind"])
            + (", best" if method["name"] == best else ""),
            "scores": [_format_score(method["scores"][name]) for name in names],
            "p": "" if method["p"] is None else spell_p(method["p"]),
            "is_main": method["name"] == main,
        }
        for method in evaluation["methods"]
    ]
    return {
        "sentences": evaluation["answer"],
        "score_names": [score_name(name) for name in names],
        "primary": score_name(evaluation["primary"]),
        "methods": methods,
        "figures": _figures(folder, evaluation, main),
        "data": evaluation["data"],
        "target": evaluation["question"]["name"],
        "audit": [_audit_row(row) for row in evaluation["audit"]],
        "audited": evaluation["methods"][0]["name"],
    }


def _audit_row(row):
    """Cells of the confound audit: confound, score for predicting it, score without it."""
    read = row["read"]
    score = f"{score_name(read['score'])} {_format_score(read)}" if read else ""
    cell = "; ".join(part for part in (score, row["why"]) if part)
    return [row["column"].replace("_", " "), cell, _format_score(row["without"])]


def _format_score(score):
    """Format a score with its interval, as far as they are defined."""
    value, low, high = (score[key] for key in ("value", "low", "high"))
    if value is None:
        return "n/a"
    return f"{value:.2f}" if low is None else f"{value:.2f} ({low:.2f} to {high:.2f})"


def _figures(folder, evaluation, main):
    """Write the figures, with titles and captions from ``figures.json``."""
    classes = evaluation["question"]["classes"]
    words = {
        "main": main,
        "confusion": "Confusion matrix" if classes else "Predicted against true values",
        "positive": f"predictions of {classes[1]}" if classes else "larger predicted values",
    }
    captions = read_json(files("brainfm.data") / "reports" / "figures.json")
    drawn = {
        "methods": figures.methods_figure(evaluation),
        "curves": figures.curves_figure(evaluation),
        "audit": figures.audit_figure(evaluation),
        **_importance_figures(folder, evaluation),
        **_prediction_figures(folder, evaluation, main),
    }
    shown = []
    for name, figure in drawn.items():
        title, caption, width = captions[name]
        title, caption = title.format(**words), caption.format(**words)
        shown.append(write_figure(folder, name, title, figure, caption, width=width))
    return [figure for figure in shown if figure]


def _importance_figures(folder, evaluation):
    """Importance of networks and edges of fMRI, or of bands and electrodes of EEG."""
    drawn = {}
    pairs, bands = (read_group_table(folder / f"{name}.tsv") for name in ("networks", "bands"))
    if pairs is not None and len(pairs):
        drawn["networks"] = importance.pairs_figure(pairs, evaluation)
        drawn["edges"] = importance.edges_figure(read_group_table(folder / "edges.tsv"))
    if bands is not None and len(bands):
        drawn["bands"] = importance.bands_figure(bands, evaluation)
        drawn["sensors"] = importance.sensors_figure(read_group_table(folder / "sensors.tsv"))
    return drawn


def _prediction_figures(folder, evaluation, main):
    drawn = {}
    labels_as_text = {"target": str} if evaluation["question"]["classes"] else {}
    rows = read_group_table(folder / "folds.tsv", **labels_as_text)
    if rows is not None:
        averaged = predictions.average_predictions(rows, evaluation)
        drawn["folds"] = predictions.fold_figure(rows, evaluation)
        drawn["roc"] = predictions.roc_figure(averaged, evaluation)
        drawn["confusion"] = predictions.confusion_figure(averaged, evaluation, main)
        drawn["calibration"] = predictions.calibration_figure(averaged, evaluation, main)
    null = read_group_table(folder / "null.tsv")
    is_tested = any(m["name"] == main and m["p"] is not None for m in evaluation["methods"])
    if null is not None and main in null and is_tested:
        drawn["permutation"] = figures.null_figure(null, evaluation, main)
    return drawn
