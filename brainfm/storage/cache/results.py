"""Cache of results of long computations, so that a killed step continues where it stopped."""

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
    """Named sets of arrays on disk; ``get``, ``[name] =`` and ``clear`` are those of a dict.

    Parameters
    ----------
    folder : path
        Holds nothing else, and is used by one call at a time.
    inputs : dict
        Everything that the arrays depend on; the version of brainfm is added. Arrays of other
        inputs are removed.
    """

    def __init__(self, folder, inputs):
        self.folder = Path(folder) / key_of({**inputs, "version": __version__})[:16]
        for other in set(Path(folder).glob("*")) - {self.folder}:
            shutil.rmtree(other, ignore_errors=True)

    def get(self, name):
        """Load the arrays of a name.

        Parameters
        ----------
        name : str

        Returns
        -------
        arrays : dict of str to ndarray, shape (...), or None
            None if they are not in the cache or the file is damaged.
        """
        try:
            with np.load(self._path(name), allow_pickle=False) as arrays:
                return dict(arrays)
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError, BadZipFile) as error:
            _log.warning("%s is damaged (%s) and computed again", self._path(name), error)
            return None

    def __setitem__(self, name, arrays):
        """Store the arrays of a name.

        Parameters
        ----------
        name : str
        arrays : dict of str to ndarray, shape (...)

        Raises
        ------
        CannotCreateOutput, ReadWriteFailed
            If they cannot be written.
        """
        write_npz(self._path(name), arrays)

    def clear(self):
        """Remove all arrays and the folder."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)

    def _path(self, name):
        return self.folder / f"{key_of({'name': name})[:16]}.npz"
