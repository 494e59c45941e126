"""Names of output files, built by PyBIDS from one table of path patterns."""

import re
from functools import lru_cache
from pathlib import Path

from brainfm.errors import DataError
from brainfm.files import read_json
from brainfm.storage.bids.names import LABEL, entities_of, malformed_name, stem_of

#: A PyBIDS configuration: path patterns, and the entities that PyBIDS itself does not know.
PATTERNS_FILE = Path(__file__).parents[2] / "data" / "derivative_patterns.json"
_OF_RAW_RUNS = (
    "sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo", "part", "chunk",
)  # fmt: skip
_ENTITY = re.compile(r"([a-z]+)-\{(\w+)\}")


def derivative_path(out_dir, source_file, *, datatype, suffix, extension, **entities):
    """Build the path of an output file; its folder is not created.

    Parameters
    ----------
    out_dir : path
        Root of the derivative dataset.
    source_file : path
        Raw run or derivative whose entities the output inherits; only its name is read.
    datatype : {"anat", "func", "eeg", "figures"}
    suffix, extension : str
        Such as ``"timeseries"`` and ``".tsv"``.
    **entities : str or None
        Labels by the short or long name of the entity (``desc``, ``space``, ``run``); they
        replace those of ``source_file``, and None removes one.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If the name of ``source_file`` holds something that is no entity of the datatype, or
        no pattern has this suffix, extension and set of entities.
    """
    from bids.layout.writing import build_path  # 0.3 s, and only the steps that write need it

    problem = name_problem(source_file, datatype)
    if problem:
        raise DataError(f"{Path(source_file).name} {problem}")
    patterns, long_names = _patterns(datatype)
    labels = {**entities_of(source_file), **entities}
    wanted = {long_names.get(key, key): label for key, label in labels.items()}
    wanted |= {"datatype": datatype, "suffix": suffix, "extension": extension}
    labels_are_valid = all(LABEL.fullmatch(label) for label in labels.values() if label)
    path = build_path(wanted, patterns, strict=True) if labels_are_valid else None
    if path is None:
        given = ", ".join(f"{key}={value}" for key, value in wanted.items() if value)
        raise DataError(f"{PATTERNS_FILE.name} has no pattern for {given}: add one.")
    return Path(out_dir) / path


def run_entities(path):
    """Return the entities that distinguish raw runs.

    Parameters
    ----------
    path : path
        Raw or derived file.

    Returns
    -------
    entities : dict of str to str
        Without those that derivatives add, such as ``space``, ``atlas`` and ``desc``.
    """
    return {key: label for key, label in entities_of(path).items() if key in _OF_RAW_RUNS}


def name_problem(source_file, datatype):
    """Check that outputs can be named after a file.

    Parameters
    ----------
    source_file : path
    datatype : {"anat", "func", "eeg", "figures"}

    Returns
    -------
    problem : str or None
        A sentence without the name of the file; None if all its entities are known.
    """
    malformed = malformed_name(source_file)
    if malformed:
        return malformed
    _, long_names = _patterns(datatype)
    parts, entities = stem_of(source_file).split("_"), entities_of(source_file)
    unknown = [part for part in parts if not entities_of(f"{part}_").keys() & long_names.keys()]
    if not unknown and len(entities) == len(parts) and "sub" in entities:
        return None
    found = f"has {unknown[0]!r}" if unknown else "lacks sub-<label> or repeats an entity"
    return f"{found} in its name; expected entities are {', '.join(long_names)}: rename it."


@lru_cache
def _patterns(datatype):
    """Patterns of a datatype, and the long name of each of their entities by its short one."""
    patterns = read_json(PATTERNS_FILE)["default_path_patterns"]
    patterns = [pattern for pattern in patterns if f"{{datatype<{datatype}>" in pattern]
    return patterns, dict(_ENTITY.findall("".join(sorted(patterns, key=len, reverse=True))))
