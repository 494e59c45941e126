"""``brainfm``: parse, resolve the settings, run the level asked for, return the exit code."""

import contextlib
import signal
import sys
import threading

from brainfm.cli.parser import parse_command, print_error
from brainfm.errors import BrainFMError, ReadWriteFailed, TemporaryFailure

_INTERRUPTED = 130


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name.

    Returns
    -------
    exit_code : int
        See the end of ``brainfm --help``.
    """
    try:
        with stoppable(signal.SIGTERM):
            return _run(sys.argv[1:] if argv is None else list(argv))
    except BrainFMError as error:
        print_error(error)
        return error.exit_code
    except Stopped as stop:
        _end_children()
        print_error(f"stopped ({stop}); run the same command again to go on from here.")
        return TemporaryFailure.exit_code
    except KeyboardInterrupt:
        _end_children()
        print_error("interrupted; run the same command again to go on from here.")
        return _INTERRUPTED
    except OSError as error:
        _end_children()
        print_error(
            f"reading or writing stopped ({error.strerror or error}{_where(error)}). Is the disk "
            "full or gone? What is finished stays; run the same command again to go on from here."
        )
        return ReadWriteFailed.exit_code


class Stopped(BaseException):
    """The scheduler asks for the machine back; like KeyboardInterrupt, nothing may catch it."""


@contextlib.contextmanager
def stoppable(*numbers):
    """Raise :class:`Stopped` when one of these signals comes."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number, frame):
    raise Stopped(signal.Signals(number).name)


def _where(error):
    return f": {error.filename}" if error.filename else ""


def _end_children():
    """End the worker processes of this run, which would otherwise finish their step first."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        child.kill()


def _run(argv):
    arguments = parse_command(argv)
    # Imported late: --help, --version and a mistyped command answer at once.
    from brainfm.cli.settings import resolve_settings

    settings, sources, ignored = resolve_settings(arguments)
    from brainfm.cli.job import Job

    job = Job.start(arguments, settings, sources=sources, argv=argv)
    for sentence in ignored:
        job.log.warning("%s", sentence)
    if arguments["level"] == "group":
        from brainfm.cli.group import run_group_level

        return run_group_level(job)
    from brainfm.cli.participant import run_participant_level

    return run_participant_level(job)
