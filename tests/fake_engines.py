"""Stand-ins for the engines, for tests of the shell: quick, and they fail or wait when told to.

``BRAINFM_FAKE_FAIL`` names a recording whose cleaning raises, ``BRAINFM_FAKE_KILL`` one whose
worker dies, ``BRAINFM_FAKE_WAIT_S`` how long cleaning takes. ``calls`` counts what really ran.
"""

import importlib
import os
import signal
import time
from pathlib import Path

import numpy as np
from nipype import Node, Workflow
from nipype.interfaces.base import (
    BaseInterfaceInputSpec,
    File,
    SimpleInterface,
    TraitedSpec,
    traits,
)
from nipype.interfaces.utility import IdentityInterface

from brainfm.errors import SignalError
from brainfm.files import write_json, write_npy, write_text
from brainfm.storage.bids.names import entities_of, stem_of
from brainfm.workflows.step import Step

ANATOMY = ["t1w_brain", "t1w_mask", "t1w_to_template", "template_to_t1w", "segmentation"]


class _InputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True)
    out_dir = traits.Str(mandatory=True)
    ending = traits.Str(mandatory=True)
    before = File(exists=True)


class _OutputSpec(TraitedSpec):
    out_file = File(exists=True)


class Make(SimpleInterface):
    """Write a file that depends on the content of its input only."""

    input_spec, output_spec = _InputSpec, _OutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        name = Path(i.in_file).name
        _note_call(i.out_dir, name)
        time.sleep(float(os.environ.get("BRAINFM_FAKE_WAIT_S", "0")))
        if os.environ.get("BRAINFM_FAKE_FAIL", "nothing") in name:
            raise SignalError(f"{name} is flat; expected a signal: check the amplifier.")
        if os.environ.get("BRAINFM_FAKE_KILL", "nothing") in name:
            os.kill(os.getpid(), signal.SIGKILL)
        out_file = _folder(i.in_file, i.out_dir) / f"{stem_of(name)}{i.ending}"
        write_text(out_file, f"made from {os.path.getsize(i.in_file)} bytes\n")
        self._results["out_file"] = str(out_file)
        return runtime


class _EmbedInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True)
    out_dir = traits.Str(mandatory=True)
    model = traits.Str("brainfm-tiny")
    model_key = traits.Str()
    device = traits.Str("cpu")
    batch_size = traits.Int(32)


class FakeEmbed(SimpleInterface):
    """Write a vector of the size of the input."""

    input_spec, output_spec = _EmbedInputSpec, _OutputSpec

    def _run_interface(self, runtime):
        i = self.inputs
        _note_call(i.out_dir, "embed " + Path(i.in_file).name)
        stem = stem_of(i.in_file).rpartition("_desc-")[0]
        out_file = Path(i.in_file).parent / f"{stem}_desc-tiny_embedding.npy"
        write_npy(out_file, np.full(4, os.path.getsize(i.in_file), np.float32))
        write_json(out_file.with_suffix(".json"), {"Model": i.model})
        self._results["out_file"] = str(out_file)
        return runtime


def fake_eeg_wf(*, eeg_file, out_dir, name="eeg_wf", **settings):
    """Stand in for ``init_eeg_wf``."""
    clean = Step(Make(in_file=eeg_file, out_dir=str(out_dir)), name="clean")
    clean.inputs.ending = "_desc-preproc_eeg.vhdr"
    outputnode = Node(IdentityInterface(["eeg_file"]), name="outputnode")
    workflow = Workflow(name=name)
    workflow.connect([(clean, outputnode, [("out_file", "eeg_file")])])
    return workflow


def fake_anat_wf(*, t1w_file, out_dir, name, **settings):
    """Stand in for ``init_anat_wf``."""
    brain = Step(Make(in_file=t1w_file, out_dir=str(out_dir)), name="brain")
    brain.inputs.ending = "_desc-preproc_T1w.txt"
    outputnode = Node(IdentityInterface(ANATOMY), name="outputnode")
    workflow = Workflow(name=name)
    workflow.connect([(brain, outputnode, [("out_file", "t1w_brain")])])
    return workflow


def fake_bold_wf(*, bold_file, out_dir, name="bold_wf", **settings):
    """Stand in for ``init_bold_wf``."""
    inputnode = Node(IdentityInterface(ANATOMY), name="inputnode")
    parcels = Step(Make(in_file=bold_file, out_dir=str(out_dir)), name="parcels")
    parcels.inputs.ending = "_desc-denoised_timeseries.tsv"
    outputnode = Node(IdentityInterface(["timeseries_file"]), name="outputnode")
    workflow = Workflow(name=name)
    workflow.connect(
        [
            (inputnode, parcels, [("t1w_brain", "before")]),
            (parcels, outputnode, [("out_file", "timeseries_file")]),
        ]
    )
    return workflow


def fake_report(out_dir, participant, *, errors=()):
    """Stand in for ``write_participant_report``."""
    if os.environ.get("BRAINFM_FAKE_REPORT_FAILS"):
        raise ValueError("no figure to show")
    return write_text(Path(out_dir) / f"sub-{participant}.html", "\n".join(errors) + "\n")


def calls(output_dir):
    """Return what really ran so far, in order."""
    path = Path(output_dir) / "logs" / "calls.txt"
    return path.read_text().splitlines() if path.is_file() else []


def install():
    """Put the stand-ins in the place of the engines, for good: for a process of its own."""
    for place, stand_in in stand_ins():
        module, _, name = place.rpartition(".")
        setattr(importlib.import_module(module), name, stand_in)


def stand_ins():
    """Return (place, stand-in) pairs, for ``monkeypatch.setattr``."""
    return [
        ("brainfm.workflows.participant.init_eeg_wf", fake_eeg_wf),
        ("brainfm.workflows.participant.init_anat_wf", fake_anat_wf),
        ("brainfm.workflows.participant.init_bold_wf", fake_bold_wf),
        ("brainfm.workflows.participant.EmbedRecording", FakeEmbed),
        ("brainfm.stages.report.participant.write_participant_report", fake_report),
        ("brainfm.stages.query.plan.model_key", lambda model: f"key of {model}"),
        ("brainfm.cli.participant.find_checkpoint", Path),
        ("brainfm.cli.participant.pin_revision", str),
    ]


def _folder(in_file, out_dir):
    entities = entities_of(in_file)
    session = f"ses-{entities['ses']}" if "ses" in entities else ""
    return Path(out_dir) / f"sub-{entities['sub']}" / session / Path(in_file).parent.name


def _note_call(out_dir, text):
    path = Path(out_dir) / "logs" / "calls.txt"
    with open(path, "a", encoding="utf8") as file:
        file.write(text + "\n")
