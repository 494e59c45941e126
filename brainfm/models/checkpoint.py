"""Checkpoints: safetensors and JSON in one folder, checked when loaded."""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from brainfm.errors import CannotCreateOutput, ModelError, ReadWriteFailed
from brainfm.models.encoder import BrainEncoder, EncoderConfig

log = logging.getLogger("brainfm")

FORMAT = "brainfm-encoder"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Parameters
    ----------
    encoder : BrainEncoder, on the CPU, in evaluation mode
    name : str
        Name of its folder.
    sha256 : str
        Of ``model.safetensors``.
    info : dict
        All of ``config.json``: encoder, training, licence.
    matched : float
        Share of the tensors of the encoder found in the file.
    """

    encoder: BrainEncoder
    name: str
    sha256: str
    info: dict
    matched: float

    def seen_in_training(self, groups):
        """Tell which people were in the training recordings.

        Parameters
        ----------
        groups : iterable of str
            ``dataset/participant``, as :attr:`RecordingTable.groups` gives them.

        Returns
        -------
        seen : list of bool
        """
        known = _People(self.info)
        return [group in known for group in groups]


class _People:
    """The people of the training recordings, known by their hashes only."""

    def __init__(self, info):
        self.hashes = frozenset(info.get("training", {}).get("participants", ()))

    def __contains__(self, group):
        return participant_hash(group) in self.hashes

    def __len__(self):
        return len(self.hashes)


def training_participants(name_or_path):
    """Return who a checkpoint was trained on: ``"dataset/participant" in`` it tells, no more.

    Raises
    ------
    ModelError
        If there is no such checkpoint.
    """
    return _People(_read_config(_folder_of(name_or_path)))


def checkpoint_key(name_or_path):
    """Return what changes when a checkpoint does: the SHA-256 of its weights.

    Raises
    ------
    ModelError
        If there is no such checkpoint.
    """
    return _sha256(_folder_of(name_or_path) / "model.safetensors")


def participant_hash(group):
    """Hash one ``dataset/participant`` so that overlap can be told without naming anyone."""
    return hashlib.sha256(str(group).encode("utf8")).hexdigest()[:16]


def participants_hash(hashes):
    """Hash the hashes of all training participants into one."""
    return hashlib.sha256("\n".join(sorted(hashes)).encode("ascii")).hexdigest()


def packaged_checkpoints():
    """Return the names of the checkpoints that ship with brainfm."""
    folder = files("brainfm") / "data" / "checkpoints"
    if not folder.is_dir():
        return []
    return sorted(one.name for one in folder.iterdir() if (one / "config.json").is_file())


def save_checkpoint(folder, encoder, info, *, history=(), card=None):
    """Write a checkpoint whole: into a temporary folder, then renamed.

    Parameters
    ----------
    folder : path
        What stands there is replaced once the new one is complete.
    encoder : BrainEncoder
    info : dict
        Kept in ``config.json`` beside the sizes of the encoder.
    history : list of dict
        One entry an epoch.
    card : str, optional
        Text of ``README.md``.

    Returns
    -------
    folder : Path

    Raises
    ------
    CannotCreateOutput
        If the folder above cannot be written.
    ReadWriteFailed
        If writing stops half-way; what stood there stays.
    """
    folder = Path(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    except OSError as error:
        raise CannotCreateOutput(
            f"{folder.parent} cannot be written ({error.strerror}): choose another folder."
        ) from error
    try:
        _write_parts(partial, encoder, info, history, card)
        _swap(partial, folder)
    except (OSError, SafetensorError) as error:
        raise ReadWriteFailed(
            f"the checkpoint {folder} could not be written ({error}): is the disk full? "
            "What stood there before is untouched."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def load_checkpoint(name_or_path, *, allow_partial=False):
    """Load a checkpoint that ships with brainfm, or one from a folder.

    Parameters
    ----------
    name_or_path : str or path
    allow_partial : bool
        Accept a file that lacks tensors; those keep their random start.

    Returns
    -------
    checkpoint : Checkpoint

    Raises
    ------
    ModelError
        If there is no such checkpoint, it is of another architecture, or less than all of its
        tensors fit and ``allow_partial`` is False.
    """
    folder = _folder_of(name_or_path)
    info = _read_config(folder)
    encoder = _build(folder, info)
    weights = folder / "model.safetensors"
    try:
        found = load_file(weights)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{weights} cannot be read as safetensors ({error}).") from error
    matched = _fill(encoder, found, weights, allow_partial)
    return Checkpoint(encoder.eval(), folder.name, _sha256(weights), info, matched)


def _sha256(path):
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).") from error


def _write_parts(folder, encoder, info, history, card):
    state = {name: value.contiguous().cpu() for name, value in encoder.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    config = {"format": FORMAT, "version": 1, "encoder": encoder.config.as_dict(), **info}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf8")
    rounded = [{k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()}
               for row in history]  # fmt: skip
    (folder / "history.json").write_text(json.dumps(rounded, indent=1) + "\n", encoding="utf8")
    if card is not None:
        (folder / "README.md").write_text(card, encoding="utf8")


def _swap(new, folder):
    if folder.exists():
        old = Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent))
        os.replace(folder, old / "checkpoint")
        os.replace(new, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(new, folder)
    folder.chmod(0o755)  # mkdtemp makes folders only its owner can read


def _folder_of(name_or_path):
    given = Path(name_or_path)
    if (given / "config.json").is_file():
        return given.absolute()
    if str(name_or_path) in packaged_checkpoints():
        return Path(str(files("brainfm") / "data" / "checkpoints" / str(name_or_path)))
    raise ModelError(
        f"no checkpoint called {str(name_or_path)!r}: expected a folder with config.json and "
        f"model.safetensors, or one that ships: {', '.join(packaged_checkpoints()) or 'none'}."
    )


def _read_config(folder):
    try:
        info = json.loads((folder / "config.json").read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be read ({error}).") from error
    if info.get("format") != FORMAT:
        raise ModelError(
            f"{folder} holds a checkpoint of format {info.get('format')!r}; expected {FORMAT!r}: "
            "it was not made by brainfm."
        )
    return info


def _build(folder, info):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what a partial file leaves out starts the same each time
        try:
            return BrainEncoder(EncoderConfig(**info["encoder"]))
        except (TypeError, KeyError) as error:
            raise ModelError(
                f"{folder / 'config.json'} describes another architecture ({error}): it was made "
                "by another version of brainfm; pretrain again or use that version."
            ) from error


def _fill(encoder, found, weights, allow_partial):
    wanted = encoder.state_dict()
    fits = {name: value for name, value in found.items()
            if name in wanted and value.shape == wanted[name].shape}  # fmt: skip
    matched = len(fits) / len(wanted)
    if (len(fits) < len(wanted) or len(found) > len(fits)) and not allow_partial:
        off = sorted((set(wanted) - set(fits)) | (set(found) - set(wanted)))
        raise ModelError(
            f"{weights} fits {matched:.0%} of the tensors of this architecture; expected 100 %. "
            f"Missing, unknown or of another shape: {', '.join(off[:3])} ({len(off)} in all). "
            "Pretrain again, or pass allow_partial=True to keep the rest random."
        )
    encoder.load_state_dict({**wanted, **fits})
    log.debug("%s: %.0f %% of the tensors matched", weights, 100 * matched)
    return matched
