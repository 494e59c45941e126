"""fMRIPrep as a command: its own program on PATH, or inside a container image."""

import os
import shutil
from pathlib import Path

from nipype.interfaces.base import (
    CommandLine,
    CommandLineInputSpec,
    Directory,
    File,
    TraitedSpec,
    traits,
)

from brainfm.errors import StepFailed, TemporaryFailure, UsageError

_KILLED = (-9, 137)  # SIGKILL, of the program itself or inside a container
_N_LAST_LINES = 5


class _FMRIPrepInputSpec(CommandLineInputSpec):
    bids_dir = Directory(exists=True, mandatory=True, argstr="%s", position=0)
    output_dir = Directory(mandatory=True, argstr="%s", position=1)
    level = traits.Enum("participant", argstr="%s", position=2, usedefault=True)
    participant_label = traits.List(traits.Str, argstr="--participant-label %s")
    work_dir = Directory(argstr="-w %s")
    output_spaces = traits.List(
        traits.Str, ["MNI152NLin2009cAsym:res-2"], argstr="--output-spaces %s", usedefault=True
    )
    nprocs = traits.Int(argstr="--nprocs %d")
    omp_nthreads = traits.Int(argstr="--omp-nthreads %d")
    fs_license_file = File(exists=True, argstr="--fs-license-file %s")
    random_seed = traits.Int(argstr="--random-seed %d")
    fs_no_reconall = traits.Bool(True, argstr="--fs-no-reconall", usedefault=True)
    notrack = traits.Bool(True, argstr="--notrack", usedefault=True)
    sloppy = traits.Bool(argstr="--sloppy")
    container = traits.Str(desc="image.sif or docker://NAME; empty runs the program on PATH")


class _FMRIPrepOutputSpec(TraitedSpec):
    out_dir = Directory(desc="folder of the derivatives")


class FMRIPrep(CommandLine):
    """Preprocess participants with fMRIPrep.

    References
    ----------
    .. [1] Esteban et al., 2019, Nature Methods 16. https://doi.org/10.1038/s41592-018-0235-4
    """

    _cmd = "fmriprep"
    input_spec, output_spec = _FMRIPrepInputSpec, _FMRIPrepOutputSpec

    @property
    def cmd(self):
        """Program before the arguments, with that of the container."""
        if not self.inputs.container:
            return self._cmd
        return " ".join(container_command(self.inputs.container, binds=self._binds()))

    def _binds(self):
        """Return the folders to mount in the container, with their access mode."""
        modes = {"bids_dir": "ro", "fs_license_file": "ro", "output_dir": "rw", "work_dir": "rw"}
        paths = {getattr(self.inputs, name): mode for name, mode in modes.items()}
        return {Path(path).absolute(): mode for path, mode in paths.items() if path}

    def _run_interface(self, runtime, correct_return_codes=(0,)):
        runtime = super()._run_interface(runtime, correct_return_codes)
        if runtime.returncode in _KILLED:
            raise TemporaryFailure(
                "fMRIPrep was killed, most likely because memory ran out; give the job more memory "
                "and run the same command again."
            )
        if runtime.returncode not in correct_return_codes:
            last = "\n".join((runtime.stderr or "").strip().splitlines()[-_N_LAST_LINES:])
            raise StepFailed(
                f"fMRIPrep ended with exit code {runtime.returncode}; see its logs in "
                f"{self.inputs.output_dir}. Its last lines:\n{last}"
            )
        return runtime

    def _list_outputs(self):
        return {"out_dir": os.path.abspath(self.inputs.output_dir)}


def container_command(image, *, binds):
    """Return the command that runs a container image with only the folders it needs.

    Parameters
    ----------
    image : str
        Path of a ``.sif`` file, or ``docker://NAME``.
    binds : dict of Path to {"ro", "rw"}
        Folders, mounted under the same path inside the container.

    Returns
    -------
    words : list of str

    Raises
    ------
    UsageError
        If no program on PATH runs such an image.
    """
    for program in ("apptainer", "singularity"):
        if shutil.which(program):
            pairs = [f"-B {path}:{path}:{mode}" for path, mode in binds.items()]
            return [program, "run", "--cleanenv", "--containall", *pairs, image]
    if image.startswith("docker://") and shutil.which("docker"):
        pairs = [f"-v {path}:{path}:{mode}" for path, mode in binds.items()]
        user = f"--user {os.getuid()}:{os.getgid()}"
        return ["docker", "run", "--rm", user, *pairs, image.removeprefix("docker://")]
    needed = "apptainer, singularity or docker" if "://" in image else "apptainer or singularity"
    raise UsageError(
        f"--fmriprep-container {image} needs {needed}, and none is on PATH: install one, or give "
        "finished derivatives with --derivatives fmriprep=PATH."
    )
