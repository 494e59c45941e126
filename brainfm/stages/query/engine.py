"""Choose the engine of fMRI preprocessing and check the derivatives given."""

import itertools
import re
import shutil
from pathlib import Path

from brainfm.config import FmriprepConfig, split_derivative
from brainfm.errors import BrainFMError, MissingInput, UsageError, ValidationFailed
from brainfm.files import read_json
from brainfm.stages.preprocess.fmriprep import fs_license_of
from brainfm.storage.derivatives.dataset_description import is_derivative, pipeline_of
from brainfm.storage.derivatives.fmriprep import holds_runs

_CONTAINER_TOOLS = ("apptainer", "singularity", "docker")


def choose_engine(config, derivatives, fmriprep=None):
    """Choose what preprocesses raw fMRI.

    Parameters
    ----------
    config : brainfm.config.BoldConfig
    derivatives : dict of str to Path
        fMRIPrep, when it is run, is given those that hold no preprocessed runs.
    fmriprep : brainfm.config.FmriprepConfig, optional

    Returns
    -------
    engine : {"derivatives", "fmriprep", "builtin"}

    Raises
    ------
    UsageError
        If something is missing for the engine that the settings name, or it does not use the
        derivatives given.
    MissingInput
        If derivatives hold no preprocessed runs and nothing else uses them.
    """
    wanted, fmriprep = config.fmri_engine, fmriprep or FmriprepConfig()
    empty = {name: path for name, path in derivatives.items() if not holds_runs(path)}
    if wanted == "auto":
        can_run = fs_license_of(fmriprep) and _can_run_fmriprep(fmriprep)
        has_runs = len(empty) < len(derivatives)
        wanted = "derivatives" if has_runs else "fmriprep" if can_run else "builtin"
    elif wanted == "derivatives" and not derivatives:
        raise UsageError("--fmri-engine derivatives needs --derivatives PATH.")
    elif wanted == "builtin" and len(empty) < len(derivatives):
        raise UsageError(
            "--fmri-engine builtin preprocesses raw images and does not use --derivatives: leave "
            "one of them out."
        )
    if wanted == "fmriprep" and not _can_run_fmriprep(fmriprep):
        raise UsageError(
            "--fmri-engine fmriprep: no fmriprep program is on PATH and --fmriprep-container "
            "names no image that apptainer, singularity or docker could run; give one, or "
            "--fmri-engine builtin."
        )
    if wanted == "builtin" and config.denoising == "ica_aroma":
        raise UsageError(
            "--bold-denoising ica_aroma needs derivatives of fMRIPrep with --use-aroma: give "
            "--derivatives PATH, or choose another strategy."
        )
    if empty and wanted != "fmriprep":
        raise MissingInput("\n".join(_nothing_in(name, path) for name, path in empty.items()))
    return wanted


def _nothing_in(name, path):
    return (
        f"--derivatives {path} ({pipeline_of(path) or name}) holds no preprocessed BOLD runs; "
        "expected sub-*/func/*_space-MNI152*_desc-preproc_bold.nii.gz and "
        "*_desc-confounds_timeseries.tsv, as fMRIPrep writes them. Parcel series are given at the "
        "group level."
    )


def read_derivatives(arguments, bids_dir=None):
    """Parse the arguments of ``--derivatives``, ``PATH`` or ``NAME=PATH``.

    Parameters
    ----------
    arguments : iterable of str
    bids_dir : path, optional
        Input of the call, which counts as one of them if it is a derivative dataset.

    Returns
    -------
    derivatives : dict of str to Path
        By the name given, else that of the pipeline, with a number where several are of one name.
    errors : list of BrainFMError
        For each argument that is no derivative dataset.
    """
    derivatives, errors = {}, []
    words = [str(bids_dir)] if bids_dir and is_derivative(bids_dir) else []
    for word in [*words, *arguments]:
        name, path = split_derivative(word)
        path = Path(path).absolute()
        error = _check_derivative(path)
        if error:
            errors.append(error)
        elif path.resolve() not in map(Path.resolve, derivatives.values()):
            name = name or re.sub(r"[^a-z0-9]", "", (pipeline_of(path) or path.name).lower())
            names = itertools.chain([name], (f"{name}{number}" for number in itertools.count(2)))
            derivatives[next(one for one in names if one not in derivatives)] = path
    return derivatives, errors


def _check_derivative(path):
    description = path / "dataset_description.json"
    if not path.is_dir():
        text = f"--derivatives: {path} does not exist; expected PATH or NAME=PATH."
        return MissingInput(text)
    if not description.is_file():
        inside = sorted(d.parent.name for d in path.glob("*/dataset_description.json"))
        hint = f" Did you mean {path / inside[0]}?" if inside else ""
        return MissingInput(f"--derivatives: {path} has no dataset_description.json.{hint}")
    try:
        content = read_json(description)
    except BrainFMError as error:
        return error
    if not isinstance(content, dict):
        return ValidationFailed(f"{description} is not a JSON object; expected Name, BIDSVersion.")
    if content.get("DatasetType", "raw") == "raw" and not pipeline_of(path):
        return ValidationFailed(
            f"--derivatives: {path} is a raw dataset by its dataset_description.json; "
            "expected derivatives (DatasetType derivative)."
        )
    return None


def _can_run_fmriprep(config):
    if config.container:
        return any(shutil.which(tool) for tool in _CONTAINER_TOOLS)
    return bool(shutil.which("fmriprep"))
