"""The participant level: check, plan, run, report."""

import contextlib
import copy
import time
from dataclasses import replace
from functools import cache, partial

from brainfm.cli.job import Job, redirect_nipype_log
from brainfm.cli.messages import log_plan, log_problems, log_summary
from brainfm.cli.reports import rewrite_reports, write_reports
from brainfm.cli.run_status import RunTracker
from brainfm.errors import BrainFMError, MissingInput, TemporaryFailure
from brainfm.files import remove_old_partial, remove_partial
from brainfm.models.checkpoint.locate import find_checkpoint, pin_revision
from brainfm.stages.query.validate import preflight
from brainfm.stages.query.validate_runs import Problem
from brainfm.storage.bids.query import by_participant
from brainfm.storage.derivatives.dataset_description import write_description
from brainfm.storage.derivatives.status import read_status, write_status
from brainfm.storage.lock import WorkLock


def run_participant_level(job: Job):
    """Process the selected participants.

    Parameters
    ----------
    job : Job

    Returns
    -------
    exit_code : int
        0; 75 if running again may help; 74 if the disk is full; 1 if a step or a report failed;
        65 or 66 if participants were left out because of their data.

    Raises
    ------
    BrainFMError
        For problems of the whole dataset, the command or the output.
    """
    if job.settings.run.reports_only:
        return rewrite_reports(job)
    timer = StageTimer()
    with timer("check"):
        checks = preflight(job.bids_dir, job.output_dir, job.settings)
    if not job.settings.run.dry_run:
        job.limit_libraries()
    with timer("plan"):
        pin_model(job)
        model, plans, checks = _plan(job, checks)
    if not job.settings.run.dry_run:
        job.open()
    if job.settings.run.exclude:
        job.log.warning(
            "--exclude has no effect at the participant level: use it at the group level."
        )
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
    invalid = _mark_invalid(job, checks)
    return _run(job, checks, plans, timer, model=model, invalid=invalid)


def pin_model(job):
    """Replace the model of the settings by one revision, for this call and its settings file.

    Parameters
    ----------
    job : Job

    Raises
    ------
    ModelError, TemporaryFailure
        If there is no such checkpoint, or it is on the Hub and the Hub cannot be reached.
    """
    model = job.settings.model
    job.settings = replace(job.settings, model=replace(model, model=pin_revision(model.model)))


class StageTimer(dict):
    """Seconds of each stage of a call, measured by ``with timer("name"):``."""

    @contextlib.contextmanager
    def __call__(self, name):
        """Time a block.

        Parameters
        ----------
        name : str

        Yields
        ------
        None
        """
        began = time.monotonic()
        try:
            yield
        finally:
            self[name] = self.get(name, 0.0) + time.monotonic() - began


def _plan(job, checks):
    # Imported late: errors of the preflight do not wait for the numerical libraries.
    from brainfm.stages.query.plan import model_key, plan_participant

    model = cache(partial(model_key, job.settings.model.model))
    if not job.settings.run.dry_run:  # refused before the first recording
        from brainfm.models.inputs import device_of

        device_of(job.settings.model.device)
        model()
    plans, problems = {}, list(checks.problems)
    for label in checks.participants:
        own = checks.runs_by_participant[label]
        chosen = {"settings": job.settings, "engine": checks.engine, "model": model}
        try:
            plans[label] = plan_participant(job.output_dir, own, **chosen)
        except OSError as error:
            text = f"{error.filename} cannot be read ({error.strerror}): copy it again."
            problems.append(Problem(participant=label, text=text, exit_code=MissingInput.exit_code))
    return model, plans, replace(checks, problems=tuple(problems))


def _mark_invalid(job, checks):
    """Write the status of the participants left out; return their labels."""
    problems = by_participant(checks.problems)
    invalid = [label for label in problems if label in checks.runs_by_participant]
    for label in invalid:
        status = read_status(job.output_dir, label)
        status["problems"] = [str(problem) for problem in problems[label]]
        write_status(job.output_dir, status, state="invalid")
    return invalid


