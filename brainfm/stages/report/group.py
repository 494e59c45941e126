"""Report of the group: evaluation, embeddings, quality, corpus and pretraining."""

from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.files import write_text
from brainfm.stages.report.collect import TITLES, collect_group
from brainfm.stages.report.embeddings import group_embeddings
from brainfm.stages.report.evaluation import evaluation_section
from brainfm.stages.report.exclusions import reasons_of
from brainfm.stages.report.figure_page import write_figure_page
from brainfm.stages.report.figures.group import training_figure
from brainfm.stages.report.group_quality import group_quality
from brainfm.stages.report.methods import software_versions
from brainfm.stages.report.motion_effects import motion_section
from brainfm.stages.report.read import (
    as_dict,
    latest_settings,
    read_group_table,
    read_json_object,
    settings_rows,
)
from brainfm.stages.report.render import render, write_figure
from brainfm.storage.bids.query import participants_of


def write_group_report(out_dir):
    """Write ``group.html`` from the content of the output folder, and its figures to ``group/``.

    Beside it are ``group_figures.html`` and the tables of quality measures. Sections without
    content are left out.

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
    participants = collect_group(out_dir, participants_of(out_dir))
    evaluation = read_json_object(folder / "evaluation.json")
    reasons = reasons_of(out_dir, participants)
    context = {
        "title": "Group report",
        "evaluation": evaluation_section(folder, evaluation),
        "embeddings": group_embeddings(folder, participants, evaluation),
        "quality": group_quality(out_dir, participants, reasons),
        "motion": motion_section(out_dir, participants, reasons),
        "figure_page": write_figure_page(out_dir, participants, reasons),
        "corpus": _corpus(folder / "corpus"),
        "excluded": _excluded(folder / "excluded.tsv"),
        "models": _models(out_dir),
        "participants": participants,
        "with_page": [p.label for p in participants if (out_dir / f"sub-{p.label}.html").is_file()],
        "versions": software_versions(("bold", "eeg")),
        "settings": settings_rows(latest_settings(out_dir), ("model", "pretrain", "evaluate")),
    }
    _remove_old_figures(folder / "figures", context)
    return write_text(out_dir / "group.html", render("group.html", **context))


def _remove_old_figures(folder, context):
    """Remove the figures of an earlier call that are not on this page."""
    figures = [*(context["evaluation"] or {"figures": []})["figures"], *context["embeddings"]]
    tables = (context["quality"] or {"tables": []})["tables"]
    with_figure = (*tables, *context["models"], context["motion"] or {"figure": None})
    figures += [one["figure"] for one in with_figure if one["figure"]]
    names = {Path(figure["data"]).stem for figure in figures}
    for path in folder.glob("*"):
        if path.suffix in (".svg", ".tsv") and path.stem not in names:
            path.unlink()


def _excluded(path):
    """Count the recordings that the exclusion list leaves out; None if there are none."""
    table = read_group_table(path)
    if table is None or table.empty:
        return None
    people = table[["dataset", "participant"]].drop_duplicates()
    reasons = table["reason"].value_counts().to_dict()
    return {"n_recordings": len(table), "n_participants": len(people), "reasons": reasons}


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
    name = folder.name
    return {
        "name": name,
        "details": [(key.replace("_", " "), value) for key, value in details.items() if value],
        "card": _card(folder / "README.md"),
        "figure": write_figure(
            out_dir / "group", f"pretraining_{name}", _history(folder), entry="pretraining",
            model=name,
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
