"""Quality measures beside their usual ranges, and notes of preprocessing."""

import functools
import math
from collections import defaultdict

from brainfm.files import read_json
from brainfm.stages.report.read import format_value
from brainfm.stages.report.render import REPORTS


@functools.cache
def quality_words():
    """Read ``quality.json``: measures and notes of each kind of recording, words of columns.

    Returns
    -------
    words : dict
        ``T1w``, ``bold`` and ``eeg`` are lists of measures: ``key`` in ``*_qc.json``, ``name``,
        ``unit``, ``form`` (number of decimals, or "%" for a share in percent), and if needed
        ``total`` (key of the total of a count), ``usual`` (lowest and highest usual value, of the
        share if there is a total), ``source`` (entry of ``citations.json``; without it, the range
        is a convention of brainfm), ``note``, ``short_name`` and ``is_protocol`` (set by the
        protocol of the study, not by the recording). ``notes`` are sentences to show, by kind of
        recording, and ``lists`` keys of lists of sentences; see :func:`notes_of`. ``columns`` are
        words of other columns.
    """
    return read_json(REPORTS / "quality.json")


def value_of(quality, measure):
    """Return the value that is compared with the usual range.

    Parameters
    ----------
    quality : dict
        Content of ``*_qc.json``.
    measure : dict
        See :func:`quality_words`.

    Returns
    -------
    value : float or None
        A share for counts with a total; None if it is missing or not a finite number.
    """
    value = _number(quality.get(measure["key"]))
    if value is None or "total" not in measure:
        return value
    total = _number(quality.get(measure["total"]))
    return value / total if total else None


def _number(value):
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and math.isfinite(value) else None


def is_share(measure):
    """Return whether the usual range of a measure is one of shares.

    Parameters
    ----------
    measure : dict
        See :func:`quality_words`.

    Returns
    -------
    is_share : bool
    """
    return measure["form"] == "%" or "total" in measure


def side_of(quality, measure):
    """Return on which side a measure is outside its usual range.

    Parameters
    ----------
    quality, measure : dict
        See :func:`value_of`.

    Returns
    -------
    side : {"", "low", "high"}
        Empty if it is inside, or missing, or has no range.
    """
    value = value_of(quality, measure)
    low, high = measure.get("usual", (None, None))
    if value is None:
        return ""
    if low is not None and value < low:
        return "low"
    return "high" if high is not None and value > high else ""


def usual_text(measure):
    """Spell the usual range of a measure.

    Parameters
    ----------
    measure : dict
        See :func:`quality_words`.

    Returns
    -------
    text : str
        Such as ``at most 0.5 mm``; empty without a range.
    """
    low, high = measure.get("usual", (None, None))
    unit, scale = ("%", 100) if is_share(measure) else (measure["unit"], 1)
    numbers = [f"{one * scale:g}".replace("-", "−") for one in (low, high) if one is not None]
    if not numbers:
        return ""
    words = " to ".join(numbers)
    if len(numbers) == 1:
        words = f"at {'most' if low is None else 'least'} {words}"
    return f"{words} {unit}".rstrip()


def bound_text(measure, side):
    """Say beyond which limit of its usual range a measure is.

    Parameters
    ----------
    measure : dict
        See :func:`quality_words`.
    side : {"low", "high"}

    Returns
    -------
    text : str
        Such as ``mean framewise displacement (FD) above 0.5 mm``.
    """
    low, high = measure["usual"]
    bound = {**measure, "usual": (None, high) if side == "high" else (low, None)}
    limit = usual_text(bound).removeprefix("at most ").removeprefix("at least ")
    return f"{in_sentence(measure['name'])} {'above' if side == 'high' else 'below'} {limit}"


def format_measure(quality, measure):
    """Format a quality measure.

    Parameters
    ----------
    quality, measure : dict
        See :func:`value_of`.

    Returns
    -------
    text : str
        ``n/a`` if the measure is missing; counts are given as ``97 of 100``.
    """
    value, form = _number(quality.get(measure["key"])), measure["form"]
    if value is None:
        return "n/a"
    text = f"{100 * value:.0f}" if form == "%" else f"{value:.{form}f}"
    total = quality.get(measure.get("total"))
    return f"{text} of {total}" if total else text


def outside_usual(recording):
    """List the measures of a recording that are outside their usual range.

    Parameters
    ----------
    recording : brainfm.stages.report.collect.RecordingOutputs

    Returns
    -------
    outside : list of (dict, str)
        Measure and side.
    """
    sides = [(one, side_of(recording.quality, one)) for one in quality_words()[recording.suffix]]
    return [(measure, side) for measure, side in sides if side]


def outside_text(recording, measure):
    """Say which value is outside which range.

    Parameters
    ----------
    recording : brainfm.stages.report.collect.RecordingOutputs
    measure : dict
        See :func:`quality_words`.

    Returns
    -------
    text : str
        Such as ``mean framewise displacement (FD) 0.612 mm (usual: at most 0.5 mm)``.
    """
    value = f"{format_measure(recording.quality, measure)} {measure['unit']}".rstrip()
    return f"{in_sentence(measure['name'])} {value} (usual: {usual_text(measure)})"


def in_sentence(name):
    """Return the name of a measure without its capital letter, unless it is an abbreviation.

    Parameters
    ----------
    name : str

    Returns
    -------
    name : str
    """
    is_abbreviation = name[:2].isupper()
    return name if is_abbreviation else name[0].lower() + name[1:]


def notes_of(recording):
    """List what preprocessing has to say about a recording.

    Parameters
    ----------
    recording : brainfm.stages.report.collect.RecordingOutputs

    Returns
    -------
    notes : list of dict
        ``text``, ``is_warning`` if it concerns the validity of the results, and ``of_run`` if it
        says something else of each run, so that a group cannot be summarised by it. A note of
        ``quality.json`` applies if its ``key`` in ``*_qc.json`` or in a sidecar of the recording
        has the value ``when``, or without ``when`` any value but false, 0 and nothing. Keys in
        objects are joined by dots. Sentences in the ``lists`` of ``quality.json`` follow.
    """
    values = _flat({**recording.sidecar, **recording.quality})
    words = defaultdict(lambda: "n/a", {key: format_value(one) for key, one in values.items()})
    common = {"is_warning": False, "of_run": False}
    notes = [
        common | note | {"text": note["text"].format_map(words | {"value": words[note["key"]]})}
        for note in quality_words()["notes"][recording.suffix]
        if _applies(note, values)
    ]
    lists = [values.get(key) for key in quality_words()["lists"]]
    sentences = [str(text) for one in lists if isinstance(one, list) for text in one]
    return notes + [{**common, "text": text} for text in dict.fromkeys(sentences)]


def _flat(values):
    inner = {
        f"{key}.{name}": one
        for key, value in values.items()
        if isinstance(value, dict)
        for name, one in value.items()
    }
    return values | inner


def _applies(note, values):
    value = values.get(note["key"])
    return value == note["when"] if "when" in note else bool(value)
