"""Tables of an evaluation in ``group/``: written, and removed when outdated."""

import logging

import pandas as pd

from brainfm.files import write_json, write_tsv

_log = logging.getLogger("brainfm")

#: Names of the files that :func:`write_evaluation` writes, in the order of writing.
FILES = (
    "rows.tsv", "scores.tsv", "folds.tsv", "null.tsv", "curves.tsv", "audit.tsv", "networks.tsv",
    "edges.tsv", "bands.tsv", "sensors.tsv", "map.tsv", "evaluation.json",
)  # fmt: skip


def write_evaluation(folder, evaluation, results, design, more):
    """Write the tables of an evaluation, and ``evaluation.json`` last: it marks them complete.

    Parameters
    ----------
    folder : Path
    evaluation : dict
        Content of ``evaluation.json``.
    results : list
        ``summary``, ``predicted`` and ``null`` of each method.
    design : brainfm.stages.evaluate.design.EvaluationDesign
    more : dict of str to DataFrame
        Importance (``networks``, ``edges``, ``bands``, ``sensors``) and ``map``.

    Raises
    ------
    CannotCreateOutput, ReadWriteFailed
        If a file cannot be written.
    """
    null = {result.summary["name"]: result.null for result in results if len(result.null)}
    tables = {
        "rows.tsv": _rows(design),
        "scores.tsv": _score_rows(evaluation),
        "folds.tsv": _prediction_rows(results, design, evaluation),
        "null.tsv": pd.DataFrame(null),
        "curves.tsv": _curve_rows(evaluation["curves"]),
        "audit.tsv": _audit_rows(evaluation["audit"]),
        **{f"{name}.tsv": table for name, table in more.items()},
    }
    for name, table in tables.items():
        write_tsv(folder / name, table)
    write_json(folder / "evaluation.json", evaluation)


def remove_outdated_evaluation(output_dir, made_from, data):
    """Remove the evaluation of an earlier call if its data or models have changed since.

    Parameters
    ----------
    output_dir : Path
    made_from : dict or None
        Checksums of the data and models of the earlier call; None if there was none.
    data : dict
        Checksums of the present data and models.

    Returns
    -------
    is_removed : bool
    """
    if made_from in (None, data):
        return False
    _log.warning("removing the evaluation of an earlier call: its data or models have changed")
    for name in FILES:
        (output_dir / "group" / name).unlink(missing_ok=True)
    return True


def _rows(design):
    """One row per recording or window, with the target and the audited columns."""
    rows = design.labels.drop(columns="group")
    columns = design.confounds.set_axis(rows.index).assign(**{design.target.name: design.y})
    return join_columns(rows, columns)


def join_columns(rows, columns):
    """Join columns of participants to the labels of their recordings.

    Parameters
    ----------
    rows : DataFrame of n_rows rows
    columns : DataFrame of n_rows rows
        A name that ``rows`` has too gets the suffix ``_of_participant``.

    Returns
    -------
    joined : DataFrame of n_rows rows
    """
    renamed = {name: f"{name}_of_participant" for name in columns if name in rows}
    return rows.join(columns.rename(columns=renamed))


def _score_rows(evaluation):
    rows = []
    for method in evaluation["methods"]:
        row = {"method": method["name"], "kind": method["kind"]}
        for name, one in method["scores"].items():
            row |= {name: one["value"], f"{name}_low": one["low"], f"{name}_high": one["high"]}
        rows.append(row | {"p": method["p"]})
    return pd.DataFrame(rows)


def _prediction_rows(results, design, evaluation):
    classes = evaluation["question"]["classes"]
    outputs = [f"p_{name}" for name in classes] if classes else ["predicted"]
    frames = []
    for result in results:
        for index, (_, test) in enumerate(design.folds.pairs):
            rows = design.labels.iloc[test].drop(columns="group")
            number = design.folds.repeat[index]
            frame = rows.assign(
                method=result.summary["name"], repeat=number, fold=index, target=design.y[test]
            )
            frame[outputs] = result.predicted[number, test]
            frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _curve_rows(curves):
    """One row per episode."""
    columns = ["method", "k", "episode", "score"]
    rows = [
        (curve["method"], curve["k"], episode, score)
        for curve in curves
        for episode, score in enumerate(curve["scores"])
    ]
    return pd.DataFrame(rows, columns=columns)


def _audit_rows(audit):
    columns = ["column", "read_score", "read", "read_low", "read_high", "target_without",
               "target_without_low", "target_without_high"]  # fmt: skip
    ends = ("value", "low", "high")
    rows = []
    for row in audit:
        read, without = row["read"] or {}, row["without"]
        rows.append([row["column"], *map(read.get, ("score", *ends)), *map(without.get, ends)])
    return pd.DataFrame(rows, columns=columns)
