"""Run a Nipype workflow: plugin, crash files, progress, and no messages of Nipype on the screen."""

import contextlib
import gc
import shutil
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import nipype
from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer, run_node

from brainfm.errors import UsageError
from brainfm.storage.plugin_file import read_plugin

_KILLED = (
    "TemporaryFailure: a worker process was killed, most likely for memory; give the job more "
    "memory, or --nprocs 1, and run the same command again."
)


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a run may use, and how."""

    nprocs: int
    memory_gb: float
    plugin_file: Path | None = None
    stop_on_first_crash: bool = False
    resource_monitor: bool = False


@dataclass
class Progress:
    """Turn the events of Nipype into sentences, durations and failures of recordings.

    Parameters
    ----------
    expected : dict of str to set of str
        The full names of the steps of each recording (or of its anatomy).
    say : callable
        Takes one line of text.
    on_done : callable
        Called with the key of a recording when all its steps have ended.
    """

    expected: dict[str, set[str]]
    say: object
    on_done: object
    seconds: dict = field(default_factory=dict)
    peak_gb: dict = field(default_factory=dict)
    failed: dict = field(default_factory=dict)
    watch_memory: bool = False
    _started: dict = field(default_factory=dict)

    def __post_init__(self):
        self._home = {name: key for key, names in self.expected.items() for name in names}

    def __call__(self, node, event):
        """Take one event of a plugin."""
        key = self._home.get(node.fullname)
        if key is None:  # a part of a MapNode; its whole is what counts
            return
        if event == "start":
            self._started[node.fullname] = time.monotonic()
            self.say(f"{key}: {node.name} started")
            return
        if node.fullname not in self._started:  # Linear also "ends" what waits for a failed step
            return
        took = time.monotonic() - self._started[node.fullname]
        self.seconds.setdefault(key, {})[node.name] = round(took, 2)
        if event == "exception":
            self.failed.setdefault(key, node.fullname)
            self.say(f"{key}: {node.name} FAILED after {took:.1f} s")
            return
        self.say(f"{key}: {node.name} done in {took:.1f} s")
        self._note_memory(key, node)
        self.expected[key].discard(node.fullname)
        if not self.expected[key]:
            self.on_done(key)

    def _note_memory(self, key, node):
        if self.watch_memory:
            peak = getattr(getattr(node.result, "runtime", None), "mem_peak_gb", None)
            if peak:
                self.peak_gb[key] = max(peak, self.peak_gb.get(key, 0.0))


class ResilientMultiProc(MultiProcPlugin):
    """MultiProc that reports a killed worker as a failed step instead of waiting for ever."""

    def __init__(self, plugin_args=None):
        super().__init__(plugin_args=plugin_args)
        self.pool = self._new_pool()

    def _new_pool(self):
        return ProcessPoolExecutor(
            self.processors, initializer=_begin_worker, initargs=(self._cwd,)
        )

    def _submit_job(self, node, updatehash=False):
        self._taskid += 1
        if getattr(node.interface, "terminal_output", "") == "stream":
            node.interface.terminal_output = "allatonce"
        try:
            future = self.pool.submit(run_node, node, updatehash, self._taskid)
        except BrokenProcessPool:  # killed while this step was on its way: a new pool for the rest
            self.pool = self._new_pool()
            future = self.pool.submit(run_node, node, updatehash, self._taskid)
        self._task_obj[self._taskid] = future
        future.add_done_callback(partial(self._collect, self._taskid))
        return self._taskid

    def _task_finished_cb(self, jobid, cached=False):
        """Let what an interrupted call had finished start too: it ends here without that."""
        if cached and self._status_callback:
            self._status_callback(self.procs[jobid], "start")
        super()._task_finished_cb(jobid, cached=cached)

    def _collect(self, taskid, future):
        if future.exception() is None:
            self._taskresult[taskid] = future.result()
        else:
            self._taskresult[taskid] = {"taskid": taskid, "result": None, "traceback": [_KILLED]}


def _begin_worker(folder):
    """Let a signal end a worker at once: what the main process does on one is not its business."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    process_initializer(folder)


