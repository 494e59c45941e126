"""Exclusion lists of the group level: runs that one leaves out, and runs proposed for one."""

import pandas as pd

from brainfm.files import write_tsv
from brainfm.stages.report.group_tables import LABELS, run_labels
from brainfm.stages.report.read import read_group_table
from brainfm.stages.report.usual import bound_text, outside_usual
from brainfm.storage.derivatives.labels import labels_of

#: Name of the proposed list in ``group/``.
PROPOSAL = "proposed_exclusions.tsv"


def reasons_of(out_dir, participants):
    """Read which runs the exclusion list of the last group level leaves out.

    Parameters
    ----------
    out_dir : Path
    participants : list of brainfm.stages.report.collect.ParticipantOutputs

    Returns
    -------
    reasons : dict of str to str
        Reason by name of the run, from ``group/excluded.tsv``.
    """
    table = read_group_table(out_dir / "group" / "excluded.tsv", **dict.fromkeys(LABELS, str))
    if table is None:
        return {}
    excluded = {_key(row): str(row.get("reason")) for row in table.to_dict("records")}
    runs = [run for one in participants for run in one.recordings]
    keys = {run.name: _key(_labels(out_dir, run)) for run in runs}
    return {name: excluded[key] for name, key in keys.items() if key in excluded}


def _labels(out_dir, run):
    """Labels of a run as in the table of excluded recordings."""
    labels = run_labels(run)
    labels["participant"] = labels.pop("participant_id").removeprefix("sub-")
    if "session_id" in labels:
        labels["session"] = labels.pop("session_id").removeprefix("ses-")
    return labels | {"modality": run.suffix, "dataset": _dataset(out_dir, run)}


def _key(labels):
    names = ("dataset", "modality", "participant", "session", *LABELS)
    return tuple(labels[name] if isinstance(labels.get(name), str) else None for name in names)


def _dataset(out_dir, run):
    participant = run.name.partition("_")[0]
    return labels_of(out_dir / participant / f"{run.name}.json")["dataset"]


def write_proposal(out_dir, runs):
    """Write an exclusion list of the runs outside their usual ranges; remove it if there are none.

    Nothing applies this list: it is given to the group level by ``--exclude`` after a look.

    Parameters
    ----------
    out_dir : Path
    runs : list of brainfm.stages.report.collect.RecordingOutputs
        Of BOLD and EEG.

    Returns
    -------
    n_runs : int
    """
    path = out_dir / "group" / PROPOSAL
    rows = [
        run_labels(run)
        | {"modality": run.suffix, "dataset": _dataset(out_dir, run), "reason": "; ".join(reasons)}
        for run in runs
        if (reasons := _reasons(run, runs))
    ]
    if not rows:
        path.unlink(missing_ok=True)
        return 0
    frame = pd.DataFrame(rows)
    last = ["modality", "dataset", "reason"]
    write_tsv(path, frame[[*(name for name in LABELS if name in frame), *last]])
    return len(rows)


def _reasons(run, runs):
    """Reasons to leave out a run; not the protocol that most runs of its kind share."""
    return [
        bound_text(measure, side)
        for measure, side in outside_usual(run)
        if not (measure.get("is_protocol") and _is_most_frequent(run, runs, measure["key"]))
    ]


def _is_most_frequent(run, runs, key):
    values = pd.Series([one.quality.get(key) for one in runs if one.suffix == run.suffix])
    return run.quality[key] in values.mode().to_list()
