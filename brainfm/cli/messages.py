"""Messages of the participant level about its checks, its plan and its result."""

from brainfm.storage.bids.query import by_participant


def log_problems(log, checks):
    """Log every problem of every participant.

    Parameters
    ----------
    log : logging.Logger
    checks : brainfm.stages.query.validate.Preflight
    """
    if not checks.problems:
        return
    problems_of = by_participant(checks.problems)
    found = _count(len(checks.problems), "problem")
    log.error("%s of %s, left out:", found, _count(len(problems_of), "participant"))
    for label, problems in sorted(problems_of.items()):
        log.error("  sub-%s", label)
        for problem in problems:
            log.error("    %s", problem)


def log_plan(log, plans, checks):
    """Log what will be done for each recording.

    Parameters
    ----------
    log : logging.Logger
    plans : dict of str to list of RunPlan
        By participant.
    checks : brainfm.stages.query.validate.Preflight
    """
    all_plans = [one for own in plans.values() for one in own]
    modalities = {one.run.modality for one in all_plans}
    engine = f", fMRI by {checks.engine}" if "bold" in modalities else ""
    n_todo = sum(not one.is_done for one in all_plans)
    recordings = _count(len(all_plans), "recording")
    participants = _count(len(plans), "participant")
    log.info("%s of %s: %d to do%s", recordings, participants, n_todo, engine)
    for one in all_plans:
        steps = [*(["preprocess"] if one.preprocess else []), *(["embed"] if one.embed else [])]
        log.info("  %s: %s", one.run.name, " and ".join(steps) or "nothing to do")
        if one.uses_t1w and one.n_t1w > 1:
            log.info("    T1w image: %s, one of %d", one.t1w.name, one.n_t1w)


def log_summary(job, tracker, *, plans, timer, reports):
    """Log the state of each recording, the seconds of each stage and the paths of the reports.

    Parameters
    ----------
    job : brainfm.cli.job.Job
    tracker : brainfm.cli.run_status.RunTracker
    plans : dict of str to list of RunPlan
    timer : dict of str to float
        Seconds of each stage.
    reports : iterable of Path
    """
    log = job.log
    log.info("")
    log.info("%-44s %-8s %12s %8s", "recording", "state", "preprocess", "embed")
    for label, own in plans.items():
        for name, state in _rows(label, own, tracker):
            seconds = tracker.seconds.get(name, {})
            embed = seconds.get("embed", 0.0)
            log.info(
                "%-44s %-8s %10.1f s %6.1f s", name, state, sum(seconds.values()) - embed, embed
            )
    log.info("stages: %s", ", ".join(f"{name} {took:.1f} s" for name, took in timer.items()))
    for label in plans:
        for error in tracker.errors_of(label):
            log.error("sub-%s failed: %s", label, error)
    for report in reports:
        log.info("report: %s", report)
    log.info("finished after %.1f s", job.took_s)


def _count(number, noun):
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _rows(label, own, tracker):
    is_tracked = label in tracker.plans
    shared = {one.upstream for one in own if one.upstream in tracker.seconds}
    for name in sorted(shared):
        yield name, tracker.recording(label, name).get("state", "done")
    for one in own:
        entry = tracker.recording(label, one.run.name) if is_tracked else {}
        yield one.run.name, entry.get("state") or ("done" if one.is_done else "waiting")