def _spare_garbage_collection():
    """Keep what is loaded now out of later collections of garbage.

    MultiProc collects each time it looks for work: half a second with all libraries loaded, which
    was two thirds of a short run (59.6 s with, 24.5 s without, on the tiny synthetic dataset).
    """
    gc.collect()
    gc.freeze()


def steps_of(workflow, prefix=""):
    """Return the full names of all steps of a workflow that compute something."""
    prefix = f"{prefix}.{workflow.name}" if prefix else workflow.name
    return {
        f"{prefix}.{name}"
        for name in workflow.list_node_names()
        if not isinstance(workflow.get_node(name).interface, IdentityInterface)
    }


def execute(workflow, *, machine, progress, crash_dir):
    """Run a workflow to its end, whatever fails on the way.

    Parameters
    ----------
    workflow : nipype.Workflow
    machine : Resources
    progress : Progress
    crash_dir : Path
        Where the text files of failures go; made when needed.

    Returns
    -------
    list of (str, str, Path)
        Full name of the failed step, the error as a sentence, the crash file.

    Raises
    ------
    UsageError, MissingInput
        If the plugin file is none.
    """
    plugin, arguments = _plugin(machine)
    crash_dir.mkdir(parents=True, exist_ok=True)
    workflow.config["execution"] = {
        "crashdump_dir": str(crash_dir),
        "crashfile_format": "txt",
        "create_report": "false",
        "hash_method": "content",
        "poll_sleep_duration": "0.1",
        "check_version": "false",
        "stop_on_first_crash": str(machine.stop_on_first_crash).lower(),
    }
    if machine.resource_monitor:
        nipype.config.enable_resource_monitor()
    else:
        nipype.config.disable_resource_monitor()
    arguments["status_callback"] = progress
    try:
        with contextlib.chdir(_made(workflow.base_dir)):  # what is written "here" lands in scratch
            runner = ResilientMultiProc(arguments) if plugin == "MultiProc" else plugin
            _spare_garbage_collection()
            workflow.run(plugin=runner, plugin_args=arguments)
    except Exception:
        crashes = read_crashes(crash_dir)
        if not crashes:
            raise
        return crashes
    if not any(crash_dir.iterdir()):
        crash_dir.rmdir()
    return []


def _made(folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    return folder


def read_crashes(crash_dir):
    """Read the crash files of one run, oldest first; see :func:`execute`."""
    files = sorted(crash_dir.glob("crash-*.txt"), key=lambda path: path.stat().st_mtime)
    return [(*_node_and_error(path.read_text(errors="replace")), path) for path in files]


def clear_cached_node(work_dir, workflow_name, *parts):
    """Remove what the work folder remembers of a part of a workflow."""
    shutil.rmtree(Path(work_dir).joinpath(workflow_name, *parts), ignore_errors=True)


def _node_and_error(text):
    lines = text.splitlines()
    node = next((line[5:].strip() for line in lines if line.startswith("Node:")), "")
    last = [number for number, line in enumerate(lines) if _is_error(line)]
    if not last:
        return node, (lines[-1].strip() if lines else "unknown error")
    sentence = " ".join(line.strip() for line in lines[last[-1] :] if line.strip())
    return node, sentence.removeprefix("brainfm.errors.")


def _is_error(line):
    """Tell whether a line of a traceback is the one that names the exception."""
    name, colon, _ = line.strip().partition(":")
    return bool(colon) and name.replace(".", "").replace("_", "").isalnum() and (
        name.rpartition(".")[2][:1].isupper() and name != "Node" and " " not in name
    )  # fmt: skip


def _plugin(machine):
    if machine.plugin_file:
        return _known_plugin(machine.plugin_file)
    if machine.nprocs == 1:
        return "Linear", {}
    return "MultiProc", {
        "n_procs": machine.nprocs,
        "memory_gb": machine.memory_gb,
        "raise_insufficient": False,
    }


def _known_plugin(path):
    name, arguments = read_plugin(path)
    if not hasattr(nipype.pipeline.plugins, f"{name}Plugin"):
        raise UsageError(f"--use-plugin {path}: Nipype has no plugin {name!r}; try MultiProc.")
    return name, arguments
