"""What the participant level says about its checks, its plan and its result."""

from collections import defaultdict


def log_problems(log, checks):
    """Say every problem of every participant."""
    if not checks.problems:
        return
    by_participant = defaultdict(list)
    for problem in checks.problems:
        by_participant[problem.participant].append(problem)
    log.error(
        "%s of %s, left out:",
        _several(len(checks.problems), "problem"),
        _several(len(by_participant), "participant"),
    )
    for label, problems in sorted(by_participant.items()):
        log.error("  sub-%s", label)
        for problem in problems:
            log.error("    %s", problem)


def log_plan(log, plans, checks):
    """Say what will be done for each recording, and what is done already."""
    tasks = [task for own in plans.values() for task in own]
    modalities = {task.run.modality for task in tasks}
    engine = f", fMRI by {checks.engine}" if "bold" in modalities else ""
    todo = sum(not task.is_done for task in tasks)
    recordings, people = _several(len(tasks), "recording"), _several(len(plans), "participant")
    log.info("%s of %s: %d to do%s", recordings, people, todo, engine)
    for task in tasks:
        words = [*(["preprocess"] if task.preprocess else []), *(["embed"] if task.embed else [])]
        log.info("  %s: %s", task.run.name, " and ".join(words) or "nothing to do")


def log_summary(job, outcome, *, plans, stages, reports):
    """Say what came of each recording, the seconds of each stage, and where the reports are."""
    log = job.log
    log.info("")
    log.info("%-44s %-8s %12s %8s", "recording", "state", "preprocess", "embed")
    for label, tasks in plans.items():
        for name, state in _rows(label, tasks, outcome):
            seconds = outcome.seconds.get(name, {})
            embed = seconds.get("embed", 0.0)
            log.info(
                "%-44s %-8s %10.1f s %6.1f s", name, state, sum(seconds.values()) - embed, embed
            )
    log.info("stages: %s", ", ".join(f"{name} {took:.1f} s" for name, took in stages.items()))
    for label, sentences in outcome.errors.items():
        for sentence in sentences:
            log.error("sub-%s failed: %s", label, sentence)
    for report in reports:
        log.info("report: %s", report)
    log.info("finished after %.1f s", job.took_s)


def _several(count, noun):
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _rows(label, tasks, outcome):
    worked_on = outcome.plans.get(label)
    shared = {task.upstream for task in tasks} & set(outcome.seconds)
    for name in sorted(shared):
        yield name, outcome.recording(label, name).get("state", "done")
    for task in tasks:
        entry = outcome.recording(label, task.run.name) if worked_on else {}
        yield task.run.name, entry.get("state") or ("done" if task.is_done else "waiting")
