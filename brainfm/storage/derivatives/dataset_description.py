"""Description of the output as a BIDS derivative dataset; written before anything else."""

import os
import re
from importlib.resources import files
from pathlib import Path

import pandas as pd

from brainfm import __version__
from brainfm.errors import BrainFMError
from brainfm.files import read_json, read_tsv, write_json, write_text, write_tsv
from brainfm.storage.derivatives.study import table_hash

BIDS_VERSION = "1.10.0"
_CODE_URL = "https://github.com/brainfm/brainfm"
_TEXTS = files("brainfm.data") / "derivatives"


def write_description(output_dir, bids_dir, *, derivatives=None, models=()):
    """Write ``dataset_description.json``, ``.bidsignore``, ``README.md`` and ``descriptions.tsv``.

    Several jobs may do this for one output at once. Rows of ``descriptions.tsv`` that others
    added stay.

    Parameters
    ----------
    output_dir, bids_dir : Path
    derivatives : dict of str to Path, optional
        Derivative datasets used besides the raw one, by name.
    models : iterable of str
        Names of the checkpoints whose embeddings are in the output.

    Raises
    ------
    CannotCreateOutput, ReadWriteFailed
        If a file cannot be written.
    DataError
        If the description of the raw dataset is not JSON.
    """
    output_dir = Path(output_dir)
    raw = Path(bids_dir) / "dataset_description.json"
    raw = read_json(raw) if raw.is_file() else {}
    raw_link = {} if is_derivative(bids_dir) else {"raw": bids_dir}
    generator = {
        "Name": "brainfm",
        "Version": __version__,
        "CodeURL": _CODE_URL,
        "Container": _container(),
    }
    description = {
        "Name": "brainfm derivatives",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": raw.get("License"),
        "GeneratedBy": [_without_empty(generator)],
        "SourceDatasets": [_source(raw, bids_dir)],
        "DatasetLinks": {
            name: _link(path, output_dir)
            for name, path in {**raw_link, **(derivatives or {})}.items()
        },
    }
    write_json(output_dir / "dataset_description.json", _without_empty(description))
    write_text(output_dir / ".bidsignore", (_TEXTS / "bidsignore").read_text("utf8"))
    readme = (_TEXTS / "README.md").read_text("utf8").format(version=__version__)
    write_text(output_dir / "README.md", readme)
    _write_descriptions(output_dir / "descriptions.tsv", models)


def pipeline_of(root):
    """Return the name of the pipeline that generated a dataset.

    Parameters
    ----------
    root : path

    Returns
    -------
    pipeline : str or None
        ``Name`` of the first entry of ``GeneratedBy``, or of ``PipelineDescription`` as before
        BIDS 1.4; None if the description names none or cannot be read.
    """
    description = _description_of(root)
    found = description.get("GeneratedBy") or description.get("PipelineDescription") or {}
    first = found[0] if isinstance(found, list) else found
    name = first.get("Name") if isinstance(first, dict) else None
    return name if isinstance(name, str) and name else None


def is_derivative(root):
    """Return whether a dataset says that it holds derivatives.

    Parameters
    ----------
    root : path

    Returns
    -------
    is_derivative : bool
        By ``DatasetType``, or ``PipelineDescription`` as before BIDS 1.4. ``GeneratedBy`` alone
        does not tell: converters name themselves in raw datasets.
    """
    description = _description_of(root)
    kind = description.get("DatasetType")
    return kind == "derivative" or (kind is None and "PipelineDescription" in description)


def _description_of(root):
    try:
        content = read_json(Path(root) / "dataset_description.json")
    except BrainFMError:
        return {}
    return content if isinstance(content, dict) else {}


def _without_empty(fields):
    return {key: value for key, value in fields.items() if value}


def _container():
    image = os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER")
    if image:
        return {"Type": "singularity", "URI": Path(image).name}
    tag = os.environ.get("BRAINFM_DOCKER_TAG")
    return {"Type": "docker", "Tag": tag} if tag else None


def _source(raw, bids_dir):
    """What tells which study the output is of where the raw dataset is not at hand."""
    doi = raw.get("DatasetDOI")
    is_uri = isinstance(doi, str) and ":" in doi
    version = raw.get("DatasetVersion") or raw.get("Name")
    return _without_empty({
        "Name": raw.get("Name"), "URL": doi if is_uri else None, "DOI": doi, "Version": version,
        "ParticipantsHash": table_hash(bids_dir),
    })  # fmt: skip


def _link(path, output_dir):
    """Return the path of a dataset relative to the output, so that both can be moved together."""
    return os.path.relpath(Path(path).resolve(), Path(output_dir).resolve())


def _write_descriptions(path, models):
    rows = {}
    for table in (path, _TEXTS / "descriptions.tsv"):
        if table.is_file():
            frame = read_tsv(table, dtype=str)
            rows |= dict(zip(frame["desc_id"], frame["description"], strict=True))
    for model in models:
        label = re.sub(r"[^0-9a-zA-Z]", "", model)
        rows[f"desc-{label}"] = f"Embedding by the checkpoint {model}"
    write_tsv(path, pd.DataFrame(rows.items(), columns=["desc_id", "description"]))
