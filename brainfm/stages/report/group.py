"""Report of the group level: the answer first, then what it rests on."""

from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.files import write_text
from brainfm.stages.evaluate.embedding_map import FEWEST_FOR_PCA
from brainfm.stages.report.collect import as_text, gather, latest_settings, quiet_json
from brainfm.stages.report.evaluation import evaluation_part, kept, table_of
from brainfm.stages.report.figures import evaluation as around
from brainfm.stages.report.figures import group as draw
from brainfm.stages.report.figures.style import embedding_figure
from brainfm.stages.report.methods_text import evaluation_methods, numbered, software
from brainfm.stages.report.participant import quality_value
from brainfm.stages.report.render import render
from brainfm.storage.bids.query import participants_of

#: What a group wants to see of each recording: key, heading, how it is spelled.
_QUALITY = {
    "T1w": [("dice_template", "Dice with template", "3")],
    "bold": [
        ("fd_mean_mm", "mean FD (mm)", "3"),
        ("tsnr_median", "tSNR", "1"),
        ("n_parcels_covered", "parcels", "0"),
    ],
    "eeg": [
        ("n_bad_channels", "bad channels", "0"),
        ("n_ica_removed", "ICA removed", "0"),
        ("alpha_relative_occipital", "occipital alpha", "2"),
        ("alpha_peak_hz", "alpha peak (Hz)", "1"),
    ],
}
_FEWEST_FOR_STRIPS = 5


def write_group_report(out_dir):
    """Write ``group.html`` from what the output folder holds, and its figures into ``group/``.

    Parts that were not run are named on the page; nothing that is missing stops it.

    Parameters
    ----------
    out_dir : path
        Output folder of brainfm.

    Returns
    -------
    path : Path
    """
    out_dir = Path(out_dir)
    people = [gather(out_dir, label) for label in participants_of(out_dir)]
    evaluation = quiet_json(out_dir / "group" / "evaluation.json")
    answer = evaluation_part(out_dir / "group", evaluation)
    paragraphs, references = numbered(evaluation_methods(evaluation) if evaluation else [])
    context = {
        "title": "Group report",
        "n_people": len(people),
        "n_synthetic": sum(person.is_synthetic for person in people),
        "answer": answer,
        "embeddings": [
            *_embeddings(out_dir / "group", people),
            *filter(None, [_map(out_dir / "group", evaluation)]),
        ],
        "quality": [t for t in (_quality(out_dir / "group", people, k) for k in _QUALITY) if t],
        "corpus": _corpus(out_dir / "group" / "corpus"),
        "models": _models(out_dir),
        "participants": _participants(out_dir, people),
        "paragraphs": paragraphs,
        "references": references,
        "versions": software(("bold", "eeg")),
        "settings": _settings(out_dir),
    }
    context["contents"] = _contents(context)
    _drop_old_figures(out_dir / "group" / "figures", context)
    return write_text(out_dir / "group.html", render("group.html", **context))


def _contents(context):
    sections = [
        ("answer", "Answer", True),
        ("embeddings", "Embeddings", context["embeddings"]),
        ("quality", "Quality", context["quality"]),
        ("corpus", "Corpus", context["corpus"]),
        ("model", "Pretraining", context["models"]),
        ("methods", "Methods", True),
        ("participants", "Participants", True),
    ]
    return [(anchor, title) for anchor, title, there in sections if there]


def _drop_old_figures(folder, context):
    """Remove figures of an earlier call that this page does not show."""
    shown = [*(context["answer"] or {"figures": []})["figures"], *context["embeddings"]]
    shown += [table["figure"] for table in context["quality"] if table["figure"]]
    shown += [model["figure"] for model in context["models"] if model["figure"]]
    kept = {Path(figure["data"]).stem for figure in shown}
    for path in folder.glob("*"):
        if path.suffix in (".svg", ".tsv") and path.stem not in kept:
            path.unlink()


def _map(folder, evaluation):
    """What was evaluated on one map, coloured by column; None without an embedding."""
    rows = table_of(folder / "map.tsv")
    if not evaluation or rows is None or rows.empty:
        return None
    lead = evaluation["methods"][0]["name"]
    return kept(
        folder, "maps", f"What was evaluated, seen by {lead}, coloured by column",
        around.maps_figure(rows, evaluation["question"]["name"]),
        "First two principal components of the vectors as they are; the same points in each.",
    )  # fmt: skip


def _embeddings(folder, people):
    """A map of the recordings of each modality, by the model that embedded most of them."""
    found = {}
    for person in people:
        for recording in person.recordings:
            for one in recording.embeddings:
                if one.vector is not None:
                    key = (recording.suffix, one.sidecar.get("ModelName"), len(one.vector))
                    found.setdefault(key, []).append((person, recording, one))
    figures = []
    for modality in ("bold", "eeg"):
        kinds = {key: members for key, members in found.items() if key[0] == modality}
        if kinds:
            key = max(kinds, key=lambda k: (len(kinds[k]), str(k)))
            figures.append(_embedding(folder, key, kinds[key]))
    return figures


