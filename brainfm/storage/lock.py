"""Locks that end with their process: of a file for a moment, of a participant for a whole call.

:func:`exclusive` is a :class:`filelock.FileLock`. :class:`WorkLock` is not: ``flock`` excludes only
processes of one machine on BeeGFS and on Lustre without the mount option ``flock``, and the soft
locks of filelock neither say who holds them nor expire at once when another machine died.
"""

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path

from brainfm.errors import CannotCreateOutput, TemporaryFailure

#: Age after which a lock of another machine that is no longer refreshed is stale.
STALE_AFTER_S = 600.0
_REFRESH_EVERY_S = 60.0


@contextlib.contextmanager
def exclusive(path):
    """Wait for the lock of a file, and hold it during the block.

    For short changes: the kernel releases the lock when its process ends, however it ends. On a
    network file system it excludes other machines if ``flock`` does.

    Parameters
    ----------
    path : path
        Lock file; it stays when the lock is released.

    Yields
    ------
    None

    Raises
    ------
    CannotCreateOutput
        If the file cannot be created, or its file system has no locks.
    """
    from filelock import FileLock  # imports asyncio, which planning does without

    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(path).acquire()
    except OSError as error:
        raise CannotCreateOutput(
            f"{path} cannot be locked ({error.strerror}): choose a folder that you may write to, "
            "on a file system with flock."
        ) from error
    with held:
        yield


class WorkLock:
    """Lock of a participant, or of the group: ``<out>/logs/locks/<what>.lock``.

    Parameters
    ----------
    output_dir : Path
    what : str
        ``sub-<label>`` or ``group``.

    Notes
    -----
    On the same machine (same boot and process namespace) the lock is stale when its process has
    ended. On another machine it is stale when its file is older than :data:`STALE_AFTER_S`; the
    holder refreshes it every minute.
    """

    def __init__(self, output_dir, what):
        self.path = Path(output_dir) / "logs" / "locks" / f"{what}.lock"
        self.what = what
        self._stop = threading.Event()

    def acquire(self):
        """Take the lock without waiting.

        Returns
        -------
        self : WorkLock

        Raises
        ------
        TemporaryFailure
            If another process holds it.
        CannotCreateOutput
            If the lock file cannot be created.
        """
        for _ in range(2):
            try:
                self._create()
            except FileExistsError:
                self._remove_if_stale()
            except OSError as error:
                raise CannotCreateOutput(f"{self.path} cannot be created: {error}.") from error
            else:
                threading.Thread(target=self._refresh, daemon=True).start()
                return self
        raise TemporaryFailure(
            f"{self.what} is being processed by {self._holder()}; wait for it, or "
            f"remove {self.path} if that process no longer runs."
        )

    __enter__ = acquire

    def __exit__(self, *_):
        self.release()

    @property
    def is_held(self):
        """True while some process holds the lock, this one or another."""
        holder = self._read()
        return holder is not None and not self._is_stale(holder)

    def release(self):
        """Release the lock; without effect if this process does not hold it."""
        self._stop.set()
        if self._read() == self._own():
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()

    def _create(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Written to a file of its own and linked: no process ever reads an empty lock file.
        partial = self.path.with_name(f"{self.path.name}.{socket.gethostname()}.{os.getpid()}")
        partial.write_text(json.dumps(self._own()))
        try:
            os.link(partial, self.path)
        finally:
            partial.unlink()

    def _remove_if_stale(self):
        if self.is_held:
            return
        stale = self.path.with_name(f"{self.path.name}.stale.{socket.gethostname()}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path, stale)  # only one of several wins the rename
            stale.unlink()

    def _is_stale(self, holder):
        own = self._own()
        if all(holder.get(key) == own[key] for key in ("host", "boot", "namespace")):
            return _started(holder.get("pid")) != holder.get("started")
        try:
            return time.time() - self.path.stat().st_mtime > STALE_AFTER_S
        except FileNotFoundError:
            return True

    def _own(self):
        return {
            "pid": os.getpid(),
            "started": _started(os.getpid()),
            "host": socket.gethostname(),
            "boot": _content("/proc/sys/kernel/random/boot_id").strip() or None,
            "namespace": _namespace(),
        }

    def _read(self):
        try:
            return json.loads(self.path.read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            return {}

    def _holder(self):
        holder = self._read() or {}
        return f"process {holder.get('pid', '?')} on {holder.get('host', 'another machine')}"

    def _refresh(self):
        while not self._stop.wait(_REFRESH_EVERY_S):
            with contextlib.suppress(OSError):
                os.utime(self.path)


def _started(pid):
    """Return the start time of a process in clock ticks since boot; None if it has ended."""
    fields = _content(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if fields and fields[0] != "Z" else None  # a zombie has ended


def _namespace():
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


def _content(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""
