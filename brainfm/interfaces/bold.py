"""Nipype interfaces of the BOLD preprocessing and parcellation."""

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from brainfm.config import BoldConfig
from brainfm.stages.preprocess.bold import (
    NormalisedBold,
    RealignedBold,
    align_bold,
    realign_bold,
    resample_bold,
)
from brainfm.stages.preprocess.bold_confounds import write_confounds
from brainfm.stages.preprocess.bold_qc import alignment_qc, bold_qc
from brainfm.stages.standardise.parcellate import PreprocessedBold, standardise_bold
from brainfm.storage.derivatives.fmriprep import find_fmriprep_run


class _RealignedSpec(BaseInterfaceInputSpec):
    bold = File(exists=True, mandatory=True, desc="run before motion correction")
    reference = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    motion = File(exists=True, mandatory=True)
    matrices = File(exists=True, mandatory=True)


class _NormalisedSpec(BaseInterfaceInputSpec):
    bold = File(exists=True, mandatory=True, desc="run in template space")
    mask = File(exists=True, mandatory=True)


class _RealignBoldInputSpec(BaseInterfaceInputSpec):
    bold_file = File(exists=True, mandatory=True, desc="raw run")
    metadata = traits.Dict(mandatory=True, desc="its sidecars")
    n_dummy = traits.Int(0, usedefault=True)


class _RealignBoldOutputSpec(TraitedSpec):
    bold = File(exists=True)
    reference = File(exists=True)
    mask = File(exists=True)
    motion = File(exists=True)
    matrices = File(exists=True)


