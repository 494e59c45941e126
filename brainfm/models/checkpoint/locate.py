"""Where checkpoints lie: found by name, folder or repository, and written whole or not at all."""

import logging
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from brainfm.errors import ModelError
from brainfm.files import former_folder
from brainfm.models.checkpoint import hub

log = logging.getLogger("brainfm")


@dataclass(frozen=True)
class CheckpointLocation:
    """Where a checkpoint lies.

    Parameters
    ----------
    folder : Path
    name : str
        Of the folder, or of the repository without the organisation.
    repo, revision : str or None
        On the Hub: ``org/name`` and commit hash.
    """

    folder: Path
    name: str
    repo: str | None = None
    revision: str | None = None


def packaged_checkpoints():
    """Return the names of the checkpoints that ship with brainfm."""
    folder = files("brainfm") / "data" / "checkpoints"
    if not folder.is_dir():
        return []
    return sorted(one.name for one in folder.iterdir() if (one / "config.json").is_file())


def find_checkpoint(name_or_path):
    """Find a checkpoint; only ``org/name``, as a str that is no folder, asks the network.

    Parameters
    ----------
    name_or_path : str or path
        As :func:`brainfm.models.checkpoint.load_save.load_checkpoint` takes it.

    Returns
    -------
    found : Found

    Raises
    ------
    ModelError
        If there is no such checkpoint.
    TemporaryFailure
        If it is on the Hub, and the Hub cannot be reached.
    """
    given = Path(name_or_path).absolute()
    if (given / "config.json").is_file():
        return CheckpointLocation(given, given.name)
    before = former_folder(given)
    if not given.exists() and (before / "config.json").is_file():
        log.warning("saving %s was stopped half-way: the checkpoint before it is taken", given)
        return CheckpointLocation(before, given.name)
    if str(name_or_path) in packaged_checkpoints():
        packaged = Path(str(files("brainfm") / "data" / "checkpoints" / str(name_or_path)))
        return CheckpointLocation(packaged, packaged.name)
    on_hub = hub.split_name(name_or_path) if isinstance(name_or_path, str) else None
    if on_hub and not given.exists():
        folder = hub.download(*on_hub)
        return CheckpointLocation(folder, on_hub[0].split("/")[1], on_hub[0], folder.name)
    raise ModelError(
        f"no checkpoint called {str(name_or_path)!r}: expected a folder with config.json and "
        f"model.safetensors, one that ships: {', '.join(packaged_checkpoints()) or 'none'}, or "
        "org/name[@revision] on the Hugging Face Hub."
    )


def pin_revision(name_or_path):
    """Return a name that means the same files from now on, as far as that can be told.

    Parameters
    ----------
    name_or_path : str or path

    Returns
    -------
    name : str or path
        ``org/name@commit`` for a repository on the Hub, ``name_or_path`` for anything else.

    Raises
    ------
    ModelError, TemporaryFailure
        As :func:`find_checkpoint`.
    """
    found = find_checkpoint(name_or_path)
    return f"{found.repo}@{found.revision}" if found.repo else name_or_path
