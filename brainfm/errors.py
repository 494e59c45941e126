"""Errors a user can meet, each with its exit code, and the record of a failed step.

Exit codes follow the BIDS execution specification (draft, outputs section).
"""

import errno
from dataclasses import asdict, dataclass, field

#: Error numbers of a disk that is full, over its quota, read-only or broken.
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


class BrainFMError(Exception):
    """Root of the errors brainfm raises on purpose."""

    exit_code = 1


class ValidationFailed(BrainFMError):
    """The input dataset has problems that must be fixed before processing starts."""

    exit_code = 16


class UnknownLevel(BrainFMError):
    """The analysis level is neither ``participant`` nor ``group``."""

    exit_code = 17


class NothingSelected(BrainFMError):
    """The filters and labels given select no file."""

    exit_code = 18


class UsageError(BrainFMError):
    """The command, a setting or an argument is not valid."""

    exit_code = 64


class DataError(BrainFMError):
    """A file can be read, but its content cannot be used."""

    exit_code = 65


class SignalError(DataError):
    """An array has a shape, a unit or values that a computation cannot use."""


class MissingInput(BrainFMError):
    """A required file does not exist or cannot be opened."""

    exit_code = 66


class CannotCreateOutput(BrainFMError):
    """An output file or folder cannot be created."""

    exit_code = 73


class ReadWriteFailed(BrainFMError):
    """Reading or writing stopped because of the disk, for instance because it is full."""

    exit_code = 74


class TemporaryFailure(BrainFMError):
    """Running the same command again may help, for instance after a worker was killed."""

    exit_code = 75


class StepFailed(BrainFMError):
    """A step of the workflow ended without its result, for instance an external command."""


class ModelError(DataError):
    """A checkpoint, or a recording given to a model, does not fit the model."""


def is_disk_error(error):
    """Tell whether an exception is about the disk: full, over quota, read-only or broken.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    bool
        True for :class:`ReadWriteFailed` and for an OSError with one of these error numbers.
    """
    if isinstance(error, OSError):
        return error.errno in _DISK_ERRORS
    return isinstance(error, ReadWriteFailed)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed step: the one form in which failures reach the status file and the exit code.

    Parameters
    ----------
    error : str
        Name of the error's class.
    message : str
    exit_code : int
    participant, step : str
        Label of the participant and full name of the step, if known.
    traceback : str
    """

    error: str
    message: str
    exit_code: int = 1
    participant: str = ""
    step: str = ""
    traceback: str = field(default="", repr=False, compare=False)

    @classmethod
    def from_exception(cls, error, **details):
        """Describe an exception.

        Parameters
        ----------
        error : BaseException
        **details
            Further fields, such as ``participant`` and ``step``.

        Returns
        -------
        Failure
        """
        from traceback import format_exception  # not needed by --help

        return cls(
            error=type(error).__name__,
            message=str(error) or type(error).__name__,
            exit_code=_exit_code_of(error),
            traceback="".join(format_exception(error)),
            **details,
        )

    def __str__(self):
        return f"{self.error}: {self.message}"

    def as_dict(self):
        """Return all fields but the traceback, as ``status.json`` holds them.

        Returns
        -------
        dict
        """
        return {name: value for name, value in asdict(self).items() if name != "traceback"}


def worst_exit_code(failures):
    """Return the exit code of a run with these failures.

    Parameters
    ----------
    failures : iterable of Failure

    Returns
    -------
    exit_code : int
        75 if any may succeed when run again, else 74 if any is about the disk, else 1; 0 without
        failures.
    """
    codes = {failure.exit_code for failure in failures}
    for code in (TemporaryFailure.exit_code, ReadWriteFailed.exit_code):
        if code in codes:
            return code
    return 1 if codes else 0


def _exit_code_of(error):
    if isinstance(error, BrainFMError):
        return error.exit_code
    if isinstance(error, MemoryError):
        return TemporaryFailure.exit_code
    return ReadWriteFailed.exit_code if is_disk_error(error) else BrainFMError.exit_code
