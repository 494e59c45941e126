"""Quality section of the group report: measures of all runs, and which are out of the ordinary."""

from collections import Counter

import pandas as pd

from brainfm.stages.report.collect import TITLES
from brainfm.stages.report.exclusions import PROPOSAL, write_proposal
from brainfm.stages.report.figures.group import quality_figure
from brainfm.stages.report.group_tables import write_quality_table
from brainfm.stages.report.outliers import FEWEST_FOR_OUTLIERS, find_outliers
from brainfm.stages.report.render import write_figure
from brainfm.stages.report.usual import (
    format_measure,
    in_sentence,
    is_share,
    notes_of,
    outside_text,
    outside_usual,
    quality_words,
    side_of,
    value_of,
)

_FEWEST_FOR_STRIPS = 5
_MOST_NOTES = 10


def group_quality(out_dir, participants, reasons):
    """Build the quality section of a group, and write its tables.

    For each kind of recording, ``group_<kind>.tsv`` with a JSON sidecar has one row per run. The
    runs outside their usual ranges are also written as an exclusion list, which nothing applies.

    Parameters
    ----------
    out_dir : Path
        Output folder of brainfm.
    participants : list of brainfm.stages.report.collect.ParticipantOutputs
    reasons : dict of str to str
        Reasons of excluded runs, by name.

    Returns
    -------
    section : dict or None
        Variables of the template: ``tables``, one per kind of recording that has measures, and
        ``n_proposed`` runs in the list ``proposal``. None without measures.
    """
    members = {
        suffix: [(one, run) for one in participants for run in one.of(suffix) if run.quality]
        for suffix in TITLES
    }
    runs = {suffix: [run for _, run in pairs] for suffix, pairs in members.items()}
    signals = [*runs["bold"], *runs["eeg"]]
    n_proposed = write_proposal(out_dir, [run for run in signals if run.name not in reasons])
    tables = []
    for suffix, pairs in members.items():
        outliers = find_outliers(runs[suffix])
        files = write_quality_table(out_dir, suffix, runs[suffix], outliers, reasons)
        if pairs:
            table = _table(out_dir, suffix, pairs, outliers, reasons)
            tables.append(table | {"files": files})
    if not tables:
        return None
    return {
        "tables": tables,
        "fewest": FEWEST_FOR_OUTLIERS,
        "proposal": f"group/{PROPOSAL}",
        "n_proposed": n_proposed,
    }


def _table(out_dir, suffix, pairs, outliers, reasons):
    """Measures that have a short name, and what is out of the ordinary, run by run."""
    measures = [one for one in quality_words()[suffix] if "short_name" in one]
    marks = [
        _marks(run, outlier, reasons.get(run.name))
        for (_, run), outlier in zip(pairs, outliers, strict=True)
    ]
    rows = [
        {
            "participant": participant.label,
            "run": run,
            "note": "synthetic" if participant.is_synthetic else "",
            "cells": [_cell(run, measure, outlier) for measure in measures],
            **mark,
        }
        for (participant, run), outlier, mark in zip(pairs, outliers, marks, strict=True)
    ]
    return {
        "title": TITLES[suffix],
        "columns": [measure["short_name"] for measure in measures],
        "rows": rows,
        "marked": [row for row in rows if row["outside"] or row["outliers"] or row["excluded"]],
        "counts": {key: sum(bool(mark[key]) for mark in marks) for key in marks[0]},
        "notes": _count_notes(run for _, run in pairs),
        "figure": _strips(out_dir / "group", pairs, suffix, measures),
    }


def _cell(run, measure, outlier):
    side = side_of(run.quality, measure)
    is_outlier = not side and measure["key"] in outlier
    return format_measure(run.quality, measure), side or ("outlier" if is_outlier else "")


def _marks(run, outlier, excluded):
    names = {one["key"]: one for one in quality_words()[run.suffix]}
    outside = [measure for measure, _ in outside_usual(run)]
    return {
        "outside": [outside_text(run, measure) for measure in outside],
        "outliers": [
            f"{in_sentence(names[key]['name'])} {format_measure(run.quality, names[key])} ({side})"
            for key, side in outlier.items()
            if names[key] not in outside
        ],
        "excluded": excluded,
    }


def _count_notes(runs):
    """Notes of preprocessing with the number of runs that have them, most frequent first."""
    notes = [note["text"] for run in runs for note in notes_of(run) if not note["of_run"]]
    return Counter(notes).most_common(_MOST_NOTES)


def _strips(folder, pairs, suffix, measures):
    if len(pairs) < _FEWEST_FOR_STRIPS:
        return None
    data = pd.DataFrame(
        {"participant": participant.label, "recording": run.name}
        | {one["key"]: value_of(run.quality, one) for one in measures}
        for participant, run in pairs
    )
    panels = {}
    for one in measures:
        scale = 100 if is_share(one) else 1
        title = f"{one['short_name']} (%)" if is_share(one) else one["short_name"]
        data[one["key"]] = pd.to_numeric(data[one["key"]]) * scale
        bounds = one.get("usual", (None, None))
        panels[one["key"]] = (title, *(b if b is None else b * scale for b in bounds))
    figure = quality_figure(data, panels)
    return write_figure(folder, f"quality_{suffix}", figure, entry="quality", kind=TITLES[suffix])
