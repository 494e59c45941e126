"""Refusals of an evaluation that need names only: settings, tasks and columns.

The command line calls them before any file is read, the design of an evaluation when it is built.
"""

from brainfm.errors import NothingSelected, UsageError

#: Columns that a message lists.
_MAX_SHOWN = 40


def check_choice(config):
    """Refuse settings without exactly one of target and contrast.

    Parameters
    ----------
    config : brainfm.config.EvaluateConfig

    Raises
    ------
    UsageError
        If both or neither are set.
    """
    if bool(config.target) == bool(config.contrast):
        raise UsageError(
            "give either --target COLUMN of participants.tsv or --contrast TASK TASK, not "
            f"{'both' if config.target else 'neither'}."
        )


def check_contrast(tasks, available):
    """Refuse a contrast that is not of two different tasks with recordings.

    Parameters
    ----------
    tasks : sequence of str
    available : iterable of str
        Tasks of the recordings.

    Raises
    ------
    UsageError
        If there are not two different tasks.
    NothingSelected
        If a task has no recording.
    """
    if len(tasks) != 2 or len(set(tasks)) != 2:
        raise UsageError(f"--contrast is {' '.join(tasks)!r}; expected two different tasks.")
    absent = [task for task in tasks if task not in available]
    if absent:
        raise NothingSelected(
            f"--contrast: no recording of task {', '.join(absent)}; there are tasks: "
            f"{', '.join(sorted(available)) or 'none'}."
        )


def find_column(name, available):
    """Find a column of the tables of participants; refuse one that they do not have.

    Parameters
    ----------
    name : str
    available : iterable of str
        Columns of the tables, see :func:`brainfm.storage.bids.participants.available_columns`;
        identifiers do not count.

    Returns
    -------
    column : str
        One of ``available``: the same name, or the only one that differs in case.

    Raises
    ------
    UsageError
        If it is not among them, or several differ in case only.
    """
    there = [one for one in available if one not in ("participant_id", "session_id")]
    alike = [one for one in there if one.casefold() == name.casefold()]
    if name in there or len(alike) == 1:
        return name if name in there else alike[0]
    if alike:
        raise UsageError(
            f"participants.tsv has no column {name!r}, but {' and '.join(alike)}: give one of them."
        )
    shown = ", ".join(there[:_MAX_SHOWN]) or "none"
    more = f" and {len(there) - _MAX_SHOWN} more" if len(there) > _MAX_SHOWN else ""
    raise UsageError(f"participants.tsv has no column {name!r}; it has: {shown}{more}.")
