"""Validate preprocessed BOLD runs: their files are there, belong together, and fit the raw run."""

import math
import os
import stat

from brainfm.errors import BrainFMError, DataError, MissingInput
from brainfm.storage.bids.validate_mri import check_bold, check_t1w
from brainfm.storage.derivatives.derived_runs import read_shape

_ANNEX_POINTER = b"/annex/objects/"


def check_file(path):
    """Check that a file has content that can be read.

    Parameters
    ----------
    path : Path

    Returns
    -------
    errors : list of BrainFMError
        Sentences without the name of the file.
    """
    try:
        status = path.stat()
        is_file = stat.S_ISREG(status.st_mode)
        with open(path if is_file else os.devnull, "rb") as file:
            start = file.read(len(_ANNEX_POINTER))
    except PermissionError:
        return [MissingInput("may not be read by you: change its permissions.")]
    except OSError:
        start = _ANNEX_POINTER
    if start.startswith(_ANNEX_POINTER):
        return [
            MissingInput(
                "is a broken link: fetch its content (datalad get), or leave it out of the "
                "selection."
            )
        ]
    is_empty = is_file and not status.st_size
    return [DataError("is empty (0 bytes): copy or convert it again.")] if is_empty else []


def check_derived(run, config):
    """List what keeps a preprocessed run from being standardised, without reading its volumes.

    Parameters
    ----------
    run : brainfm.storage.derivatives.derived_runs.DerivedRun
    config : brainfm.config.BoldConfig

    Returns
    -------
    errors : list of BrainFMError
        Sentences: what was expected, what came, what to do.
    """
    if run.lost:
        return [MissingInput(run.lost)]
    try:
        files = run.files.files_for(config.denoising)
    except MissingInput as error:
        return [error]
    errors = [_named(path, error) for path in files.values() for error in check_file(path)]
    if errors:
        return errors
    errors = [*_check_repetition_times(run), *_check_lengths(run), *_check_confounds(run, config)]
    tests = {"mask": check_t1w(files["mask"])}
    if not errors:
        metadata = {"RepetitionTime": run.metadata.get("RepetitionTime")}
        tests["bold"] = check_bold(files["bold"], metadata)
    errors += [f"{files[name]} {text}" for name, found in tests.items() for text in found]
    return [*map(DataError, errors)]


def _named(path, error):
    return type(error)(f"{path} {error}")


def _check_repetition_times(run):
    """Compare headers and sidecars, raw and preprocessed; 0 and 1 in a header mean unset."""
    found = {f"the JSON of {run.files.bold.name}": run.derived.get("RepetitionTime"),
             f"the header of {run.files.bold.name}": read_shape(run.files.bold)[1]}  # fmt: skip
    for raw in run.raw:
        found[f"the JSON of {raw.path.name}"] = raw.metadata.get("RepetitionTime")
        found[f"the header of {raw.path.name}"] = read_shape(raw.path)[1]
    found = {place: value for place, value in found.items() if isinstance(value, int | float)}
    if found and max(found.values()) > 1.01 * min(found.values()):
        listed = ", ".join(f"{value:g} s in {place}" for place, value in found.items())
        yield f"the repetition time is {listed}: find out which is right and fix the others."


def _check_lengths(run):
    """Compare the numbers of volumes; fMRIPrep marks volumes of no steady state, it keeps them."""
    paths = [run.files.bold, *(raw.path for raw in run.raw)]
    shapes = {path.name: read_shape(path)[0] for path in paths}
    found = {name: math.prod(shape[3:]) for name, shape in shapes.items() if shape}
    if len(shapes[run.files.bold.name] or (0,) * 4) > 4:
        shape = shapes[run.files.bold.name]
        yield f"{run.files.bold} has shape {shape}; expected 4 dimensions: remove the others."
    found[run.files.confounds.name] = _count_rows(run.files.confounds)
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{number} in {name}" for name, number in found.items())
        yield (
            f"the numbers of volumes differ: {listed}. Are they of the same run? If the pipeline "
            "removed volumes on purpose, give its derivatives as BIDS_DIR."
        )


def _check_confounds(run, config):
    """Check that the strategy finds its columns, and that censoring leaves enough of the run."""
    from brainfm.storage.derivatives.confounds import plan_denoising  # nilearn is slow to import

    repetition_time_s = run.metadata.get("RepetitionTime")
    if not isinstance(repetition_time_s, int | float):
        return
    try:
        plan_denoising(run.files.confounds, config, repetition_time_s)
    except BrainFMError as error:
        yield str(error)


def _count_rows(path):
    with open(path, "rb") as file:
        return sum(bool(line.strip()) for line in file) - 1
