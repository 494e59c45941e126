"""Selection of standardised recordings by labels, filter file and exclusion list, from names."""

from dataclasses import dataclass, field
from pathlib import Path

from brainfm.errors import UsageError
from brainfm.files import read_json
from brainfm.recording import RUN_LABELS
from brainfm.storage.bids.filters import is_selected, read_filters
from brainfm.storage.bids.names import ENTITY_OF, entities_of, unpadded
from brainfm.storage.derivatives.exclusions import Exclusion, read_exclusions
from brainfm.storage.derivatives.labels import labels_of
from brainfm.storage.derivatives.series_files import parcellation_of

_QUERIES = ("bold", "eeg", "t1w")
#: Entities of a filter file that derivatives keep; others, such as the extension, are ignored.
_KEPT = ("subject", "regex_search", *RUN_LABELS, "atlas", "segmentation", "desc", "space")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Recordings to use.

    Parameters
    ----------
    modality : {"bold", "eeg"}, optional
    labels : dict of str to set of str
        Labels to select, by ``participant``, ``atlas`` and the names of
        :data:`brainfm.recording.RUN_LABELS`.
    filters : dict of str to dict
        See :func:`brainfm.storage.bids.filters.read_filters`.
    exclusions : tuple of Exclusion
    """

    modality: str | None = None
    labels: dict = field(default_factory=dict)
    filters: dict = field(default_factory=dict)
    exclusions: tuple[Exclusion, ...] = ()

    def selects(self, path, root):
        """Return whether labels and filters select a file; exclusions do not count.

        Parameters
        ----------
        path, root : Path
            File and root of its dataset.

        Returns
        -------
        is_selected : bool
        """
        modality = modality_of(path)
        if self.modality not in (None, modality) or not self._has_labels(path, modality):
            return False
        query = {
            name: values
            for name, values in self.filters.get(modality, {}).items()
            if name in _KEPT or name[:1].isupper()
        }
        is_metadata = any(name[:1].isupper() for name in query)
        metadata = read_json(path.with_suffix(".json")) if is_metadata else {}
        return not query or is_selected(path.relative_to(root), metadata, query)

    def exclusion_of(self, path):
        """Return the first row of the exclusion list that a file matches, or None.

        Parameters
        ----------
        path : Path

        Returns
        -------
        exclusion : Exclusion or None
        """
        if not self.exclusions:
            return None
        labels = labels_of(path) | {"modality": modality_of(path)}
        return next((row for row in self.exclusions if row.matches(labels)), None)

    def _has_labels(self, path, modality):
        entities = entities_of(path)
        for name, wanted in self.labels.items():
            found = entities.get("sub" if name == "participant" else ENTITY_OF.get(name, name))
            if name == "atlas" and modality == "eeg":
                continue
            found = parcellation_of(path) if name == "atlas" else found
            if name in RUN_LABELS and found is not None:
                found, wanted = unpadded(found), {unpadded(label) for label in wanted}
            if found not in wanted:
                return False
        return True


def make_selection(*, modality=None, bids_filter_file=None, exclude=None, **labels):
    """Make a selection from labels and files.

    Parameters
    ----------
    modality : {"bold", "eeg"}, optional
    bids_filter_file : path, optional
        JSON, ``{"bold": {"task": "rest"}, "eeg": {...}}``.
    exclude : path, optional
        See :func:`brainfm.storage.derivatives.exclusions.read_exclusions`.
    **labels : str or iterable of str, optional
        With or without prefix (``sub-``); None and an empty list select all.

    Returns
    -------
    selection : Selection

    Raises
    ------
    UsageError
        If there is no such label, or the filter file is malformed.
    MissingInput, DataError
        If a file cannot be read, or the exclusion list is malformed.
    """
    known = ("participant", "atlas", *RUN_LABELS)
    unknown = sorted(set(labels) - set(known))
    if unknown:
        raise UsageError(
            f"there is no label {', '.join(unknown)} of recordings; expected {', '.join(known)}."
        )
    wanted = {name: _as_labels(name, value) for name, value in labels.items() if value}
    filters = read_filters(bids_filter_file, _QUERIES) if bids_filter_file else {}
    exclusions = read_exclusions(exclude) if exclude else ()
    return Selection(modality=modality, labels=wanted, filters=filters, exclusions=exclusions)


def modality_of(path):
    """Return the modality of a standardised recording from its name.

    Parameters
    ----------
    path : path

    Returns
    -------
    modality : {"bold", "eeg"}
    """
    return "eeg" if Path(path).suffix == ".vhdr" else "bold"


def _as_labels(name, value):
    values = [value] if isinstance(value, str) else value
    prefix = "sub-" if name == "participant" else f"{ENTITY_OF.get(name, name)}-"
    return {str(item).removeprefix(prefix) for item in values}
