"""Checkpoints: safetensors and JSON in one folder, checked when loaded."""

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from brainfm.errors import CannotCreateOutput, ModelError
from brainfm.files import atomic_folder, nan_to_none, write_bytes, write_text
from brainfm.models.checkpoint.config_json import config_text, read_config
from brainfm.models.checkpoint.load_report import LoadReport
from brainfm.models.checkpoint.locate import find_checkpoint
from brainfm.models.checkpoint.participants import seen_in_training
from brainfm.models.encoder.encoder import BrainEncoder, EncoderConfig

log = logging.getLogger("brainfm")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint.

    Parameters
    ----------
    encoder : BrainEncoder, on the CPU, in evaluation mode
    name : str
        Name of its folder, or of its repository without the organisation.
    info : dict
        Contents of ``config.json``.
    report : LoadReport
        Its ``str`` is a summary in one line.
    """

    encoder: BrainEncoder
    name: str
    info: dict
    report: LoadReport

    @property
    def sha256(self):
        """SHA-256 of ``model.safetensors``."""
        return self.report.sha256

    @property
    def training(self):
        """Section ``training`` of ``config.json``; empty when it states nothing."""
        return self.info.get("training", {})

    @property
    def identity(self):
        """SHA-256 of the weights, the sizes of the encoder and the section ``training``.

        It changes whenever an embedding or what is stated of it can change. Name, licence and
        scores are not part of it.
        """
        facts = {
            "weights": self.sha256, "encoder": self.info["encoder"], "training": self.training,
        }  # fmt: skip
        return _sha256(json.dumps(facts, sort_keys=True).encode("utf8"))

    @property
    def matched(self):
        """Fraction of the tensors of the encoder found in the file."""
        return self.report.tensors_matched

    def seen_in_training(self, groups):
        """Tell which participants were in the training recordings.

        Parameters
        ----------
        groups : iterable of str
            ``dataset/participant``, as :attr:`RecordingTable.groups` gives them.

        Returns
        -------
        seen : list of bool
        """
        groups = list(groups)
        seen = seen_in_training(self.training, groups)
        return [group in seen for group in groups]


def save_checkpoint(folder, encoder, info, *, history=(), card=None):
    """Write a checkpoint whole or not at all.

    Parameters
    ----------
    folder : path
        A checkpoint there is replaced once the new one is complete.
    encoder : BrainEncoder
    info : dict
        Sections of ``config.json`` beside the sizes of the encoder.
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
        If the parent folder cannot be written, or ``folder`` exists and is no checkpoint.
    ReadWriteFailed
        If writing stops half-way; the former checkpoint stays.
    ModelError
        If ``info`` has keys that ``config.json`` does not know.
    """
    _check_replaceable(Path(folder))
    with atomic_folder(folder) as partial:
        state = {name: value.contiguous().cpu() for name, value in encoder.state_dict().items()}
        # Not save_file: on a full disk it raises what is no OSError.
        write_bytes(partial / "model.safetensors", save(state, metadata={"format": "pt"}))
        write_text(partial / "history.json", _history_text(history))
        _write_texts(partial, config_text(encoder.config.as_dict(), info), card)
    return Path(folder)


def copy_checkpoint(name_or_path, folder, *, info, card):
    """Copy the weights of a checkpoint with another ``config.json`` and card.

    Parameters
    ----------
    name_or_path : str or path
        See :func:`load_checkpoint`.
    folder : path
        May be the folder of the checkpoint.
    info : dict
        For ``config.json``.
    card : str
        For ``README.md``.

    Returns
    -------
    folder : Path

    Raises
    ------
    ModelError
        If there is no such checkpoint, or ``info`` has keys that ``config.json`` does not know.
    CannotCreateOutput, ReadWriteFailed
        See :func:`save_checkpoint`.
    """
    here = find_checkpoint(name_or_path).folder
    _check_replaceable(Path(folder))
    with atomic_folder(folder) as partial:
        for name in {"model.safetensors", "history.json"} & {path.name for path in here.iterdir()}:
            shutil.copyfile(here / name, partial / name)
        _write_texts(partial, config_text(info["encoder"], info), card)
    return Path(folder)


def checkpoint_texts(name_or_path):
    """Read the config and the card of a checkpoint.

    Parameters
    ----------
    name_or_path : str or path
        See :func:`load_checkpoint`.

    Returns
    -------
    info : dict
        From ``config.json``.
    card : str
        ``README.md``, or a heading where there is none.

    Raises
    ------
    ModelError
        If there is no such checkpoint, or the two cannot be read.
    """
    found = find_checkpoint(name_or_path)
    info, card = read_config(found.folder / "config.json"), found.folder / "README.md"
    try:
        return info, card.read_text(encoding="utf8") if card.exists() else f"# {found.name}\n"
    except (OSError, ValueError) as error:
        raise ModelError(f"{card} cannot be read ({error}).") from error


def load_checkpoint(name_or_path, *, allow_partial=False):
    """Load a checkpoint that ships with brainfm, one from a folder, or one from the Hub.

    Parameters
    ----------
    name_or_path : str or path
        A packaged name, a folder, or a repository on the Hugging Face Hub as ``org/name`` or
        ``org/name@revision``. Only the last, given as a str that is no folder, uses the network.
    allow_partial : bool
        Accept a file in which tensors are missing; those keep their random initialisation.

    Returns
    -------
    checkpoint : Checkpoint
        Its ``report`` is also logged, once per process.

    Raises
    ------
    ModelError
        If there is no such checkpoint, it is of another architecture, its values are not finite,
        or less than all of its tensors match and ``allow_partial`` is False.
    TemporaryFailure
        If it is on the Hub, and the Hub cannot be reached.
    """
    found = find_checkpoint(name_or_path)
    info = read_config(found.folder / "config.json")
    encoder = _build(found.folder, info)
    weights = found.folder / "model.safetensors"
    tensors, sha256 = _read_weights(weights)
    matched = _fill(encoder, tensors, weights, allow_partial)
    report = LoadReport.of(
        info, name=found.repo or found.name, revision=found.revision, sha256=sha256, matched=matched
    )
    _log_once(str(report))
    return Checkpoint(encoder.eval(), found.name, info, report)


@cache
def _log_once(text):
    log.info("loaded %s", text)  # a run loads the same checkpoint again for every recording


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _read_weights(path):
    """Return the tensors of a file and its SHA-256."""
    try:
        data = path.read_bytes()
        found = load(data)
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}).") from error
    except SafetensorError as error:
        if data.startswith((b"PK\x03\x04", b"\x80")):
            raise ModelError(
                f"{path} is a pickle file with the extension of safetensors; it is not opened, "
                "since reading a pickle can run code. Download the weights as safetensors."
            ) from error
        raise ModelError(
            f"{path} cannot be read as safetensors ({error}): it is truncated or of another "
            "format; download it again."
        ) from error
    broken = [name for name, value in found.items() if not value.isfinite().all()]
    if broken:
        raise ModelError(
            f"{path} holds numbers that are not finite in {', '.join(broken[:3])} "
            f"({len(broken)} tensors in all): the training failed; pretrain again."
        )
    return found, _sha256(data)


def _write_texts(folder, config, card):
    write_text(folder / "config.json", config)
    if card is not None:
        write_text(folder / "README.md", card)


def _check_replaceable(folder):
    is_checkpoint = (folder / "config.json").is_file()
    is_empty = folder.is_dir() and not any(folder.iterdir())
    if folder.exists() and not is_checkpoint and not is_empty:
        raise CannotCreateOutput(
            f"{folder} exists and is not a checkpoint; it is not replaced: choose another folder."
        )


def _history_text(history):
    rounded = [{k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()}
               for row in nan_to_none(list(history))]  # fmt: skip
    return json.dumps(rounded, indent=1) + "\n"


def _build(folder, info):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # tensors missing in a partial file are the same each time
        try:
            return BrainEncoder(EncoderConfig.from_dict(info["encoder"]))
        except (RuntimeError, MemoryError) as error:
            raise ModelError(
                f"{folder / 'config.json'} describes an encoder that cannot be built ({error})."
            ) from error


def _fill(encoder, found, weights, allow_partial):
    """Load the tensors; return the fractions of tensors and of parameters that were found."""
    expected = encoder.state_dict()
    fits = {
        name: value
        for name, value in found.items()
        if name in expected
        and (value.shape, value.dtype) == (expected[name].shape, expected[name].dtype)
    }
    matched = len(fits) / len(expected), _n_parameters(fits) / _n_parameters(expected)
    off = sorted(set(expected) - set(fits) | set(found) - set(expected))
    if off and not allow_partial:
        raise ModelError(
            f"{weights} fits {matched[0]:.0%} of the tensors of this architecture; expected 100 %. "
            "Missing, unknown, or of another shape or type: "
            f"{', '.join(off[:3])} ({len(off)} in all). "
            "Pretrain again, or pass allow_partial=True to keep the rest random."
        )
    encoder.load_state_dict({**expected, **fits})
    return matched


def _n_parameters(tensors):
    return sum(value.numel() for value in tensors.values())
