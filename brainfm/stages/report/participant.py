"""Report of one participant: one HTML page from which the preprocessing can be judged."""

from importlib.resources import files
from pathlib import Path

import numpy as np

from brainfm.files import read_json, write_text
from brainfm.stages.report.collect import as_text, gather
from brainfm.stages.report.figures.style import alpha_figure, cosines, embedding_figure
from brainfm.stages.report.methods_text import engine_of, methods_of, numbered, software
from brainfm.stages.report.render import picture, render

_KINDS = {"T1w": "Anatomy", "bold": "BOLD", "eeg": "EEG"}
_INTROS = {
    "T1w": "Is the brain cut out without eyes, neck or holes, and do folds follow the template?",
    "bold": "Does the scan sit on the anatomy, did the participant lie still, and do the networks "
    "show in the connectivity?",
    "eeg": "Are mains and artefacts gone while the brain rhythms stayed?",
}
_STATES = {
    "done": "all steps done",
    "failed": "some steps failed",
    "running": "being worked on",
    "interrupted": "interrupted before its end: run the same command again",
    "invalid": "left out by the check of the input",
}
_ENGINES = {
    "builtin": "fMRI by the built-in engine",
    "fmriprep": "fMRI by fMRIPrep",
    "derivatives": "fMRI from existing derivatives",
}
#: These need less than the width of the page.
_WIDTHS = {"sensors": "narrow", "connectivity": "medium"}


def write_participant_report(out_dir, participant, *, errors=()):
    """Write ``sub-<label>.html`` from what the output folder holds.

    Whatever is missing is named on the page; nothing that is missing stops it.

    Parameters
    ----------
    out_dir : path
        Output folder of brainfm.
    participant : str
        Label, with or without ``sub-``.
    errors : sequence of str
        Sentences about what failed in this call, besides those in ``status.json``.

    Returns
    -------
    path : Path
    """
    label = participant.removeprefix("sub-")
    facts = gather(out_dir, label)
    paragraphs, references = numbered(methods_of(facts))
    sections = [_section(facts, kind) for kind in _KINDS if facts.of(kind)]
    embedding = _embedding(facts)
    failures = _errors(facts, errors)
    html = render(
        "participant.html",
        title=f"sub-{label}",
        synthetic=facts.is_synthetic,
        state=facts.status.get("state", "unknown"),
        state_words=_STATES.get(facts.status.get("state"), "state unknown: no status.json"),
        badges=_badges(facts),
        lede=_lede(facts),
        contents=_contents(sections, embedding),
        errors=failures,
        problems=[str(sentence) for sentence in facts.status.get("problems") or []],
        missing=_missing(facts),
        recordings=[_row(recording) for recording in facts.recordings],
        quality=_quality_tables(facts),
        sections=sections,
        embedding=embedding,
        paragraphs=paragraphs,
        references=references,
        versions=software([kind for kind in _KINDS if facts.of(kind)]),
        settings=_settings(facts),
    )  # fmt: skip
    return write_text(Path(out_dir) / f"sub-{label}.html", html)


def _quality_tables(facts):
    anatomy = quality_table("T1w", facts.of("T1w"))
    # The overlap with the template belongs to the anatomy; BOLD repeats it.
    hidden = ("dice_template",) if anatomy else ()
    tables = [anatomy, quality_table("bold", facts.of("bold"), hidden)]
    return [table for table in (*tables, quality_table("eeg", facts.of("eeg"))) if table]


def quality_table(suffix, recordings, hidden=()):
    """Make the table of key numbers with what is usual, or None when there are no numbers."""
    recordings = [recording for recording in recordings if recording.quality]
    spec = read_json(files("brainfm.data") / "reports" / "quality.json")[suffix]
    rows = []
    for key, name, unit, form, usual in spec:
        if key not in hidden and any(
            recording.quality.get(key) is not None for recording in recordings
        ):
            values = [quality_value(recording.quality, key, form) for recording in recordings]
            rows.append({"name": name, "unit": unit, "values": values, "usual": usual})
    if not rows:
        return None
    columns = [recording.title for recording in recordings]
    return {"title": f"{_KINDS[suffix]} in numbers", "columns": columns, "rows": rows}


def quality_value(quality, key, form):
    """Spell one number of a ``*_qc.json``; n/a when it is not there."""
    value = quality.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return "n/a"
    text = f"{100 * value:.0f}" if form == "%" else f"{value:.{form}f}"
    of = {
        "n_parcels_covered": "n_parcels",
        "n_bad_channels": "n_channels",
        "n_ica_removed": "n_ica_components",
    }.get(key)
    whole = quality.get(of) if of else None
    if whole:
        text += f" of {whole}"
    return text


