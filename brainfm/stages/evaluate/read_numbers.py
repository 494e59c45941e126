"""Numbers as tables of participants spell them: 26,9 and 95 % and 89+ and 34 years."""

import re

import numpy as np
import pandas as pd

from brainfm.errors import DataError

_UNITS = {
    **dict.fromkeys(("y", "yr", "yrs", "yo", "year", "years"), "years"),
    **dict.fromkeys(("mo", "mos", "month", "months"), "months"),
    **dict.fromkeys(("wk", "wks", "week", "weeks"), "weeks"),
    **dict.fromkeys(("day", "days"), "days"),
    **{unit: unit for unit in ("%", "kg", "cm", "mm", "ms", "min", "ml", "mg")},
}
_SPELLED = re.compile(
    r"(?P<bound>[<>≤≥]=?\s*)?"
    r"(?P<number>[-+−]?(?:\d[\d.,]*|[.,]\d+)(?:e[-+]?\d+)?)\s*"
    r"(?P<unit>%|(?!plus|and|or)[a-z]+)?\s*"
    r"(?P<more>\+|plus|(?:and|or) (?:over|older|above|more|up|below|less|under|younger))?",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"[-+−]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d*)?")


def read_numbers(texts, name):
    """Read the numbers among texts.

    Parameters
    ----------
    texts : iterable of str
        Distinct values of a column.
    name : str
        Of the column, for messages.

    Returns
    -------
    numbers : DataFrame
        Indexed by the texts that are numbers: ``value`` (float), ``bound`` (``""``, ``"at
        least"`` or ``"at most"``: 89+ is at least 89) and ``unit`` (``""`` or such as ``years``).

    Raises
    ------
    DataError
        If a comma may separate decimals or thousands, or values have different units.
    """
    found = {text: _SPELLED.fullmatch(text) for text in texts}
    found = {text: match for text, match in found.items() if match and _has_known_unit(match)}
    convert = _converter([match["number"] for match in found.values()], name)
    rows = {
        text: (convert(match["number"]), _bound_of(match), _UNITS.get(_unit_of(match), ""))
        for text, match in found.items()
    }
    rows = {text: row for text, row in rows.items() if np.isfinite(row[0])}
    numbers = pd.DataFrame.from_dict(rows, orient="index", columns=["value", "bound", "unit"])
    _check_units(numbers, name)
    return numbers


def _has_known_unit(match):
    return _unit_of(match) in ("", *_UNITS)


def _unit_of(match):
    return (match["unit"] or "").lower()


def _bound_of(match):
    sign, more = match["bound"] or "", match["more"] or ""
    if sign[:1] in (">", "≥") or (more and not re.search("below|less|under|younger", more)):
        return "at least"
    return "at most" if sign or more else ""


def _converter(numbers, name):
    """Return the function from text to float: a comma is a decimal point, or separates thousands.

    Columns with points have commas for thousands, as in 1,234.5, unless a comma comes last.
    """
    with_comma = [number for number in numbers if "," in number]
    with_point = [number for number in numbers if "." in number]
    are_thousands = with_comma and all(map(_THOUSANDS.fullmatch, with_comma))
    is_certain = with_point or any(number.count(",") > 1 for number in with_comma)
    if are_thousands and not is_certain:
        text = with_comma[0]
        raise DataError(
            f"{name} has {text}, which may be {text.replace(',', '.')} or "
            f"{text.replace(',', '')}: write numbers with a decimal point and without separators."
        )
    if are_thousands:
        return lambda text: _as_float(text.replace(",", ""))
    return _with_decimal_comma


def _with_decimal_comma(text):
    if "," in text and text.rfind(".") < text.rfind(","):  # 1.234,5
        text = text.replace(".", "").replace(",", ".")
    return _as_float(text)


def _as_float(text):
    try:
        return float(text.replace("−", "-"))
    except ValueError:  # such as 1.2.2019
        return np.nan


def _check_units(numbers, name):
    units = sorted(set(numbers["unit"]) - {""})
    is_mixed_percent = units == ["%"] and "" in set(numbers["unit"])
    if len(units) > 1 or is_mixed_percent:
        examples = numbers.reset_index().groupby("unit")["index"].first()
        raise DataError(
            f"{name} has values of different units ({', '.join(examples)}): write all in one unit."
        )
