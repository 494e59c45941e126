"""The ``brainfm`` command: parse, resolve the settings, run one level, return the exit code."""

import contextlib
import logging
import signal
import sys
import threading

from brainfm.cli.parser import parse_command, print_error
from brainfm.errors import BrainFMError, ReadWriteFailed, TemporaryFailure, is_disk_error

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
        print_error(f"stopped ({stop}); run the same command again to continue.")
        return TemporaryFailure.exit_code
    except KeyboardInterrupt:
        _end_children()
        print_error("interrupted; run the same command again to continue.")
        return _INTERRUPTED
    except Exception as error:
        _end_children()
        if is_disk_error(error):
            print_error(
                f"reading or writing stopped ({error}). Is the disk full or gone? Finished results "
                "stay; run the same command again to continue."
            )
            return ReadWriteFailed.exit_code
        logging.getLogger("brainfm").debug("unexpected error", exc_info=True)
        print_error(f"unexpected error: {type(error).__name__}: {error}. {_where_traceback_is()}")
        return BrainFMError.exit_code


class Stopped(BaseException):
    """Stop signal of the scheduler; like KeyboardInterrupt, no handler of errors catches it."""


@contextlib.contextmanager
def stoppable(*numbers):
    """Raise :class:`Stopped` on one of these signals.

    Parameters
    ----------
    *numbers : signal.Signals

    Yields
    ------
    None

    Raises
    ------
    Stopped
        On the signal, wherever the main thread is.
    """
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


def _where_traceback_is():
    files = [one for one in logging.getLogger("brainfm").handlers if hasattr(one, "baseFilename")]
    if not files:
        return "Add -vv to see its traceback."
    return f"Its traceback is in {files[0].baseFilename}; please report it."


def _end_children():
    """Kill the worker processes of this run, which would otherwise finish their step first."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        child.kill()


def _run(argv):
    arguments = parse_command(argv)
    # Imported late: --help, --version and errors of usage answer at once.
    from brainfm.cli.settings import resolve_settings

    settings, sources, ignored = resolve_settings(arguments)
    from brainfm.cli.job import Job

    job = Job.start(arguments, settings, sources=sources, argv=argv)
    for warning in ignored:
        job.log.warning("%s", warning)
    if arguments["level"] == "group":
        from brainfm.cli.group import run_group_level

        return run_group_level(job)
    from brainfm.cli.participant import run_participant_level

    return run_participant_level(job)
