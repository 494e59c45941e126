"""The group level as a call: check, run the steps, say where the report is."""

import contextlib
from pathlib import Path

from brainfm.cli.job import Job
from brainfm.errors import MissingInput, NothingSelected, TemporaryFailure, UsageError
from brainfm.files import remove_old_partial, remove_partial
from brainfm.stages.query.engine import read_derivatives
from brainfm.stages.query.folders import check_folders
from brainfm.stages.query.validate import raise_all
from brainfm.storage.bids.query import participants_of
from brainfm.storage.derivatives.dataset_description import write_description
from brainfm.storage.derivatives.recordings import tasks_of
from brainfm.storage.lock import WorkLock


def run_group_level(job: Job):
    """Run the group level on finished participants.

    Returns
    -------
    exit_code : int
        0; problems are raised.

    Raises
    ------
    BrainFMError
        If the output holds no participants and no derivatives are given, a column or task
        asked for does not exist, or a step fails.
    """
    derivatives = _check(job)
    _log_unused(job)
    if job.settings.run.dry_run:
        _log_plan(job, derivatives)
        return 0
    job.limit_libraries()
    job.open()
    # Imported late, behind the refusals: these load the numerical libraries.
    from brainfm.stages.report.group import write_group_report
    from brainfm.workflows.group import run_group

    if job.settings.run.reports_only:
        job.log.info("report: %s", write_group_report(job.output_dir))
        return 0
    write_description(
        job.output_dir,
        job.bids_dir,
        derivatives=derivatives,
        models=[f"group-{job.settings.pretrain.model_name}"],
    )
    lock = WorkLock(job.output_dir, "group").acquire()
    try:
        _clear_partial(job.output_dir)
        report, seconds = run_group(_group(job, derivatives))
    finally:
        lock.release()
    for step, took in seconds.items():
        job.log.info("%-10s %8.1f s", step, took)
    job.log.info("report: %s", report)
    job.log.info("finished after %.1f s", job.took_s)
    return 0


def _group(job, derivatives):
    from brainfm.workflows.group import Group

    return Group(
        output_dir=job.output_dir,
        work_dir=job.scratch_dir,
        roots=_roots(job, derivatives),
        tables=_tables(job, derivatives),
        settings=job.settings,
        nprocs=job.nprocs,
        memory_gb=job.memory_gb,
    )


def _clear_partial(output_dir):
    """Remove what a killed call left half-written, except where somebody works on it."""
    remove_old_partial(output_dir)
    for name in ("group", "models"):
        remove_partial(output_dir / name)
    for folder in {left.parent for left in output_dir.glob("sub-*/**/.partial-*")}:
        lock = WorkLock(output_dir, folder.relative_to(output_dir).parts[0])
        with contextlib.suppress(TemporaryFailure):
            lock.acquire()
            remove_partial(folder)
            lock.release()


def _check(job):
    """Return the derivatives given; raise all problems at once."""
    run, evaluate = job.settings.run, job.settings.evaluate
    errors = check_folders(job.bids_dir, job.output_dir, run)
    derivatives, wrong = read_derivatives(run.derivatives)
    errors += wrong
    roots = _roots(job, derivatives)
    has_reports = run.reports_only and (job.output_dir / "group").is_dir()
    if not roots and not wrong and not has_reports:
        errors.append(
            MissingInput(
                f"{job.output_dir} holds no participants; run the participant level first, or "
                "give other standardised data as --derivatives NAME=PATH."
            )
        )
    if evaluate.contrast and len(set(evaluate.contrast)) != 2:
        given = " ".join(evaluate.contrast)
        errors.append(UsageError(f"--contrast {given}: expected two tasks that differ."))
    elif evaluate.contrast and not evaluate.target and roots and not wrong:
        errors += _check_contrast(evaluate.contrast, roots)
    if evaluate.target and evaluate.contrast:
        errors.append(UsageError("give either --target or --contrast, not both."))
    asked = [name for name in (evaluate.target, evaluate.groups) if name]
    columns = [*asked, *job.settings.pretrain.phenotypes]
    if columns and not wrong:
        errors += _check_columns(columns, _tables(job, derivatives))
    raise_all(errors)
    return derivatives


def _log_unused(job):
    """Say which options of the participant level would be taken for a selection here."""
    selecting = ("participant_label", "session_label", "task_label", "run_label",
                 "bids_filter_file")  # fmt: skip
    for name in [name for name in selecting if getattr(job.settings.run, name)]:
        option = name.replace("_", "-")
        job.log.warning(
            "--%s selects nothing at the group level, which takes all of %s.",
            option,
            job.output_dir,
        )


def _check_contrast(tasks, roots):
    there = sorted({task for root in roots for task in tasks_of(root)})
    absent = [task for task in tasks if task not in there]
    if not absent:
        return []
    return [
        NothingSelected(
            f"--contrast: no standardised recording of task {', '.join(absent)}; there are tasks: "
            f"{', '.join(there) or 'none'}."
        )
    ]


def _check_columns(wanted, tables):
    columns = {name for path in tables for name in _header(path)} - {"participant_id"}
    there = ", ".join(sorted(columns)) or "none"
    return [
        UsageError(f"participants.tsv has no column {column!r}; it has: {there}.")
        for column in dict.fromkeys(wanted)
        if column not in columns
    ]


def _header(path):
    with open(path, encoding="utf-8-sig") as file:
        return file.readline().rstrip("\r\n").split("\t")


def _roots(job, derivatives):
    is_filled = job.output_dir.is_dir() and participants_of(job.output_dir)
    own = [job.output_dir] if is_filled else []
    return (*own, *derivatives.values())


def _tables(job, derivatives):
    folders = [job.bids_dir, *derivatives.values()]
    paths = [Path(folder) / "participants.tsv" for folder in folders]
    return tuple(dict.fromkeys(path for path in paths if path.is_file()))


def _log_plan(job, derivatives):
    evaluate = job.settings.evaluate
    asked = evaluate.target or " against ".join(evaluate.contrast)
    for name, path in {"output": job.output_dir, **derivatives}.items():
        job.log.info("corpus from %s: %s", name, path)
    job.log.info("pretrain: %s, at most %d epochs", *_pretraining(job))
    job.log.info("embed, evaluate %s, report", asked or "nothing (no --target, no --contrast)")


def _pretraining(job):
    return job.settings.pretrain.preset, job.settings.pretrain.max_epochs
