"""Nipype interfaces of the anatomical preprocessing."""

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    OutputMultiObject,
    SimpleInterface,
    TraitedSpec,
    traits,
)

from brainfm.stages.preprocess.bold_qc import draw_anatomy
from brainfm.stages.preprocess.t1w import (
    PreparedT1w,
    normalise_t1w,
    prepare_t1w,
    segment_t1w,
    write_anatomy,
)


class _PreparedSpec(BaseInterfaceInputSpec):
    t1w = File(exists=True, mandatory=True)
    head = File(exists=True, mandatory=True)
    brain = File(exists=True, mandatory=True)
    mask = File(exists=True, mandatory=True)
    affine = File(exists=True, mandatory=True)
    space = traits.Str(mandatory=True, desc="template")


class _PrepareT1wInputSpec(BaseInterfaceInputSpec):
    t1w_file = File(exists=True, mandatory=True, desc="raw image")
    space = traits.Str(mandatory=True, desc="template")
    sloppy = traits.Bool(False, usedefault=True)


class _PrepareT1wOutputSpec(TraitedSpec):
    t1w = File(exists=True, desc="without bias field")
    head = File(exists=True, desc="the same in voxels of 2 mm")
    brain = File(exists=True, desc="without skull")
    mask = File(exists=True)
    affine = File(exists=True)
    space = traits.Str()


class PrepareT1w(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.t1w.prepare_t1w`."""

    input_spec, output_spec = _PrepareT1wInputSpec, _PrepareT1wOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        prepared = prepare_t1w(i.t1w_file, runtime.cwd, space=i.space, sloppy=i.sloppy)
        self._results.update({name: str(path) for name, path in vars(prepared).items()})
        return runtime


class _NormaliseT1wInputSpec(_PreparedSpec):
    seed = traits.Int(0, usedefault=True)
    threads = traits.Int(1, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class _NormaliseT1wOutputSpec(TraitedSpec):
    t1w_to_template = OutputMultiObject(File(exists=True))
    template_to_t1w = OutputMultiObject(File(exists=True))


class NormaliseT1w(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.t1w.normalise_t1w`."""

    input_spec, output_spec = _NormaliseT1wInputSpec, _NormaliseT1wOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        t1w_to_template, template_to_t1w = normalise_t1w(
            _prepared(i), runtime.cwd, seed=i.seed, threads=i.threads, sloppy=i.sloppy
        )
        self._results.update(
            t1w_to_template=[str(path) for path in t1w_to_template],
            template_to_t1w=[str(path) for path in template_to_t1w],
        )
        return runtime


class _SegmentT1wInputSpec(_PreparedSpec):
    template_to_t1w = InputMultiObject(File(exists=True), mandatory=True)
    sloppy = traits.Bool(False, usedefault=True)


class _SegmentT1wOutputSpec(TraitedSpec):
    segmentation = File(exists=True)


class SegmentT1w(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.t1w.segment_t1w`."""

    input_spec, output_spec = _SegmentT1wInputSpec, _SegmentT1wOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        segmentation = segment_t1w(_prepared(i), i.template_to_t1w, runtime.cwd, sloppy=i.sloppy)
        self._results["segmentation"] = str(segmentation)
        return runtime


class _WriteAnatomyInputSpec(_PreparedSpec):
    t1w_file = File(exists=True, mandatory=True, desc="raw image")
    t1w_to_template = InputMultiObject(File(exists=True), mandatory=True)
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")


class _WriteAnatomyOutputSpec(TraitedSpec):
    t1w_in_template = File(exists=True)
    mask_in_template = File(exists=True)


class WriteAnatomy(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.t1w.write_anatomy`."""

    input_spec, output_spec = _WriteAnatomyInputSpec, _WriteAnatomyOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        t1w, mask = write_anatomy(i.t1w_file, _prepared(i), i.t1w_to_template, i.out_dir)
        self._results.update(t1w_in_template=str(t1w), mask_in_template=str(mask))
        return runtime


class _DrawAnatomyInputSpec(_PreparedSpec):
    t1w_file = File(exists=True, mandatory=True, desc="raw image")
    t1w_in_template = File(exists=True, mandatory=True)
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")


class _DrawAnatomyOutputSpec(TraitedSpec):
    figures = OutputMultiObject(File(exists=True))


class DrawAnatomy(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.bold_qc.draw_anatomy`."""

    input_spec, output_spec = _DrawAnatomyInputSpec, _DrawAnatomyOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        figures = draw_anatomy(i.t1w_file, _prepared(i), i.t1w_in_template, i.out_dir)
        self._results["figures"] = [str(path) for path in figures]
        return runtime


def _prepared(i):
    names = ("t1w", "head", "brain", "mask", "affine")
    return PreparedT1w(space=i.space, **{name: Path(getattr(i, name)) for name in names})
