"""Filter files: select runs of a dataset with the semantics of PyBIDS, as fMRIPrep does."""

import json
import re
from functools import cache
from pathlib import Path

from brainfm.errors import MissingInput, UsageError
from brainfm.storage.bids.names import ENTITY_OF

#: Queries of fMRIPrep that select files which brainfm does not use.
_OTHER_QUERIES = ("flair", "t2w", "fmap", "sbref", "roi", "asl", "dwi", "pet", "inv2")
#: All queries of fMRIPrep.
FMRIPREP_QUERIES = ("bold", "t1w", *_OTHER_QUERIES)
_QUERY_MEMBER = re.compile(r"<?Query\.(\w+)(: \d+>)?")


def read_filters(path, queries):
    """Read a filter file, ``{"bold": {"task": "rest"}, "t1w": {...}, "eeg": {...}}``.

    A value is a label, null (the entity is absent), ``"*"`` (the entity is present) or a list of
    these, of which one has to match. ``"Query.NONE"``, ``"Query.ANY"`` and ``"Query.OPTIONAL"``
    are understood as well; ``"regex_search": true`` makes labels regular expressions. Metadata
    of the sidecars are selected by their names, such as ``"RepetitionTime": 2.0``.

    Parameters
    ----------
    path : path
    queries : collection of str
        Queries to return; others that fMRIPrep knows are ignored.

    Returns
    -------
    filters : dict of str to dict
        For each query, lists of labels and :class:`bids.layout.Query` members by the names that
        PyBIDS gives to entities.

    Raises
    ------
    MissingInput
        If the file cannot be read.
    UsageError
        If it is not such JSON, or holds an unknown query or entity.
    """
    try:
        data = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise MissingInput(
            f"--bids-filter-file {path} cannot be read: {error.strerror}."
        ) from error
    except ValueError as error:
        raise UsageError(f"--bids-filter-file {path} is not valid JSON: {error}.") from error
    if not isinstance(data, dict) or not all(isinstance(item, dict) for item in data.values()):
        raise UsageError(f"{path}: expected {{query: {{entity: value}}}}, see brainfm --help.")
    unknown = [query for query in data if query not in (*queries, *FMRIPREP_QUERIES, "eeg")]
    if unknown:
        raise UsageError(
            f"{path}: there is no query {unknown[0]!r}; expected {', '.join(queries)}."
        )
    return {query: _parsed(path, data[query]) for query in queries if query in data}


def is_selected(path, metadata, query):
    """Return whether a file of a dataset passes one query of a filter file.

    Parameters
    ----------
    path : path
        Relative to the root of the dataset.
    metadata : dict
        Merged sidecars.
    query : dict
        One value of :func:`read_filters`.

    Returns
    -------
    is_selected : bool
    """
    from bids.layout import parse_file_entities

    found = {**metadata, **parse_file_entities(f"/{path}", entities=_entities().values())}
    pattern = query.get("regex_search", False)
    return all(
        _matches(found.get(name), values, pattern)
        for name, values in query.items()
        if name != "regex_search"
    )


@cache
def _entities():
    from bids.layout import Config

    return {**Config.load("derivatives").entities, **Config.load("bids").entities}


def _parsed(path, query):
    names = {**{name: name for name in _entities()}, **{v: k for k, v in ENTITY_OF.items()}}
    names["seg"] = "segmentation"
    unknown = [name for name in query if name not in names and not _is_option(name, names)]
    if unknown:
        raise UsageError(
            f"{path}: there is no entity {unknown[0]!r}; expected one of {', '.join(ENTITY_OF)}."
        )
    parsed = {
        names.get(name, name): [_value(name, item) for item in _as_list(value)]
        for name, value in query.items()
        if name != "scope"
    }
    if "regex_search" in parsed:
        parsed["regex_search"] = bool(query["regex_search"])
    return parsed


def _is_option(name, names):
    """Return whether a name is an argument of ``BIDSLayout.get`` or a field of sidecars."""
    is_metadata = name[:1].isupper() and name.lower() not in names
    return name in ("scope", "regex_search") or is_metadata


def _as_list(value):
    return value if isinstance(value, list) else [value]


def _value(name, value):
    from bids.layout import Query

    member = _QUERY_MEMBER.fullmatch(value) if isinstance(value, str) else None
    if value is None:
        return Query.NONE
    if value == "*":
        return Query.ANY
    if member:
        return Query.__members__.get(member[1], value)
    return f".{value.lstrip('.')}" if name == "extension" and isinstance(value, str) else value


def _matches(found, values, pattern):
    """Compare one entity as ``BIDSLayout.get`` does; an empty list of values allows all."""
    from bids.layout import Query

    if not values or Query.OPTIONAL in values:
        return True
    if found is None:
        return Query.NONE in values
    labels = [value for value in values if not isinstance(value, Query)]
    return Query.ANY in values or any(_is_same(found, label, pattern) for label in labels)


def _is_same(found, label, pattern):
    if pattern:
        return re.search(str(label), str(found), re.IGNORECASE)
    if isinstance(found, int) and str(label).isdigit():
        return int(found) == int(label)  # run-01 is run 1
    return found == label or str(found) == str(label)
