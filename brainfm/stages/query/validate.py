"""Validate a call before it starts and report every problem of every participant at once.

Problems of the dataset or the command stop the call. Problems of a participant leave that
participant out, with status ``invalid``; the others are processed and the exit code at the end is
66 when only files were missing, else 65.
"""

from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from brainfm.errors import BrainFMError, DataError, MissingInput, NothingSelected
from brainfm.stages.preprocess.fmriprep import check_fmriprep
from brainfm.stages.query.engine import choose_engine, read_derivatives
from brainfm.stages.query.folders import check_description, check_folders
from brainfm.stages.query.select import find_selected, known_participants
from brainfm.stages.query.validate_runs import Problem, check_runs
from brainfm.storage.atlas import load_atlas
from brainfm.storage.bids.filters import read_filters
from brainfm.storage.bids.query import QUERIES, by_participant, misnamed_participants
from brainfm.storage.plugin_file import read_plugin
from brainfm.storage.templateflow import check_template

#: Numbers shown of what a dataset holds when nothing is selected.
_MOST_PARTICIPANTS, _MOST_SEARCHED, _MOST_TASKS = 20, 50, 10


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """Runs of a call that can be processed, and the problems of the others.

    Parameters
    ----------
    runs : tuple of RawRun
    problems : tuple of Problem
    engine : {"derivatives", "fmriprep", "builtin"}
    derivatives : dict of str to Path
    """

    runs: tuple
    problems: tuple[Problem, ...]
    engine: str
    derivatives: dict

    @cached_property
    def runs_by_participant(self):
        """All runs, T1w images included, by the label of the participant."""
        return by_participant(self.runs)

    @property
    def participants(self):
        """Labels of those without problems, sorted."""
        return sorted(set(self.runs_by_participant) - {p.participant for p in self.problems})

    @property
    def exit_code(self):
        """0 without problems, 66 when only files are missing, else 65."""
        codes = {problem.exit_code for problem in self.problems}
        return 0 if not codes else codes.pop() if len(codes) == 1 else DataError.exit_code


def preflight(bids_dir, output_dir, settings):
    """Validate a dataset and the settings of a call; write nothing.

    Parameters
    ----------
    bids_dir, output_dir : Path
    settings : brainfm.config.Settings

    Returns
    -------
    checks : Preflight

    Raises
    ------
    BrainFMError
        For problems of the whole dataset or the command, all in one text: the dataset or its
        description is missing, the output is inside the input or cannot be written, derivatives
        are missing or are raw data, nothing is selected.
    """
    run = settings.run
    errors = check_folders(bids_dir, output_dir, run)
    attempt(errors, check_description, bids_dir)
    derivatives, malformed = read_derivatives(run.derivatives, bids_dir)
    errors += malformed
    engine = attempt(errors, choose_engine, settings.bold, derivatives, settings.fmriprep)
    errors += check_fmriprep(settings, bids_dir, output_dir) if engine == "fmriprep" else []
    attempt(errors, read_plugin, run.use_plugin)  # refused now, not after an hour
    attempt(errors, load_atlas, settings.bold.atlas)
    attempt(errors, check_template, settings.bold.template)
    filters = attempt(errors, read_filters, run.bids_filter_file, tuple(QUERIES))
    if not bids_dir.is_dir():
        raise_all(errors)
    chosen = {"engine": engine, "derivatives": derivatives}
    known, misnamed = known_participants(bids_dir, **chosen), misnamed_participants(bids_dir)
    runs = attempt(errors, _select, bids_dir, run, known, filters, chosen) or []
    seen = {one.participant for one in runs if one.modality != "t1w"}
    runs = tuple(one for one in runs if one.participant in seen)
    labels = run.participant_label
    problems = [
        Problem(participant=label, text=text)
        for label, text in misnamed.items()
        if not labels or label in labels
    ]
    others = [label for label in labels if label not in misnamed] if seen else ()
    problems += _check_labels(others, known, seen)
    if engine and not malformed:
        problems += check_runs(runs, bids_dir=bids_dir, settings=settings, engine=engine)
    if errors:
        raise_all([*errors, *(DataError(f"sub-{p.participant}: {p}") for p in problems)])
    return Preflight(runs=runs, problems=tuple(problems), **chosen)


def raise_all(errors):
    """Raise several errors as one.

    Parameters
    ----------
    errors : list of BrainFMError

    Raises
    ------
    BrainFMError
        The only error, or one of the class of the first with the text of all; none for none.
    """
    if not errors:
        return
    if len(errors) == 1:
        raise errors[0]
    text = "\n".join(f"  - {error}" for error in errors)
    raise type(errors[0])(f"{len(errors)} problems:\n{text}")


def attempt(errors, check, argument, *more):
    """Run a check and collect its error.

    Parameters
    ----------
    errors : list of BrainFMError
        Extended by the error of the check, if any.
    check : callable
    argument : object
        First argument of the check; it is not called when this is empty.
    *more
        Further arguments.

    Returns
    -------
    result : object or None
        What the check returns; None after an error.
    """
    try:
        return check(argument, *more) if argument else None
    except BrainFMError as error:
        errors.append(error)


def _select(bids_dir, run, known, filters, chosen):
    """Return the selected runs; refuse a selection without a recording."""
    labels = run.participant_label
    runs = find_selected(
        bids_dir,
        participants=sorted(set(labels) & set(known)) if labels else known,
        sessions=run.session_label,
        tasks=run.task_label,
        runs=run.run_label,
        filters=filters,
        **chosen,
    )
    if all(one.modality == "t1w" for one in runs):
        raise _nothing_selected(bids_dir, run, known, chosen)
    return runs


def _nothing_selected(bids_dir, run, known, chosen):
    missing = [label for label in run.participant_label if label not in known]
    if missing and len(missing) == len(run.participant_label):
        return NothingSelected(
            f"there is no participant {', '.join(missing)} in {bids_dir}; {_hint(missing, known)}"
        )
    searched = [label for label in known if label not in missing][:_MOST_SEARCHED]
    found = Counter(
        f"task-{one.entities.get('task')} {one.modality}"
        for one in find_selected(bids_dir, participants=searched, **chosen)
        if one.modality != "t1w"
    )
    text = ", ".join(f"{name} ({count})" for name, count in found.most_common(_MOST_TASKS))
    return NothingSelected(
        f"no BOLD or EEG run of {bids_dir} is selected by the labels and filters given; "
        f"there is: {text or 'none at all'}."
    )


def _hint(missing, known):
    """Name the participants most like those that do not exist, else all."""
    near = [_nearest(label, known) for label in missing]
    return f"did you mean {', '.join(near)}?" if all(near) else _list_labels(known)


def _nearest(label, known):
    """Return a label that differs in zeros or letters only, else a similar one, else None."""
    plain = {one.lstrip("0").lower(): one for one in known}
    similar = get_close_matches(label, known, n=1, cutoff=0.75)
    return plain.get(label.lstrip("0").lower()) or next(iter(similar), None)


def _list_labels(known):
    shown = ", ".join(known[:_MOST_PARTICIPANTS])
    more = ", ..." if len(known) > _MOST_PARTICIPANTS else ""
    return f"there are {len(known)}: {shown or 'none'}{more}."


def _check_labels(labels, known, seen):
    present = set(known)
    for label in labels:
        if label not in present:
            text = f"there is no participant {label}; {_hint([label], known)}"
        elif label not in seen:
            text = "no BOLD or EEG run is selected; check the task, session and filter."
        else:
            continue
        yield Problem(participant=label, text=text, exit_code=MissingInput.exit_code)
