"""Validate the runs of each participant: files, sidecars, T1w images and derivatives."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from brainfm.errors import DataError, MissingInput
from brainfm.stages.query.validate_derived import check_derived, check_file
from brainfm.storage.bids.choose_t1w import t1w_for
from brainfm.storage.bids.query import QUERIES, by_participant
from brainfm.storage.bids.validate_mri import check_bold, check_t1w
from brainfm.storage.derivatives.fmriprep import run_key
from brainfm.storage.derivatives.names import name_problem


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that keeps a participant from being processed.

    Parameters
    ----------
    participant : str
    text : str
        What was expected, what came, what to do.
    path : Path or None
        The file, relative to the dataset.
    exit_code : int
    """

    participant: str
    text: str
    path: Path | None = None
    exit_code: int = DataError.exit_code

    def __str__(self):
        return f"{self.path}: {self.text}" if self.path else self.text


def check_runs(runs, *, bids_dir, settings, engine):
    """Find the problems of runs.

    Parameters
    ----------
    runs : iterable of RawRun
        All runs of each participant.
    bids_dir : Path
    settings : brainfm.config.Settings
    engine : {"derivatives", "fmriprep", "builtin"}

    Yields
    ------
    problem : Problem
    """
    for label, own in by_participant(runs).items():
        images = {run.path: t1w_for(run, own) for run in own if run.modality == "bold"}
        used = {image.path for image in images.values() if image and engine != "derivatives"}
        needed = [run for run in own if run.modality != "t1w" or run.path in used]
        wrong_name_of = {run.path: _check_name(run) for run in needed}
        n_parts = Counter(
            run_key(run.entities)
            for run in own
            if run.modality == "bold" and not wrong_name_of.get(run.path)
        )
        for run in needed:
            found = wrong_name_of[run.path] or [
                *map(DataError, run.problems),
                *_check_run(run, engine, images.get(run.path), n_parts, settings=settings),
            ]
            for error in found:
                path, code = run.path.relative_to(bids_dir), error.exit_code
                yield Problem(participant=label, path=path, text=str(error), exit_code=code)


def _check_run(run, engine, t1w, n_parts, *, settings):
    if run.modality == "bold" and engine == "derivatives":
        return check_derived(run, settings.bold)
    if run.modality == "bold":
        return _check_bold(run, engine, t1w, n_parts[run_key(run.entities)])
    if run.modality == "eeg":
        return check_file(run.path) or _check_eeg(run, settings.eeg.line_hz)
    checked = check_t1w(run.path) if engine == "builtin" and not check_file(run.path) else ()
    return check_file(run.path) or map(DataError, checked)


def _check_name(run):
    text = run.misnamed or name_problem(run.path, QUERIES[run.modality][0])
    return [DataError(text)] if text else []


def _check_eeg(run, line_hz):
    from brainfm.storage.bids.validate_eeg import check_eeg  # MNE is slow to import

    given = {"PowerLineFrequency": line_hz} if line_hz else {}
    metadata = None if run.problems else {**run.metadata, **given}
    return map(DataError, check_eeg(run.path, metadata))


def _check_bold(run, engine, t1w, n_parts):
    metadata = None if run.problems else run.metadata
    errors = []
    for part in getattr(run, "raw", ()) or (run,):
        errors += check_file(part.path) or map(
            DataError, check_bold(part.path, metadata, slice_timing=engine == "builtin")
        )
    if not t1w:
        text = (
            f"sub-{run.participant} has no T1w image, which this BOLD run is normalised with: "
            "add anat/*_T1w.nii.gz, or give --derivatives PATH."
        )
        errors.append(MissingInput(text))
    if engine == "builtin" and n_parts > 1:
        text = (
            "is one of several echoes or parts of one run, which the built-in engine does not "
            'combine; choose one with --bids-filter-file, such as {"bold": {"echo": 1}}.'
        )
        errors.append(DataError(text))
    return errors
