"""One process a participant, one at a time for a file: locks that do not outlive their process."""

import contextlib
import fcntl
import json
import os
import socket
import threading
import time
from pathlib import Path

from brainfm.errors import CannotCreateOutput, TemporaryFailure

#: A lock of another machine that was not touched for so long is taken to be left behind.
STALE_AFTER_S = 600.0
_TOUCH_EVERY_S = 60.0


@contextlib.contextmanager
def exclusive(path):
    """Wait until nobody else is in a block on the same path, then run this one.

    For changes of a moment: the kernel gives the lock back when its process ends, however it
    ends. On a network file system it holds between machines where ``flock`` does.

    Raises
    ------
    CannotCreateOutput
        If the file cannot be made, or its file system has no locks.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab")  # noqa: SIM115
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        raise CannotCreateOutput(
            f"{path} cannot be locked ({error.strerror}): choose a folder that you may write to, "
            "on a file system with flock."
        ) from error
    with file:
        yield


class WorkLock:
    """Hold ``<out>/logs/locks/<what>.lock`` while working on a participant, or on the group.

    Parameters
    ----------
    output_dir : Path
    what : str
        ``sub-<label>`` or ``group``.

    Notes
    -----
    On the same machine (same boot and process namespace) the lock is stale when its process is
    gone. Elsewhere it is stale when its file was not touched for :data:`STALE_AFTER_S`; the
    holder touches it every minute.
    """

    def __init__(self, output_dir, what):
        self.path = Path(output_dir) / "logs" / "locks" / f"{what}.lock"
        self.what = what
        self._stop = threading.Event()

    def acquire(self):
        """Take the lock.

        Raises
        ------
        TemporaryFailure
            If another process holds it.
        CannotCreateOutput
            If the lock file cannot be made.
        """
        for _ in range(2):
            try:
                self._create()
            except FileExistsError:
                self._remove_if_stale()
            except OSError as error:
                raise CannotCreateOutput(f"{self.path} cannot be made: {error}.") from error
            else:
                threading.Thread(target=self._keep_fresh, daemon=True).start()
                return self
        raise TemporaryFailure(
            f"{self.what} is being worked on by {self._holder()}; wait for it, or "
            f"remove {self.path} if that is not so."
        )

    @property
    def is_held(self):
        """True while some process holds the lock, this one or another."""
        holder = self._read()
        return holder is not None and not self._is_stale(holder)

    def release(self):
        """Give the lock back; harmless when it is not held."""
        self._stop.set()
        if self._read() == self._own():
            with contextlib.suppress(FileNotFoundError):
                self.path.unlink()

    def _create(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Written beside and linked: nobody ever sees a lock file that is still empty.
        partial = self.path.with_name(f"{self.path.name}.{socket.gethostname()}.{os.getpid()}")
        partial.write_text(json.dumps(self._own()))
        try:
            os.link(partial, self.path)
        finally:
            partial.unlink()

    def _remove_if_stale(self):
        holder = self._read()
        if holder is not None and not self._is_stale(holder):
            return
        grave = self.path.with_name(f"{self.path.name}.stale.{socket.gethostname()}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(self.path, grave)  # only one of several wins the rename
            grave.unlink()

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
            "boot": _first_line("/proc/sys/kernel/random/boot_id"),
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

    def _keep_fresh(self):
        while not self._stop.wait(_TOUCH_EVERY_S):
            with contextlib.suppress(OSError):
                os.utime(self.path)


def _started(pid):
    """Return when a process began, in clock ticks since boot, or None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]  # a killed process nobody waited for is gone


def _namespace():
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return None


def _first_line(path):
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
