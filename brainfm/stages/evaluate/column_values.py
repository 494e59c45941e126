"""Meaning of the texts of a column: numbers or classes, missing values, and what was decided."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brainfm.errors import DataError
from brainfm.stages.evaluate.describe_column import ColumnDescription, as_number
from brainfm.stages.evaluate.read_numbers import read_numbers

#: Words that stand for a missing value in any column, and those that may also name a class.
_MISSING = ("", "n/a", "n.a.", "nan", "<na>", "null", "#n/a", "#null!", "#value!", "#div/0!", ".",
            "-", "--", "?")  # fmt: skip
_MISSING_OR_CLASS = ("na", "unknown", "unk", "missing", "not available", "not known",
                     "not recorded", "not reported", "no data")  # fmt: skip
_MISSING_AMONG_NUMBERS = (*_MISSING, *_MISSING_OR_CLASS, "none", "nil", "nd")
#: Last words of the names of columns whose integers are codes.
_NAMES_OF_CLASSES = re.compile(
    "sites?|sex|gender|groups?|diagnosis|dx|scanner|handedness|hand|cent(?:er|re)|cohort|batch|vendor|"
    "manufacturer|race|ethnicity|condition|treatment|arm|class|category|cat|status|protocol|study|"
    "institution|coil|hospital|lab|species|strain|genotype"
)
#: Of these there may be many; of the others, many integers are a scale.
_PLACES = re.compile(
    "sites?|scanner|cent(?:er|re)|cohort|batch|study|institution|hospital|lab|coil|protocol"
)
_SUFFIXES = re.compile("ids?|codes?|num|number|no|label|name|index")
#: With such a word, the column counts or dates the last: age_at_diagnosis, n_sites.
_MEASURES = re.compile("at|since|per|from|to|before|after|until|n|age")
_AGE_GROUPS = ("group", "groups", "class", "category", "cat")
_DATE = re.compile(
    r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:[T ].*)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}|"
    r"\d{1,2}:\d{2}(?::\d{2})?"
)
_SENTINEL = re.compile(r"-?(9+|8+|7+)")
#: A numeric column with more distinct values is never one of classes.
_MAX_CLASSES = 10
_MAX_AGE_YEARS = 120


@dataclass(frozen=True, kw_only=True)
class ColumnValues:
    """Values of a column.

    Parameters
    ----------
    values : Series
        Float, or str for classes; NaN where missing.
    status : Series of str
        ``read``, ``capped`` (known to be at least, or at most, the value), ``missing`` or
        ``sentinel`` (a number that stands for missing).
    kind : {"numbers", "classes"}
    why : str
        Reason of the kind.
    unit : str
    notes : tuple of str
        What was decided about unusual values.
    """

    values: pd.Series
    status: pd.Series
    kind: str
    why: str
    unit: str
    notes: tuple


def is_continuous(numbers):
    """Return whether numbers have too many distinct values to be classes.

    Parameters
    ----------
    numbers : Series of float
        NaN where missing.

    Returns
    -------
    is_continuous : bool
        With more than 10 distinct values, or as many as half of the values.
    """
    n_values = numbers.nunique()
    return n_values > _MAX_CLASSES or (n_values > 2 and 2 * n_values > numbers.count())


def class_name(value):
    """Spell 1.0 as "1": tables hold codes with and without decimals.

    Parameters
    ----------
    value : str or float

    Returns
    -------
    name : str
    """
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def interpret_column(column, name, description=None):
    """Decide what the values of a column mean.

    Parameters
    ----------
    column : Series of str or float
        As written in a table.
    name : str
    description : ColumnDescription, optional

    Returns
    -------
    values : ColumnValues

    Raises
    ------
    DataError
        If the values are dates, or numbers mixed with other text.
    """
    description = description or ColumnDescription()
    texts = column.map(_as_text)
    spelled, notes = _without_blanks(texts, name)
    distinct = [text for text in spelled.unique() if text.casefold() not in _MISSING]
    numbers = read_numbers(distinct, name)
    others = [text for text in distinct if text not in numbers.index]
    values_of = [text for text in others if text.casefold() not in _MISSING_AMONG_NUMBERS]
    if len(numbers) and not [x for x in values_of if x not in description.missing]:
        return _numeric(spelled, numbers, name, description, notes)
    _check_text(spelled, numbers, values_of, name, description)
    return _classes(spelled, name, description, notes)


def _as_text(value):
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.17g}" if value % 1 else f"{value:.0f}"
    return "" if value is None or value is pd.NA else str(value)


def _without_blanks(texts, name):
    """Remove blanks around values and doubled blanks, and spell letters with accents one way."""
    spelled = texts.map(lambda text: unicodedata.normalize("NFC", " ".join(text.split())))
    n_changed = int((spelled != texts).sum())
    notes = [f"{name}: blanks removed from {n_changed} values"] if n_changed else []
    return spelled, notes


def _check_text(spelled, numbers, others, name, description):
    """Refuse dates, and numbers with a few other words among them."""
    if others and all(map(_DATE.fullmatch, others)):
        raise DataError(
            f"{name} holds dates or times ({others[0]}); expected numbers or classes: give another "
            "column, such as the age in years."
        )
    found = numbers["value"].reindex(spelled).dropna()
    is_mostly_numbers = len(found) > spelled.isin(others).sum() and is_continuous(found)
    if is_mostly_numbers and not (
        description.labels or _NAMES_OF_CLASSES.fullmatch(_last_word(name))
    ):
        shown = ", ".join(repr(text) for text in others[:5])
        raise DataError(
            f"{name} has {len(found)} numbers and {spelled.isin(others).sum()} other values "
            f"({shown}): correct them, or write n/a where a value is missing."
        )


def _numeric(spelled, numbers, name, description, notes):
    """Values of a column of numbers; codes become classes."""
    found = numbers.reindex(spelled).set_axis(spelled.index)
    values, bound = found["value"].astype(float), found["bound"].fillna("")
    coded = {number for number in map(as_number, description.missing) if number is not None}
    is_sentinel = values.isin(coded) | _is_undescribed_sentinel(values, description)
    for number in sorted(values[is_sentinel].unique()):
        why = "as described" if number in coded else "far from all other values"
        notes.append(f"{name}: {class_name(number)} counts as missing in "
                     f"{int((values == number).sum())} rows, {why}")  # fmt: skip
    values = values.mask(is_sentinel)
    status = pd.Series("read", index=spelled.index)
    status[values.isna()], status[is_sentinel] = "missing", "sentinel"
    words = spelled[spelled.str.casefold().isin(set(_MISSING_AMONG_NUMBERS) - {"", "n/a"})]
    notes += _counts(name, words, "counts as missing in")
    notes += _possible_sentinels(values, name, description)
    why = _why_classes(values, name, description)
    if why:
        names = values.map(class_name, na_action="ignore").astype(object)
        return _named_classes(names, status, name, description, notes, why=why)
    is_bound = (bound != "") & values.notna()
    status[is_bound] = "capped"
    for (limit, number), rows in values[is_bound].groupby([bound[is_bound], values[is_bound]]):
        notes.append(f"{name}: {len(rows)} values are {limit} {class_name(number)}, "
                     "and are used as that number")  # fmt: skip
    unit = next(filter(None, numbers["unit"]), "") or description.unit
    notes += _unusual_numbers(values, name, unit, description)
    return ColumnValues(values=values, status=status, kind="numbers", why="all values are numbers",
                        unit=unit, notes=tuple(notes))  # fmt: skip


def _is_undescribed_sentinel(values, description):
    """Find numbers such as -9999 and 999 that are far from all others."""
    codes = values.map(class_name, na_action="ignore").astype(str).str.fullmatch(_SENTINEL)
    others = values[~codes]
    if others.nunique() < 2:
        return pd.Series(False, index=values.index)
    low, high = others.min(), others.max()
    below = (values < 0) & (low >= 0) & (description.minimum is None)
    above = (values >= 777) & (values - high > high - low) & (description.maximum is None)
    return codes & (below | above)


def _why_classes(values, name, description):
    """Return why numbers are codes of classes, or an empty text."""
    codes = {as_number(code) for code in description.labels} - {None}
    is_labelled = values.dropna().isin(codes)
    if codes and len(is_labelled) and is_labelled.mean() > 0.5:
        return "its Levels are described"
    noun = _last_word(name)
    if not _NAMES_OF_CLASSES.fullmatch(noun) or (values.dropna() % 1).any():
        return ""
    is_laterality = noun in ("hand", "handedness") and values.abs().max() > 9
    is_scale = values.nunique() > _MAX_CLASSES and not _PLACES.fullmatch(noun)
    return "" if is_laterality or is_scale else "integers in a column of this name are codes"


def _last_word(name):
    """Noun of the name of a column: site of SITE_ID, nothing of age_at_diagnosis."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
    while len(words) > 1 and _SUFFIXES.fullmatch(words[-1]):
        words.pop()
    is_group = words[:1] == ["age"] and words[-1] in _AGE_GROUPS
    is_measure = any(map(_MEASURES.fullmatch, words[:-1])) and not is_group
    return "" if is_measure or not words else words[-1]


