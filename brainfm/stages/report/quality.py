"""Quality sections of the reports: measures of each recording, with typical ranges."""

from importlib.resources import files

import pandas as pd

from brainfm.files import read_json
from brainfm.stages.report.collect import TITLES
from brainfm.stages.report.figures.group import quality_figure
from brainfm.stages.report.render import write_figure

#: Measures on the group page: key, heading and number of decimals.
_GROUP_MEASURES = {
    "T1w": [("dice_template", "Dice with template", "3")],
    "bold": [
        ("fd_mean_mm", "mean FD (mm)", "3"),
        ("tsnr_median", "median tSNR", "1"),
        ("n_parcels_covered", "parcels covered", "0"),
    ],
    "eeg": [
        ("n_bad_channels", "bad channels", "0"),
        ("n_ica_removed", "ICs removed", "0"),
        ("alpha_relative_occipital", "relative occipital alpha", "2"),
        ("alpha_peak_hz", "alpha peak (Hz)", "1"),
    ],
}
_TOTALS = {
    "n_parcels_covered": "n_parcels",
    "n_bad_channels": "n_channels",
    "n_ica_removed": "n_ica_components",
}
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
    measures = read_json(files("brainfm.data") / "reports" / "quality.json")[suffix]
    rows = [
        {
            "name": name,
            "unit": unit,
            "values": [format_measure(one.quality, key, form) for one in recordings],
            "typical": typical,
        }
        for key, name, unit, form, typical in measures
        if key not in hidden and any(one.quality.get(key) is not None for one in recordings)
    ]
    if not rows:
        return None
    columns = [recording.title for recording in recordings]
    return {"title": f"{TITLES[suffix]} quality measures", "columns": columns, "rows": rows}


def format_measure(quality, key, form):
    """Format a quality measure.

    Parameters
    ----------
    quality : dict
        Content of ``*_qc.json``.
    key : str
    form : str
        Number of decimals, or "%" for a share in percent.

    Returns
    -------
    text : str
        ``n/a`` if the measure is missing; counts are given as ``97 of 100``.
    """
    value = quality.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "n/a"
    text = f"{100 * value:.0f}" if form == "%" else f"{value:.{form}f}"
    total = quality.get(_TOTALS.get(key))
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
    tables = [_group_table(folder, participants, suffix) for suffix in _GROUP_MEASURES]
    return [table for table in tables if table]


def _group_table(folder, participants, suffix):
    measures = _GROUP_MEASURES[suffix]
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
            [format_measure(recording.quality, key, form) for key, _, form in measures],
        )
        for participant, recording in recordings
    ]
    return {
        "title": TITLES[suffix],
        "columns": [name for _, name, _ in measures],
        "rows": rows,
        "figure": _strips(folder, recordings, suffix),
    }


def _strips(folder, recordings, suffix):
    if len(recordings) < _FEWEST_FOR_STRIPS:
        return None
    names = {key: name for key, name, _ in _GROUP_MEASURES[suffix]}
    data = pd.DataFrame(
        {"participant": participant.label, "recording": recording.name}
        | {key: pd.to_numeric(recording.quality.get(key), errors="coerce") for key in names}
        for participant, recording in recordings
    )
    title = f"{TITLES[suffix]} quality measures of all recordings"
    caption = "One dot per recording; the line is the median."
    return write_figure(folder, f"quality_{suffix}", title, quality_figure(data, names), caption)
