"""Nipype interfaces of the EEG preprocessing."""

from pathlib import Path

from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    InputMultiObject,
    TraitedSpec,
    traits,
)

from brainfm.config import EegConfig
from brainfm.interfaces.stage import FiguresSpec, StageInterface, pick
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


class PreprocessEEG(StageInterface):
    """See :func:`brainfm.stages.preprocess.eeg.preprocess_eeg`."""

    input_spec, output_spec = _PreprocessEEGInputSpec, _PreprocessEEGOutputSpec

    def _call(self, i, folder):
        summary_file = Path(folder) / "summary.pkl"
        options = pick(i, "seed", "sloppy")
        eeg_file = preprocess_eeg(
            i.eeg_file, i.out_dir, i.config, summary_file=summary_file, **options
        )
        return {"eeg_file": eeg_file, "summary_file": summary_file}


class _DrawEEGInputSpec(BaseInterfaceInputSpec):
    summary_file = File(exists=True, mandatory=True)
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")


class DrawEEG(StageInterface):
    """See :func:`brainfm.stages.preprocess.eeg_figures.draw_eeg_figures`."""

    input_spec, output_spec = _DrawEEGInputSpec, FiguresSpec

    def _call(self, i, folder):
        return {"figures": draw_eeg_figures(i.summary_file, i.out_dir)}