class RealignBold(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.bold.realign_bold`."""

    input_spec, output_spec = _RealignBoldInputSpec, _RealignBoldOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        realigned = realign_bold(i.bold_file, runtime.cwd, metadata=i.metadata, n_dummy=i.n_dummy)
        self._results.update({name: str(path) for name, path in vars(realigned).items()})
        return runtime


class _AlignBoldInputSpec(_RealignedSpec):
    t1w_brain = File(exists=True, mandatory=True)
    t1w_mask = File(exists=True, mandatory=True)
    sloppy = traits.Bool(False, usedefault=True)


class _AlignBoldOutputSpec(TraitedSpec):
    t1w_to_bold = File(exists=True)


class AlignBold(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.bold.align_bold`."""

    input_spec, output_spec = _AlignBoldInputSpec, _AlignBoldOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        t1w_to_bold = align_bold(
            _realigned(i), i.t1w_brain, i.t1w_mask, runtime.cwd, sloppy=i.sloppy
        )
        self._results["t1w_to_bold"] = str(t1w_to_bold)
        return runtime


class _AlignmentQCInputSpec(BaseInterfaceInputSpec):
    space = traits.Str(mandatory=True, desc="template")
    reference = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    t1w_to_bold = File(exists=True, mandatory=True)
    t1w_brain = File(exists=True, mandatory=True)
    t1w_mask = File(exists=True, mandatory=True)
    segmentation = File(exists=True, mandatory=True)
    t1w_to_template = InputMultiObject(File(exists=True), mandatory=True)
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")
    source_file = traits.Str(mandatory=True, desc="raw run, after which outputs are named")


class _AlignmentQCOutputSpec(TraitedSpec):
    metrics = traits.Dict()


class AlignmentQC(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.bold_qc.alignment_qc`."""

    input_spec, output_spec = _AlignmentQCInputSpec, _AlignmentQCOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        anatomy = {
            "head": i.t1w_brain,
            "mask": i.t1w_mask,
            "segmentation": i.segmentation,
            "t1w_to_template": i.t1w_to_template,
            "space": i.space,
        }
        self._results["metrics"] = alignment_qc(
            i.reference, i.mask, i.t1w_to_bold, anatomy, i.out_dir, source_file=i.source_file
        )
        return runtime


class _ResampleBoldInputSpec(_RealignedSpec):
    t1w_to_bold = File(exists=True, mandatory=True)
    t1w_to_template = InputMultiObject(File(exists=True), mandatory=True)
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")
    source_file = traits.Str(mandatory=True, desc="raw run, after which outputs are named")
    metadata = traits.Dict(mandatory=True)
    space = traits.Str(mandatory=True, desc="template")


class _ResampleBoldOutputSpec(TraitedSpec):
    bold = File(exists=True)
    mask = File(exists=True)


class ResampleBold(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.bold.resample_bold`."""

    input_spec, output_spec = _ResampleBoldInputSpec, _ResampleBoldOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        normalised = resample_bold(
            _realigned(i),
            i.t1w_to_bold,
            i.t1w_to_template,
            out_dir=i.out_dir,
            source_file=i.source_file,
            metadata=i.metadata,
            space=i.space,
        )
        self._results.update(bold=str(normalised.bold), mask=str(normalised.mask))
        return runtime


class _WriteConfoundsInputSpec(_NormalisedSpec):
    motion = File(exists=True, mandatory=True)
    segmentation = File(exists=True, mandatory=True)
    t1w_to_template = InputMultiObject(File(exists=True), mandatory=True)
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")
    source_file = traits.Str(mandatory=True, desc="raw run, after which outputs are named")
    repetition_time_s = traits.Float(mandatory=True)
    n_dummy = traits.Int(0, usedefault=True)
    high_pass_hz = traits.Float(0.008, usedefault=True)


class _WriteConfoundsOutputSpec(TraitedSpec):
    confounds = File(exists=True)
    tissues = File(exists=True, desc="labels in the grid of the run")


class WriteConfounds(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.bold_confounds.write_confounds`."""

    input_spec, output_spec = _WriteConfoundsInputSpec, _WriteConfoundsOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        settings = ("out_dir", "source_file", "repetition_time_s", "n_dummy", "high_pass_hz")
        confounds, tissues = write_confounds(
            NormalisedBold(bold=i.bold, mask=i.mask),
            i.segmentation,
            i.motion,
            i.t1w_to_template,
            runtime.cwd,
            **{name: getattr(i, name) for name in settings},
        )
        self._results.update(confounds=str(confounds), tissues=str(tissues))
        return runtime


class _FindFmriprepInputSpec(BaseInterfaceInputSpec):
    derivatives_dir = traits.Str(mandatory=True, desc="folder of fMRIPrep's sub-* folders")
    bold_file = File(mandatory=True, desc="raw run")


class _FindFmriprepOutputSpec(TraitedSpec):
    bold = File(exists=True)
    mask = File(exists=True)
    confounds = File(exists=True)


class FindFmriprep(SimpleInterface):
    """See :func:`brainfm.storage.derivatives.fmriprep.find_fmriprep_run`."""

    input_spec, output_spec = _FindFmriprepInputSpec, _FindFmriprepOutputSpec
    _always_run = True  # what is in the folder may have changed

    def _run_interface(self, runtime):
        found = find_fmriprep_run(self.inputs.derivatives_dir, self.inputs.bold_file)
        self._results.update({name: str(path) for name, path in vars(found).items()})
        return runtime


class _StandardiseBoldInputSpec(_NormalisedSpec):
    confounds = File(exists=True, mandatory=True)
    config = traits.Instance(BoldConfig, mandatory=True)
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")
    source_file = traits.Str(mandatory=True, desc="raw run, after which outputs are named")
    repetition_time_s = traits.Float(mandatory=True)
    engine = traits.Str("builtin", usedefault=True)


class _StandardiseBoldOutputSpec(TraitedSpec):
    timeseries_file = File(exists=True)
    metrics = traits.Dict()


class StandardiseBold(SimpleInterface):
    """See :func:`brainfm.stages.standardise.parcellate.standardise_bold`."""

    input_spec, output_spec = _StandardiseBoldInputSpec, _StandardiseBoldOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        timeseries, metrics = standardise_bold(_preprocessed(i), i.out_dir, i.config)
        self._results.update(timeseries_file=str(timeseries), metrics=metrics)
        return runtime


class _BoldQCInputSpec(_NormalisedSpec):
    confounds = File(exists=True, mandatory=True)
    timeseries_file = File(exists=True, mandatory=True)
    tissues = File(exists=True, desc="labels in the grid of the run, if known")
    alignment = traits.Dict(desc="metrics of the alignment, if known")
    parcellation = traits.Dict(mandatory=True, desc="metrics of the parcel series")
    fd_threshold_mm = traits.Float(mandatory=True)
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")
    source_file = traits.Str(mandatory=True, desc="raw run, after which outputs are named")
    repetition_time_s = traits.Float(mandatory=True)
    engine = traits.Str("builtin", usedefault=True)


class _BoldQCOutputSpec(TraitedSpec):
    quality_file = File(exists=True)


class BoldQC(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.bold_qc.bold_qc`."""

    input_spec, output_spec = _BoldQCInputSpec, _BoldQCOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        files = {"bold": i.bold, "mask": i.mask, "confounds": i.confounds}
        files |= {"timeseries": i.timeseries_file, "tissues": i.tissues or None}
        names = ("fd_threshold_mm", "out_dir", "source_file", "repetition_time_s", "engine")
        quality_file = bold_qc(
            files,
            {**(i.alignment or {}), **i.parcellation},
            **{name: getattr(i, name) for name in names},
        )
        self._results["quality_file"] = str(quality_file)
        return runtime


def _realigned(i):
    names = ("bold", "reference", "mask", "motion", "matrices")
    return RealignedBold(**{name: Path(getattr(i, name)) for name in names})


def _preprocessed(i):
    origin = "" if i.engine == "builtin" else "fmriprep"
    below = "/".join(Path(i.bold).parts[-3:])
    return PreprocessedBold(
        bold_file=Path(i.bold),
        mask_file=Path(i.mask),
        confounds_file=Path(i.confounds),
        repetition_time_s=i.repetition_time_s,
        source_file=i.source_file,
        sources=(f"bids:{origin}:{below}",),
    )
