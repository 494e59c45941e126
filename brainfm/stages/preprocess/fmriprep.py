"""Licence, output spaces, templates and further options of fMRIPrep."""

import os
import re
import shlex
from pathlib import Path

from brainfm.errors import BrainFMError, MissingInput, UsageError
from brainfm.stages.preprocess.containers import container_command
from brainfm.storage.bids.fmriprep_filters import fmriprep_filters
from brainfm.storage.templateflow import templateflow_home

#: Templates of the official images of fMRIPrep.
_IMAGE_TEMPLATES = "/home/fmriprep/.cache/templateflow"
#: Options that brainfm sets, by the setting to use instead.
_OURS = {
    "--participant-label": "--participant-label", "--participant_label": "--participant-label",
    "--session-label": "--session-label", "-t": "--task-label", "--task-id": "--task-label",
    "--bids-filter-file": "--bids-filter-file", "--derivatives": "--derivatives",
    "-d": "--derivatives", "-w": "--work-dir", "--work-dir": "--work-dir",
    "--nprocs": "--nprocs", "--nthreads": "--nprocs", "--n_cpus": "--nprocs",
    "--n-cpus": "--nprocs", "--omp-nthreads": "--omp-nthreads", "--mem": "--mem",
    "--mem_mb": "--mem", "--mem-mb": "--mem", "--random-seed": "--random-seed",
    "--output-spaces": "--output-spaces", "--fs-no-reconall": "--no-fs-reconall",
    "--fs-license-file": "--fs-license-file", "--ignore": "--ignore",
    "--use-syn-sdc": "--use-syn-sdc", "--bids-database-dir": "--bids-database-dir",
    "--skip-bids-validation": "--skip-bids-validation",
    "--skip_bids_validation": "--skip-bids-validation", "--dummy-scans": "--bold-n-dummy",
    "--fd-spike-threshold": "--bold-fd-threshold-mm",
}  # fmt: skip
#: Options that leave out what brainfm needs: BOLD in a template space, and confounds.
_TOO_LITTLE = ("--anat-only", "--reports-only", "--level minimal", "--level resampling")


def fs_license_of(config):
    """Find the FreeSurfer licence where fMRIPrep looks for it.

    Parameters
    ----------
    config : brainfm.config.FmriprepConfig

    Returns
    -------
    path : Path or None
        Of the setting, else ``FS_LICENSE``, else ``license.txt`` in ``FREESURFER_HOME`` if there
        is one.
    """
    if named := config.fs_license_file or os.environ.get("FS_LICENSE"):
        return Path(named).absolute()
    home = os.environ.get("FREESURFER_HOME")
    at_home = Path(home or "", "license.txt")
    return at_home if home and at_home.is_file() else None


def output_spaces_of(config, atlas):
    """Return the output spaces that parcellation needs, unless others are given.

    Parameters
    ----------
    config : brainfm.config.FmriprepConfig
    atlas : str or sequence of str
        The atlas or atlases; see :func:`brainfm.storage.atlas.load_atlas`.

    Returns
    -------
    spaces : list of str
        As fMRIPrep spells them, such as ``MNI152NLin2009cAsym:res-2``.
    """
    if config.output_spaces:
        return list(config.output_spaces)
    return [f"{space}:res-2" for space in _spaces_of(atlas) or ["MNI152NLin2009cAsym"]]


def further_words(config):
    """Split the further options as a shell does.

    Parameters
    ----------
    config : brainfm.config.FmriprepConfig

    Returns
    -------
    words : list of str

    Raises
    ------
    UsageError
        If a quotation is not closed, or an option is set by brainfm or would leave out the files
        that it needs.
    """
    try:
        words = shlex.split(config.args or "")
    except ValueError as error:
        raise UsageError(f"--fmriprep-args {config.args!r}: {error}.") from error
    if words and not words[0].startswith("-"):
        raise UsageError(
            f"--fmriprep-args {config.args!r}: expected options of fMRIPrep, such as "
            f"--{words[0]}; found {words[0]!r}."
        )
    for word in [word.partition("=")[0] for word in words if word.startswith("-")]:
        if ours := _is_ours(word):
            raise UsageError(f"--fmriprep-args: {word} is set by brainfm; use its option {ours}.")
    text = " ".join(words).replace("=", " ")
    for few in [few for few in _TOO_LITTLE if f"{few} " in f"{text} "]:
        raise UsageError(
            f"--fmriprep-args: with {few} fMRIPrep writes no BOLD in a template space or no "
            "confounds, which parcellation needs: leave it out, or run fMRIPrep by itself."
        )
    return words


