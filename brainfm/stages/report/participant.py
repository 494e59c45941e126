"""Report of one participant: quality of the preprocessing, embeddings and methods."""

from pathlib import Path

import numpy as np

from brainfm.files import write_text
from brainfm.stages.report.collect import TITLES, collect_outputs
from brainfm.stages.report.embeddings import participant_embeddings
from brainfm.stages.report.figures.participant import alpha_figure
from brainfm.stages.report.methods_text import (
    fmri_engine,
    number_citations,
    participant_methods,
    software_versions,
)
from brainfm.stages.report.quality import quality_tables
from brainfm.stages.report.read import format_value, settings_rows
from brainfm.stages.report.render import picture, render

_ENGINES = {
    "builtin": "fMRI by the built-in engine",
    "fmriprep": "fMRI by fMRIPrep",
    "derivatives": "fMRI from existing derivatives",
}
#: Figures that need less than the width of the page.
_WIDTHS = {"sensors": "narrow", "connectivity": "medium"}
#: Parcels with less of their voxels in the field of view are named.
_LOW_COVERAGE = 0.5


def write_participant_report(out_dir, participant, *, errors=()):
    """Write ``sub-<label>.html`` from the content of the output folder.

    Missing outputs are listed on the page.

    Parameters
    ----------
    out_dir : path
        Output folder of brainfm.
    participant : str
        Label, with or without ``sub-``.
    errors : sequence of str
        Errors of this call, in addition to those in ``status.json``.

    Returns
    -------
    path : Path
    """
    label = participant.removeprefix("sub-")
    outputs = collect_outputs(out_dir, label)
    paragraphs, references = number_citations(participant_methods(outputs))
    kinds = [kind for kind in TITLES if outputs.of(kind)]
    html = render(
        "participant.html",
        title=f"sub-{label}",
        synthetic=outputs.is_synthetic,
        state=outputs.status.get("state", "unknown"),
        badges=_badges(outputs, kinds),
        lede=_lede(outputs),
        errors=_errors(outputs, errors),
        problems=[str(sentence) for sentence in outputs.status.get("problems") or []],
        missing=_missing(outputs),
        recordings=[_row(recording) for recording in outputs.recordings],
        quality=quality_tables(outputs),
        sections=[_section(outputs, kind) for kind in kinds],
        embedding=participant_embeddings(outputs),
        paragraphs=paragraphs,
        references=references,
        versions=software_versions(kinds),
        settings=settings_rows(outputs.settings, ("run", "bold", "eeg", "model")),
    )
    return write_text(Path(out_dir) / f"sub-{label}.html", html)


def _badges(outputs, kinds):
    badges = [TITLES[kind] for kind in kinds]
    engine = fmri_engine(outputs)
    if outputs.of("bold") and engine and engine != "auto":
        badges.append(_ENGINES.get(engine, f"fMRI engine: {engine}"))
    if outputs.settings.get("run", {}).get("sloppy"):
        badges.append("sloppy mode: for testing only, do not use the results")
    return badges


def _lede(outputs):
    datasets = outputs.dataset.get("SourceDatasets") or []
    names = [str(one.get("Version") or one.get("URL")) for one in datasets]
    updated = str(outputs.status.get("updated") or "")[:16].replace("T", " ")
    parts = [f"Dataset: {', '.join(names)}." if names else ""]
    parts.append(f"Last update: {updated} UTC." if updated else "")
    return " ".join(part for part in parts if part)


def _missing(outputs):
    """Sentences on outputs that a completely processed participant would have."""
    sentences = []
    if outputs.of("bold") and not outputs.of("T1w"):
        sentences.append("Anatomy: no output of a T1w image.")
    for recording in (*outputs.of("bold"), *outputs.of("eeg")):
        expected = {
            "quality measures": recording.quality,
            "figures": recording.figures,
            "embedding": recording.embeddings,
        }
        absent = [name for name, present in expected.items() if not present]
        if absent:
            sentences.append(f"{recording.name}: no {', no '.join(absent)}.")
    return sentences


def _row(recording):
    quality = recording.quality
    seconds = quality.get("duration_s")
    if seconds is None and quality.get("n_volumes"):
        seconds = quality["n_volumes"] * quality.get("repetition_time_s", np.nan)
    duration = f"{seconds:.0f} s" if isinstance(seconds, int | float) and seconds > 0 else ""
    embedded = "" if recording.suffix == "T1w" else ("yes" if recording.embeddings else "no")
    state = recording.status.get("state", "")
    return recording.full_title, duration, state, embedded, recording.name


