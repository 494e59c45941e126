"""fMRIPrep as a command: its own program on PATH, or inside a container image."""

import os
import shlex
from pathlib import Path

from nipype.interfaces.base import (
    CommandLine,
    CommandLineInputSpec,
    Directory,
    File,
    TraitedSpec,
    traits,
)

from brainfm.errors import StepFailed, TemporaryFailure
from brainfm.stages.preprocess.containers import container_command

_KILLED = (-9, 137)  # SIGKILL, of the program itself or inside a container
_N_LAST_LINES = 5
_MOST_CRASHES = 5


class _FMRIPrepInputSpec(CommandLineInputSpec):
    bids_dir = Directory(exists=True, mandatory=True, argstr="%s", position=0)
    output_dir = Directory(mandatory=True, argstr="%s", position=1)
    level = traits.Enum("participant", argstr="%s", position=2, usedefault=True)
    participant_label = traits.List(traits.Str, argstr="--participant-label %s")
    bids_filter_file = File(exists=True, argstr="--bids-filter-file %s")
    bids_database_dir = Directory(argstr="--bids-database-dir %s", nohash=True)
    skip_bids_validation = traits.Bool(argstr="--skip-bids-validation", nohash=True)
    derivatives = traits.Dict(traits.Str, traits.Str, argstr="--derivatives %s")
    work_dir = Directory(argstr="-w %s")
    output_spaces = traits.List(
        traits.Str, ["MNI152NLin2009cAsym:res-2"], argstr="--output-spaces %s", usedefault=True
    )
    nprocs = traits.Int(argstr="--nprocs %d", nohash=True)
    omp_nthreads = traits.Int(argstr="--omp-nthreads %d", nohash=True)
    mem_mb = traits.Int(argstr="--mem-mb %d", nohash=True)
    dummy_scans = traits.Int(argstr="--dummy-scans %d")
    fd_spike_threshold = traits.Float(argstr="--fd-spike-threshold %g", desc="in millimetres")
    ignore = traits.List(traits.Str, argstr="--ignore %s")
    use_syn_sdc = traits.Bool(argstr="--use-syn-sdc")
    fs_license_file = File(exists=True, argstr="--fs-license-file %s")
    fs_no_reconall = traits.Bool(True, argstr="--fs-no-reconall", usedefault=True)
    random_seed = traits.Int(argstr="--random-seed %d")
    notrack = traits.Bool(True, argstr="--notrack", usedefault=True)
    sloppy = traits.Bool(argstr="--sloppy")
    stop_on_first_crash = traits.Bool(argstr="--stop-on-first-crash", nohash=True)
    monitor = traits.Bool(argstr="--resource-monitor", nohash=True)
    words = traits.List(traits.Str, argstr="%s", position=-1, desc="further options")
    container = traits.Str(desc="image.sif or docker://NAME; empty runs the program on PATH")
    templates = traits.Str(desc="folder of TemplateFlow inside the container", nohash=True)
    named_paths = traits.List(
        traits.Str, desc="paths in the further options, for the container", nohash=True
    )


class _FMRIPrepOutputSpec(TraitedSpec):
    out_dir = Directory(desc="folder of the derivatives")


class FMRIPrep(CommandLine):
    """Preprocess participants with fMRIPrep.

    All options but those of the settings are known to fMRIPrep 20.2 and later.

    References
    ----------
    .. [1] Esteban et al., 2019, Nature Methods 16. https://doi.org/10.1038/s41592-018-0235-4
    """

    _cmd = "fmriprep"
    _terminal_output = "file"  # output.nipype in the folder of the node, in the order of printing
    input_spec, output_spec = _FMRIPrepInputSpec, _FMRIPrepOutputSpec

    @property
    def cmd(self):
        """Program before the arguments, with that of the container."""
        if not self.inputs.container:
            return self._cmd
        templates = self.inputs.templates
        return shlex.join(
            container_command(
                self.inputs.container,
                binds=self._binds(),
                scratch=self.inputs.work_dir or self.inputs.output_dir,
                environment={"TEMPLATEFLOW_HOME": templates} if templates else {},
            )
        )

    def _binds(self):
        """Return the files and folders to mount in the container, with their access mode."""
        i = self.inputs
        read = [i.bids_dir, i.fs_license_file, i.bids_filter_file, *(i.derivatives or {}).values()]
        written = [i.output_dir, i.work_dir, i.bids_database_dir, *(i.named_paths or [])]
        if i.templates and os.path.isdir(i.templates):
            written.append(i.templates)  # missing templates are downloaded into it
        modes = {**dict.fromkeys(filter(None, read), "ro"), **dict.fromkeys(written, "rw")}
        return {Path(path).absolute(): mode for path, mode in modes.items() if path}

    def _format_arg(self, name, spec, value):
        """Quote each word for the shell that Nipype starts."""
        if isinstance(value, dict):
            value = [f"{key}={path}" for key, path in value.items()]
        if isinstance(value, list):
            return spec.argstr % shlex.join(value)
        if isinstance(value, str):
            return spec.argstr % shlex.quote(value)
        return super()._format_arg(name, spec, value)

    def _run_interface(self, runtime, correct_return_codes=(0,)):
        before = set(self._crash_files())
        runtime = super()._run_interface(runtime, correct_return_codes)
        if runtime.returncode in _KILLED:
            raise TemporaryFailure(
                "fMRIPrep was killed, most likely because memory ran out; give the job more memory "
                "and run the same command again."
            )
        if runtime.returncode not in correct_return_codes:
            crashes = [path for path in self._crash_files() if path not in before]
            raise self._failure(runtime, crashes)
        return runtime

    def _crash_files(self):
        """List the crash files of these participants; sessions may have a folder of their own."""
        return sorted(
            path
            for label in self.inputs.participant_label or []
            for folder in (f"sub-{label}", f"sub-{label}/ses-*", f"fmriprep/sub-{label}")
            for path in Path(self.inputs.output_dir).glob(f"{folder}/log/*/crash*.txt")
        )

    def _failure(self, runtime, crashes):
        """Describe a failed run by its crash files, or else by its last lines."""
        texts = [path.read_text(errors="replace") for path in crashes[:_MOST_CRASHES]]
        said = [
            f"{_last_lines(text, 1).strip()} ({_node_of(text)}; {path})"
            for path, text in zip(crashes, texts, strict=False)
        ] or [_last_lines(runtime.merged or "nothing", _N_LAST_LINES)]
        log = Path(runtime.cwd) / "output.nipype"
        error = StepFailed(
            f"fMRIPrep ended with exit code {runtime.returncode}; see its messages in {log} and "
            f"its logs in {self.inputs.output_dir}. It said:\n" + "\n".join(said)
        )
        for text in texts:
            error.add_note(f"\nCrash file of fMRIPrep:\n{text}")
        return error

    def _list_outputs(self):
        """Return the folder of the ``sub-*`` folders; up to version 20.2, ``fmriprep`` below."""
        out_dir = Path(os.path.abspath(self.inputs.output_dir))
        legacy = out_dir / "fmriprep"
        return {"out_dir": str(legacy if legacy.is_dir() else out_dir)}


def _last_lines(text, n_lines):
    return "\n".join(text.strip().splitlines()[-n_lines:])


def _node_of(text):
    """Return the line of a crash file that names the node."""
    first = text.strip().partition("\n")[0]
    return first if first.startswith("Node: ") else "crash"
