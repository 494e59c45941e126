"""Every error a user can meet, each with the exit code the command line returns for it.

Exit codes follow the BIDS execution specification (draft, outputs section).
"""


class BrainFMError(Exception):
    """Root of the errors brainfm raises on purpose."""

    exit_code = 1


class ValidationFailed(BrainFMError):
    """The input dataset has problems that must be mended before work starts."""

    exit_code = 16


class UnknownLevel(BrainFMError):
    """The analysis level is neither ``participant`` nor ``group``."""

    exit_code = 17


class NothingSelected(BrainFMError):
    """The filters and labels given select no file."""

    exit_code = 18


class UsageError(BrainFMError):
    """The command, a setting or an argument is off."""

    exit_code = 64


class DataError(BrainFMError):
    """A file can be read but holds something brainfm cannot work with."""

    exit_code = 65


class SignalError(DataError):
    """An array has a shape, a unit or values that a computation cannot use."""


class MissingInput(BrainFMError):
    """A file that is needed does not exist or cannot be opened."""

    exit_code = 66


class CannotCreateOutput(BrainFMError):
    """An output file or folder cannot be made."""

    exit_code = 73


class ReadWriteFailed(BrainFMError):
    """Reading or writing stopped half-way, for instance on a full disk."""

    exit_code = 74


class TemporaryFailure(BrainFMError):
    """Something may go through when tried again, for instance a worker killed for memory."""

    exit_code = 75


class ModelError(DataError):
    """A checkpoint, or a recording handed to a model, does not fit the model."""
