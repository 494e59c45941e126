"""What an output folder says about a participant, gathered for the report; nothing is computed."""

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.errors import BrainFMError
from brainfm.files import read_json
from brainfm.storage.bids.names import entities_of, stem_of
from brainfm.storage.derivatives.status import status_to_show

#: What a reader wants to see first; figures nobody thought of come after, by name.
_ORDER = (
    "brain", "mask", "template", "normalisation", "segmentation", "coregistration", "alignment",
    "motion", "carpet", "coverage", "connectivity", "psd", "traces", "components", "sensors",
    "bands",
)  # fmt: skip
_SUFFIXES = ("T1w", "bold", "eeg")


@dataclass(frozen=True, kw_only=True)
class FigureFile:
    """One picture, with what its sidecar says."""

    path: Path
    what: str
    title: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class EmbeddingFile:
    """One embedding of a recording: its sidecar, and the vector when it can be read."""

    name: str
    sidecar: dict
    vector: np.ndarray | None


@dataclass(kw_only=True)
class RecordingFacts:
    """All that the output folder says about one run (or one T1w image)."""

    stem: str
    suffix: str
    quality: dict = field(default_factory=dict)
    sidecar: dict = field(default_factory=dict)
    embeddings: list = field(default_factory=list)
    status: dict = field(default_factory=dict)
    figures: list = field(default_factory=list)

    @property
    def name(self):
        """``sub-01_task-rest_bold``."""
        return f"{self.stem}_{self.suffix}"

    @property
    def task(self):
        """Task label, or None."""
        return entities_of(f"{self.name}.x").get("task")

    @property
    def title(self):
        """Name for people: the labels after the participant."""
        entities = entities_of(f"{self.name}.x")
        words = {"task": "", "ses": "session ", "run": "run ", "acq": "acquisition "}
        parts = [f"{words[key]}{entities[key]}" for key in words if key in entities]
        return ", ".join(parts) or {"T1w": "T1w image"}.get(self.suffix, self.suffix)

    @property
    def anchor(self):
        """Name usable as an HTML id."""
        return "".join(c if c.isalnum() else "-" for c in self.name)


@dataclass(frozen=True, kw_only=True)
class ParticipantFacts:
    """All that the output folder says about one participant."""

    label: str
    status: dict
    recordings: list
    dataset: dict
    settings: dict
    person: dict

    def of(self, suffix):
        """Recordings of one kind: T1w, bold or eeg."""
        return [recording for recording in self.recordings if recording.suffix == suffix]

    @property
    def is_synthetic(self):
        """Whether label, dataset or participants.tsv call this participant synthetic."""
        return "synthetic" in f"{self.label} {self.person.get('kind', '')}".lower()


def gather(out_dir, participant):
    """Read what there is about a participant; whatever is missing or damaged is left empty.

    Parameters
    ----------
    out_dir : path
    participant : str
        Label without ``sub-``.

    Returns
    -------
    ParticipantFacts
    """
    out_dir, folder = Path(out_dir), Path(out_dir) / f"sub-{participant}"
    status = status_to_show(out_dir, participant)
    found = {}

    def at(stem, suffix):
        return found.setdefault((stem, suffix), RecordingFacts(stem=stem, suffix=suffix))

    _take_figures(folder, at)
    for path in _under(folder, "*_qc.json"):
        if path.parent.name in ("func", "eeg"):
            at(_raw_stem(path), _suffix_of(path)).quality = quiet_json(path)
    for path in _under(folder, "*_desc-brain_mask.json"):
        overlap = quiet_json(path).get("DiceTemplate")
        if path.parent.name == "anat" and overlap is not None:
            at(_raw_stem(path), "T1w").quality = {"dice_template": overlap}
    for path in _under(folder, "*_embedding.json"):
        array = path.with_suffix(".npy")
        made = EmbeddingFile(name=array.name, sidecar=quiet_json(path), vector=_vector(array))
        at(_raw_stem(path), _suffix_of(path)).embeddings.append(made)
    for pattern in ("*_desc-preproc_eeg.json", "*_desc-denoised_timeseries.json"):
        for path in _under(folder, pattern):
            at(_raw_stem(path), _suffix_of(path)).sidecar = quiet_json(path)
    for name, entry in _dict(status.get("recordings")).items():
        stem, _, suffix = str(name).rpartition("_")
        if suffix in _SUFFIXES and stem.startswith(f"sub-{participant}"):
            at(stem, suffix).status = _dict(entry)
    order = sorted(found, key=lambda key: (_SUFFIXES.index(key[1]), key[0]))
    return ParticipantFacts(
        label=participant,
        status=status,
        recordings=[found[key] for key in order],
        dataset=quiet_json(out_dir / "dataset_description.json"),
        settings=latest_settings(out_dir),
        person=_person(out_dir, participant),
    )


