"""Results of long computations, kept so that a killed step goes on where it was."""

import logging
import shutil
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from brainfm import __version__
from brainfm.files import write_npz
from brainfm.storage.derivatives.status import key_of

_log = logging.getLogger("brainfm")


class ResultCache:
    """Arrays on disk by name; like a dict, as far as ``get`` and ``[name] =`` go.

    Parameters
    ----------
    folder : path
        Where they lie, and nothing else; for one call at a time.
    facts : dict
        All that decides on the arrays; the version of brainfm is added. What was made from other
        facts is removed.
    """

    def __init__(self, folder, facts):
        self.folder = Path(folder) / key_of({**facts, "version": __version__})[:16]
        for other in set(Path(folder).glob("*")) - {self.folder}:
            shutil.rmtree(other, ignore_errors=True)

    def get(self, name):
        """Return the arrays under a name, dict of str to ndarray, or None."""
        try:
            with np.load(self._path(name), allow_pickle=False) as arrays:
                return dict(arrays)
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError, BadZipFile) as error:
            _log.warning("%s is damaged (%s) and made anew", self._path(name), error)
            return None

    def __setitem__(self, name, arrays):
        """Keep arrays, dict of str to ndarray.

        Raises
        ------
        CannotCreateOutput, ReadWriteFailed
            If they cannot be written.
        """
        write_npz(self._path(name), arrays)

    def forget(self):
        """Remove all that is kept, and the folder."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)

    def _path(self, name):
        return self.folder / f"{key_of({'name': name})[:16]}.npz"
