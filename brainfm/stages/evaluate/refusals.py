"""Refusals of an evaluation that need names only: settings, tasks and columns.

The command line calls them before any file is read, the design of an evaluation when it is built.
"""

from brainfm.errors import NothingSelected, UsageError


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


def check_column(column, available):
    """Refuse a column that ``participants.tsv`` does not have.

    Parameters
    ----------
    column : str
    available : iterable of str
        Columns of the tables; ``participant_id`` does not count.

    Raises
    ------
    UsageError
        If it is not among them.
    """
    there = [name for name in available if name != "participant_id"]
    if column not in there:
        raise UsageError(
            f"participants.tsv has no column {column!r}; it has: {', '.join(there) or 'none'}."
        )
