"""Workflow of one EEG run."""

from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.engine import Node, Workflow

from brainfm.interfaces.eeg import DrawEEG, PreprocessEEG
from brainfm.storage.bids.read_eeg import files_beside
from brainfm.workflows.step import Step


def init_eeg_wf(*, eeg_file, out_dir, config, seed=0, sloppy=False, name="eeg_wf"):
    """Build the workflow of one EEG run: preprocessing and figures.

    Parameters
    ----------
    eeg_file : path
        Raw EEG in a BIDS dataset.
    out_dir : path
        Root of the derivative dataset.
    config : brainfm.config.EegConfig
    seed : int
    sloppy : bool
    name : str

    Returns
    -------
    Workflow
        ``outputnode`` has ``eeg_file`` (the cleaned ``.vhdr``) and ``figures``.
    """
    preprocess = PreprocessEEG(
        eeg_file=eeg_file,
        beside_files=files_beside(eeg_file),
        out_dir=str(out_dir),
        config=config,
        seed=seed,
        sloppy=sloppy,
    )
    preprocess = Step(preprocess, name="preprocess", mem_gb=2)
    draw = Step(DrawEEG(out_dir=str(out_dir)), name="draw", mem_gb=1)
    outputnode = Node(IdentityInterface(["eeg_file", "figures"]), name="outputnode")

    workflow = Workflow(name=name)
    workflow.connect([
        (preprocess, draw, [("summary_file", "summary_file")]),
        (preprocess, outputnode, [("eeg_file", "eeg_file")]),
        (draw, outputnode, [("figures", "figures")]),
    ])  # fmt: skip
    return workflow
