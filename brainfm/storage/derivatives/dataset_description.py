"""Description of the output as a BIDS derivative dataset; written before anything else."""

import os
import re
from pathlib import Path

import pandas as pd

from brainfm import __version__
from brainfm.files import read_json, read_tsv, write_json, write_text, write_tsv

BIDS_VERSION = "1.10.0"
_CODE_URL = "https://github.com/brainfm/brainfm"
#: Files whose names BIDS does not define yet.
_IGNORED = """\
*.html
*_timeseries.*
*_relmat.*
*_embedding.*
*_qc.json
*_boldref.*
*_xfm.*
**/figures
**/status.json
group
logs
models
work
"""
_DESCRIPTIONS = {
    "preproc": "Preprocessed: motion-corrected and normalised (BOLD), cleaned (EEG)",
    "brain": "Brain mask",
    "confounds": "Nuisance regressors, one row a volume",
    "denoised": "Confounds regressed out and band-pass filtered",
    "pearson": "Pearson correlation between parcels",
    "bold": "Quality of one BOLD run, units in the names",
    "eeg": "Quality of one EEG recording, units in the names",
}
_README = """\
# brainfm derivatives

Made by brainfm {version} from the BIDS dataset named in `dataset_description.json`.

- `sub-<label>.html`: the report of a participant; judge the preprocessing by it.
- `sub-<label>/status.json`: what was done, what failed and why, checksums of the files.
- `sub-<label>/func`, `sub-<label>/eeg`: preprocessed runs, parcel time series,
  connectivity, clean EEG, embeddings (`*_embedding.npy`, float32, one vector a recording).
- `group.html`, `group/`, `models/`: the group level.
- `logs/`: settings, messages and crash files of each call.

Missing values are `n/a` in tables and `null` in JSON. Embeddings carry the checkpoint, its
checksum and their sources in the JSON beside them.
"""


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
    description = {
        "Name": "brainfm derivatives",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "License": _licence_of(bids_dir),
        "GeneratedBy": [_generated_by()],
        "SourceDatasets": [_source(bids_dir)],
        "DatasetLinks": {
            "raw": _link(bids_dir, output_dir),
            **{name: _link(path, output_dir) for name, path in (derivatives or {}).items()},
        },
    }
    description = {key: value for key, value in description.items() if value}
    write_json(output_dir / "dataset_description.json", description)
    write_text(output_dir / ".bidsignore", _IGNORED)
    write_text(output_dir / "README.md", _README.format(version=__version__))
    _write_descriptions(output_dir / "descriptions.tsv", models)


def _generated_by():
    entry = {
        "Name": "brainfm",
        "Version": __version__,
        "CodeURL": _CODE_URL,
        "Container": _container(),
    }
    return {key: value for key, value in entry.items() if value}


def _container():
    image = os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER")
    if image:
        return {"Type": "singularity", "URI": Path(image).name}
    tag = os.environ.get("BRAINFM_DOCKER_TAG")
    return {"Type": "docker", "Tag": tag} if tag else None


def _source(bids_dir):
    raw = _raw_description(bids_dir)
    source = {"URL": raw.get("DatasetDOI") if _is_uri(raw.get("DatasetDOI")) else None}
    source["Version"] = raw.get("DatasetVersion") or raw.get("Name")
    return {key: value for key, value in source.items() if value}


def _licence_of(bids_dir):
    return _raw_description(bids_dir).get("License")


def _raw_description(bids_dir):
    path = Path(bids_dir) / "dataset_description.json"
    return read_json(path) if path.is_file() else {}


def _is_uri(text):
    return isinstance(text, str) and ":" in text


def _link(path, output_dir):
    """Return the path of a dataset relative to the output, so that both can be moved together."""
    return os.path.relpath(Path(path).resolve(), Path(output_dir).resolve())


def _write_descriptions(path, models):
    texts = dict(_DESCRIPTIONS)
    for model in models:
        texts[re.sub(r"[^0-9a-zA-Z]", "", model)] = f"Embedding by the checkpoint {model}"
    rows = {f"desc-{label}": text for label, text in texts.items()}
    if path.is_file():
        frame = read_tsv(path, dtype=str)
        rows = {**dict(zip(frame["desc_id"], frame["description"], strict=True)), **rows}
    frame = pd.DataFrame({"desc_id": list(rows), "description": list(rows.values())})
    write_tsv(path, frame)