def _run(job, checks, plans, timer, *, model, invalid):
    todo = {label: own for label, own in plans.items() if any(not one.is_done for one in own)}
    with contextlib.ExitStack() as locks:
        busy = [label for label in todo if not _lock(job, label, locks)]
        selected = {label: own for label, own in todo.items() if label not in busy}
        tracker = RunTracker(job.output_dir, job.log_dir, plans=selected)
        remove_old_partial(job.output_dir)
        if selected:
            with timer("preprocess and embed"):
                _execute(job, checks, tracker, model)
        with timer("report"):
            free = [*(label for label in plans if label not in busy), *invalid]
            errors = {label: tracker.errors_of(label) for label in free}
            reports, n_failed = write_reports(
                job, free, changed={*selected, *invalid}, errors=errors
            )
    log_summary(job, tracker, plans=plans, timer=timer, reports=reports)
    if busy:
        return TemporaryFailure.exit_code
    return tracker.exit_code or (BrainFMError.exit_code if n_failed else checks.exit_code)


def _lock(job, label, locks):
    """Lock a participant and remove partial files of a killed call; False if it is in use."""
    try:
        locks.enter_context(WorkLock(job.output_dir, f"sub-{label}"))
    except TemporaryFailure as error:
        job.log.warning("%s", error)
        return False
    remove_partial(job.output_dir / f"sub-{label}")
    return True


def _execute(job, checks, tracker, model):
    from brainfm.workflows.participant import init_brainfm_wf
    from brainfm.workflows.runner import Progress, Resources, execute

    run = job.settings.run
    redirect_nipype_log(job.log_dir)
    _clear_stale_cache(job, tracker.plans)
    context = _context(job, checks, model)
    workflow, steps = init_brainfm_wf(tracker.plans, context)
    if run.write_graph:
        _draw(job, workflow)
    tracker.progress = Progress(
        expected=copy.deepcopy(steps),
        log=job.log.info,
        on_done=tracker.note_done,
        on_failed=tracker.note_failed,
        record_memory=run.resource_monitor,
    )
    resources = Resources(
        nprocs=job.nprocs,
        memory_gb=job.memory_gb,
        plugin_file=run.use_plugin,
        stop_on_first_crash=run.stop_on_first_crash,
        resource_monitor=run.resource_monitor,
    )
    tracker.begin()
    try:
        execute(workflow, resources=resources, progress=tracker.progress)
    except BaseException as error:
        tracker.stop(error)
        raise
    tracker.finish()


def _context(job, checks, model):
    from brainfm.workflows.participant import WorkflowContext

    return WorkflowContext(
        bids_dir=job.bids_dir,
        out_dir=job.output_dir,
        work_dir=job.scratch_dir,
        settings=job.settings,
        model_key=model(),
        nprocs=job.nprocs,
        omp_nthreads=job.omp_nthreads,
        memory_gb=job.memory_gb,
        derivatives=checks.derivatives,
    )


def _draw(job, workflow):
    path = job.log_dir / "graph.dot"
    try:
        workflow.write_graph(str(path), graph2use="colored", format="svg")
    except OSError:
        job.log.warning(
            "%s is written, but not drawn: Graphviz (dot) is not on PATH; install it.", path
        )


def _clear_stale_cache(job, plans):
    """Remove cached results of the work folder that no longer hold.

    An embedding in the plan is always computed: Nipype compares the name of the checkpoint, not
    its content, and does not check whether the file written is still there.
    """
    from brainfm.workflows.participant import wf_name
    from brainfm.workflows.runner import clear_cached_node

    for label, own in plans.items():
        for plan in [one for one in own if not one.is_done]:
            parents = ("brainfm_wf", wf_name(f"sub-{label}"))
            clear_cached_node(job.scratch_dir, *parents, wf_name(plan.run.name), "embed")
            if plan.stale:
                clear_cached_node(job.scratch_dir, *parents, wf_name(plan.run.name))
                if plan.upstream:
                    clear_cached_node(job.scratch_dir, *parents, wf_name(plan.upstream))
