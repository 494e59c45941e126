"""Readers for the reports: a missing or damaged file gives an empty value."""

import re
import tomllib
from pathlib import Path

import pandas as pd

from brainfm.errors import BrainFMError
from brainfm.files import read_json
from brainfm.recording import RUN_LABELS

#: Columns of the group tables that hold labels; a label such as 01 or None stays text.
_LABELS = ("dataset", "doi", "participant", *RUN_LABELS, "site")
#: An absolute path at the start of a word, as in ``fmriprep=/home/somebody``.
_LOCAL_PATH = re.compile(r"(^|[\s='\"])/")


def read_json_object(path):
    """Read a JSON object.

    Parameters
    ----------
    path : path

    Returns
    -------
    content : dict
        Empty if the file is missing, damaged or holds no object.
    """
    try:
        return as_dict(read_json(path))
    except (BrainFMError, UnicodeDecodeError):
        return {}


def as_dict(value):
    """Return a dict unchanged, and an empty dict for any other value.

    Parameters
    ----------
    value : object

    Returns
    -------
    value : dict
    """
    return value if isinstance(value, dict) else {}


def read_group_table(path, **dtypes):
    """Read a table of the group folder.

    Parameters
    ----------
    path : path
    **dtypes
        Types of columns; columns of labels are always text.

    Returns
    -------
    table : DataFrame or None
        None if the file is missing or damaged.
    """
    types = dict.fromkeys(_LABELS, str) | dtypes
    try:
        return pd.read_csv(path, sep="\t", na_values=["n/a"], keep_default_na=False, dtype=types)
    except (OSError, ValueError):
        return None


def latest_settings(out_dir):
    """Read the settings of the last call.

    Parameters
    ----------
    out_dir : path
        Output folder of brainfm.

    Returns
    -------
    settings : dict of dict
        Values by section and name; empty if no settings file can be read.
    """
    for path in sorted(Path(out_dir).glob("logs/*/settings.toml"), reverse=True):
        try:
            return tomllib.loads(path.read_text(encoding="utf8"))
        except (OSError, ValueError):
            continue
    return {}


def settings_rows(settings, sections):
    """List settings as the rows of a table, without local paths, since reports are shared.

    Parameters
    ----------
    settings : dict of dict
        As :func:`latest_settings` returns it.
    sections : sequence of str
        Sections of the table.

    Returns
    -------
    rows : list of (str, object)
        ``section.name`` and value.
    """
    return [
        (f"{section}.{name}", value)
        for section in sections
        for name, value in settings.get(section, {}).items()
        if not name.endswith(("_dir", "_file")) and not _LOCAL_PATH.search(str(value))
    ]


def kinds_of(out_dir, dataset):
    """Read the column ``kind`` of ``participants.tsv`` of the output, or else of its raw dataset.

    Parameters
    ----------
    out_dir : path
    dataset : dict
        ``dataset_description.json`` of the output.

    Returns
    -------
    kinds : dict of str to str
        By the label without ``sub-``; empty if there is no such table or column.
    """
    link = as_dict(dataset.get("DatasetLinks")).get("raw")
    for root in [Path(out_dir), *([Path(out_dir) / str(link)] if link else [])]:
        try:
            table = pd.read_csv(root / "participants.tsv", sep="\t", dtype=str, na_values=["n/a"])
        except (OSError, ValueError):
            continue
        if "participant_id" in table:
            kinds = table["kind"].astype(str) if "kind" in table else []
            labels = table["participant_id"].astype(str).str.removeprefix("sub-")
            return dict(zip(labels, kinds, strict=False))
    return {}


def format_value(value):
    """Format a value of a JSON or TOML file as text.

    Parameters
    ----------
    value : object

    Returns
    -------
    text : str
        Items of lists and dicts are joined by commas; numbers have five significant digits.
    """
    if isinstance(value, dict):
        return ", ".join(f"{key}: {format_value(one)}" for key, one in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(format_value, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.5g}"
    return "n/a" if value is None else str(value)
