"""Quality section of the participant report: measures with their usual ranges."""

from brainfm.stages.report.collect import TITLES
from brainfm.stages.report.usual import (
    format_measure,
    outside_text,
    outside_usual,
    quality_words,
    side_of,
    usual_text,
)


def quality_tables(outputs):
    """Build the tables of quality measures of one participant.

    Parameters
    ----------
    outputs : brainfm.stages.report.collect.ParticipantOutputs

    Returns
    -------
    tables : list of dict
        One table per kind of recording that has measures.
    """
    anatomy = _table("T1w", outputs.of("T1w"))
    # The overlap with the template belongs to the anatomy; BOLD repeats it.
    hidden = ("dice_template",) if anatomy else ()
    tables = [anatomy, _table("bold", outputs.of("bold"), hidden), _table("eeg", outputs.of("eeg"))]
    return [table for table in tables if table]


def _table(suffix, recordings, hidden=()):
    recordings = [recording for recording in recordings if recording.quality]
    rows = [
        {
            **measure,
            "usual_text": usual_text(measure),
            "values": [
                (format_measure(one.quality, measure), side_of(one.quality, measure))
                for one in recordings
            ],
        }
        for measure in quality_words()[suffix]
        if measure["key"] not in hidden
        and any(one.quality.get(measure["key"]) is not None for one in recordings)
    ]
    if not rows:
        return None
    columns = [recording.title for recording in recordings]
    return {"title": f"{TITLES[suffix]} quality measures", "columns": columns, "rows": rows}


def outside_sentences(outputs):
    """Say which measures of a participant are outside their usual range.

    Parameters
    ----------
    outputs : brainfm.stages.report.collect.ParticipantOutputs

    Returns
    -------
    sentences : list of str
        One per recording with such measures, beginning with its name.
    """
    sentences = []
    for recording in outputs.recordings:
        found = [outside_text(recording, measure) for measure, _ in outside_usual(recording)]
        if found:
            sentences.append(f"{recording.name}: {', '.join(found)}.")
    return sentences
