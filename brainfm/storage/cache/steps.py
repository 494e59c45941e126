"""Cache of the steps of the group level: input hash and output checksums of each."""

import logging
import time
from pathlib import Path

from brainfm import __version__
from brainfm.errors import BrainFMError, Failure
from brainfm.files import read_json, write_json
from brainfm.storage.derivatives.status import is_intact, key_of, sha256_of

_log = logging.getLogger("brainfm")


class StepCache:
    """Finished steps of the group level, in ``<out>/group/status.json``.

    Parameters
    ----------
    output_dir : Path
    """

    def __init__(self, output_dir):
        self.output_dir = Path(output_dir)
        self.path = self.output_dir / "group" / "status.json"
        try:
            status = read_json(self.path)
        except BrainFMError:
            status = {}
        self.steps = status.get("steps", {}) if isinstance(status, dict) else {}
        self.seconds = {}

    def run(self, name, inputs, make, provenance=None):
        """Run a step unless its inputs are unchanged and its files intact.

        Parameters
        ----------
        name : str
        inputs : dict
            Everything that the result depends on; the version of brainfm is added.
        make : callable
            Takes nothing and returns the paths written, all inside the output.
        provenance : dict, optional
            Stored with the step; see :meth:`provenance`.

        Returns
        -------
        list of Path
        """
        if self.is_current(name, inputs):
            _log.info("%s: nothing to do", name)
            self.seconds[name] = 0.0
            return [self.output_dir / path for path in self.steps[name]["outputs"]]
        _log.info("%s started", name)
        start = time.monotonic()
        paths = [Path(path) for path in make()]
        self.seconds[name] = time.monotonic() - start
        outputs = {str(path.relative_to(self.output_dir)): sha256_of(path) for path in paths}
        self.steps[name] = {
            "key": key_of({**inputs, "version": __version__}),
            "outputs": outputs,
            "seconds": round(self.seconds[name], 2),
        } | ({} if provenance is None else {"provenance": provenance})
        self._write("running")
        _log.info("%s done in %.1f s", name, self.seconds[name])
        return paths

    def is_current(self, name, inputs):
        """Return whether a step was done with these inputs and its files are intact.

        Parameters
        ----------
        name : str
        inputs : dict
            See :meth:`run`.

        Returns
        -------
        is_current : bool
        """
        entry = self.steps.get(name, {})
        key = key_of({**inputs, "version": __version__})
        return entry.get("key") == key and is_intact(self.output_dir, entry.get("outputs"))

    def provenance(self, name):
        """Return what :meth:`run` stored with a step.

        Parameters
        ----------
        name : str

        Returns
        -------
        provenance : dict or None
            None if there is no such step. Status files of earlier versions call it ``noted``.
        """
        entry = self.steps.get(name, {})
        return entry.get("provenance", entry.get("noted"))

    def close(self):
        """Write that all steps are done."""
        self._write("done")

    def fail(self, error):
        """Write the error that stopped the group level.

        Parameters
        ----------
        error : Exception
        """
        failure = Failure.from_exception(error)
        self._write("failed", error=failure.message, failure=failure.as_dict())

    def _write(self, state, **more):
        write_json(
            self.path,
            {"state": state, "brainfm_version": __version__, "steps": self.steps, **more},
        )
