"""Where checkpoints lie: found by name, folder or repository, and written whole or not at all."""

import contextlib
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from brainfm.errors import CannotCreateOutput, ModelError, ReadWriteFailed
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
    before = _set_aside(given)
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


@contextlib.contextmanager
def atomic_folder(folder):
    """Yield an empty folder; when the block succeeds, it takes the place of ``folder``.

    A checkpoint that stands there is replaced; killed at any moment, it or the new one is found.

    Raises
    ------
    CannotCreateOutput
        If the folder above cannot be written, or ``folder`` holds something else.
    ReadWriteFailed
        If writing stops half-way; what stood there stays.
    """
    folder = Path(folder).absolute()
    _refuse_to_lose(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder.parent))
    except OSError as error:
        raise CannotCreateOutput(
            f"{folder.parent} cannot be written ({error.strerror}): choose another folder."
        ) from error
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp makes folders only its owner can read
        _swap(partial, folder)
    except OSError as error:
        raise ReadWriteFailed(
            f"the checkpoint {folder} could not be written ({error}): is the disk full? "
            "What stood there before is untouched."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _refuse_to_lose(folder):
    is_checkpoint = (folder / "config.json").is_file()
    if folder.is_dir() and (is_checkpoint or not any(folder.iterdir())):
        return
    if folder.exists():
        raise CannotCreateOutput(
            f"{folder} is there and is no checkpoint: it would be lost; choose another folder."
        )


def _swap(new, folder):
    old = _set_aside(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def _set_aside(folder):
    """Where the last checkpoint waits while the next one takes its place."""
    return folder.parent / f".{folder.name}.before"
