"""Effects of motion on connectivity in the group report: QC-FC before and after denoising."""

from collections import defaultdict

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist

from brainfm.evaluation.qc_fc import FEWEST_PARTICIPANTS, qc_fc
from brainfm.signal.connectivity import upper_triangle
from brainfm.stages.report.figures.motion import qc_fc_figure
from brainfm.stages.report.read import as_dict, read_group_table, read_json_object
from brainfm.stages.report.render import write_figure

#: Label of the connectivity before and after denoising, and its name.
STAGES = {"preproc": "before denoising", "pearson": "after denoising"}
#: Medians of more edges are no more precise.
_MOST_EDGES = 20_000


def motion_section(out_dir, participants, reasons):
    """Correlate connectivity with motion over the participants of the most frequent task.

    Connectivity and motion of several runs of a participant are averaged.

    Parameters
    ----------
    out_dir : Path
        Output folder of brainfm.
    participants : list of brainfm.stages.report.collect.ParticipantOutputs
    reasons : dict of str to str
        Reasons of excluded runs, by name; these are left out.

    Returns
    -------
    section : dict or None
        Variables of the template; ``figure`` is None with fewer than ``fewest`` participants.
        None without connectivity.
    """
    found = defaultdict(lambda: defaultdict(list))
    for participant in participants:
        for run in participant.of("bold"):
            if run.name not in reasons and isinstance(run.quality.get("fd_mean_mm"), int | float):
                for atlas, files in run.matrices.items():
                    found[run.task, atlas][participant.label].append((run, files))
    if not found:
        return None
    task, atlas = max(found, key=lambda key: len(found[key]))
    data, stages, n_participants = _qc_fc(list(found[task, atlas].values()))
    section = {"task": task, "n_participants": n_participants, "fewest": FEWEST_PARTICIPANTS}
    if not stages:
        return section | {"figure": None}
    figure = qc_fc_figure(data, {name: STAGES[name] for name in stages})
    return section | {
        "rows": [_row(STAGES[name], one) for name, one in stages.items()],
        "by_chance": f"{0.6745 / np.sqrt(n_participants - 1):.2f}",
        "figure": write_figure(out_dir / "group", "qc_fc", figure),
    }


def _row(name, found):
    return [
        name,
        found.n_participants,
        f"{found.median_absolute:.2f}",
        f"{100 * found.share_significant:.0f}",
        f"{found.distance_dependence:.2f}".replace("-", "−").replace("nan", "n/a"),
    ]


def _qc_fc(people):
    """Edges, QC-FC of each stage, and the number of participants with the same parcels.

    ``people`` are lists of runs with the files of their connectivity, one list per participant.
    """
    after = people[0][0][1].get("pearson")
    names = _names(after)
    n_edges = len(names) * (len(names) - 1) // 2
    chosen = np.arange(n_edges)
    if n_edges > _MOST_EDGES:
        chosen = np.sort(np.random.default_rng(0).choice(n_edges, _MOST_EDGES, replace=False))
    edges = {
        stage: [_mean_edges([one.get(stage) for _, one in runs], names, chosen) for runs in people]
        for stage in STAGES
    }
    usable = [index for index, one in enumerate(edges["pearson"]) if one is not None]
    if len(usable) < FEWEST_PARTICIPANTS:
        return None, {}, len(usable)
    motion_mm = [np.mean([run.quality["fd_mean_mm"] for run, _ in people[i]]) for i in usable]
    distances_mm = pdist(_positions(after, names))[chosen]
    stages = {}
    for stage, own in edges.items():
        if all(own[index] is not None for index in usable):
            rows = np.array([own[index] for index in usable])
            stages[stage] = qc_fc(rows, motion_mm, distances_mm)
    columns = {stage: one.correlations for stage, one in stages.items()}
    return pd.DataFrame({"distance_mm": distances_mm} | columns), stages, len(usable)


def _names(path):
    table = read_group_table(path) if path else None
    return [] if table is None else list(table.columns[1:])


def _positions(path, names):
    """Positions of the parcels in mm, from the sidecar of the time series; NaN if unknown."""
    name = path.name.replace("_desc-pearson_relmat.tsv", "_desc-denoised_timeseries.json")
    known = as_dict(read_json_object(path.with_name(name)).get("Positions"))
    return np.array([known.get(one, [np.nan] * 3) for one in names], float)


def _mean_edges(paths, names, chosen):
    """Mean of some edges over the runs of a participant; None if a matrix is missing."""
    rows = [_edges(path, names, chosen) for path in paths]
    return None if any(row is None for row in rows) else np.mean(rows, axis=0)


def _edges(path, names, chosen):
    table = read_group_table(path) if path else None
    if table is None or not names or list(table.columns[1:]) != names or len(table) != len(names):
        return None
    try:
        return upper_triangle(table[names].to_numpy(np.float32))[chosen]
    except ValueError:  # a damaged file
        return None
