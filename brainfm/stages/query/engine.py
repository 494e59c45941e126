"""Choose the engine of fMRI preprocessing and check the derivatives given."""

import shutil
from pathlib import Path

from brainfm.config import FmriprepConfig
from brainfm.errors import MissingInput, UsageError, ValidationFailed
from brainfm.files import read_json
from brainfm.stages.preprocess.fmriprep import fs_license_of

_CONTAINER_TOOLS = ("apptainer", "singularity", "docker")


def choose_engine(config, derivatives, fmriprep=None):
    """Choose what preprocesses raw fMRI.

    Parameters
    ----------
    config : brainfm.config.BoldConfig
    derivatives : dict of str to Path
    fmriprep : brainfm.config.FmriprepConfig, optional

    Returns
    -------
    engine : {"derivatives", "fmriprep", "builtin"}

    Raises
    ------
    UsageError
        If something is missing for the engine that the settings name.
    """
    wanted, fmriprep = config.fmri_engine, fmriprep or FmriprepConfig()
    if wanted == "auto":
        if "fmriprep" in derivatives:
            return "derivatives"
        licensed = fs_license_of(fmriprep)
        return "fmriprep" if licensed and _can_run_fmriprep(fmriprep) else "builtin"
    if wanted == "derivatives" and "fmriprep" not in derivatives:
        raise UsageError("--fmri-engine derivatives needs --derivatives fmriprep=PATH.")
    if wanted == "fmriprep" and not _can_run_fmriprep(fmriprep):
        raise UsageError(
            "--fmri-engine fmriprep: no fmriprep program is on PATH and --fmriprep-container "
            "names no image that apptainer, singularity or docker could run; give one, or "
            "--fmri-engine builtin."
        )
    return wanted


def read_derivatives(arguments):
    """Parse the ``NAME=PATH`` arguments of ``--derivatives``.

    Parameters
    ----------
    arguments : iterable of str

    Returns
    -------
    derivatives : dict of str to Path
    errors : list of BrainFMError
        For each argument that is malformed, or no derivative dataset.
    """
    derivatives, errors = {}, []
    for argument in arguments:
        name, _, path = argument.partition("=")
        if not name or not path:
            text = f"--derivatives {argument}: expected NAME=PATH, such as fmriprep=/data/fp."
            errors.append(UsageError(text))
            continue
        derivatives[name] = Path(path).absolute()
        errors += filter(None, [_check_derivative(name, derivatives[name])])
    return derivatives, errors


def _check_derivative(name, path):
    description = path / "dataset_description.json"
    if not path.is_dir():
        return MissingInput(f"--derivatives {name}: {path} does not exist.")
    if not description.is_file():
        inside = sorted(d.parent.name for d in path.glob("*/dataset_description.json"))
        hint = f" Did you mean {path / inside[0]}?" if inside else ""
        return MissingInput(f"--derivatives {name}: {path} has no dataset_description.json.{hint}")
    content = read_json(description)
    if content.get("DatasetType", "raw") == "raw" and "GeneratedBy" not in content:
        return ValidationFailed(
            f"--derivatives {name}: {path} is a raw dataset by its dataset_description.json; "
            "expected derivatives (DatasetType derivative)."
        )
    return None


def _can_run_fmriprep(config):
    if config.container:
        return any(shutil.which(tool) for tool in _CONTAINER_TOOLS)
    return bool(shutil.which("fmriprep"))
