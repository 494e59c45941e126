"""Embedding sections of the reports: the vectors of the recordings and their similarity."""

import numpy as np
import pandas as pd
from sklearn.metrics.pairwise import cosine_similarity

from brainfm.stages.evaluate.embedding_map import MIN_ROWS_FOR_PCA
from brainfm.stages.report.collect import TITLES
from brainfm.stages.report.figures.group import embedding_map_figure, maps_figure
from brainfm.stages.report.figures.participant import embedding_figure
from brainfm.stages.report.read import read_group_table
from brainfm.stages.report.render import picture, write_figure


def participant_embeddings(outputs):
    """Build the embedding section of one participant.

    Parameters
    ----------
    outputs : brainfm.stages.report.collect.ParticipantOutputs

    Returns
    -------
    section : dict or None
        None if no recording has an embedding.
    """
    pairs = [(recording, one) for recording in outputs.recordings for one in recording.embeddings]
    if not pairs:
        return None
    return {
        "rows": [_row(recording, embedding) for recording, embedding in pairs],
        "parts": _vector_parts(pairs),
        "figure": _similarity(pairs),
        "in_training": any(embedding.sidecar.get("SeenInTraining") for _, embedding in pairs),
    }


def _row(recording, embedding):
    norm, size = "n/a", "n/a"
    if embedding.vector is not None:
        norm, size = f"{np.linalg.norm(embedding.vector):.1f}", len(embedding.vector)
    window = embedding.sidecar.get("WindowLength")
    window = f"{window:g} s" if isinstance(window, int | float) else "n/a"
    model = embedding.sidecar.get("ModelName", "n/a")
    return recording.full_title, model, size, norm, window, embedding.name


def _vector_parts(pairs):
    """One sentence per kind of recording and model on the parts of its vector."""
    sentences = {}
    for recording, embedding in pairs:
        parts = embedding.sidecar.get("Parts")
        if isinstance(parts, dict):
            sizes = ", ".join(
                f"{name.replace('_', ' ')} ({stop - start})"
                for name, (start, stop) in parts.items()
            )
            model = embedding.sidecar.get("ModelName")
            sentences[recording.suffix, model] = f"{TITLES[recording.suffix]}, {model}: {sizes}."
    return list(sentences.values())


def _similarity(pairs):
    """Draw the vectors of the model and dimension that most recordings share."""
    comparable = {}
    for recording, embedding in pairs:
        if embedding.vector is not None:
            key = (embedding.sidecar.get("ModelSHA256"), len(embedding.vector))
            comparable.setdefault(key, []).append((recording.full_title, embedding.vector))
    group = max(comparable.values(), key=len, default=[])
    if not group:
        return None
    names, vectors = [name for name, _ in group], np.array([v for _, v in group], dtype=float)
    caption = "Each row is one recording, each column one dimension of its embedding."
    if len(group) > 1:
        values = cosine_similarity(vectors)[np.triu_indices(len(group), k=1)]
        caption += (
            " Cosine similarity between recordings of this participant: "
            f"{np.min(values):.2f} to {np.max(values):.2f} (1: same direction, 0: orthogonal)."
        )
    svg = embedding_figure(names, vectors)
    return picture("Embeddings of this participant", caption, svg=svg)


def group_embeddings(folder, participants, evaluation):
    """Draw the embeddings of a group.

    Parameters
    ----------
    folder : Path
        ``group`` folder, for the figures.
    participants : list of brainfm.stages.report.collect.ParticipantOutputs
    evaluation : dict
        Content of ``evaluation.json``; empty if nothing was evaluated.

    Returns
    -------
    figures : list of dict
        One per modality, for the model that embedded most recordings, and one of the evaluated
        rows.
    """
    found = {}
    for participant in participants:
        for recording in participant.recordings:
            for one in recording.embeddings:
                if one.vector is not None:
                    key = (recording.suffix, one.sidecar.get("ModelName"), len(one.vector))
                    found.setdefault(key, []).append((participant, recording, one))
    figures = []
    for modality in ("bold", "eeg"):
        models = {key: members for key, members in found.items() if key[0] == modality}
        if models:
            key = max(models, key=lambda k: (len(models[k]), str(k)))
            figures.append(_group_figure(folder, key, models[key]))
    evaluated = _evaluated_rows(folder, evaluation)
    return [*figures, evaluated] if evaluated else figures


def _group_figure(folder, key, members):
    modality, model, _ = key
    vectors = np.array([one.vector for _, _, one in members], dtype=float)
    names = [f"sub-{participant.label} {recording.title}" for participant, recording, _ in members]
    frame = pd.DataFrame(
        {
            "dataset": "",
            "participant": [participant.label for participant, _, _ in members],
            "task": [recording.task for _, recording, _ in members],
        }
    )
    if len(members) >= MIN_ROWS_FOR_PCA:
        figure = embedding_map_figure(frame, vectors)
        caption = (
            "First two principal components of the standardised embeddings; one point per "
            "recording."
        )
    else:
        figure = embedding_figure(names, vectors), frame.assign(recording=names)
        caption = "Embeddings (one row per recording) and their cosine similarity."
        caption += " There are too few recordings for a map." if len(members) > 1 else ""
    if any(participant.is_synthetic for participant, _, _ in members):
        caption += " The signals of synthetic participants are simulated."
    return write_figure(
        folder, f"embedding_{modality}", figure, entry="embedding",
        kind=TITLES[modality], model=model, content=caption,
    )  # fmt: skip


def _evaluated_rows(folder, evaluation):
    rows = read_group_table(folder / "map.tsv")
    if not evaluation or rows is None or rows.empty:
        return None
    method = evaluation["methods"][0]["name"]
    figure = maps_figure(rows, evaluation["question"]["name"])
    return write_figure(folder, "maps", figure, method=method)
