"""Report of one participant: quality of the preprocessing, embeddings and methods."""

from pathlib import Path

import numpy as np

from brainfm.files import write_text
from brainfm.stages.report.collect import TITLES, collect_outputs
from brainfm.stages.report.embeddings import participant_embeddings
from brainfm.stages.report.figures.participant import alpha_figure
from brainfm.stages.report.methods import (
    participant_methods,
    preprocessing_texts,
    software_versions,
)
from brainfm.stages.report.quality import outside_sentences, quality_tables
from brainfm.stages.report.read import settings_rows
from brainfm.stages.report.render import picture, render
from brainfm.stages.report.usual import notes_of


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
    sections = {kind: outputs.of(kind) for kind in TITLES if outputs.of(kind)}
    html = render(
        "participant.html",
        title=f"sub-{label}",
        outputs=outputs,
        kinds=TITLES,
        sections=sections,
        errors=_errors(outputs, errors),
        missing=_missing(outputs),
        recordings=[_row(recording) for recording in outputs.recordings],
        quality=quality_tables(outputs),
        outside=outside_sentences(outputs),
        notes_of=notes_of,
        alpha=_alpha(outputs.of("eeg")),
        embedding=participant_embeddings(outputs),
        methods=participant_methods(outputs),
        texts=preprocessing_texts(out_dir, outputs),
        versions=software_versions(sections),
        settings=settings_rows(outputs.settings, ("run", "bold", "fmriprep", "eeg", "model")),
    )
    return write_text(Path(out_dir) / f"sub-{label}.html", html)


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
    svg = alpha_figure([(title, share) for title, (_, share) in shares.items()])
    return {
        "closed": np.mean(closed),
        "open": np.mean(opened),
        "figure": picture("Relative occipital alpha power", svg=svg),
    }


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
