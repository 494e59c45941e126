"""Quality sections of the reports: measures of each recording, with typical ranges."""

import pandas as pd

from brainfm.files import read_json
from brainfm.stages.report.collect import TITLES
from brainfm.stages.report.figures.group import quality_figure
from brainfm.stages.report.render import REPORTS, write_figure

_FEWEST_FOR_STRIPS = 5


def quality_tables(outputs):
    """Build the tables of quality measures of one participant.

    Parameters
    ----------
    outputs : brainfm.stages.report.collect.ParticipantOutputs

    Returns
    -------
    tables : list of dict
        One table per kind of recording that has measures.
    """
    anatomy = _table("T1w", outputs.of("T1w"))
    # The overlap with the template belongs to the anatomy; BOLD repeats it.
    hidden = ("dice_template",) if anatomy else ()
    tables = [anatomy, _table("bold", outputs.of("bold"), hidden), _table("eeg", outputs.of("eeg"))]
    return [table for table in tables if table]


def _table(suffix, recordings, hidden=()):
    recordings = [recording for recording in recordings if recording.quality]
    rows = [
        {**measure, "values": [format_measure(one.quality, measure) for one in recordings]}
        for measure in read_json(REPORTS / "quality.json")[suffix]
        if measure["key"] not in hidden
        and any(one.quality.get(measure["key"]) is not None for one in recordings)
    ]
    if not rows:
        return None
    columns = [recording.title for recording in recordings]
    return {"title": f"{TITLES[suffix]} quality measures", "columns": columns, "rows": rows}


def format_measure(quality, measure):
    """Format a quality measure.

    Parameters
    ----------
    quality : dict
        Content of ``*_qc.json``.
    measure : dict
        Entry of ``quality.json``: ``key``, ``form`` (number of decimals, or "%" for a share in
        percent) and for a count the key of its ``total``.

    Returns
    -------
    text : str
        ``n/a`` if the measure is missing; counts are given as ``97 of 100``.
    """
    value, form = quality.get(measure["key"]), measure["form"]
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "n/a"
    text = f"{100 * value:.0f}" if form == "%" else f"{value:.{form}f}"
    total = quality.get(measure.get("total"))
    return f"{text} of {total}" if total else text


def group_quality(folder, participants):
    """Build the tables and figures of quality measures of a group.

    Parameters
    ----------
    folder : Path
        ``group`` folder, for the figures.
    participants : list of brainfm.stages.report.collect.ParticipantOutputs

    Returns
    -------
    tables : list of dict
    """
    tables = [_group_table(folder, participants, suffix) for suffix in TITLES]
    return [table for table in tables if table]


def _group_table(folder, participants, suffix):
    """Build the table of the measures that have a short name."""
    measures = read_json(REPORTS / "quality.json")[suffix]
    measures = [measure for measure in measures if "short_name" in measure]
    recordings = [
        (participant, recording)
        for participant in participants
        for recording in participant.of(suffix)
        if recording.quality
    ]
    if not recordings:
        return None
    rows = [
        (
            participant.label,
            recording.title,
            "synthetic" if participant.is_synthetic else "",
            [format_measure(recording.quality, measure) for measure in measures],
        )
        for participant, recording in recordings
    ]
    names = {measure["key"]: measure["short_name"] for measure in measures}
    return {
        "title": TITLES[suffix],
        "columns": list(names.values()),
        "rows": rows,
        "figure": _strips(folder, recordings, suffix, names),
    }


def _strips(folder, recordings, suffix, names):
    if len(recordings) < _FEWEST_FOR_STRIPS:
        return None
    data = pd.DataFrame(
        {"participant": participant.label, "recording": recording.name}
        | {key: pd.to_numeric(recording.quality.get(key), errors="coerce") for key in names}
        for participant, recording in recordings
    )
    figure = quality_figure(data, names)
    return write_figure(folder, f"quality_{suffix}", figure, entry="quality", kind=TITLES[suffix])