def _badges(facts):
    badges = [_KINDS[kind] for kind in _KINDS if facts.of(kind)]
    engine = engine_of(facts)
    if facts.of("bold") and engine and engine != "auto":
        badges.append(_ENGINES.get(engine, f"fMRI engine: {engine}"))
    if facts.settings.get("run", {}).get("sloppy"):
        badges.append("sloppy: fast and rough, never for results")
    return badges


def _lede(facts):
    dataset = facts.dataset
    sources = [str(s.get("Version") or s.get("URL")) for s in dataset.get("SourceDatasets") or []]
    parts = [f"Dataset: {', '.join(sources)}." if sources else ""]
    updated = facts.status.get("updated")
    parts.append(f"State of {str(updated)[:16].replace('T', ' ')} UTC." if updated else "")
    return " ".join(part for part in parts if part)


def _contents(sections, embedding):
    middle = [(section["anchor"], section["title"]) for section in sections]
    last = [("methods", "Methods"), ("errors", "Errors")]
    return [("summary", "Summary"), *middle, *([("embedding", "Embedding")] if embedding else []),
            *last]  # fmt: skip


def _missing(facts):
    """Sentences on what a complete participant would have."""
    said = [
        "Anatomy: the output holds nothing of a T1w image."
        for _ in facts.of("bold")[:1]
        if not facts.of("T1w")
    ]
    for recording in facts.recordings:
        if recording.suffix == "T1w":
            continue
        lacks = {
            "quality numbers": recording.quality,
            "figures": recording.figures,
            "embedding": recording.embeddings,
        }
        absent = [name for name, there in lacks.items() if not there]
        if absent:
            said.append(f"{recording.name}: no {', no '.join(absent)}.")
    return said


def _row(recording):
    seconds = recording.quality.get("duration_s")
    if seconds is None and recording.quality.get("n_volumes"):
        seconds = recording.quality["n_volumes"] * recording.quality.get(
            "repetition_time_s", np.nan
        )
    length = f"{seconds:.0f} s" if isinstance(seconds, int | float) and seconds > 0 else ""
    embedded = "" if recording.suffix == "T1w" else ("yes" if recording.embeddings else "no")
    state = recording.status.get("state", "")
    return _name(recording), length, state, embedded, recording.name


def _name(recording):
    kind = _KINDS[recording.suffix]
    return kind if recording.title == recording.suffix else f"{kind}: {recording.title}"


def _section(facts, kind):
    return {
        "anchor": kind.lower(),
        "title": _KINDS[kind],
        "intro": _INTROS[kind],
        "runs": [(r.anchor, r.title) for r in facts.of(kind)] if len(facts.of(kind)) > 1 else [],
        "alpha": _alpha(facts.of("eeg")) if kind == "eeg" else None,
        "parts": [_part(recording) for recording in facts.of(kind)],
    }


def _part(recording):
    figures = [
        picture(f.title, f.caption, path=f.path, width=_WIDTHS.get(f.what, ""))
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
        "numbers": [(key, as_text(value)) for key, value in recording.quality.items()],
    }


def _sentences(recording):
    """What numbers alone do not say: which channels, which parcels, and why."""
    quality, said = recording.quality, []
    if not (quality or recording.figures):
        said.append("There are no figures and no numbers in the output.")
    if quality.get("bad_channels"):
        reasons = quality.get("bad_channel_reasons") or [""] * len(quality["bad_channels"])
        pairs = zip(quality["bad_channels"], reasons, strict=False)
        words = ", ".join(f"{name} ({reason})" if reason else str(name) for name, reason in pairs)
        said.append(f"Bad channels, interpolated: {words}.")
    if quality.get("ica_skipped"):
        said.append(f"Independent components were not looked for: {quality['ica_skipped']}.")
    if quality.get("channels_without_position"):
        lost = ", ".join(map(str, quality["channels_without_position"]))
        said.append(f"Left out, since no position is known: {lost}.")
    if str(quality.get("positions_from", "")).startswith("template"):
        said.append(f"Electrode positions are not measured ({quality['positions_from']}).")
    coverage = recording.sidecar.get("Coverage")
    if isinstance(coverage, dict):
        lost = [f"{name} ({share:.0%})" for name, share in coverage.items() if share < 0.5]
        said.append(
            f"Parcels less than half inside the scan: {', '.join(lost)}."
            if lost
            else "Every parcel is at least half inside the scan."
        )
    return said


