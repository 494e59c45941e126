"""Embed one standardised recording and write the vector with its sidecar."""

import re
from importlib.metadata import version
from pathlib import Path

from brainfm import __version__
from brainfm.errors import DataError
from brainfm.files import write_json, write_npy
from brainfm.models.checkpoint.load_save import Checkpoint, load_checkpoint
from brainfm.models.checkpoint.participants import participants_hash
from brainfm.models.encoder.readout import embed, part_slices
from brainfm.models.encoder.windows import SPECS, prepare
from brainfm.models.inputs import device_of
from brainfm.signal.censored_frames import censored_frames
from brainfm.storage.derivatives.labels import dataset_root
from brainfm.storage.derivatives.names import derivative_path
from brainfm.storage.derivatives.read_eeg import read_eeg
from brainfm.storage.derivatives.read_timeseries import read_timeseries

_NORMALIZATION = {
    "bold": "each parcel: linear trend removed, z-scored over the run, clipped at 5",
    "eeg": "silent ends cut off, median of each channel removed, 40 Hz low-pass, divided by "
    "one robust scale of the recording, clipped at 15",
}


def embed_recording(path, out_dir, model, *, batch_size=32, device="auto", positions=None):
    """Embed one recording and write ``*_desc-<model>_embedding.npy`` with its sidecar.

    Parameters
    ----------
    path : path
        ``*_timeseries.tsv`` of parcels, or ``*_desc-preproc_eeg.vhdr``.
    out_dir : path
        Root of the derivative dataset to write to.
    model : str, path or Checkpoint
        As :func:`brainfm.models.checkpoint.load_save.load_checkpoint` takes it, or a loaded one.
    batch_size : int
        Number of windows per batch.
    device : {"auto", "cpu", "cuda"}
    positions : path, optional
        Table of the atlas (name, x, y, z in MNI millimetres) for time series without positions.

    Returns
    -------
    embedding : Path
        File with a float32 array of shape (n_dimensions,).

    Raises
    ------
    ModelError
        If the checkpoint cannot be used, or the recording does not fit it.
    DataError
        If ``path`` is neither of the two kinds of files.
    MissingInput
        If the recording or its positions do not exist.
    """
    path = Path(path)
    recording = _read(path, positions)
    checkpoint = model if isinstance(model, Checkpoint) else load_checkpoint(model)
    encoder = checkpoint.encoder.to(device_of(device))
    vector = embed(encoder, prepare(recording), batch_size=batch_size)
    embedding = write_npy(embedding_path(path, out_dir, checkpoint.name), vector)
    sidecar = _sidecar(path, out_dir, recording, checkpoint, vector)
    write_json(embedding.with_suffix(".json"), sidecar)
    return embedding


def embedding_path(path, out_dir, model_name):
    """Return the path of the embedding of a recording.

    Parameters
    ----------
    path : path
        Standardised recording.
    out_dir : path
        Root of the derivative dataset.
    model_name : str
        Name of the checkpoint; characters that BIDS does not allow in a label are dropped.

    Returns
    -------
    embedding : Path
    """
    datatype = "eeg" if Path(path).suffix == ".vhdr" else "func"
    label = re.sub(r"[^0-9a-zA-Z]", "", str(model_name))
    return derivative_path(
        out_dir, path, datatype=datatype, desc=label, suffix="embedding", extension=".npy"
    )


def remove_embeddings(paths, out_dir, model_name):
    """Remove the embeddings of recordings by one model, and their sidecars.

    Parameters
    ----------
    paths : iterable of path
        Standardised recordings.
    out_dir : path
        Root of the derivative dataset.
    model_name : str
        Name of the checkpoint.
    """
    for path in paths:
        embedding = embedding_path(path, out_dir, model_name)
        embedding.unlink(missing_ok=True)
        embedding.with_suffix(".json").unlink(missing_ok=True)


def _read(path, positions):
    if path.name.endswith("_timeseries.tsv"):
        return read_timeseries(path, positions)
    if path.name.endswith("_eeg.vhdr"):
        return read_eeg(path)
    raise DataError(
        f"{path.name} cannot be embedded: expected *_timeseries.tsv of parcels or *_eeg.vhdr; "
        "process raw data at the participant level first."
    )


def _sidecar(path, out_dir, recording, checkpoint, vector):
    spec = SPECS[recording.modality]
    training = checkpoint.training
    return {
        "Description": "One vector of the whole recording by a pretrained encoder",
        "Sources": [_uri(path, out_dir)],
        "ModelName": checkpoint.name,
        "ModelSHA256": checkpoint.sha256,
        "ModelLicense": checkpoint.info.get("licence"),
        "TensorsMatched": checkpoint.matched,
        "Modality": recording.modality,
        "Dimension": len(vector),
        "Parts": {
            name: [part.start, part.stop]
            for name, part in part_slices(checkpoint.encoder.config, recording.modality).items()
        },
        "WindowLength": spec.patch_s * checkpoint.encoder.config.n_patches_of(recording.modality),
        "WindowLengthUnit": "s",
        "SamplingFrequency": spec.sampling_hz,
        "Normalization": _NORMALIZATION[recording.modality],
        "NumberOfChannels": int(recording.mask.sum()),
        **_censored(recording),
        "TrainingParticipantsHash": training.get(
            "participants_hash", participants_hash(training.get("participants", []))
        ),
        "TrainingLabels": list(training.get("phenotypes", ())),
        "SeenInTraining": checkpoint.seen_in_training([recording.group])[0],
        "SoftwareVersions": {
            "brainfm": __version__, "torch": version("torch"), "numpy": version("numpy"),
        },
    }  # fmt: skip


def _censored(recording):
    if recording.modality != "bold":
        return {}
    censored = censored_frames(recording.signal)
    return {"NumberOfVolumes": len(censored), "NumberOfVolumesCensored": int(censored.sum())}


def _uri(path, out_dir):
    """BIDS URI of the recording, in the output or in its own dataset."""
    path, out_dir = path.absolute(), Path(out_dir).absolute()
    if path.is_relative_to(out_dir):
        return f"bids::{path.relative_to(out_dir).as_posix()}"
    root = dataset_root(path)
    return f"bids:{root.name}:{path.relative_to(root).as_posix()}"
