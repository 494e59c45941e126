"""Run of a Nipype workflow: plugin, progress messages and records of failed steps."""

import contextlib
import gc
import shutil
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import nipype
from nipype.interfaces.utility import IdentityInterface
from nipype.pipeline.plugins.multiproc import MultiProcPlugin, process_initializer, run_node

from brainfm.errors import Failure, ReadWriteFailed, TemporaryFailure, UsageError
from brainfm.storage.plugin_file import read_plugin
from brainfm.workflows.step import read_failure, remove_failure

_MIN_FREE_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Processes and memory of a run, and the Nipype plugin that uses them.

    Parameters
    ----------
    nprocs : int
        Processes that run at the same time.
    memory_gb : float
        Memory of all processes together, in GB.
    plugin_file : Path, optional
        YAML file of another Nipype plugin than Linear or MultiProc.
    stop_on_first_crash, resource_monitor : bool
    """

    nprocs: int
    memory_gb: float
    plugin_file: Path | None = None
    stop_on_first_crash: bool = False
    resource_monitor: bool = False


@dataclass
class Progress:
    """Turn the events of a Nipype plugin into messages, durations and failures.

    Parameters
    ----------
    expected : dict of str to set of str
        Full names of the steps of each recording (or of its anatomy).
    log : callable
        Takes one line of text.
    on_done : callable
        Called with the name of a recording when all its steps have ended.
    on_failed : callable
        Called with the name of a recording and the Failure of one of its steps.
    record_memory : bool
    """

    expected: dict[str, set[str]]
    log: object
    on_done: object
    on_failed: object
    record_memory: bool = False
    seconds: dict = field(default_factory=dict)
    peak_gb: dict = field(default_factory=dict)
    has_failures: bool = False
    _started: dict = field(default_factory=dict)

    def __post_init__(self):
        self._recording_of = {step: name for name, steps in self.expected.items() for step in steps}

    def __call__(self, node, event):
        """Handle one event of a plugin: a node starts, ends or raises an exception."""
        recording = self._recording_of.get(node.fullname)
        if recording is None:
            return
        if event == "start":
            self._started[node.fullname] = time.monotonic()
            remove_failure(node)
            self.log(f"{recording}: {node.name} started")
            return
        if node.fullname not in self._started:  # Linear also "ends" the dependents of failed steps
            return
        took_s = time.monotonic() - self._started[node.fullname]
        self.seconds.setdefault(recording, {})[node.name] = round(took_s, 2)
        if event == "exception":
            self.has_failures = True
            self.log(f"{recording}: {node.name} FAILED after {took_s:.1f} s")
            self.on_failed(recording, _failure_of(node))
            return
        self.log(f"{recording}: {node.name} done in {took_s:.1f} s")
        for note in getattr(getattr(node.result, "outputs", None), "notes", ()):
            self.log(f"{recording}: {note}")
        peak_gb = getattr(getattr(node.result, "runtime", None), "mem_peak_gb", None)
        if self.record_memory and peak_gb:
            self.peak_gb[recording] = max(peak_gb, self.peak_gb.get(recording, 0.0))
        self.expected[recording].discard(node.fullname)
        if not self.expected[recording]:
            self.on_done(recording)


def _failure_of(node):
    """Return the record of a failed node, or what its absence means."""
    failure = read_failure(node)
    if failure:
        return failure
    if shutil.disk_usage(node.base_dir).free < _MIN_FREE_BYTES:
        error = ReadWriteFailed(
            f"no space is left for intermediate files in {node.base_dir}; make room, or choose "
            "another --work-dir, and run the same command again."
        )
    else:
        error = TemporaryFailure(
            "the process ended without reporting an error, most likely killed because memory ran "
            "out; give the job more memory, or --nprocs 1, and run the same command again."
        )
    return replace(Failure.from_exception(error, step=node.fullname), traceback="")


class ResilientMultiProc(MultiProcPlugin):
    """MultiProc that reports a killed worker as a failed step instead of waiting forever.

    Parameters
    ----------
    plugin_args : dict, optional
        See Nipype's MultiProc.
    """

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
        except BrokenProcessPool:  # a worker was killed just before; the rest needs a new pool
            self.pool = self._new_pool()
            future = self.pool.submit(run_node, node, updatehash, self._taskid)
        self._task_obj[self._taskid] = future
        future.add_done_callback(partial(self._collect, self._taskid))
        return self._taskid

    def _task_finished_cb(self, jobid, cached=False):
        """Report the start of a step whose result is cached; Nipype reports only its end."""
        if cached and self._status_callback:
            self._status_callback(self.procs[jobid], "start")
        super()._task_finished_cb(jobid, cached=cached)

    def _collect(self, taskid, future):
        error = future.exception()
        self._taskresult[taskid] = (
            {"taskid": taskid, "result": None, "traceback": [repr(error)]}
            if error
            else future.result()
        )


def _begin_worker(folder):
    """Let SIGTERM end a worker at once; the handler of the main process is not for it."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    process_initializer(folder)


