"""Nipype interfaces of the EEG preprocessing."""

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

from brainfm.config import EegConfig
from brainfm.stages.preprocess.eeg import preprocess_eeg
from brainfm.stages.preprocess.eeg_figures import draw_eeg_figures


class _PreprocessEEGInputSpec(BaseInterfaceInputSpec):
    eeg_file = File(exists=True, mandatory=True, desc="raw EEG in a BIDS dataset")
    beside_files = InputMultiObject(
        File(exists=True), desc="sidecars and data files; when one changes, the node runs again"
    )
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")
    config = traits.Instance(EegConfig, mandatory=True)
    seed = traits.Int(0, usedefault=True)
    sloppy = traits.Bool(False, usedefault=True)


class _PreprocessEEGOutputSpec(TraitedSpec):
    eeg_file = File(exists=True, desc="cleaned EEG (.vhdr)")
    summary_file = File(exists=True, desc="arrays the figures are drawn from")


class PreprocessEEG(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.eeg.preprocess_eeg`."""

    input_spec, output_spec = _PreprocessEEGInputSpec, _PreprocessEEGOutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        summary_file = Path(runtime.cwd) / "summary.pkl"
        eeg_file = preprocess_eeg(
            i.eeg_file,
            i.out_dir,
            i.config,
            seed=i.seed,
            sloppy=i.sloppy,
            summary_file=summary_file,
        )
        self._results.update(eeg_file=str(eeg_file), summary_file=str(summary_file))
        return runtime


class _DrawEEGInputSpec(BaseInterfaceInputSpec):
    summary_file = File(exists=True, mandatory=True)
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")


class _DrawEEGOutputSpec(TraitedSpec):
    figures = OutputMultiObject(File(exists=True))


class DrawEEG(SimpleInterface):
    """See :func:`brainfm.stages.preprocess.eeg_figures.draw_eeg_figures`."""

    input_spec, output_spec = _DrawEEGInputSpec, _DrawEEGOutputSpec

    def _run_interface(self, runtime):
        drawn = draw_eeg_figures(self.inputs.summary_file, self.inputs.out_dir)
        self._results["figures"] = [str(path) for path in drawn]
        return runtime