def _unusual_numbers(values, name, unit, description):
    """Name numbers that may stand for missing values, or cannot be."""
    notes, limits = [], (description.minimum, description.maximum)
    if name.lower() == "age" and unit in ("", "years") and limits == (None, None):
        limits = (0, _MAX_AGE_YEARS)
    low, high = (np.nan if limit is None else limit for limit in limits)
    outside = values[(values < low) | (values > high)]
    if len(outside):
        notes.append(
            f"{name}: {class_name(float(outside.iloc[0]))} is implausible, in {len(outside)} rows; "
            "write n/a, or describe the column in participants.json (Units, Maximum)"
        )
    return notes


def _possible_sentinels(values, name, description):
    """Name numbers that often stand for missing values, far from the others but possible."""
    notes, rest = [], values.dropna()
    for code in (9.0, 88.0, 99.0):
        others, n = rest[rest != code], int((rest == code).sum())
        is_far = others.nunique() > 1 and code - others.max() > others.max() - others.min()
        is_described = description.maximum is not None or f"{code:g}" in description.labels
        if n and is_far and not is_described:
            notes.append(
                f"{name}: {code:g} may stand for a missing value, in {n} rows, and is used as a "
                "value; if it does, say so in the Levels of participants.json"
            )
    return notes


def _classes(spelled, name, description, notes):
    """Values of a column of text."""
    lower = spelled.str.casefold()
    coded = {code.casefold() for code in description.missing}
    is_missing, is_sentinel = lower.isin(_MISSING), lower.isin(coded) & (lower != "")
    notes += _counts(name, spelled[is_sentinel], "counts as missing, as described, in")
    status = pd.Series("read", index=spelled.index)
    status[is_missing], status[is_sentinel] = "missing", "sentinel"
    names = spelled.astype(object).where(~(is_missing | is_sentinel))
    unclear = names[names.str.casefold().isin(_MISSING_OR_CLASS)]
    notes += [
        f"{name} is {word} for {n} participants, and counts as a class; write n/a where a value is "
        "missing"
        for word, n in unclear.value_counts().items()
        if word.casefold() not in {code.casefold() for code in description.labels}
    ]
    return _named_classes(
        names,
        status,
        name,
        description,
        notes,
        why="values are text" if names.notna().any() else "no value",
    )


