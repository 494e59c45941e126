"""Description of a column in ``participants.json``: levels, missing values and units."""

import re
from dataclasses import dataclass, field

from brainfm.errors import DataError

_WORDS = (
    r"missing|not available|unavailable|unknown|unspecified|not known|not recorded|not collected|"
    r"not reported|not specified|not applicable|not measured|no data|no answer|no response|"
    r"refused(?: to answer)?|prefers? not to (?:say|answer)|declined|did not answer|n/?a|nan|"
    r"invalid|skipped"
)
_MISSING = re.compile(
    rf"(?:(?:data|values?|scores?|answers?|responses?) )?(?:(?:is|are|was|were) )?(?:{_WORDS})"
    r"(?: (?:data|values?|scores?|answers?|responses?))?"
)
_NUMBER = r"[\"'`]?(-?\d+(?:\.\d+)?)[\"'`]?"
_NUMBER_IS_MISSING = re.compile(
    rf"(?<![\w.]){_NUMBER}\s*(?:=|:|means?|indicates?|denotes?|stands for|codes?(?: for)?|is|for|"
    rf"if|\()\s*[\"'`]?(?:{_WORDS})\b"
)
_MISSING_IS_NUMBER = re.compile(
    rf"\b(?:{_WORDS})\b[^.;,\d-]{{0,25}}(?:=|:|\bas|\bby|\bwith|\bis|\bare|\bcoded|\()\s*{_NUMBER}"
)
#: Longer descriptions do not replace the codes they describe.
_LONGEST_LABEL = 40


@dataclass(frozen=True)
class ColumnDescription:
    """What ``participants.json`` says about a column.

    Parameters
    ----------
    labels : dict of str to str
        Description of each level that is a value.
    missing : frozenset of str
        Values that mean missing.
    unit : str
    minimum, maximum : float or None
    """

    labels: dict = field(default_factory=dict)
    missing: frozenset = frozenset()
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None

    def shown(self, code):
        """Return the name of a class: the label of a number, else the code itself."""
        label = self.labels.get(code, "")
        is_unique = list(self.labels.values()).count(label) == 1
        is_short = 0 < len(label) <= _LONGEST_LABEL and "\n" not in label
        return label if as_number(code) is not None and is_short and is_unique else code


def describe_column(sidecars, name):
    """Join the descriptions of a column by the tables that have it.

    Parameters
    ----------
    sidecars : dict of str to dict
        ``Levels``, ``Units`` and so on, by table.
    name : str
        Of the column, for messages.

    Returns
    -------
    description : ColumnDescription

    Raises
    ------
    DataError
        If two tables use different units, or different labels for one level.
    """
    levels, units, missing = {}, {}, set()
    for table, sidecar in sidecars.items():
        for code, label in _levels_of(sidecar).items():
            if levels.setdefault(code, label).casefold() != label.casefold():
                raise DataError(
                    f"{name} {code} is {levels[code]} in one table and {label} in {table}: use "
                    "the same levels in both."
                )
        if isinstance(sidecar.get("Units"), str) and sidecar["Units"].strip():
            units.setdefault(_plural(sidecar["Units"]), table)
        missing |= _missing_of(sidecar)
    if len(units) > 1:
        spelled = " and ".join(f"in {unit} in {table}" for unit, table in units.items())
        raise DataError(f"{name} is {spelled}: write both in one unit.")
    missing |= {code for code, label in levels.items() if is_missing_label(label)}
    limits = [next((as_number(one[key]) for one in sidecars.values() if key in one), None)
              for key in ("Minimum", "Maximum")]  # fmt: skip
    labels = {code: label for code, label in levels.items() if code not in missing}
    return ColumnDescription(labels, frozenset(missing), next(iter(units), ""), *limits)


def is_missing_label(label):
    """Return whether a description says that a value is missing, such as "missing or refused".

    Parameters
    ----------
    label : str

    Returns
    -------
    is_missing : bool
    """
    parts = re.split(r"\s*(?:[,;/|(]|\bor\b|\band\b)\s*", label.casefold().strip(" .()"))
    whole = label.casefold().strip(" .()")
    return all(map(_MISSING.fullmatch, filter(None, parts))) or bool(_MISSING.fullmatch(whole))


def as_number(value):
    """Return a value as a float, or None if it is no number.

    Parameters
    ----------
    value : object

    Returns
    -------
    number : float or None
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _levels_of(sidecar):
    levels = sidecar.get("Levels")
    if isinstance(levels, list):
        return {str(code): str(code) for code in levels}
    if not isinstance(levels, dict):
        return {}
    return {str(code).strip(): _label_of(label) or str(code) for code, label in levels.items()}


def _label_of(label):
    """Text of a level; BIDS also allows an object with ``Description``."""
    if isinstance(label, dict):
        label = label.get("Description") or label.get("LongName") or ""
    return str(label).strip() if isinstance(label, str | int | float) else ""


def _missing_of(sidecar):
    """Values that the description, or a field such as ``MissingValues``, says are missing."""
    text = " ".join(str(sidecar.get(key, "")) for key in ("Description", "LongName", "Units"))
    text = text.casefold()
    found = set(_NUMBER_IS_MISSING.findall(text)) | set(_MISSING_IS_NUMBER.findall(text))
    for key, value in sidecar.items():
        if re.search("missing|sentinel|nanvalue", key, re.IGNORECASE):
            values = value if isinstance(value, list | dict) else [value]
            found |= {str(one) for one in values}
    return found


def _plural(unit):
    """Spell units of time alike: BIDS examples have both year and years."""
    unit = unit.strip()
    lower = unit.lower().rstrip("s")
    return f"{lower}s" if lower in ("year", "month", "week", "day", "hour", "minute") else unit