def templates_in_container():
    """Return the folder of templates that fMRIPrep uses in a container.

    Returns
    -------
    home : str
        The home folder of TemplateFlow if it holds the template of brain extraction, else the
        folder inside the official images; ``HOME`` of Apptainer is not that of the image.
    """
    home = templateflow_home()
    has_templates = any(p.stat().st_size for p in home.glob("tpl-OASIS30ANTs/*T1w.nii.gz"))
    return str(home) if has_templates else _IMAGE_TEMPLATES


def check_fmriprep(settings, bids_dir, output_dir):
    """Check what would stop fMRIPrep, or the use of its files, after hours of work.

    Parameters
    ----------
    settings : brainfm.config.Settings
    bids_dir, output_dir : Path

    Returns
    -------
    errors : list of BrainFMError
    """
    config, atlas = settings.fmriprep, settings.bold.atlas
    work_dir = settings.run.work_dir or output_dir / "work"
    checks = [
        lambda: _check_license(config),
        lambda: _check_spaces(output_spaces_of(config, atlas), atlas),
        lambda: _check_work_dir(work_dir, bids_dir),
        lambda: fmriprep_filters(settings.run.bids_filter_file, []),
        lambda: _check_container(config, [bids_dir, output_dir, work_dir]),
    ]
    return list(filter(None, map(_error_of, checks)))


def named_paths(config):
    """List the files and folders that the settings name, for the mounts of a container.

    Parameters
    ----------
    config : brainfm.config.FmriprepConfig

    Returns
    -------
    paths : list of Path
        Absolute paths among the further options that exist.

    Raises
    ------
    UsageError
        See :func:`further_words`.
    """
    paths = [Path(word.rpartition("=")[2]) for word in further_words(config)]
    return [path for path in paths if path.is_absolute() and path.exists()]


def _error_of(check):
    try:
        check()
    except BrainFMError as error:
        return error


def _check_license(config):
    """Refuse a licence that does not exist; an image or a wrapper may have one of its own."""
    path = fs_license_of(config)
    if path and not path.is_file():
        raise MissingInput(f"the FreeSurfer licence {path} does not exist; see --fs-license-file.")


def _check_container(config, folders):
    paths = [*folders, *named_paths(config)]  # refuses further options that are not valid
    if config.container and "://" not in config.container and not Path(config.container).exists():
        raise MissingInput(
            f"--fmriprep-container {config.container} does not exist; expected an image.sif or "
            "docker://NAME."
        )
    if config.container:
        container_command(config.container, binds=dict.fromkeys(paths, "rw"), scratch=folders[-1])


def _check_spaces(spaces, atlas):
    names = {space.partition(":")[0] for space in spaces}
    needed = _spaces_of(atlas)
    if not any(name.startswith("MNI152") for name in names):
        raise UsageError(
            f"--output-spaces {' '.join(spaces)} has no MNI152 template, in which parcels are "
            f"averaged: add {(needed or ['MNI152NLin2009cAsym'])[0]}:res-2."
        )
    if missing := [space for space in needed if space not in names]:
        raise UsageError(
            f"--output-spaces {' '.join(spaces)} lacks {missing[0]}, the space of the atlas: add "
            f"{missing[0]}:res-2."
        )


def _check_work_dir(work_dir, bids_dir):
    if work_dir.resolve().is_relative_to(bids_dir.resolve()):
        raise UsageError(
            f"the work folder {work_dir} lies inside the input {bids_dir}, which fMRIPrep "
            "refuses: give --work-dir outside."
        )


def _spaces_of(atlas):
    """Return the MNI152 templates in the identifiers of atlases of TemplateFlow."""
    names = [atlas] if isinstance(atlas, str) else atlas
    found = [re.match(r"tpl-(MNI152[0-9a-zA-Z]+)_", os.path.basename(name)) for name in names]
    return list(dict.fromkeys(match[1] for match in found if match))


def _is_ours(word):
    """Return the option of brainfm that sets an option of fMRIPrep, which may be abbreviated."""
    for option, ours in _OURS.items():
        is_short = not option.startswith("--")
        if word[:2] == option if is_short else len(word) > 3 and option.startswith(word):
            return ours
    return None
