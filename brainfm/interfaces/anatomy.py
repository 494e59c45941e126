"""Nipype interfaces of the anatomical preprocessing."""

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    OutputMultiObject,
    TraitedSpec,
    traits,
)

from brainfm.interfaces.stage import FiguresSpec, StageInterface, collect, pick
from brainfm.stages.preprocess.bold_qc import draw_anatomy
from brainfm.stages.preprocess.t1w import (
    PreparedT1w,
    normalise_t1w,
    prepare_t1w,
    segment_t1w,
    write_anatomy,
)


class _PreparedSpec(BaseInterfaceInputSpec):
    """Fields of a prepared image: outputs of the first interface, inputs of the others."""

    t1w = File(exists=True, mandatory=True, desc="without bias field")
    head = File(exists=True, mandatory=True, desc="the same in voxels of 2 mm")
    brain = File(exists=True, mandatory=True, desc="without skull")
    mask = File(exists=True, mandatory=True)
    affine = File(exists=True, mandatory=True)
    space = traits.Str(mandatory=True, desc="template")
    notes = traits.List(traits.Str(), desc="what is unusual about the image")


class _PrepareT1wInputSpec(BaseInterfaceInputSpec):
    t1w_file = File(exists=True, mandatory=True, desc="raw image")
    space = traits.Str(mandatory=True, desc="template")
    sloppy = traits.Bool(False, usedefault=True)


class PrepareT1w(StageInterface):
    """See :func:`brainfm.stages.preprocess.t1w.prepare_t1w`."""

    input_spec, output_spec = _PrepareT1wInputSpec, _PreparedSpec

    def _call(self, i, folder):
        return vars(prepare_t1w(i.t1w_file, folder, space=i.space, sloppy=i.sloppy))


class _NormaliseT1wInputSpec(_PreparedSpec):
    seed = traits.Int(0, usedefault=True)
    threads = traits.Int(1, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class _NormaliseT1wOutputSpec(TraitedSpec):
    t1w_to_template = OutputMultiObject(File(exists=True))
    template_to_t1w = OutputMultiObject(File(exists=True))


class NormaliseT1w(StageInterface):
    """See :func:`brainfm.stages.preprocess.t1w.normalise_t1w`."""

    input_spec, output_spec = _NormaliseT1wInputSpec, _NormaliseT1wOutputSpec

    def _call(self, i, folder):
        options = pick(i, "seed", "threads", "sloppy")
        transforms = normalise_t1w(collect(PreparedT1w, i), folder, **options)
        return dict(zip(("t1w_to_template", "template_to_t1w"), transforms, strict=True))


class _SegmentT1wInputSpec(_PreparedSpec):
    template_to_t1w = InputMultiObject(File(exists=True), mandatory=True)
    sloppy = traits.Bool(False, usedefault=True)


class _SegmentT1wOutputSpec(TraitedSpec):
    segmentation = File(exists=True)


class SegmentT1w(StageInterface):
    """See :func:`brainfm.stages.preprocess.t1w.segment_t1w`."""

    input_spec, output_spec = _SegmentT1wInputSpec, _SegmentT1wOutputSpec

    def _call(self, i, folder):
        prepared = collect(PreparedT1w, i)
        return {"segmentation": segment_t1w(prepared, i.template_to_t1w, folder, sloppy=i.sloppy)}


class _DerivativeSpec(_PreparedSpec):
    t1w_file = File(exists=True, mandatory=True, desc="raw image")
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")


class _WriteAnatomyInputSpec(_DerivativeSpec):
    t1w_to_template = InputMultiObject(File(exists=True), mandatory=True)


class _WriteAnatomyOutputSpec(TraitedSpec):
    t1w_in_template = File(exists=True)
    mask_in_template = File(exists=True)


class WriteAnatomy(StageInterface):
    """See :func:`brainfm.stages.preprocess.t1w.write_anatomy`."""

    input_spec, output_spec = _WriteAnatomyInputSpec, _WriteAnatomyOutputSpec

    def _call(self, i, folder):
        written = write_anatomy(i.t1w_file, collect(PreparedT1w, i), i.t1w_to_template, i.out_dir)
        return dict(zip(("t1w_in_template", "mask_in_template"), written, strict=True))


class _DrawAnatomyInputSpec(_DerivativeSpec):
    t1w_in_template = File(exists=True, mandatory=True)


class DrawAnatomy(StageInterface):
    """See :func:`brainfm.stages.preprocess.bold_qc.draw_anatomy`."""

    input_spec, output_spec = _DrawAnatomyInputSpec, FiguresSpec

    def _call(self, i, folder):
        prepared = collect(PreparedT1w, i)
        return {"figures": draw_anatomy(i.t1w_file, prepared, i.t1w_in_template, i.out_dir)}