def _reduce_garbage_collection():
    """Exclude the objects that exist now from later garbage collections.

    MultiProc collects each time it looks for work: half a second with all libraries loaded, which
    was two thirds of a short run (59.6 s with, 24.5 s without, on the tiny synthetic dataset).
    """
    gc.collect()
    gc.freeze()


def steps_of(workflow, prefix):
    """List the steps of a workflow that compute something.

    Parameters
    ----------
    workflow : nipype.Workflow
    prefix : str
        Full name of the workflow around it.

    Returns
    -------
    set of str
        Full names.
    """
    return {
        f"{prefix}.{workflow.name}.{name}"
        for name in workflow.list_node_names()
        if not isinstance(workflow.get_node(name).interface, IdentityInterface)
    }


def execute(workflow, *, resources, progress):
    """Run a workflow to its end; steps that do not depend on a failed one still run.

    Parameters
    ----------
    workflow : nipype.Workflow
    resources : Resources
    progress : Progress
        Receives the failures.

    Raises
    ------
    UsageError, MissingInput
        If the plugin file cannot be read or names no plugin of Nipype.
    """
    plugin, arguments = _plugin(resources)
    base_dir = Path(workflow.base_dir)
    base_dir.mkdir(parents=True, exist_ok=True)
    workflow.config["execution"] = {
        "crashdump_dir": str(base_dir / "crash"),
        "crashfile_format": "txt",
        "create_report": "false",
        "hash_method": "content",
        "poll_sleep_duration": "0.1",
        "check_version": "false",
        "stop_on_first_crash": str(resources.stop_on_first_crash).lower(),
    }
    nipype.config.resource_monitor = resources.resource_monitor
    arguments["status_callback"] = progress
    try:
        with contextlib.chdir(base_dir):  # relative paths written by libraries stay in it
            runner = ResilientMultiProc(arguments) if plugin == "MultiProc" else plugin
            _reduce_garbage_collection()
            workflow.run(plugin=runner, plugin_args=arguments)
    except Exception:
        if not progress.has_failures:
            raise


def clear_cached_node(work_dir, workflow_name, *parts):
    """Remove the cached results of a part of a workflow.

    Parameters
    ----------
    work_dir : path
    workflow_name : str
    *parts : str
        Names of the workflow and node inside it.
    """
    shutil.rmtree(Path(work_dir).joinpath(workflow_name, *parts), ignore_errors=True)


def _plugin(resources):
    """Return name and arguments of the plugin."""
    if path := resources.plugin_file:
        name, arguments = read_plugin(path)
        if not hasattr(nipype.pipeline.plugins, f"{name}Plugin"):
            raise UsageError(f"--use-plugin {path}: Nipype has no plugin {name!r}; try MultiProc.")
        return name, arguments
    if resources.nprocs == 1:
        return "Linear", {}
    limits = {"n_procs": resources.nprocs, "memory_gb": resources.memory_gb}
    return "MultiProc", {**limits, "raise_insufficient": False}
