"""Steps that need not be done twice: what each was made from, and whether its files still hold."""

import logging
import time
from pathlib import Path

from brainfm import __version__
from brainfm.errors import BrainFMError, Failure
from brainfm.files import read_json, write_json
from brainfm.storage.derivatives.status import is_intact, key_of, sha256_of

_log = logging.getLogger("brainfm")


class StepCache:
    """The steps of the group level, kept in ``<out>/group/status.json``.

    Parameters
    ----------
    output_dir : Path
    """

    def __init__(self, output_dir):
        self.output_dir = Path(output_dir)
        self.path = self.output_dir / "group" / "status.json"
        try:
            book = read_json(self.path)
        except BrainFMError:
            book = {}
        self.steps = book.get("steps", {}) if isinstance(book, dict) else {}
        self.seconds = {}

    def run(self, name, facts, make, noted=None):
        """Make files unless they were made from the same facts and are still whole.

        Parameters
        ----------
        name : str
        facts : dict
            All that decides on the result; the version of brainfm is added.
        make : callable
            Returns the paths written, all inside the output.
        noted : optional
            Kept beside the files, for another call that does not know all facts.

        Returns
        -------
        list of Path
        """
        key = key_of({**facts, "version": __version__})
        entry = self.steps.get(name, {})
        if entry.get("key") == key and is_intact(self.output_dir, entry.get("outputs")):
            _log.info("%s: nothing to do", name)
            self.seconds[name] = 0.0
            return [self.output_dir / path for path in entry["outputs"]]
        _log.info("%s started", name)
        began = time.monotonic()
        paths = [Path(path) for path in make()]
        self.seconds[name] = time.monotonic() - began
        outputs = {str(path.relative_to(self.output_dir)): sha256_of(path) for path in paths}
        self.steps[name] = {
            "key": key,
            "outputs": outputs,
            "seconds": round(self.seconds[name], 2),
        } | ({} if noted is None else {"noted": noted})
        self._write("running")
        _log.info("%s done in %.1f s", name, self.seconds[name])
        return paths

    def close(self):
        """Note that all steps came to their end."""
        self._write("done")

    def fail(self, error):
        """Note why the level ended before its end."""
        failure = Failure.from_exception(error)
        self._write("failed", error=failure.message, failure=failure.as_dict())

    def _write(self, state, **more):
        write_json(
            self.path,
            {"state": state, "brainfm_version": __version__, "steps": self.steps, **more},
        )
