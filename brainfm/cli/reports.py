"""Write the reports, and go on when one cannot be written."""

from brainfm.errors import MissingInput, NothingSelected
from brainfm.storage.bids.query import participants_of
from brainfm.storage.derivatives.status import read_status

_FAILED = 1


def write_reports(job, participants, *, worked_on, errors):
    """Write the report of each participant that was worked on or has none yet.

    Parameters
    ----------
    job : brainfm.cli.job.Job
    participants : iterable of str
    worked_on : collection of str
    errors : dict of str to list of str
        What failed, by participant.

    Returns
    -------
    reports : list of Path
        Of all participants.
    failures : int
        Reports that could not be written; each is said and its traceback logged.
    """
    from brainfm.stages.report.participant import write_participant_report

    reports, failures = [], 0
    for label in participants:
        path = job.output_dir / f"sub-{label}.html"
        try:
            if label in worked_on or not path.is_file():
                path = write_participant_report(job.output_dir, label, errors=errors.get(label, ()))
            reports.append(path)
        except Exception as error:  # a report must not cost the results of the others
            failures += 1
            job.log.error("the report of sub-%s could not be written: %s", label, error)
            job.log.debug("traceback", exc_info=True)
    return reports, failures


def only_reports(job):
    """Write the reports again from files already there; raw data are not read.

    Raises
    ------
    MissingInput
        If there is no output yet.
    NothingSelected
        If none of the participants given is in it.
    """
    if not (job.output_dir / "dataset_description.json").is_file():
        raise MissingInput(
            f"{job.output_dir} holds no brainfm output yet; run without --reports-only."
        )
    known = participants_of(job.output_dir)
    wanted = [label for label in job.settings.run.participant_label or known if label in known]
    if not wanted:
        raise NothingSelected(
            f"{job.output_dir} holds no participant to report on; there are: "
            f"{', '.join(known) or 'none'}."
        )
    if job.settings.run.dry_run:
        job.log.info("reports of %s would be written again", ", ".join(wanted))
        return 0
    job.confine()
    job.open()
    errors = {label: _errors_of(job.output_dir, label) for label in wanted}
    reports, failures = write_reports(job, wanted, worked_on=wanted, errors=errors)
    for report in reports:
        job.log.info("report: %s", report)
    return _FAILED if failures else 0


def _errors_of(output_dir, label):
    status = read_status(output_dir, label)
    failed = {n: e for n, e in status["recordings"].items() if e.get("state") == "failed"}
    return [f"{name}: {entry.get('error')}" for name, entry in failed.items()]
