"""Validate the runs of each participant: files, sidecars, T1w images and derivatives."""

import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from brainfm.errors import DataError, MissingInput
from brainfm.storage.bids.query import QUERIES, by_participant, t1w_for
from brainfm.storage.bids.validate_mri import check_bold, check_t1w
from brainfm.storage.derivatives.fmriprep import find_fmriprep_run
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


def check_runs(runs, *, bids_dir, line_hz, engine, derivatives):
    """Find the problems of raw runs.

    Parameters
    ----------
    runs : iterable of RawRun
        All runs of each participant.
    bids_dir : Path
    line_hz : float or None
        Mains frequency of EEG, if the sidecars are not to say it.
    engine : {"derivatives", "fmriprep", "builtin"}
    derivatives : dict of str to Path

    Yields
    ------
    problem : Problem
    """
    for label, own in by_participant(runs).items():
        images = {run.path: t1w_for(run, own) for run in own if run.modality == "bold"}
        used = {image.path for image in images.values() if image and engine != "derivatives"}
        needed = [run for run in own if run.modality != "t1w" or run.path in used]
        wrong_name_of = {run.path: _check_name(run) for run in needed}
        n_parts = Counter(_whole_run(run) for run in own if not wrong_name_of.get(run.path))
        for run in needed:
            found = wrong_name_of[run.path] or _check_file(run.path)
            if found:
                pass  # nothing to read
            elif run.modality == "eeg":
                found = _check_eeg(run, line_hz)
            elif run.modality == "bold":
                found = _check_bold(run, engine, images[run.path], n_parts[_whole_run(run)])
                found += _check_derivatives(run, engine, derivatives)
            elif engine == "builtin":
                found = map(DataError, check_t1w(run.path))
            broken = [] if wrong_name_of[run.path] else map(DataError, run.problems)
            for error in [*broken, *found]:
                path, code = run.path.relative_to(bids_dir), error.exit_code
                yield Problem(participant=label, path=path, text=str(error), exit_code=code)


def _check_name(run):
    text = run.misnamed or name_problem(run.path, QUERIES[run.modality][0])
    return [DataError(text)] if text else []


def _whole_run(run):
    """Return what echoes and parts of one run have in common."""
    return run.modality, frozenset(
        item for item in run.entities.items() if item[0] not in ("echo", "part")
    )


def _check_file(path):
    try:
        status = path.stat()
    except OSError:
        text = (
            "is a broken link: fetch its content (datalad get), or leave it out of the selection."
        )
        return [MissingInput(text)]
    is_empty = stat.S_ISREG(status.st_mode) and not status.st_size
    return [DataError("is empty (0 bytes): copy or convert it again.")] if is_empty else []


def _check_eeg(run, line_hz):
    from brainfm.storage.bids.validate_eeg import check_eeg  # MNE is slow to import

    given = {"PowerLineFrequency": line_hz} if line_hz else {}
    metadata = None if run.problems else {**run.metadata, **given}
    return map(DataError, check_eeg(run.path, metadata))


def _check_bold(run, engine, t1w, n_parts):
    metadata = None if run.problems else run.metadata
    errors = [*map(DataError, check_bold(run.path, metadata, slice_timing=engine == "builtin"))]
    if engine != "derivatives" and not t1w:
        text = (
            f"sub-{run.participant} has no T1w image, which this BOLD run is normalised with: "
            "add anat/*_T1w.nii.gz, or give --derivatives fmriprep=PATH."
        )
        errors.append(MissingInput(text))
    if engine == "builtin" and n_parts > 1:
        text = (
            "is one of several echoes or parts of one run, which the built-in engine does not "
            'combine; choose one with --bids-filter-file, such as {"bold": {"echo": 1}}.'
        )
        errors.append(DataError(text))
    return errors


def _check_derivatives(run, engine, derivatives):
    if engine != "derivatives":
        return []
    try:
        find_fmriprep_run(derivatives["fmriprep"], run.path)
    except MissingInput as error:
        return [error]
    return []
