"""Evaluation section of the group report: summary, table of methods and figures."""

from brainfm.stages.evaluate.summary_text import COUNTS, score_name, spell_p
from brainfm.stages.report.figures import evaluation as figures
from brainfm.stages.report.figures import importance, predictions
from brainfm.stages.report.read import read_group_table
from brainfm.stages.report.render import write_figure


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
    comparison = evaluation["comparison"]
    main = comparison.get("method", comparison["best_baseline"])
    return evaluation | {
        "main": main,
        "audit_rows": [_audit_row(row) for row in evaluation["audit"]],
        "column_rows": [_column_row(one) for one in evaluation["data"].get("columns", ())],
        "column_notes": _column_notes(evaluation["data"]),
        "figures": _figures(folder, evaluation, main),
        "format_score": _format_score,
        "score_name": score_name,
        "spell_p": spell_p,
    }


def _column_row(decision):
    """Cells of the table of columns: what was decided, and numbers of participants."""
    unit = f", in {decision['unit']}" if decision["unit"] else ""
    kind = f"{decision['kind']}{unit}: {decision['why']}"
    return [decision["column"], decision["source"], kind, *(decision[key] for key in COUNTS)]


def _column_notes(data):
    """What was decided about unusual values and files, each once."""
    told = [*data.get("columns", ()), data.get("participants", {"notes": ()})]
    return list(dict.fromkeys(note for one in told for note in one["notes"]))


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
    drawn = {
        "methods": figures.methods_figure(evaluation),
        "curves": figures.curves_figure(evaluation),
        "audit": figures.audit_figure(evaluation),
        **_importance_figures(folder, evaluation),
        **_prediction_figures(folder, evaluation, main),
    }
    shown = [write_figure(folder, name, figure, **words) for name, figure in drawn.items()]
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
