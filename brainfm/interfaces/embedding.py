"""Nipype interface of the model."""

from nipype.interfaces.base import BaseInterfaceInputSpec, File, TraitedSpec, traits

from brainfm.interfaces.stage import StageInterface, pick
from brainfm.stages.embed.recording import embed_recording


class _EmbedRecordingInputSpec(BaseInterfaceInputSpec):
    in_file = File(exists=True, mandatory=True, desc="parcel series (TSV) or clean EEG (VHDR)")
    out_dir = traits.Str(mandatory=True, desc="root of the derivative dataset")
    model = traits.Str("brainfm-tiny", usedefault=True, desc="as load_checkpoint takes it")
    model_key = traits.Str(desc="changes when the checkpoint does, so that the node runs again")
    batch_size = traits.Int(32, usedefault=True, desc="windows encoded at once")
    device = traits.Enum("auto", "cpu", "cuda", usedefault=True)


class _EmbedRecordingOutputSpec(TraitedSpec):
    out_file = File(exists=True, desc="*_embedding.npy")


class EmbedRecording(StageInterface):
    """See :func:`brainfm.stages.embed.recording.embed_recording`."""

    input_spec, output_spec = _EmbedRecordingInputSpec, _EmbedRecordingOutputSpec

    def _call(self, i, folder):
        options = pick(i, "batch_size", "device")
        return {"out_file": embed_recording(i.in_file, i.out_dir, i.model, **options)}
