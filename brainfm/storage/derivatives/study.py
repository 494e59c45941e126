"""Study: the dataset that a folder of standardised recordings was made from."""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from brainfm.errors import BrainFMError
from brainfm.files import read_json, read_tsv

#: A table with fewer different rows, labels aside, may be the same in two studies.
_FEWEST_ROWS = 5
_DOI = re.compile(r"10\.\d+/[^\s?#]+")
_VERSION = re.compile(r"[./]v\d+(\.\d+)*$")


@dataclass(frozen=True)
class Study:
    """Study that a folder of recordings, or a row of a corpus, is from.

    Parameters
    ----------
    name : str
        ``Name`` of the raw dataset if it is known, else of the folder itself.
    doi : str or None
        DOI of the raw dataset without its version.
    evidence : frozenset of str
        What is equal in all folders of one study: hashes of the folder of the raw dataset and of
        its table of participants.
    origin : str
        Folder or file, for messages.
    """

    name: str
    doi: str | None
    evidence: frozenset
    origin: str

    def is_same(self, other):
        """Return whether another study of the same name is this one; None where nothing tells."""
        if self.doi and other.doi:
            return self.doi == other.doi
        return True if self.evidence & other.evidence else None


@lru_cache(maxsize=64)
def study_of(root):
    """Return the study of a folder of standardised recordings.

    Parameters
    ----------
    root : str
        Root of the dataset.

    Returns
    -------
    study : Study

    Raises
    ------
    DataError
        If a ``dataset_description.json`` is not JSON.
    """
    own, raw_root = _description(root), _linked_raw(root)
    raw, source = _description(raw_root) if raw_root else {}, _source_of(own)
    table = (raw_root and table_hash(raw_root)) or source.get("ParticipantsHash")
    table = table or table_hash(root)
    origin = str(Path(raw_root or root).resolve())
    folder = hashlib.sha256(origin.encode()).hexdigest()[:16]
    dois = [raw.get("DatasetDOI"), source.get("DOI"), source.get("URL")]
    dois += [own.get("DatasetDOI")] if own.get("DatasetType") != "derivative" else []
    return Study(
        name=raw.get("Name") or source.get("Name") or own.get("Name") or Path(root).name,
        doi=next(filter(None, map(normalise_doi, dois)), None),
        evidence=frozenset({f"folder:{folder}", *([f"table:{table}"] if table else [])}),
        origin=origin,
    )


def normalise_doi(text):
    """Return a DOI in lower case, without resolver and without version.

    Parameters
    ----------
    text : str or None
        Such as ``doi:10.18112/openneuro.ds000114.v1.0.1``.

    Returns
    -------
    doi : str or None
        Such as ``10.18112/openneuro.ds000114``; None if the text holds no DOI.
    """
    found = _DOI.search(text.lower()) if isinstance(text, str) else None
    return _VERSION.sub("", found[0].rstrip("/.,;)")) if found else None


def table_hash(root):
    """Hash the rows of ``participants.tsv``, if they are specific enough for one study.

    Parameters
    ----------
    root : path
        Root of a dataset.

    Returns
    -------
    digest : str or None
        None without a table, or if fewer than 5 of its rows differ in more than their label.
    """
    path = Path(root) / "participants.tsv"
    try:
        frame = read_tsv(path, dtype=str, keep_default_na=False) if path.is_file() else None
    except BrainFMError:  # it is reported where its values are needed
        return None
    if frame is None or "participant_id" not in frame:
        return None
    values = frame.drop(columns="participant_id")
    if not len(values.columns) or len(values.drop_duplicates()) < _FEWEST_ROWS:
        return None
    rows = frame[sorted(frame)].sort_values("participant_id", kind="stable")
    text = "\n".join("\t".join(row) for row in [rows.columns, *rows.astype(str).to_numpy()])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _description(root):
    path = Path(root) / "dataset_description.json"
    content = read_json(path) if path.is_file() else {}
    return content if isinstance(content, dict) else {}


def _linked_raw(root):
    """Return the raw dataset that a derivative links to or lies in, if it is there."""
    links = _description(root).get("DatasetLinks")
    link = links.get("raw") if isinstance(links, dict) else None
    if isinstance(link, str):
        folder = Path(root) / link.removeprefix("file://")
        return folder if folder.is_dir() else None
    inside = [folder.parent for folder in Path(root).parents if folder.name == "derivatives"]
    return next((raw for raw in inside if (raw / "dataset_description.json").is_file()), None)


def _source_of(description):
    sources = description.get("SourceDatasets")
    first = next(iter(sources), None) if isinstance(sources, list) else None
    return first if isinstance(first, dict) else {}
