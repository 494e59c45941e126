"""Model card of a checkpoint, written from its ``config.json``.

The card starts with the metadata of the Hugging Face Hub (YAML between two lines of ``---``) and
ends with the scores, if there are any.
"""

import re
from pathlib import Path

import jinja2
import yaml

from brainfm.errors import ModelError
from brainfm.files import read_json
from brainfm.models.checkpoint.load_report import by_dataset

_DATA = Path(__file__).parents[2] / "data"
_SCORES = "\n## Scores\n"

_SCORE_COLUMNS = ("task", "metric", "method", "score", "low", "high")


def model_card(name, info, history, *, version, n_parameters):
    """Write the card of a checkpoint.

    Parameters
    ----------
    name : str
    info : dict
        Contents of ``config.json``.
    history : list of dict
        One entry per epoch.
    version : str
        Of brainfm.
    n_parameters : int

    Returns
    -------
    card : str
        Markdown.
    """
    training, validation = info["training"], info.get("validation") or {}
    last = history[-1] if history else {}
    columns = [one for one in last if one.endswith("_explained")] + ["effective_rank"]
    recordings = [
        f"{number} {modality.upper()} recordings ({training['hours'][modality]:g} h)"
        for modality, number in training["n_recordings"].items()
        if number
    ]
    counts = training.get("participants_by_dataset", {})
    text = (_DATA / "model_card.md").read_text("utf8")
    return jinja2.Template(
        text, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    ).render(
        name=name,
        info=info,
        training=training,
        version=version,
        n_parameters=n_parameters,
        labels=training.get("phenotypes"),
        objective=" + ".join(f"{weight:g} {name}" for name, weight in info["objective"].items()),
        recordings=" and ".join(recordings),
        datasets=by_dataset({one: counts.get(one) for one in training["datasets"]}),
        columns=columns,
        last=[_number(last.get(one)) for one in columns],
        validation=[_number(validation.get(one)) for one in columns],
    )


def finished_card(card, info):
    """Add the metadata for the Hub, unless the card has them, and the scores of ``info``.

    Parameters
    ----------
    card : str
        Markdown, from :func:`model_card` or written by hand.
    info : dict
        Contents of ``config.json``.

    Returns
    -------
    card : str
    """
    if not card.startswith("---\n"):
        head = yaml.safe_dump(hub_metadata(info), sort_keys=False, allow_unicode=True)
        card = f"---\n{head}---\n\n{card}"
    if info.get("scores"):
        card = card.split(_SCORES)[0].rstrip("\n") + "\n" + _SCORES + _score_table(info["scores"])
    return card


def hub_metadata(info):
    """Return the metadata of the Hub: licence, library, tags.

    Parameters
    ----------
    info : dict
        Contents of ``config.json``.

    Returns
    -------
    metadata : dict
    """
    kinds = {"bold": "fmri", "eeg": "eeg"}
    return {
        **hub_licence(info.get("licence")),
        "library_name": "brainfm",
        "pipeline_tag": "feature-extraction",
        "tags": [
            "brainfm", "neuroimaging", *(kinds[m] for m in info.get("modalities", ()) if m in kinds)
        ],
    }  # fmt: skip


def hub_licence(licence):
    """Return the identifier of a licence on the Hub.

    Parameters
    ----------
    licence : str or None
        Such as ``CC BY-NC-SA 4.0``.

    Returns
    -------
    names : dict of str to str
        ``license``: an identifier of the Hub, ``unknown`` without a licence, else ``other`` with
        a ``license_name``.

    References
    ----------
    https://huggingface.co/docs/hub/repositories-licenses
    """
    if not licence:
        return {"license": "unknown"}
    known = read_json(_DATA / "hub_licences.json")
    name = re.sub(r"[^a-z0-9.]+", "-", licence.lower()).strip("-.")
    name = known["other_names"].get(name, name)
    if name in known["identifiers"]:
        return {"license": name}
    return {"license": "other", "license_name": name or "other"}


def score_rows(scores):
    """Convert a table of scores to the rows of ``config.json``.

    Parameters
    ----------
    scores : DataFrame
        One row per method and task: ``task``, ``method``, ``score``, ``low``, ``high`` (the ends of
        its interval) and optionally ``metric``. Each task has a baseline and the model.

    Returns
    -------
    rows : list of dict

    Raises
    ------
    ModelError
        If columns are missing or unknown, or a task has a single method.
    """
    columns = [one for one in _SCORE_COLUMNS if one in scores.columns]
    missing = set(_SCORE_COLUMNS) - {"metric"} - set(columns)
    unknown = [str(one) for one in scores.columns if one not in _SCORE_COLUMNS]
    if missing or unknown:
        raise ModelError(
            f"scores has the columns {', '.join(map(str, scores.columns))}; expected "
            f"{', '.join(_SCORE_COLUMNS)} (metric may be left out)."
        )
    alone = [task for task, methods in scores.groupby("task")["method"] if methods.nunique() < 2]
    if alone:
        raise ModelError(
            f"scores has one method for {alone[0]!r}; expected a baseline on the same folds "
            "too: add it."
        )
    return [
        {key: float(value) if key in ("score", "low", "high") else str(value)
         for key, value in row.items()}
        for row in scores[columns].to_dict("records")
    ]  # fmt: skip


def _score_table(rows):
    lines = ["| task | method | score | interval |", "|---|---|---|---|"]
    for row in rows:
        metric = f", {row['metric']}" if row.get("metric") else ""
        interval = f"{_number(row['low'])} to {_number(row['high'])}"
        cells = f"{row['task']}{metric}", row["method"], _number(row["score"]), interval
        lines.append("| " + " | ".join(one.replace("|", "/") for one in cells) + " |")
    return "\n" + "\n".join(lines) + "\n"


def _number(value):
    return "n/a" if value is None or value != value else f"{value:.3g}"
