"""Report of the group: evaluation, embeddings, quality, corpus and pretraining."""

from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.files import write_text
from brainfm.stages.report.collect import TITLES, collect_outputs
from brainfm.stages.report.embeddings import group_embeddings
from brainfm.stages.report.evaluation import evaluation_section
from brainfm.stages.report.figures.group import training_figure
from brainfm.stages.report.methods_text import (
    evaluation_methods,
    number_citations,
    software_versions,
)
from brainfm.stages.report.quality import group_quality
from brainfm.stages.report.read import (
    as_dict,
    format_value,
    latest_settings,
    read_group_table,
    read_json_object,
    settings_rows,
)
from brainfm.stages.report.render import render, write_figure
from brainfm.storage.bids.query import participants_of


def write_group_report(out_dir):
    """Write ``group.html`` from the content of the output folder, and its figures to ``group/``.

    Sections without content are left out.

    Parameters
    ----------
    out_dir : path
        Output folder of brainfm.

    Returns
    -------
    path : Path
    """
    out_dir = Path(out_dir)
    folder = out_dir / "group"
    participants = [collect_outputs(out_dir, label) for label in participants_of(out_dir)]
    evaluation = read_json_object(folder / "evaluation.json")
    methods = evaluation_methods(evaluation) if evaluation else []
    paragraphs, references = number_citations(methods)
    context = {
        "title": "Group report",
        "n_participants": len(participants),
        "n_synthetic": sum(participant.is_synthetic for participant in participants),
        "evaluation": evaluation_section(folder, evaluation),
        "embeddings": group_embeddings(folder, participants, evaluation),
        "quality": group_quality(folder, participants),
        "corpus": _corpus(folder / "corpus"),
        "models": _models(out_dir),
        "participants": [_participant_row(out_dir, one) for one in participants],
        "paragraphs": paragraphs,
        "references": references,
        "versions": software_versions(("bold", "eeg")),
        "settings": settings_rows(latest_settings(out_dir), ("model", "pretrain", "evaluate")),
    }
    _remove_old_figures(folder / "figures", context)
    return write_text(out_dir / "group.html", render("group.html", **context))


def _remove_old_figures(folder, context):
    """Remove the figures of an earlier call that are not on this page."""
    figures = [*(context["evaluation"] or {"figures": []})["figures"], *context["embeddings"]]
    figures += [one["figure"] for one in (*context["quality"], *context["models"]) if one["figure"]]
    names = {Path(figure["data"]).stem for figure in figures}
    for path in folder.glob("*"):
        if path.suffix in (".svg", ".tsv") and path.stem not in names:
            path.unlink()


def _corpus(folder):
    manifest = read_group_table(folder / "manifest.tsv")
    if manifest is None or manifest.empty:
        return None
    manifest["hours"] = manifest["n_times"] / manifest["sampling_hz"] / 3600
    rows = []
    for (dataset, modality), own in manifest.groupby(["dataset", "modality"], sort=True):
        splits = own.groupby("split")["participant"].nunique()
        rows.append(
            (
                dataset,
                TITLES.get(modality, modality),
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
    config = read_json_object(folder / "config.json")
    details = {"preset": config.get("preset"), "objective": config.get("objective")}
    details |= as_dict(config.get("training"))
    details |= {"licence": config.get("licence")}
    details.pop("participants", None)  # hashes, one per participant
    caption = (
        "The loss alone does not show what the model learned. In a useful model, the explained "
        "variance is above 0 and the effective rank of the embeddings is well above 1."
    )
    name = folder.name
    return {
        "name": name,
        "details": [
            (key.replace("_", " "), format_value(value)) for key, value in details.items() if value
        ],
        "card": _card(folder / "README.md"),
        "figure": write_figure(
            out_dir / "group", f"pretraining_{name}", f"Pretraining of {name}", _history(folder),
            caption,
        ),
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
    return training_figure(frame)


def _participant_row(out_dir, participant):
    name = f"sub-{participant.label}"
    return {
        "label": participant.label,
        "link": f"{name}.html" if (out_dir / f"{name}.html").is_file() else None,
        "state": participant.status.get("state", "unknown"),
        "synthetic": participant.is_synthetic,
        "recordings": ", ".join(
            recording.name.removeprefix(f"{name}_")
            for recording in (*participant.of("bold"), *participant.of("eeg"))
        ),
    }
