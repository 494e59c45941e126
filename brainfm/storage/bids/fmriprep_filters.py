"""Filter file that makes fMRIPrep select the runs that brainfm selected."""

from brainfm.errors import UsageError
from brainfm.storage.bids.filters import FMRIPREP_QUERIES, read_filters
from brainfm.storage.bids.names import ENTITY_OF

#: Entities that fMRIPrep combines or selects itself, so that only filters restrict them.
_COMBINED = ("subject", "echo", "part")


def fmriprep_filters(path, runs, *, t1w_sessions=()):
    """Merge the selection of a call and its filter file into one filter file for fMRIPrep.

    The query ``bold`` has the labels of the runs, which all versions of fMRIPrep understand, in
    place of patterns and metadata. Other queries stay as they are; ``eeg`` is left out.

    Parameters
    ----------
    path : path or None
        ``--bids-filter-file``.
    runs : list of RawRun
        The BOLD runs of a participant that are selected, at least one.
    t1w_sessions : iterable of str, optional
        Sessions whose T1w images are used; all without any.

    Returns
    -------
    filters : dict of str to dict
        Content of the file.

    Raises
    ------
    UsageError
        If another query than ``bold`` has patterns, which fMRIPrep cannot read.
    """
    given = read_filters(path, FMRIPREP_QUERIES) if path else {}
    bold = {
        **{name: values for name, values in given.get("bold", {}).items() if name in _COMBINED},
        **{name: sorted(labels) for name, labels in _labels_of(runs).items()},
        **{name: values for name, values in given.get("bold", {}).items() if _is_absent(values)},
    }
    others = {query: values for query, values in given.items() if query != "bold"}
    if t1w_sessions:
        others["t1w"] = {**others.get("t1w", {}), "session": sorted(set(t1w_sessions))}
    return {
        query: _as_json(path, query, values) for query, values in {"bold": bold, **others}.items()
    }


def _labels_of(runs):
    """Return the labels of each entity that all runs have."""
    found = {name: [run.entities.get(short) for run in runs] for name, short in ENTITY_OF.items()}
    return {
        name: set(labels)
        for name, labels in found.items()
        if name not in _COMBINED and None not in labels
    }


def _is_absent(values):
    return isinstance(values, list) and [getattr(value, "name", "") for value in values] == ["NONE"]


def _as_json(path, query, entities):
    """Convert values as fMRIPrep reads them: text, null for an absent entity, ``*`` for any."""
    if entities.get("regex_search"):
        raise UsageError(
            f"{path}: fMRIPrep cannot read regex_search in the query {query!r}; list the labels."
        )
    words = {"NONE": None, "ANY": "*", "REQUIRED": "*"}  # ANY has two names in PyBIDS
    converted = {}
    for name, values in entities.items():
        names = [getattr(value, "name", None) for value in values or ()]
        if name != "regex_search" and names and "OPTIONAL" not in names:
            converted[name] = [
                words.get(member, member) if member else str(value)
                for value, member in zip(values, names, strict=True)
            ]
    return {name: v[0] if len(v) == 1 else v for name, v in converted.items()}