def _embedding(folder, key, members):
    modality, model, _ = key
    vectors = np.array([one.vector for _, _, one in members], dtype=float)
    names = [f"sub-{person.label} {recording.title}" for person, recording, _ in members]
    frame = pd.DataFrame(
        {
            "dataset": "",
            "participant": [person.label for person, _, _ in members],
            "task": [recording.task for _, recording, _ in members],
        }
    )
    spelled = {"bold": "BOLD", "eeg": "EEG"}[modality]
    title = f"Embeddings of {spelled}, model {model}"
    if len(members) >= FEWEST_FOR_PCA:
        drawn = draw.embedding_map(frame, vectors)
        caption = "First two principal components of the standardised vectors; a point a recording."
    else:
        drawn = embedding_figure(names, vectors), frame.assign(recording=names)
        caption = "Vectors as rows of colour, and how alike they are."
        caption += " Too few recordings for a map." if len(members) > 1 else ""
    if any(person.is_synthetic for person, _, _ in members):
        caption += " Synthetic participants are simulated signals."
    return kept(folder, f"embedding_{modality}", title, drawn, caption)


def _quality(folder, people, kind):
    spec = _QUALITY[kind]
    found = [
        (person, recording)
        for person in people
        for recording in person.of(kind)
        if recording.quality
    ]
    if not found:
        return None
    rows = [
        (
            person.label,
            recording.title,
            "synthetic" if person.is_synthetic else "",
            [quality_value(recording.quality, key, form) for key, _, form in spec],
        )
        for person, recording in found
    ]
    title = {"T1w": "Anatomy", "bold": "BOLD", "eeg": "EEG"}[kind]
    return {
        "title": title,
        "columns": [name for _, name, _ in spec],
        "rows": rows,
        "figure": _quality_figure(folder, found, kind, title),
    }


def _quality_figure(folder, found, kind, title):
    if len(found) < _FEWEST_FOR_STRIPS:
        return None
    names = {key: name for key, name, _ in _QUALITY[kind]}
    data = pd.DataFrame(
        {"participant": person.label, "recording": recording.name}
        | {key: pd.to_numeric(recording.quality.get(key), errors="coerce") for key in names}
        for person, recording in found
    )
    drawn = draw.quality_figure(data, names)
    caption = "A dot a recording; line: median."
    return kept(folder, f"quality_{kind}", f"{title} over recordings", drawn, caption)


def _corpus(folder):
    manifest = table_of(folder / "manifest.tsv")
    if manifest is None or manifest.empty:
        return None
    manifest["hours"] = manifest["n_times"] / manifest["sampling_hz"] / 3600
    rows = []
    for (dataset, modality), own in manifest.groupby(["dataset", "modality"], sort=True):
        splits = own.groupby("split")["participant"].nunique()
        rows.append(
            (
                dataset,
                {"bold": "BOLD", "eeg": "EEG"}.get(modality, modality),
                own["participant"].nunique(),
                len(own),
                f"{own['hours'].sum():.2f}",
                own["site"].nunique() or "n/a",
                ", ".join(f"{count} {name}" for name, count in splits.items()),
            )
        )
    return {"rows": rows, "n_recordings": len(manifest), "hours": f"{manifest['hours'].sum():.2f}"}


def _models(out_dir):
    return [
        _model(out_dir, path.parent)
        for path in sorted(out_dir.glob("models/*/config.json"))
        if not path.parent.name.startswith(".")
    ]


def _model(out_dir, folder):
    config = quiet_json(folder / "config.json")
    training = config.get("training") if isinstance(config.get("training"), dict) else {}
    hidden = ("participants",)  # hashes of people: long, and nobody's reading
    facts = {"preset": config.get("preset"), "objective": config.get("objective")}
    facts |= {key: value for key, value in training.items() if key not in hidden}
    facts |= {"licence": config.get("licence")}
    drawn = _history(folder)
    caption = (
        "Loss alone says little about what was learned: what counts is a share explained above 0 "
        "and an effective rank that stays well above 1."
    )
    return {
        "name": folder.name,
        "facts": [(key.replace("_", " "), as_text(value)) for key, value in facts.items() if value],
        "card": _card(folder / "README.md"),
        "figure": kept(out_dir / "group", f"pretraining_{folder.name}",
                        f"Pretraining of {folder.name}", drawn, caption),
    }  # fmt: skip


def _card(path):
    try:
        return path.read_text(encoding="utf8")
    except (OSError, ValueError):
        return None


def _history(folder):
    try:
        frame = pd.read_json(folder / "history.json")
    except (OSError, ValueError):
        return None
    if frame.empty:
        return None
    frame["epoch"] = np.arange(1, len(frame) + 1)
    return draw.training_figure(frame)


def _participants(out_dir, people):
    return [
        {
            "label": person.label,
            "link": f"sub-{person.label}.html"
            if (out_dir / f"sub-{person.label}.html").is_file()
            else None,
            "state": person.status.get("state", "unknown"),
            "synthetic": person.is_synthetic,
            "recordings": ", ".join(
                recording.name.removeprefix(f"sub-{person.label}_")
                for recording in person.recordings
                if recording.suffix != "T1w"
            ),
        }
        for person in people
    ]


def _settings(out_dir):
    settings = latest_settings(out_dir)
    return [
        (f"{section}.{key}", as_text(value))
        for section in ("model", "pretrain", "evaluate")
        for key, value in settings.get(section, {}).items()
    ]
