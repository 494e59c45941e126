"""Nipype interfaces of the BOLD preprocessing and parcellation."""

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    TraitedSpec,
    traits,
)

from brainfm.config import BoldConfig
from brainfm.interfaces.stage import StageInterface, collect, pick
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
    flags = File(exists=True, mandatory=True, desc="what is wrong with each volume")
    notes = traits.List(traits.Str(), desc="what is unusual about the run")


class _NormalisedSpec(BaseInterfaceInputSpec):
    bold = File(exists=True, mandatory=True, desc="run in template space")
    mask = File(exists=True, mandatory=True)


class _PreprocessedSpec(_NormalisedSpec):
    confounds = File(exists=True, mandatory=True)


class _NamesSpec(BaseInterfaceInputSpec):
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")
    source_file = traits.Str(mandatory=True, desc="raw run, after which outputs are named")


class _RealignBoldInputSpec(BaseInterfaceInputSpec):
    bold_file = File(exists=True, mandatory=True, desc="raw run")
    metadata = traits.Dict(mandatory=True, desc="its sidecars")
    n_dummy = traits.Either(None, traits.Int(), usedefault=True, desc="None: detected")


class RealignBold(StageInterface):
    """See :func:`brainfm.stages.preprocess.bold.realign_bold`."""

    input_spec, output_spec = _RealignBoldInputSpec, _RealignedSpec

    def _call(self, i, folder):
        return vars(realign_bold(i.bold_file, folder, metadata=i.metadata, n_dummy=i.n_dummy))


class _AlignBoldInputSpec(_RealignedSpec):
    t1w_brain = File(exists=True, mandatory=True)
    t1w_mask = File(exists=True, mandatory=True)
    sloppy = traits.Bool(False, usedefault=True)


class _AlignBoldOutputSpec(TraitedSpec):
    t1w_to_bold = File(exists=True)


class AlignBold(StageInterface):
    """See :func:`brainfm.stages.preprocess.bold.align_bold`."""

    input_spec, output_spec = _AlignBoldInputSpec, _AlignBoldOutputSpec

    def _call(self, i, folder):
        realigned = collect(RealignedBold, i)
        t1w_to_bold = align_bold(realigned, i.t1w_brain, i.t1w_mask, folder, sloppy=i.sloppy)
        return {"t1w_to_bold": t1w_to_bold}


class _AlignmentQCInputSpec(_NamesSpec):
    space = traits.Str(mandatory=True, desc="template")
    reference = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    t1w_to_bold = File(exists=True, mandatory=True)
    t1w_brain = File(exists=True, mandatory=True)
    t1w_mask = File(exists=True, mandatory=True)
    segmentation = File(exists=True, mandatory=True)
    t1w_to_template = InputMultiObject(File(exists=True), mandatory=True)


class _AlignmentQCOutputSpec(TraitedSpec):
    metrics = traits.Dict()


class AlignmentQC(StageInterface):
    """See :func:`brainfm.stages.preprocess.bold_qc.alignment_qc`."""

    input_spec, output_spec = _AlignmentQCInputSpec, _AlignmentQCOutputSpec

    def _call(self, i, folder):
        anatomy = pick(i, "segmentation", "t1w_to_template", "space")
        anatomy |= {"head": i.t1w_brain, "mask": i.t1w_mask}
        metrics = alignment_qc(
            i.reference, i.mask, i.t1w_to_bold, anatomy, i.out_dir, source_file=i.source_file
        )
        return {"metrics": metrics}


class _ResampleBoldInputSpec(_RealignedSpec, _NamesSpec):
    t1w_to_bold = File(exists=True, mandatory=True)
    t1w_to_template = InputMultiObject(File(exists=True), mandatory=True)
    metadata = traits.Dict(mandatory=True)
    space = traits.Str(mandatory=True, desc="template")
    t1w_file = traits.Str(mandatory=True, desc="raw T1w image")


class ResampleBold(StageInterface):
    """See :func:`brainfm.stages.preprocess.bold.resample_bold`."""

    input_spec, output_spec = _ResampleBoldInputSpec, _NormalisedSpec

    def _call(self, i, folder):
        realigned = collect(RealignedBold, i)
        settings = pick(i, "out_dir", "source_file", "t1w_file", "metadata", "space")
        return vars(resample_bold(realigned, i.t1w_to_bold, i.t1w_to_template, **settings))


