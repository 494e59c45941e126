"""A Nipype node that leaves a record of its failure in its working folder."""

from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from nipype import Node

from brainfm.errors import BrainFMError, Failure
from brainfm.files import read_json, write_json

_RECORD = "failure.json"


class Step(Node):
    """Node whose failure is written to ``failure.json``, whichever plugin runs it.

    Nipype passes on only the text of a traceback. The record keeps the class of the error, its
    message and its exit code, from worker processes and from the jobs of a cluster alike.

    Parameters
    ----------
    interface : nipype.interfaces.base.Interface
    name : str
    **options
        See :class:`nipype.Node`.
    """

    _raised = None

    def run(self, updatehash=False):
        """See :meth:`nipype.Node.run`."""
        try:
            return super().run(updatehash=updatehash)
        except Exception as error:
            failure = Failure.from_exception(self._raised or error, step=self.fullname)
            with suppress(BrainFMError):  # a full disk holds no record
                write_json(_record_of(self), asdict(failure))
            raise

    def _run_command(self, execute, copyfiles=True):
        """Keep the exception of the interface, which Nipype replaces by one of its own."""
        interface, methods = self._interface, ("_run_interface", "aggregate_outputs")
        for method in methods:
            setattr(interface, method, self._keeping_exceptions(getattr(interface, method)))
        try:
            return super()._run_command(execute, copyfiles)
        finally:
            for method in methods:
                delattr(interface, method)

    def _keeping_exceptions(self, function):
        def call(*arguments, **options):
            try:
                return function(*arguments, **options)
            except Exception as error:
                self._raised = error
                raise

        return call


def read_failure(node):
    """Read the record of a failed node.

    Parameters
    ----------
    node : nipype.Node

    Returns
    -------
    Failure or None
        None when there is no record: the process that ran the node was killed.
    """
    try:
        return Failure(**read_json(_record_of(node)))
    except BrainFMError:
        return None


def remove_failure(node):
    """Remove the record of an earlier call.

    Parameters
    ----------
    node : nipype.Node
    """
    _record_of(node).unlink(missing_ok=True)


def _record_of(node):
    return Path(node.output_dir()) / _RECORD
