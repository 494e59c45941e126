"""Reports of participants; one that cannot be written does not stop the others."""

from brainfm.errors import BrainFMError, MissingInput, NothingSelected
from brainfm.storage.bids.query import participants_of
from brainfm.storage.derivatives.status import read_status


def write_reports(job, participants, *, changed, errors):
    """Write the report of each participant whose results changed or who has none yet.

    Measures outside their usual range are logged as warnings.

    Parameters
    ----------
    job : brainfm.cli.job.Job
    participants : iterable of str
    changed : collection of str
        Labels of the participants with new results.
    errors : dict of str to list of str
        Messages of failed recordings, by participant.

    Returns
    -------
    reports : list of Path
        Of all participants.
    n_failed : int
        Number of reports that could not be written; the traceback of each is logged.
    """
    from brainfm.stages.report.collect import collect_outputs
    from brainfm.stages.report.participant import write_participant_report
    from brainfm.stages.report.quality import outside_sentences

    reports, n_failed = [], 0
    for label in participants:
        path = job.output_dir / f"sub-{label}.html"
        try:
            if label in changed or not path.is_file():
                path = write_participant_report(job.output_dir, label, errors=errors.get(label, ()))
                for sentence in outside_sentences(collect_outputs(job.output_dir, label)):
                    job.log.warning("outside the usual range: %s", sentence)
            reports.append(path)
        except Exception as error:  # the other reports are still written
            n_failed += 1
            job.log.error("the report of sub-%s could not be written: %s", label, error)
            job.log.debug("traceback", exc_info=True)
    return reports, n_failed


def rewrite_reports(job):
    """Write the reports again from existing outputs; raw data are not read.

    Parameters
    ----------
    job : brainfm.cli.job.Job

    Returns
    -------
    exit_code : int
        1 if a report could not be written, else 0.

    Raises
    ------
    MissingInput
        If there is no output yet.
    NothingSelected
        If the output holds none of the participants given.
    """
    if not (job.output_dir / "dataset_description.json").is_file():
        raise MissingInput(
            f"{job.output_dir} has no brainfm output yet; run without --reports-only first."
        )
    known = participants_of(job.output_dir)
    wanted = [label for label in job.settings.run.participant_label or known if label in known]
    if not wanted:
        raise NothingSelected(
            f"{job.output_dir} has no report of the participants given; it has: "
            f"{', '.join(known) or 'none'}."
        )
    if job.settings.run.dry_run:
        job.log.info("reports of %s would be written again", ", ".join(wanted))
        return 0
    job.limit_libraries()
    job.open()
    errors = {label: _errors_of(job.output_dir, label) for label in wanted}
    reports, n_failed = write_reports(job, wanted, changed=wanted, errors=errors)
    for report in reports:
        job.log.info("report: %s", report)
    return BrainFMError.exit_code if n_failed else 0


def _errors_of(output_dir, label):
    entries = read_status(output_dir, label)["recordings"].items()
    return [f"{name}: {one.get('error')}" for name, one in entries if one.get("state") == "failed"]
