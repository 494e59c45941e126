"""The participant level: check, plan, run, note what came of it, report."""

import contextlib
import copy
import time
from collections import defaultdict
from dataclasses import replace
from functools import cache, partial

from brainfm.cli.job import Job, engine_messages_to
from brainfm.cli.messages import log_plan, log_problems, log_summary
from brainfm.cli.reports import only_reports, write_reports
from brainfm.cli.run_status import RunTracker
from brainfm.errors import ReadWriteFailed, TemporaryFailure
from brainfm.files import remove_old_partial, remove_partial
from brainfm.models.checkpoint.locate import find_checkpoint, pin_revision
from brainfm.stages.query.validate import preflight
from brainfm.storage.derivatives.dataset_description import write_description
from brainfm.storage.derivatives.status import read_status, write_status
from brainfm.storage.lock import WorkLock

_FAILED = 1


def run_participant_level(job: Job):
    """Process the selected participants.

    Returns
    -------
    exit_code : int
        0; 75 when trying again may help; 74 when the disk is full; 1 when a step or a report
        failed; 65 or 66 when participants were left out for their data.
    """
    if job.settings.run.reports_only:
        return only_reports(job)
    stages = Stages()
    with stages("check"):
        checks = preflight(job.bids_dir, job.output_dir, job.settings)
    if not job.settings.run.dry_run:
        job.confine()
    with stages("plan"):
        pin_model(job)
        model, plans = _plan(job, checks)
    if not job.settings.run.dry_run:
        job.open()
    log_problems(job.log, checks)
    log_plan(job.log, plans, checks)
    if job.settings.run.dry_run:
        return checks.exit_code
    write_description(
        job.output_dir,
        job.bids_dir,
        derivatives=checks.derivatives,
        models=[find_checkpoint(job.settings.model.model).name],
    )
    invalid = _note_invalid(job, checks)
    return _run(job, checks, plans, stages, model=model, invalid=invalid)


def pin_model(job):
    """Let the whole call, and who takes up its settings, use the same revision of the model.

    Raises
    ------
    ModelError, TemporaryFailure
        If there is no such checkpoint, or it is on the Hub and the Hub cannot be reached.
    """
    model = job.settings.model
    job.settings = replace(job.settings, model=replace(model, model=pin_revision(model.model)))


class Stages(dict):
    """Seconds of each stage of a call, filled by ``with stages("name"):``."""

    @contextlib.contextmanager
    def __call__(self, name):
        """Time a block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self[name] = self.get(name, 0.0) + time.monotonic() - began


def _plan(job, checks):
    # Imported now: the refusals of the preflight must not wait for the numerical libraries.
    from brainfm.stages.query.plan import model_key, plan_participant

    model = cache(partial(model_key, job.settings.model.model))
    if not job.settings.run.dry_run:  # refused now, not after the first recording
        from brainfm.models.inputs import device_of

        device_of(job.settings.model.device)
        model()
    return model, {
        label: plan_participant(
            job.output_dir,
            checks.runs_by_participant[label],
            settings=job.settings,
            engine=checks.engine,
            model=model,
            derivatives=checks.derivatives,
        )
        for label in checks.participants
    }


def _note_invalid(job, checks):
    """Write the status of those left out and return them; what was finished before stays."""
    problems = defaultdict(list)
    for problem in checks.problems:
        problems[problem.participant].append(str(problem))
    invalid = [label for label in problems if label in checks.runs_by_participant]
    for label in invalid:
        status = read_status(job.output_dir, label)
        status["problems"] = problems[label]
        write_status(job.output_dir, status, state="invalid")
    return invalid


def _run(job, checks, plans, stages, *, model, invalid):
    todo = {label: tasks for label, tasks in plans.items() if any(not t.is_done for t in tasks)}
    with contextlib.ExitStack() as locks:
        busy = [label for label in todo if not _locked(job, label, locks)]
        mine = {label: tasks for label, tasks in todo.items() if label not in busy}
        outcome = RunTracker(job.output_dir, job.log_dir, runs=checks.runs, plans=mine)
        remove_old_partial(job.output_dir)
        if mine:
            with stages("preprocess and embed"):
                _execute(job, checks, outcome, model)
        with stages("report"):
            free = [*(label for label in plans if label not in busy), *invalid]
            anew = {*mine, *invalid}
            reports, failures = write_reports(job, free, worked_on=anew, errors=outcome.errors)
    log_summary(job, outcome, plans=plans, stages=stages, reports=reports)
    if busy or outcome.is_temporary:
        return TemporaryFailure.exit_code
    if outcome.is_out_of_space:
        return ReadWriteFailed.exit_code
    return _FAILED if outcome.errors or failures else checks.exit_code


def _locked(job, label, locks):
    """Lock a participant and clear what a killed call left; or say who works on it."""
    lock = WorkLock(job.output_dir, f"sub-{label}")
    try:
        lock.acquire()
    except TemporaryFailure as error:
        job.log.warning("%s", error)
        return False
    locks.callback(lock.release)
    remove_partial(job.output_dir / f"sub-{label}")
    return True


def _execute(job, checks, outcome, model):
    from brainfm.workflows.participant import WorkflowContext, init_brainfm_wf
    from brainfm.workflows.runner import Progress, Resources, execute

    run = job.settings.run
    engine_messages_to(job.log_dir)
    _forget_stale(job, outcome.plans)
    context = WorkflowContext(
        bids_dir=job.bids_dir,
        out_dir=job.output_dir,
        work_dir=job.scratch_dir,
        settings=job.settings,
        model_key=model(),
        omp_nthreads=job.omp_nthreads,
        derivatives=checks.derivatives,
    )
    workflow, steps = init_brainfm_wf(outcome.plans, context)
    if run.write_graph:
        _draw(job, workflow)
    outcome.progress = Progress(
        expected=copy.deepcopy(steps),
        say=job.log.info,
        on_done=outcome.note_done,
        watch_memory=run.resource_monitor,
    )
    machine = Resources(
        nprocs=job.nprocs,
        memory_gb=job.memory_gb,
        plugin_file=run.use_plugin,
        stop_on_first_crash=run.stop_on_first_crash,
        resource_monitor=run.resource_monitor,
    )
    outcome.begin()
    try:
        crashes = execute(
            workflow, machine=machine, progress=outcome.progress, crash_dir=job.log_dir / "crash"
        )
    except BaseException as error:
        outcome.stop(error)
        raise
    outcome.finish(crashes, steps=steps)


def _draw(job, workflow):
    path = job.log_dir / "graph.dot"
    try:
        workflow.write_graph(str(path), graph2use="colored", format="svg")
    except OSError:
        job.log.warning("%s is written; to draw it, install Graphviz: dot is not on PATH.", path)


def _forget_stale(job, plans):
    """Drop what the work folder remembers and must not be believed.

    An embedding that is to be made is always made: the workflow engine sees the name of the
    checkpoint, not its content, and not whether the file it wrote is still there.
    """
    from brainfm.workflows.participant import wf_name
    from brainfm.workflows.runner import clear_cached_node

    for label, tasks in plans.items():
        for task in [task for task in tasks if not task.is_done]:
            place = ("brainfm_wf", wf_name(f"sub-{label}"))
            clear_cached_node(job.scratch_dir, *place, wf_name(task.run.name), "embed")
            if task.stale:
                clear_cached_node(job.scratch_dir, *place, wf_name(task.run.name))
                if task.upstream:
                    clear_cached_node(job.scratch_dir, *place, wf_name(task.upstream))
