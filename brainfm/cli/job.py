"""One call of the program: folders, processes, memory and messages."""

import hashlib
import logging
import os
import shlex
import socket
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime
from glob import glob
from itertools import count
from pathlib import Path

from brainfm import __version__
from brainfm.cli.resources import available_cpus, memory_limit_gb
from brainfm.cli.settings import settings_as_toml
from brainfm.config import Settings, memory_gb
from brainfm.errors import CannotCreateOutput
from brainfm.files import write_text

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "NUMEXPR_MAX_THREADS")  # fmt: skip


@dataclass
class Job:
    """One call of the program, as both levels use it.

    Parameters
    ----------
    bids_dir, output_dir : Path
        Absolute.
    level : {"participant", "group"}
    settings : Settings
    sources : dict of str to str
        Source of each ``"section.name"``.
    argv : list of str
    nprocs, omp_nthreads : int
    memory_gb : float
    log : logging.Logger
    log_dir : Path or None
        Folder of the messages; None until :meth:`open`.
    began : float
        Time of the start on the monotonic clock.
    """

    bids_dir: Path
    output_dir: Path
    level: str
    settings: Settings
    sources: dict
    argv: list
    nprocs: int
    omp_nthreads: int
    memory_gb: float
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("brainfm"))
    log_dir: Path | None = None
    began: float = field(default_factory=time.monotonic)

    @classmethod
    def start(cls, arguments, settings, *, sources, argv):
        """Find out CPUs and memory, and show messages on stderr; write nothing.

        Parameters
        ----------
        arguments : dict
            See :func:`brainfm.cli.parser.parse_command`.
        settings : Settings
        sources : dict of str to str
        argv : list of str

        Returns
        -------
        Job
        """
        run = settings.run
        nprocs = run.nprocs or available_cpus()
        job = cls(
            bids_dir=Path(os.path.abspath(arguments["bids_dir"])),
            output_dir=Path(os.path.abspath(arguments["output_dir"])),
            level=arguments["level"],
            settings=settings,
            sources=sources,
            argv=list(argv),
            nprocs=nprocs,
            omp_nthreads=run.omp_nthreads or max(1, min(nprocs - 1, 8)),
            memory_gb=memory_gb(run.mem) if run.mem else 0.9 * memory_limit_gb(),
        )
        _show_messages(job.log, run.verbose)
        return job

    @property
    def work_dir(self):
        """Folder of intermediate files."""
        work_dir = self.settings.run.work_dir or self.output_dir / "work"
        return Path(os.path.abspath(work_dir))

    @property
    def scratch_dir(self):
        """Part of the work folder for this dataset and this output at their present paths.

        Nipype stores absolute paths: after a move it would look for files at their former paths,
        and two datasets that share ``--work-dir`` would overwrite each other's.
        """
        paths = "\n".join(str(path) for path in (self.bids_dir, self.output_dir, self.work_dir))
        return self.work_dir / f"place-{hashlib.sha256(paths.encode()).hexdigest()[:8]}"

    @property
    def took_s(self):
        """Seconds since the call began."""
        return time.monotonic() - self.began

    def limit_libraries(self):
        """Keep libraries from the network, from writing to HOME and from using every CPU.

        Call this before they are imported: most read the environment only once.
        """
        cache = self.work_dir / "cache"
        os.environ.update({"NO_ET": "1", "NIPYPE_NO_ET": "1"})
        for name in _THREADS:
            os.environ.setdefault(name, str(self.omp_nthreads))
        os.environ.setdefault("MPLBACKEND", "Agg")
        os.environ.setdefault("LOGNAME", f"uid{os.getuid()}")  # a container may know no user
        os.environ.setdefault("TEMPLATEFLOW_HOME", _templates() or str(cache / "templateflow_home"))
        for name in ("MPLCONFIGDIR", "NIPYPE_CONFIG_DIR", "NUMBA_CACHE_DIR"):
            os.environ.setdefault(name, str(cache / name.lower()))
        if not os.access(os.environ.get("HOME") or "/nonexistent", os.W_OK):
            os.environ["HOME"] = str(cache / "home")
            _create(cache / "home")

    def open(self):
        """Create the folder of messages and settings of this call.

        Raises
        ------
        CannotCreateOutput
            If the folder cannot be created.
        """
        self.log_dir = _new_folder(self.output_dir / "logs")
        _write_messages(self.log, self.log_dir / "brainfm.log", "%(asctime)s %(levelname)s")
        header = [shlex.join(["brainfm", *self.argv]), "reuse with --config-file"]
        text = settings_as_toml(self.settings, self.sources, header=header)
        write_text(self.log_dir / "settings.toml", text)
        self.log.info("brainfm %s, %s level: %s", __version__, self.level, self.output_dir)
        self.log.info(
            "%d processes of %d threads, %.1f GB; messages and settings in %s",
            self.nprocs,
            self.omp_nthreads,
            self.memory_gb,
            self.log_dir,
        )
        for key, source in self.sources.items():
            section, _, name = key.partition(".")
            value = getattr(getattr(self.settings, section), name)
            level = logging.DEBUG if source == "default" else logging.INFO
            self.log.log(level, "setting %s = %s (%s)", key, value, source)


def _show_messages(log, verbose):
    for handler in list(log.handlers):
        log.removeHandler(handler)
        handler.close()
    logging.raiseExceptions = False  # on a full disk each line would print a traceback
    log.setLevel(logging.DEBUG)
    log.propagate = False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    handler.setLevel(logging.DEBUG if verbose else logging.INFO)
    log.addHandler(handler)
    if verbose > 1:  # also Nipype
        logging.getLogger("nipype").addHandler(handler)


def _write_messages(log, path, prefix):
    handler = logging.FileHandler(path, encoding="utf8")
    handler.setFormatter(logging.Formatter(f"{prefix} %(message)s"))
    log.addHandler(handler)


def redirect_nipype_log(log_dir):
    """Write the messages of Nipype to ``nipype.log`` instead of stdout.

    Parameters
    ----------
    log_dir : Path
    """
    engine = logging.getLogger("nipype")
    for handler in list(engine.handlers):
        if getattr(handler, "stream", None) is not sys.stderr:
            engine.removeHandler(handler)
    _write_messages(engine, log_dir / "nipype.log", "%(asctime)s %(name)s")
    engine.propagate = False


def _new_folder(parent):
    stamp = f"{datetime.now():%Y%m%dT%H%M%S}"
    for attempt in count():
        suffix = f"-{socket.gethostname()}-{os.getpid()}-{attempt}" if attempt else ""
        try:
            (parent / (stamp + suffix)).mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise CannotCreateOutput(
                f"{parent} cannot be created ({error.strerror}): choose another output_dir."
            ) from error
        return parent / (stamp + suffix)


def _templates():
    """Return the TemplateFlow folder of the user, which spares fMRIPrep downloads, or None."""
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = os.path.expanduser(os.path.join(caches, "templateflow"))
    return folder if glob("tpl-*", root_dir=folder) else None


def _create(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotCreateOutput(
            f"{folder} cannot be created ({error.strerror}); choose another --work-dir."
        ) from error
