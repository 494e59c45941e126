"""JSON sidecars of a dataset, merged by the inheritance principle."""

import os
from functools import cache

from brainfm.errors import BrainFMError, DataError, MissingInput
from brainfm.files import read_json
from brainfm.storage.bids.names import entities_of, malformed_parts, stem_of


class Sidecars:
    """Reader of sidecars which lists each folder and reads each file once.

    Runs with the same sidecars share one dict of metadata: copy it before changing it.

    Parameters
    ----------
    bids_dir : Path
    """

    def __init__(self, bids_dir):
        self.bids_dir = bids_dir
        # Each computes its results once for one reader, not longer: files may change.
        self._listed, self._read = cache(_listed), cache(_read)
        self._sidecars_in, self._merge = cache(self._sidecars_in), cache(self._merge)

    def names_in(self, folder):
        """Return the names in a folder, sorted, hidden files left out; none without the folder.

        Parameters
        ----------
        folder : Path

        Returns
        -------
        names : list of str

        Raises
        ------
        MissingInput
            If the folder cannot be listed.
        """
        return self._listed(folder)

    def metadata_of(self, path, entities, suffix):
        """Merge the sidecars of a file, nearer ones over those further up.

        Parameters
        ----------
        path : Path
        entities : dict of str to str
        suffix : str

        Returns
        -------
        metadata : dict
        problems : tuple of str
            One sentence for each sidecar that cannot be read.
        """
        levels = path.parents[: len(path.parts) - len(self.bids_dir.parts)]
        used = tuple(
            sidecar
            for level in reversed(levels)
            for sidecar, own in self._sidecars_in(level, suffix)
            if own.items() <= entities.items() and _may_apply(sidecar, path)
        )
        return self._merge(used)

    def _sidecars_in(self, level, suffix):
        names = [name for name in self.names_in(level) if f"_{name}".endswith(f"_{suffix}.json")]
        found = [(level / name, entities_of(name)) for name in names]
        return sorted(found, key=lambda sidecar: len(sidecar[1]))

    def _merge(self, paths):
        metadata, problems = {}, []
        for content, problem in map(self._read, paths):
            metadata.update(content)
            problems += [problem] if problem else []
        return metadata, tuple(problems)


def _may_apply(sidecar, path):
    """Return whether a sidecar may be of a file: the labels of a malformed name mean nothing."""
    return not malformed_parts(sidecar) or stem_of(sidecar) == stem_of(path)


def _listed(folder):
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise MissingInput(f"{folder} cannot be listed ({error.strerror}).") from error


def _read(path):
    try:
        content = read_json(path)
        if not isinstance(content, dict):
            raise DataError(f"{path} is no JSON object: fix it.")
        return content, None
    except BrainFMError as error:
        text = str(error).replace(str(path), f"its sidecar {path.name}", 1)
        return {}, text
