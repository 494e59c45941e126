"""The group level: check, run the steps, report."""

import contextlib

from brainfm.cli.job import Job
from brainfm.config import STEPS, PretrainConfig
from brainfm.errors import DataError, MissingInput, TemporaryFailure, UsageError
from brainfm.files import remove_old_partial, remove_partial
from brainfm.stages.evaluate.refusals import check_choice, check_contrast, find_column
from brainfm.stages.query.engine import read_derivatives
from brainfm.stages.query.folders import check_folders
from brainfm.stages.query.validate import attempt, raise_all
from brainfm.storage.bids.names import entities_of
from brainfm.storage.bids.participants import available_columns, find_tables, read_participants
from brainfm.storage.bids.query import participants_of
from brainfm.storage.derivatives.dataset_description import write_description
from brainfm.storage.derivatives.recordings import find_files, read_recordings
from brainfm.storage.derivatives.selection import Selection, make_selection
from brainfm.storage.derivatives.series_files import check_one_series_per_run
from brainfm.storage.lock import WorkLock


def run_group_level(job: Job):
    """Run the group level on the outputs of the participant level.

    Parameters
    ----------
    job : Job

    Returns
    -------
    exit_code : int
        0; 65 if recordings that cannot be read were left out. Other problems are raised.

    Raises
    ------
    BrainFMError
        If the output holds no participants and no derivatives are given, a column or task of the
        settings does not exist, or a step fails.
    """
    derivatives, selection, n_found = _check(job)
    _log_unused(job)
    if job.settings.run.dry_run:
        _log_plan(job, derivatives, n_found)
        return 0
    job.limit_libraries()
    job.open()
    # Imported late: errors of the settings do not wait for the numerical libraries.
    from brainfm.stages.report.group import write_group_report
    from brainfm.workflows.group_steps import run_group_steps

    if job.settings.run.reports_only:
        job.log.info("report: %s", write_group_report(job.output_dir))
        return 0
    write_description(
        job.output_dir,
        job.bids_dir,
        derivatives=derivatives,
        models=[f"group-{job.settings.pretrain.model_name}"],
    )
    with WorkLock(job.output_dir, "group"):
        _clear_partial(job.output_dir)
        context = _context(job, derivatives, selection)
        report, seconds = run_group_steps(context)
    for step, took in seconds.items():
        job.log.info("%-10s %8.1f s", step, took)
    if report:
        job.log.info("report: %s", report)
    job.log.info("finished after %.1f s", job.took_s)
    return DataError.exit_code if context.included.n_unreadable else 0


def _context(job, derivatives, selection):
    from brainfm.workflows.group_steps import GroupContext

    return GroupContext(
        output_dir=job.output_dir,
        work_dir=job.scratch_dir,
        roots=_roots(job, derivatives),
        tables=_tables(job, derivatives),
        settings=job.settings,
        steps=_steps(job.settings),
        selection=selection,
        nprocs=job.nprocs,
        memory_gb=job.memory_gb,
    )


def _clear_partial(output_dir):
    """Remove partial files of a killed call, except those of participants in use."""
    remove_old_partial(output_dir)
    for name in ("group", "models"):
        remove_partial(output_dir / name)
    for folder in {left.parent for left in output_dir.glob("sub-*/**/.partial-*")}:
        participant = folder.relative_to(output_dir).parts[0]
        with contextlib.suppress(TemporaryFailure), WorkLock(output_dir, participant):
            remove_partial(folder)


def _check(job):
    """Return the derivatives, the selection and how many files it finds; raise all problems."""
    run = job.settings.run
    errors = check_folders(job.bids_dir, job.output_dir, run)
    derivatives, invalid = read_derivatives(run.derivatives)
    errors += invalid
    roots = _roots(job, derivatives)
    has_results = run.reports_only and (job.output_dir / "group").is_dir()
    attempt(errors, _check_steps, job.settings)
    selection = attempt(errors, _selection, run) or Selection()
    if not roots and not invalid and not has_results:
        errors.append(
            MissingInput(
                f"{job.output_dir} holds no participants; run the participant level first, or "
                "give other standardised data as --derivatives NAME=PATH."
            )
        )
    found = (attempt(errors, find_files, roots, selection) or ([], []))[0]
    attempt(errors, check_one_series_per_run, found)
    if run.dry_run:
        attempt(errors, read_recordings, found)
    if not invalid:
        _check_evaluation(job, found, _tables(job, derivatives), errors)
    raise_all(errors)
    return derivatives, selection, len(found)


def _selection(run):
    return make_selection(
        participant=run.participant_label,
        session=run.session_label,
        task=run.task_label,
        run=run.run_label,
        bids_filter_file=run.bids_filter_file,
        exclude=run.exclude,
    )


def _steps(settings):
    """Return the steps to run: those chosen, else all that the question needs."""
    is_asked = settings.evaluate.target or settings.evaluate.contrast
    default = ("corpus", "evaluate" if is_asked else "pretrain", "report")
    return settings.run.steps or default


def _check_steps(settings):
    """Refuse an evaluation without a question."""
    is_asked = settings.evaluate.target or settings.evaluate.contrast
    if "evaluate" in settings.run.steps and not is_asked:
        raise UsageError("--steps evaluate needs --target COLUMN or --contrast TASK TASK.")


def _check_evaluation(job, found, tables, errors):
    """Check the names of tasks and columns in the settings against those of the files."""
    evaluate = job.settings.evaluate
    if evaluate.target or evaluate.contrast:
        attempt(errors, check_choice, evaluate)
    if evaluate.contrast and not evaluate.target:
        tasks = {entities_of(path).get("task") for path in found} - {None}
        attempt(errors, check_contrast, evaluate.contrast, tasks)
    n_errors = len(errors)
    available = sorted(available_columns(attempt(errors, read_participants, tables)))
    columns = [evaluate.target, evaluate.groups, *job.settings.pretrain.phenotypes]
    for column in dict.fromkeys(columns if len(errors) == n_errors else ()):
        attempt(errors, find_column, column, available)


def _log_unused(job):
    """Warn about options that the chosen steps do not use."""
    steps, settings = _steps(job.settings), job.settings
    if "pretrain" not in steps and settings.pretrain != PretrainConfig():
        job.log.warning(
            "the settings --pretrain-... have no effect, because nothing is pretrained to answer a "
            "question; to evaluate a model of these data too, add: --steps %s",
            " ".join(STEPS),
        )
    if "evaluate" not in steps and (settings.evaluate.target or settings.evaluate.contrast):
        job.log.warning("--target and --contrast have no effect without --steps evaluate.")


def _roots(job, derivatives):
    is_filled = job.output_dir.is_dir() and participants_of(job.output_dir)
    own = [job.output_dir] if is_filled else []
    return (*own, *derivatives.values())


def _tables(job, derivatives):
    folders = [job.bids_dir, *derivatives.values()]
    return tuple(dict.fromkeys(path for folder in folders for path in find_tables(folder)))


def _log_plan(job, derivatives, n_found):
    evaluate, pretrain, steps = job.settings.evaluate, job.settings.pretrain, _steps(job.settings)
    target = evaluate.target or " against ".join(evaluate.contrast)
    for name, path in {"output": job.output_dir, **derivatives}.items():
        job.log.info("recordings from %s: %s", name, path)
    details = {
        "corpus": f"{n_found} recordings",
        "pretrain": f"{pretrain.preset}, at most {pretrain.max_epochs} epochs, and embed",
        "evaluate": target,
    }
    for step in STEPS:
        if step in steps:
            job.log.info("%s %s", step, details.get(step, ""))
