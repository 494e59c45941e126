"""Evaluation section of the group report: summary, table of methods and figures."""

from functools import partial

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
    shown = [
        *_score_figures(folder, evaluation),
        *_network_figures(folder, evaluation),
        *_band_figures(folder, evaluation),
        *_prediction_figures(folder, evaluation, main),
        _permutation_figure(folder, evaluation, main),
    ]
    return [figure for figure in shown if figure]


def _score_figures(folder, evaluation):
    write = partial(write_figure, folder)
    return [
        write("methods", "Scores of all methods", figures.methods_figure(evaluation),
              "Methods are tested on the same folds. Points: scores; lines: 95 % bootstrap "
              "intervals."),
        write("curves", "Few-shot learning curves", figures.curves_figure(evaluation),
              "Mean score over random draws of training participants, the same draws for all "
              "methods, with 95 % intervals. All other participants are the test set."),
        write("audit", "Scores after regressing out confounds", figures.audit_figure(evaluation),
              "Each confound is regressed out of the features within the folds."),
    ]  # fmt: skip


def _network_figures(folder, evaluation):
    """Importance of networks and edges; none for EEG."""
    pairs = read_group_table(folder / "networks.tsv")
    edges = read_group_table(folder / "edges.tsv")
    if pairs is None or not len(pairs):
        return []
    write = partial(write_figure, folder)
    return [
        write("networks", "Permutation importance of pairs of networks",
              importance.pairs_figure(pairs, evaluation),
              "Decrease of the score when all edges between two networks are permuted across test "
              "rows; lines: standard deviation over permutations. Correlated edges can replace "
              "each other, which lowers the importance of both."),
        write("edges", "Edges with the strongest patterns", importance.edges_figure(edges),
              f"Red: stronger edges for {_predictions(evaluation)}. Patterns (Haufe et al., "
              "2014) of the model on training rows; single edges are not tested."),
    ]  # fmt: skip


def _band_figures(folder, evaluation):
    """Importance of frequency bands; none for fMRI and for more than two classes."""
    bands = read_group_table(folder / "bands.tsv")
    sensors = read_group_table(folder / "sensors.tsv")
    if bands is None or not len(bands):
        return []
    write = partial(write_figure, folder)
    return [
        write("bands", "Permutation importance of frequency bands",
              importance.bands_figure(bands, evaluation),
              "Decrease of the score of log band power when the power of all electrodes in a band "
              "is permuted across test rows; lines: standard deviation over permutations. "
              "Correlated bands can replace each other, which lowers the importance of both."),
        write("sensors", "Patterns of the electrodes", importance.sensors_figure(sensors),
              f"Red: higher log band power for {_predictions(evaluation)}. Patterns (Haufe "
              "et al., 2014) of the model on training rows; single electrodes are not tested."),
    ]  # fmt: skip


def _predictions(evaluation):
    """Name the predictions that a positive weight goes with."""
    classes = evaluation["question"]["classes"]
    return f"predictions of {classes[1]}" if classes else "larger predicted values"


def _prediction_figures(folder, evaluation, main):
    classes = evaluation["question"]["classes"]
    rows = read_group_table(folder / "folds.tsv", **({"target": str} if classes else {}))
    if rows is None:
        return []
    averaged = predictions.average_predictions(rows, evaluation)
    title = "Confusion matrix" if classes else "Predicted against true values"
    write = partial(write_figure, folder)
    return [
        write("folds", "Scores by fold", predictions.fold_figure(rows, evaluation),
              "The folds of one repeat share training data, so their scores are not independent."),
        write("roc", "ROC curves", predictions.roc_figure(averaged, evaluation),
              "Predictions of all folds.", width="narrow"),
        write("confusion", f"{title}, {main}",
              predictions.confusion_figure(averaged, evaluation, main), width="narrow"),
        write("calibration", f"Calibration, {main}",
              predictions.calibration_figure(averaged, evaluation, main),
              "Predictions of all folds; dotted line: perfect calibration.", width="narrow"),
    ]  # fmt: skip


def _permutation_figure(folder, evaluation, main):
    null = read_group_table(folder / "null.tsv")
    is_tested = any(m["name"] == main and m["p"] is not None for m in evaluation["methods"])
    if null is None or main not in null or not is_tested:
        return None
    return write_figure(
        folder, "permutation", "Permutation test", figures.null_figure(null, evaluation, main),
        "Scores with labels permuted between independent units within the test folds. The p value "
        "is the share of permutations that reach the score with the true labels.",
    )  # fmt: skip
