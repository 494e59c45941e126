"""Tables of all quality measures of a group, one row per run, with descriptions of the columns."""

import pandas as pd

from brainfm.files import read_json, write_json, write_tsv
from brainfm.stages.report.render import REPORTS
from brainfm.stages.report.usual import outside_usual, quality_words
from brainfm.storage.bids.names import ENTITY_OF, entities_of

#: Entities by the columns of their labels.
LABELS = {"participant_id": "sub", "session_id": "ses"} | {
    name: short for name, short in ENTITY_OF.items() if name not in ("subject", "session")
}
_MARKS = ["outside_usual", "outlier", "excluded"]


def run_labels(run):
    """Return the labels of a run as columns of the tables of a group.

    Parameters
    ----------
    run : brainfm.stages.report.collect.RecordingOutputs

    Returns
    -------
    labels : dict of str to str
        ``participant_id`` and ``session_id`` with their prefixes, other labels by the long names
        of their entities.
    """
    entities = entities_of(f"{run.name}.x")
    prefixes = {"participant_id": "sub-", "session_id": "ses-"}
    return {
        name: prefixes.get(name, "") + entities[short]
        for name, short in LABELS.items()
        if short in entities
    }


def write_quality_table(out_dir, suffix, runs, outliers, reasons):
    """Write ``group_<suffix>.tsv`` and its JSON sidecar; remove both if there are no runs.

    Parameters
    ----------
    out_dir : Path
    suffix : {"T1w", "bold", "eeg"}
    runs : list of brainfm.stages.report.collect.RecordingOutputs
    outliers : list of dict
        See :func:`brainfm.stages.report.outliers.find_outliers`.
    reasons : dict of str to str
        Reasons of excluded runs, by name.

    Returns
    -------
    names : list of str
        Names of the two files.
    """
    paths = [out_dir / f"group_{suffix}{extension}" for extension in (".tsv", ".json")]
    if runs:
        frame = quality_frame(runs, outliers, reasons)
        write_tsv(paths[0], frame)
        write_json(paths[1], describe_columns(frame, suffix))
    else:
        for path in paths:
            path.unlink(missing_ok=True)
    return [path.name for path in paths]


def quality_frame(runs, outliers, reasons):
    """Build the table of all quality measures.

    Parameters
    ----------
    runs, outliers, reasons
        See :func:`write_quality_table`.

    Returns
    -------
    frame : DataFrame
        ``bids_name``, labels, all values of ``*_qc.json`` that are no lists, ``outside_usual``,
        ``outlier`` and ``excluded``.
    """
    frame = pd.DataFrame(
        {"bids_name": run.name}
        | run_labels(run)
        | {key: one for key, one in run.quality.items() if not isinstance(one, list | dict)}
        | {
            "outside_usual": _join({one["key"]: side for one, side in outside_usual(run)}),
            "outlier": _join(outlier),
            "excluded": reasons.get(run.name),
        }
        for run, outlier in zip(runs, outliers, strict=True)
    )
    labels = [name for name in ("bids_name", *LABELS) if name in frame]
    return frame[[*labels, *(one for one in frame if one not in (*labels, *_MARKS)), *_MARKS]]


def _join(sides):
    return "; ".join(f"{key} {side}" for key, side in sides.items()) or None


def describe_columns(frame, suffix):
    """Describe the columns of a table of quality measures.

    Parameters
    ----------
    frame : DataFrame
    suffix : {"T1w", "bold", "eeg"}

    Returns
    -------
    columns : dict of dict
        ``Description`` of each column; ``Units`` and ``UsualRange`` with its ``Source`` where
        there are any.
    """
    words = quality_words()
    measures = {measure["key"]: measure for measure in words[suffix]}
    texts = {name: f"Entity {LABELS[name]} of the run" for name in LABELS} | words["columns"]
    return {
        name: _describe(measures[name])
        if name in measures
        else {"Description": texts.get(name, f"{name} of the *_qc.json of the run")}
        for name in frame
    }


def _describe(measure):
    column = {"Description": "; ".join(filter(None, (measure["name"], measure.get("note"))))}
    if measure["form"] == "%":
        column["Units"] = "1"  # a share
    elif measure["unit"]:
        column["Units"] = measure["unit"]
    if "usual" in measure:
        low, high = measure["usual"]
        column["UsualRange"] = {"Minimum": low, "Maximum": high} | _source(measure)
    return column


def _source(measure):
    share = {"ShareOf": measure["total"]} if "total" in measure else {}
    if "source" not in measure:
        return share | {"Source": "convention of brainfm"}
    text, doi = read_json(REPORTS / "citations.json")[measure["source"]]
    return share | {"Source": f"{text} https://doi.org/{doi}"}
