"""Locations of checkpoints: by packaged name, folder or repository on the Hub."""

import logging
from dataclasses import dataclass
from pathlib import Path

from brainfm.errors import ModelError
from brainfm.files import former_folder
from brainfm.models.checkpoint import hub

log = logging.getLogger("brainfm")
_PACKAGED = Path(__file__).parents[2] / "data" / "checkpoints"


@dataclass(frozen=True)
class CheckpointLocation:
    """Location of a checkpoint.

    Parameters
    ----------
    folder : Path
    name : str
        Name of the folder, or of the repository without the organisation.
    repo, revision : str or None
        On the Hub: ``org/name`` and commit hash.
    """

    folder: Path
    name: str
    repo: str | None = None
    revision: str | None = None


def packaged_checkpoints():
    """List the checkpoints that ship with brainfm.

    Returns
    -------
    names : list of str
    """
    return sorted(path.parent.name for path in _PACKAGED.glob("*/config.json"))


def find_checkpoint(name_or_path):
    """Find a checkpoint; only ``org/name``, as a str that is no folder, uses the network.

    Parameters
    ----------
    name_or_path : str or path
        See :func:`brainfm.models.checkpoint.load_save.load_checkpoint`.

    Returns
    -------
    location : CheckpointLocation

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
    former = former_folder(given)
    if not given.exists() and (former / "config.json").is_file():
        log.warning("saving %s was interrupted: the former checkpoint is used", given)
        return CheckpointLocation(former, given.name)
    if str(name_or_path) in packaged_checkpoints():
        return CheckpointLocation(_PACKAGED / name_or_path, str(name_or_path))
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
    """Pin a repository on the Hub to its current commit.

    Parameters
    ----------
    name_or_path : str or path

    Returns
    -------
    name : str or path
        ``org/name@commit`` for a repository on the Hub; anything else is returned unchanged.

    Raises
    ------
    ModelError, TemporaryFailure
        See :func:`find_checkpoint`.
    """
    found = find_checkpoint(name_or_path)
    return f"{found.repo}@{found.revision}" if found.repo else name_or_path
