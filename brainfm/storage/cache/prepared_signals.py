"""Cache of prepared signals: computed once per recording of a corpus, then memory-mapped."""

import hashlib
import json
import logging
from dataclasses import dataclass
from functools import lru_cache
from mmap import ACCESS_READ, mmap
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from brainfm.errors import CannotCreateOutput, DataError
from brainfm.files import write_bytes
from brainfm.models.encoder import windows

log = logging.getLogger("brainfm")


@dataclass(frozen=True, kw_only=True)
class MappedSignal:
    """Memory-mapped :class:`brainfm.models.encoder.windows.PreparedSignal`.

    The file is mapped again at each access, so that only the pages of a crop are read, memory
    does not grow with the corpus, and little is sent to worker processes.

    Parameters
    ----------
    path : str
    offset : int
        First byte of the signal.
    shape : tuple of int
        (n_channels, n_times).
    positions : ndarray of float32, shape (n_channels, 3)
    modality : {"bold", "eeg"}
    log_scale : float
    """

    path: str
    offset: int
    shape: tuple[int, int]
    positions: np.ndarray
    modality: str
    log_scale: float

    @property
    def signal(self):
        """ndarray of float32, shape (n_channels, n_times); stored with time first."""
        try:
            # A quarter of the time of np.memmap, which matters for a window.
            with open(self.path, "rb") as file:
                mapped = mmap(file.fileno(), 0, access=ACCESS_READ)
            size = self.shape[0] * self.shape[1]
            return np.frombuffer(mapped, np.float32, size, self.offset).reshape(self.shape).T
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, error) from error


@dataclass(frozen=True)
class PreparedSignalCache:
    """Cache of a recording of a corpus; see :attr:`brainfm.recording.Recording.cache`.

    ``prepared/<recording>-<hash>.safetensors`` holds the signal (n_times, n_channels), so that
    windows of all channels are contiguous, and the positions. The hash is of all that they depend
    on: version and parameters of the preparation, sampling rate, positions and mask.

    Parameters
    ----------
    read : callable with a ``path``, in the folder beside ``prepared``
        That of the recording; a recording with another ``read`` is not cached.
    """

    read: object

    def __call__(self, recording, prepare):
        """Return the prepared signal of ``recording``, computed by ``prepare`` if not cached."""
        if recording.read != self.read:
            return prepare(recording)
        path = self._path(recording)
        if not path.exists():
            prepared = prepare(recording)
            try:
                self.store(recording, prepared)
            except CannotCreateOutput as error:
                _log_once(str(error))
                return prepared
        return _open(path, recording.modality)

    def store(self, recording, prepared):
        """Write the prepared signal of ``recording`` unless it is cached.

        Parameters
        ----------
        recording : Recording
        prepared : PreparedSignal

        Raises
        ------
        CannotCreateOutput, ReadWriteFailed
            If it cannot be written.
        """
        path = self._path(recording)
        if path.exists():
            return
        arrays = {
            "signal": np.ascontiguousarray(prepared.signal.T),
            "positions": np.ascontiguousarray(prepared.positions),
        }
        # Not save_file: on a full disk it raises what is no OSError.
        write_bytes(path, save(arrays, {"log_scale": repr(float(prepared.log_scale))}))

    def _path(self, recording):
        stored = Path(self.read.path)
        spec = windows.SPECS[recording.modality]
        parameters = (windows.PREPARATION_VERSION, spec, recording.sampling_hz)
        digest = hashlib.sha256(repr(parameters).encode())
        digest.update(np.ascontiguousarray(recording.positions, dtype=float).tobytes())
        digest.update(recording.mask.tobytes())
        name = f"{stored.stem}-{digest.hexdigest()[:16]}.safetensors"
        return stored.parent.parent / "prepared" / name


def _open(path, modality):
    """Read the header; the format puts its length first, then JSON, then the arrays."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length))
            begin, end = header["positions"]["data_offsets"]
            file.seek(8 + length + begin)
            positions = np.frombuffer(file.read(end - begin), np.float32).reshape(-1, 3).copy()
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(path, error) from error
    return MappedSignal(
        path=str(path),
        offset=8 + length + header["signal"]["data_offsets"][0],
        shape=tuple(header["signal"]["shape"]),
        positions=positions,
        modality=modality,
        log_scale=float(header["__metadata__"]["log_scale"]),
    )


def _unreadable(path, error):
    return DataError(f"{path} cannot be read ({error}): remove it, and it is computed again.")


@lru_cache(maxsize=64)
def _log_once(text):
    log.warning("%s Until then, prepared signals stay in memory.", text)