def _section(outputs, kind):
    recordings = outputs.of(kind)
    return {
        "anchor": kind.lower(),
        "title": TITLES[kind],
        "runs": [(r.anchor, r.title) for r in recordings] if len(recordings) > 1 else [],
        "alpha": _alpha(recordings) if kind == "eeg" else None,
        "parts": [_part(recording) for recording in recordings],
    }


def _part(recording):
    figures = [
        picture(f.title, f.caption, path=f.path, width=_WIDTHS.get(f.desc, ""))
        for f in recording.figures
    ]
    failed = recording.status.get("error") if recording.status.get("state") == "failed" else None
    return {
        "anchor": recording.anchor,
        "title": recording.title if recording.suffix != "T1w" else "",
        "tag": recording.name,
        "name": recording.name,
        "failed": failed,
        "sentences": _sentences(recording),
        "figures": [figure for figure in figures if figure],
        "numbers": [(key, format_value(value)) for key, value in recording.quality.items()],
    }


def _sentences(recording):
    """Bad channels, skipped steps and poorly covered parcels of a recording."""
    quality, sentences = recording.quality, []
    if not (quality or recording.figures):
        sentences.append("There are no figures and no quality measures.")
    if quality.get("bad_channels"):
        reasons = quality.get("bad_channel_reasons") or [""] * len(quality["bad_channels"])
        pairs = zip(quality["bad_channels"], reasons, strict=False)
        words = ", ".join(f"{name} ({reason})" if reason else str(name) for name, reason in pairs)
        sentences.append(f"Interpolated bad channels: {words}.")
    if quality.get("ica_skipped"):
        sentences.append(f"No independent component analysis: {quality['ica_skipped']}.")
    if quality.get("channels_without_position"):
        names = ", ".join(map(str, quality["channels_without_position"]))
        sentences.append(f"Channels excluded because their position is unknown: {names}.")
    if str(quality.get("positions_from", "")).startswith("template"):
        sentences.append(
            f"The electrode positions were not measured ({quality['positions_from']})."
        )
    coverage = recording.sidecar.get("Coverage")
    if isinstance(coverage, dict):
        sentences.append(_coverage(coverage))
    return sentences


def _coverage(coverage):
    low = [
        f"{name} ({100 * share:.0f} %)" for name, share in coverage.items() if share < _LOW_COVERAGE
    ]
    if not low:
        return "At least half of each parcel is in the field of view."
    return f"Parcels with less than half of their voxels in the field of view: {', '.join(low)}."


def _alpha(recordings):
    """Compare occipital alpha with eyes open and with eyes closed; None without both."""
    shares = {
        r.title: (r.task or "", r.quality["alpha_relative_occipital"])
        for r in recordings
        if isinstance(r.quality.get("alpha_relative_occipital"), int | float)
    }
    closed = [share for task, share in shares.values() if "closed" in task.lower()]
    opened = [share for task, share in shares.values() if "open" in task.lower()]
    if not closed or not opened:
        return None
    ratio = np.mean(closed) / np.mean(opened)
    sentence = (
        f"Relative occipital alpha power is {np.mean(closed):.2f} with eyes closed and "
        f"{np.mean(opened):.2f} with eyes open (ratio {ratio:.1f}). "
    )
    if ratio > 1:
        sentence += "The increase with eyes closed that is expected in most people is present."
    else:
        sentence += (
            "The increase with eyes closed that is expected in most people is absent. Check the "
            "task labels and the occipital channels; about one person in ten has little alpha."
        )
    svg = alpha_figure([(title, share) for title, (_, share) in shares.items()])
    return {"sentence": sentence, "figure": picture("Relative occipital alpha power", svg=svg)}


def _errors(outputs, errors):
    found = [
        {
            "text": f"{recording.name}: {recording.status.get('error') or 'failed'}",
            "crash_file": recording.status.get("crash_file"),
        }
        for recording in outputs.recordings
        if recording.status.get("state") == "failed"
    ]
    known = {entry["text"] for entry in found}
    return found + [{"text": str(t), "crash_file": None} for t in errors if str(t) not in known]
