"""Raw BIDS datasets: find the runs of participants and read their sidecars.

A walker of our own instead of PyBIDS, by measurement (``benchmarks/planning.py``, 300 participants
with 1,200 files): 0.2 s against 5 s, imports included. The tests compare it with PyBIDS. It reports
broken links, as in a DataLad clone, and opens no folder of a participant who is not
selected.
"""

import os
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

from brainfm.errors import MissingInput, UsageError
from brainfm.storage.bids.filters import is_selected
from brainfm.storage.bids.misnamed import (
    files_of,
    misnamed_folders,
    name_expected,
    stray_runs,
)
from brainfm.storage.bids.names import (
    LABEL,
    NOT_LABEL,
    QUERIES,
    entities_of,
    malformed_name,
    malformed_parts,
    stem_of,
    unpadded,
)
from brainfm.storage.bids.sidecars import Sidecars


@dataclass(frozen=True, kw_only=True)
class RawRun:
    """One raw file: a T1w image, or one run of BOLD or EEG.

    Parameters
    ----------
    path : Path
    modality : {"t1w", "bold", "eeg"}
    entities : dict of str to str
        Labels by the short names of the entities.
    metadata : dict
        Sidecars, merged by the inheritance principle; shared by runs, so never changed.
    problems : tuple of str
        One sentence for each sidecar that cannot be read.
    misnamed : str or None
        A sentence if the file cannot be used under its name or in its folder.
    """

    path: Path
    modality: str
    entities: dict = field(default_factory=dict)
    metadata: dict = field(default_factory=dict, repr=False)
    problems: tuple[str, ...] = ()
    misnamed: str | None = None

    @property
    def participant(self):
        """Label without ``sub-``."""
        return self.entities["sub"]

    @property
    def session(self):
        """Label without ``ses-``, or None."""
        return self.entities.get("ses")

    @property
    def stem(self):
        """Entities as in the file name: ``sub-01_task-rest_run-1``."""
        return stem_of(self.path)

    @property
    def name(self):
        """Name of the run in logs and in ``status.json``: ``sub-01_task-rest_bold``."""
        return f"{self.stem}_{QUERIES[self.modality][1]}"


def participants_of(bids_dir):
    """List the participants of a dataset; their folders are not opened.

    Parameters
    ----------
    bids_dir : path

    Returns
    -------
    labels : list of str
        Labels without ``sub-`` of all that have a folder, sorted.

    Raises
    ------
    MissingInput
        If the dataset does not exist or cannot be listed.
    """
    folders = [name for name in _folders_in(bids_dir) if name.startswith("sub-")]
    return sorted(name[4:] for name in folders if LABEL.fullmatch(name[4:]))


def misnamed_participants(bids_dir):
    """Find folders that look like those of participants, and runs that lie in none.

    Parameters
    ----------
    bids_dir : path

    Returns
    -------
    problems : dict of str to str
        A sentence for each, by the name of the folder without ``sub-`` or the label in the name
        of the file.

    Raises
    ------
    MissingInput
        If the dataset does not exist or cannot be listed.
    """
    names = [name for name in os.listdir(bids_dir) if not name.startswith(".")]
    return stray_runs(names) | misnamed_folders(_folders_in(bids_dir))


def _folders_in(bids_dir):
    try:
        with os.scandir(bids_dir) as entries:
            return [entry.name for entry in entries if entry.is_dir()]
    except OSError as error:
        raise MissingInput(f"{bids_dir} cannot be listed ({error.strerror}).") from error


def raw_runs(bids_dir, *, participants, sessions=(), tasks=(), runs=(), filters=None):
    """Find the raw runs of participants and read their sidecars.

    Parameters
    ----------
    bids_dir : path
    participants : iterable of str
        Labels without ``sub-``; only their folders are opened.
    sessions, tasks, runs : collections of str
        Labels to select; empty selects all. They do not apply to T1w images, since a session
        may use the T1w image of another.
    filters : dict, optional
        From :func:`brainfm.storage.bids.filters.read_filters`.

    Returns
    -------
    runs : list of RawRun
        By participant, session and modality, then by name.

    Raises
    ------
    UsageError
        If a label holds anything but letters, digits and plus, such as a path.
    MissingInput
        If a folder cannot be listed.
    """
    for label in [*participants, *sessions, *tasks, *runs]:
        if not LABEL.fullmatch(label):
            raise UsageError(f"{label!r} is not a BIDS label; expected letters and digits only.")
    bids_dir, filters = Path(bids_dir), filters or {}
    wanted = {"ses": sessions, "task": tasks, "run": runs}
    wanted = {name: {unpadded(label) for label in labels} for name, labels in wanted.items()}
    sidecars, found = Sidecars(bids_dir), []
    for participant in participants:
        own = [
            _read_run(path, modality, participant, sidecars, is_named_so)
            for path, modality, is_named_so in files_of(participant, sidecars)
            if modality == "t1w" or _labels_match(path, wanted, is_named_so)
        ]
        found += [
            run
            for run in _without_twins(own)
            if run.modality not in filters
            or is_selected(run.path.relative_to(bids_dir), run.metadata, filters[run.modality])
        ]
    return found


def by_participant(runs):
    """Group runs, or problems found in them.

    Parameters
    ----------
    runs : iterable of RawRun or of Problem

    Returns
    -------
    groups : dict of str to list of RawRun or of Problem
    """
    groups = defaultdict(list)
    for run in runs:
        groups[run.participant].append(run)
    return dict(groups)


def _labels_match(path, wanted, is_named_so):
    """Compare the labels of a file; a malformed name may mean any label that it lacks."""
    parts = [part.partition("-") for part in stem_of(path).split("_")]
    labels = {name.lower(): NOT_LABEL.sub("", label) for name, _, label in parts}
    labels = {name: label for name, label in labels.items() if label}
    is_well_formed = is_named_so and not malformed_parts(path) and labels == entities_of(path)
    labels = _session_of(path) | labels
    return all(
        not some or (unpadded(labels[name]) in some if name in labels else not is_well_formed)
        for name, some in wanted.items()
    )


def _session_of(path):
    """Return the session of the folder of a file, as an entity."""
    folder = path.parent.parent.name
    return {"ses": folder[4:]} if folder.startswith("ses-") else {}


def _read_run(path, modality, participant, sidecars, is_named_so):
    """Read the sidecars of a run, which is of its folder's participant whatever its name says."""
    entities, folder = entities_of(path), {"sub": participant, **_session_of(path)}
    metadata, problems = sidecars.metadata_of(path, entities, QUERIES[modality][1])
    misnamed = malformed_name(path) if is_named_so else name_expected(modality)
    for name, kind in {"sub": "participant", "ses": "session"}.items():
        if not misnamed and entities.get(name) != folder.get(name):
            misnamed = (
                f"{path.name} does not carry the {kind} of its folder; expected "
                f"{'_'.join(f'{key}-{label}' for key, label in folder.items())}_ at its beginning: "
                "rename it."
            )
    return RawRun(
        path=path,
        modality=modality,
        entities={**entities, **folder},
        metadata=metadata,
        problems=problems,
        misnamed=misnamed,
    )


def _without_twins(runs):
    """Merge files of one run, such as .nii and .nii.gz, into one that names the others."""
    same = defaultdict(list)
    for run in runs:
        parts = frozenset(run.stem.split("_"))
        same[run.path.parent, run.modality, parts, run.misnamed].append(run)
    for first, *others in same.values():
        names = " and ".join(other.path.name for other in others)
        text = f"is there a second time as {names}; expected one file: remove the others."
        yield replace(first, misnamed=text) if others and not first.misnamed else first