def _alpha(recordings):
    """Occipital alpha of recordings with eyes open and eyes closed, when there are both."""
    shares = {
        r.title: (r.task or "", r.quality["alpha_relative_occipital"])
        for r in recordings
        if isinstance(r.quality.get("alpha_relative_occipital"), int | float)
    }
    closed = [share for task, share in shares.values() if "closed" in task.lower()]
    opened = [share for task, share in shares.values() if "open" in task.lower()]
    if not closed or not opened:
        return None
    above = np.mean(closed) > np.mean(opened)
    ratio = np.mean(closed) / np.mean(opened)
    sentence = (
        f"Occipital alpha makes up {np.mean(closed):.2f} of the power with eyes closed and "
        f"{np.mean(opened):.2f} with eyes open, {ratio:.1f} times as much: "
    )
    sentence += (
        "the rise that closing the eyes brings in most people is there."
        if above
        else "the rise that closing the eyes brings in most people is missing. Check the labels of "
        "the tasks and the occipital channels; about one person in ten has little alpha."
    )
    svg = alpha_figure([(title, share) for title, (_, share) in shares.items()])
    return {"sentence": sentence, "figure": picture("Occipital relative alpha", svg=svg)}


def _embedding(facts):
    made = [(recording, one) for recording in facts.recordings for one in recording.embeddings]
    if not made:
        return None
    figure = _likeness(made)
    return {
        "rows": [_embedding_row(recording, one) for recording, one in made],
        "parts": _parts_of_vector(made),
        "figure": figure,
        "overlap": _overlap(made),
    }


def _embedding_row(recording, one):
    length = "n/a" if one.vector is None else f"{np.linalg.norm(one.vector):.1f}"
    size = "n/a" if one.vector is None else len(one.vector)
    model = one.sidecar.get("ModelName", "n/a")
    window = one.sidecar.get("WindowLength")
    window = f"{window:g} s" if isinstance(window, int | float) else "n/a"
    return _name(recording), model, size, length, window, one.name


def _parts_of_vector(made):
    """Say what the positions of a vector hold, once for each modality and model."""
    told = {}
    for recording, one in made:
        parts = one.sidecar.get("Parts")
        if isinstance(parts, dict):
            words = ", ".join(
                f"{name.replace('_', ' ')} ({stop - start})"
                for name, (start, stop) in parts.items()
            )
            told[(_KINDS[recording.suffix], one.sidecar.get("ModelName"))] = words
    return [f"{kind}, {model}: {words}." for (kind, model), words in told.items()]


def _likeness(made):
    """Draw the vectors that can be compared: of one model and one size."""
    same = {}
    for recording, one in made:
        if one.vector is not None:
            key = (one.sidecar.get("ModelSHA256"), len(one.vector))
            same.setdefault(key, []).append((_name(recording), one.vector))
    group = max(same.values(), key=len, default=[])
    if not group:
        return None
    names, vectors = [name for name, _ in group], np.array([v for _, v in group], dtype=float)
    caption = "Each row is one recording, each column one number of its vector."
    if len(group) > 1:
        alike = cosines(vectors)[np.triu_indices(len(group), k=1)]
        caption += (
            f" Cosine similarity between recordings of this participant: {np.min(alike):.2f} to "
            f"{np.max(alike):.2f}; 1 is the same direction, 0 unrelated."
        )
    svg = embedding_figure(names, vectors)
    return picture("Embeddings of this participant", caption, svg=svg)


def _overlap(made):
    if not any(one.sidecar.get("SeenInTraining") for _, one in made):
        return None
    return (
        "The model was pretrained on recordings of this participant, so what is "
        "measured on this participant says less about new people."
    )


def _errors(facts, errors):
    found = []
    for recording in facts.recordings:
        if recording.status.get("state") == "failed":
            text = f"{recording.name}: {recording.status.get('error') or 'failed'}"
            found.append({"text": text, "crash_file": recording.status.get("crash_file")})
    known = {entry["text"] for entry in found}
    return found + [{"text": str(t), "crash_file": None} for t in errors if str(t) not in known]


def _settings(facts):
    return [
        (f"{section}.{key}", as_text(value))
        for section in ("run", "bold", "eeg", "model")
        for key, value in facts.settings.get(section, {}).items()
        if not str(key).endswith(("_dir", "_file"))  # where people keep things is nobody's concern
    ]