def _named_classes(names, status, name, description, notes, *, why):
    """Join spellings that differ only in case, and show labels instead of codes."""
    spelling = _one_spelling(names.dropna(), list(description.labels))
    notes += [
        f"{name}: {old} is read as {spelling[old]} in {n} rows"
        for old, n in names.value_counts().items()
        if spelling[old] != old
    ]
    names = names.map(spelling, na_action="ignore")
    unlisted = [one for one in names.dropna().unique() if one not in description.labels]
    if description.labels and unlisted:
        notes.append(f"{name}: {', '.join(unlisted[:5])} not among its Levels")
    shown = {one: description.shown(one) for one in names.dropna().unique()}
    return ColumnValues(values=names.map(shown, na_action="ignore").astype(object), status=status,
                        kind="classes", why=why, unit="", notes=tuple(notes))  # fmt: skip


def _one_spelling(names, levels):
    """Map each name to a described level, or to the most frequent spelling of the same letters."""
    counts = Counter(names)
    spelling = {}
    for one in counts:
        same = [level for level in levels if _is_same_level(level, one)]
        like = sorted(
            (x for x in counts if x.casefold() == one.casefold()), key=lambda x: -counts[x]
        )
        spelling[one] = one if one in levels else (same or like)[0]
    return spelling


def _is_same_level(level, name):
    number = as_number(level)
    return level.casefold() == name.casefold() or (number is not None and number == as_number(name))


def _counts(name, texts, what):
    return [f"{name}: {text} {what} {n} rows" for text, n in texts.value_counts().items()]