def quiet_json(path):
    """Read a JSON object; an empty dict where there is none or it is damaged."""
    try:
        return _dict(read_json(path))
    except (BrainFMError, UnicodeDecodeError):
        return {}


def latest_settings(out_dir):
    """Return the settings of the last call as nested dict; empty when there are none."""
    for path in sorted(Path(out_dir).glob("logs/*/settings.toml"), reverse=True):
        try:
            return tomllib.loads(path.read_text(encoding="utf8"))
        except (OSError, ValueError):
            continue
    return {}


def source_root(out_dir, dataset):
    """Return the raw dataset the output was made from, or None when it is not there (any more)."""
    link = _dict(dataset.get("DatasetLinks")).get("raw")
    root = Path(out_dir) / str(link) if link else None
    return root if root is not None and root.is_dir() else None


def people_table(out_dir, dataset):
    """Read participants.tsv of the output or of its source; an empty table when there is none."""
    source = source_root(out_dir, dataset)
    for root in (Path(out_dir), source):
        path = root / "participants.tsv" if root is not None else None
        try:
            frame = pd.read_csv(path, sep="\t", dtype=str, na_values=["n/a"]) if path else None
        except (OSError, ValueError):
            continue
        if frame is not None and "participant_id" in frame:
            return frame
    return pd.DataFrame({"participant_id": []})


def _person(out_dir, participant):
    table = people_table(out_dir, quiet_json(Path(out_dir) / "dataset_description.json"))
    rows = table[table["participant_id"] == f"sub-{participant}"]
    # Labels only: other columns are about the person, and a report gets passed around.
    return {"kind": rows["kind"].iloc[0]} if len(rows) and "kind" in rows else {}


def _take_figures(folder, at):
    for path in sorted([*folder.glob("figures/*"), *folder.glob("ses-*/figures/*")]):
        what = entities_of(path).get("desc")
        if path.suffix not in (".svg", ".png") or not what or _suffix_of(path) is None:
            continue
        told = quiet_json(path.with_suffix(".json"))
        figure = FigureFile(
            path=path,
            what=what,
            title=str(told.get("title") or what),
            caption=str(told.get("caption") or ""),
        )
        at(_raw_stem(path), _suffix_of(path)).figures.append(figure)
        at(_raw_stem(path), _suffix_of(path)).figures.sort(key=_rank)


def _rank(figure):
    place = next((i for i, word in enumerate(_ORDER) if word in figure.what.lower()), len(_ORDER))
    return place, figure.what


def _under(folder, pattern):
    return sorted([*folder.glob(f"*/{pattern}"), *folder.glob(f"ses-*/*/{pattern}")])


def _raw_stem(path):
    """Stem of the raw run: without what derivatives add."""
    raw = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo")
    entities = entities_of(path)
    return "_".join(f"{key}-{entities[key]}" for key in entities if key in raw)


def _suffix_of(path):
    """T1w, bold or eeg, by the suffix of the name, or else by the folder."""
    suffix = Path(path).name.removeprefix(f"{stem_of(path)}_").partition(".")[0]
    if suffix in _SUFFIXES:
        return suffix
    return {"func": "bold", "eeg": "eeg", "anat": "T1w"}.get(Path(path).parent.name)


def _vector(path):
    try:
        vector = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        return None
    return vector if vector.ndim == 1 and vector.size and np.isfinite(vector).all() else None


def _dict(value):
    return value if isinstance(value, dict) else {}


def as_text(value):
    """Spell a value of a sidecar for people."""
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return "n/a" if value is None else str(value)