class _WriteConfoundsInputSpec(_NormalisedSpec, _NamesSpec):
    motion = File(exists=True, mandatory=True)
    flags = File(exists=True, mandatory=True)
    segmentation = File(exists=True, mandatory=True)
    t1w_to_template = InputMultiObject(File(exists=True), mandatory=True)
    repetition_time_s = traits.Float(mandatory=True)
    high_pass_hz = traits.Float(0.008, usedefault=True)
    fd_threshold_mm = traits.Float(0.5, usedefault=True)


class _WriteConfoundsOutputSpec(TraitedSpec):
    confounds = File(exists=True)
    tissues = File(exists=True, desc="labels in the grid of the run")


class WriteConfounds(StageInterface):
    """See :func:`brainfm.stages.preprocess.bold_confounds.write_confounds`."""

    input_spec, output_spec = _WriteConfoundsInputSpec, _WriteConfoundsOutputSpec

    def _call(self, i, folder):
        run = collect(NormalisedBold, i)
        files = pick(i, "segmentation", "motion", "flags", "t1w_to_template")
        settings = ("out_dir", "source_file", "repetition_time_s", "high_pass_hz",
                    "fd_threshold_mm")  # fmt: skip
        confounds, tissues = write_confounds(run, files, folder, **pick(i, *settings))
        return {"confounds": confounds, "tissues": tissues}


class _FindFmriprepInputSpec(BaseInterfaceInputSpec):
    derivatives_dir = traits.Str(mandatory=True, desc="folder of fMRIPrep's sub-* folders")
    bold_file = File(mandatory=True, desc="raw run")
    denoising = traits.Str("", usedefault=True, desc="strategy, which may need another image")


class FindFmriprep(StageInterface):
    """See :func:`brainfm.storage.derivatives.fmriprep.find_fmriprep_run`."""

    input_spec, output_spec = _FindFmriprepInputSpec, _PreprocessedSpec
    _always_run = True  # what is in the folder may have changed

    def _call(self, i, folder):
        return find_fmriprep_run(i.derivatives_dir, i.bold_file).files_for(i.denoising)


class _PreprocessedInputSpec(_PreprocessedSpec, _NamesSpec):
    repetition_time_s = traits.Float(mandatory=True)
    engine = traits.Str("builtin", usedefault=True)


class _StandardiseBoldInputSpec(_PreprocessedInputSpec):
    config = traits.Instance(BoldConfig, mandatory=True)
    sources = traits.List(traits.Str, desc="BIDS URIs of the files, if they are of a derivative")


class _StandardiseBoldOutputSpec(TraitedSpec):
    timeseries_file = File(exists=True)
    metrics = traits.Dict()


class StandardiseBold(StageInterface):
    """See :func:`brainfm.stages.standardise.parcellate.standardise_bold`."""

    input_spec, output_spec = _StandardiseBoldInputSpec, _StandardiseBoldOutputSpec

    def _call(self, i, folder):
        origin = "" if i.engine == "builtin" else "fmriprep"
        below = i.bold[i.bold.rindex("/sub-", 0, i.bold.rindex("/func/")) + 1 :]
        run = PreprocessedBold(
            bold_file=Path(i.bold),
            mask_file=Path(i.mask),
            confounds_file=Path(i.confounds),
            repetition_time_s=i.repetition_time_s,
            source_file=i.source_file,
            sources=tuple(i.sources or ()) or (f"bids:{origin}:{below}",),
        )
        timeseries, metrics = standardise_bold(run, i.out_dir, i.config)
        return {"timeseries_file": timeseries, "metrics": metrics}


class _BoldQCInputSpec(_PreprocessedInputSpec):
    timeseries_file = File(exists=True, mandatory=True)
    tissues = File(exists=True, desc="labels in the grid of the run, if known")
    alignment = traits.Dict(desc="metrics of the alignment, if known")
    parcellation = traits.Dict(mandatory=True, desc="metrics of the parcel series")
    fd_threshold_mm = traits.Float(mandatory=True)


class _BoldQCOutputSpec(TraitedSpec):
    quality_file = File(exists=True)


class BoldQC(StageInterface):
    """See :func:`brainfm.stages.preprocess.bold_qc.bold_qc`."""

    input_spec, output_spec = _BoldQCInputSpec, _BoldQCOutputSpec

    def _call(self, i, folder):
        files = pick(i, "bold", "mask", "confounds")
        files |= {"timeseries": i.timeseries_file, "tissues": i.tissues or None}
        metrics = {**(i.alignment or {}), **i.parcellation}
        settings = ("fd_threshold_mm", "out_dir", "source_file", "repetition_time_s", "engine")
        return {"quality_file": bold_qc(files, metrics, **pick(i, *settings))}
