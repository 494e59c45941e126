"""BOLD runs as preprocessing leaves them: known by derivatives, with or without their raw files."""

from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib

from brainfm.storage.bids.filters import is_selected
from brainfm.storage.bids.names import ENTITY_OF, entities_of, unpadded
from brainfm.storage.bids.query import RawRun
from brainfm.storage.bids.sidecars import Sidecars
from brainfm.storage.derivatives.fmriprep import (
    COMBINED,
    FmriprepRun,
    find_runs,
    lost_files,
    run_key,
)

_SECONDS_IN = {"msec": 1e-3, "usec": 1e-6}


@dataclass(frozen=True, kw_only=True)
class DerivedRun(RawRun):
    """One run of BOLD after preprocessing; ``path`` names it and need not exist.

    Parameters
    ----------
    files : FmriprepRun or None
        None when the run was not preprocessed, or not yet.
    raw : tuple of RawRun
        Its raw files: several for echoes and parts, none where they are not at hand.
    dataset : str
        Name of the derivative dataset.
    root : Path or None
        Its folder.
    derived : dict
        Sidecars of the preprocessed image.
    lost : str or None
        What is missing, in a sentence.
    """

    files: FmriprepRun | None = None
    raw: tuple[RawRun, ...] = ()
    dataset: str = ""
    root: Path | None = None
    derived: dict
    lost: str | None = None

    @property
    def sources(self):
        """BIDS URIs of image, mask and confounds."""
        paths = self.files.files.values()
        return tuple(f"bids:{self.dataset}:{p.relative_to(self.root).as_posix()}" for p in paths)


def read_shape(path):
    """Read the header of an image.

    Parameters
    ----------
    path : path

    Returns
    -------
    shape : tuple of int or None
        None if it cannot be read.
    repetition_time_s : float or None
        None if it is 0 or 1, which mean that the field was not set.
    """
    try:
        image = nib.load(path)
        zooms, unit = image.header.get_zooms(), image.header.get_xyzt_units()[1]
    except Exception:  # readers of several formats raise whatever they like
        return None, None
    is_set = len(zooms) > 3 and zooms[-1] not in (0, 1)
    return image.shape, float(zooms[-1]) * _SECONDS_IN.get(unit, 1.0) if is_set else None


def derived_runs(derivatives, raw, *, bids_dir, participants, filters=None, **labels):
    """Find the preprocessed BOLD runs of participants, and match them with raw ones.

    Parameters
    ----------
    derivatives : dict of str to Path
        Datasets by name.
    raw : list of RawRun
        Selected raw BOLD runs; preprocessed runs of these are selected too.
    bids_dir : path
        Outputs are named as if all runs were in this dataset.
    participants : iterable of str
    filters : dict, optional
        From :func:`brainfm.storage.bids.filters.read_filters`.
    **labels
        ``sessions``, ``tasks`` and ``runs``; see :func:`brainfm.storage.bids.query.raw_runs`.

    Returns
    -------
    runs : list of DerivedRun
        One for each selected run, also for raw ones that were not preprocessed.

    Raises
    ------
    MissingInput
        If a folder cannot be listed.
    """
    readers = {name: Sidecars(Path(root)) for name, root in derivatives.items()}
    raw_by_key, found = _by_key(raw), defaultdict(list)
    for participant in participants:
        for name, root in derivatives.items():
            for files in find_runs(root, participant):
                key = run_key(files.entities)
                own = [one for one in raw_by_key.get(key, ()) if _fits(one, files)]
                run = _derived_run(files, own, readers[name], bids_dir=bids_dir, dataset=name)
                if run.raw or _is_selected(run, bids_dir, filters or {}, labels):
                    found[key].append(run)
    absent = [
        run
        for key, own in raw_by_key.items()
        if key not in found
        for run in _combined(own, derivatives, bids_dir)
    ]
    return [*map(_only_run, found.values()), *absent]


def combine_echoes(runs, bids_dir):
    """Make one run of the echoes and parts of each BOLD run, as fMRIPrep combines them.

    Parameters
    ----------
    runs : list of RawRun
    bids_dir : path

    Returns
    -------
    runs : list of RawRun
    """
    bold = _by_key(run for run in runs if run.modality == "bold")
    combined = [run for parts in bold.values() for run in _combined(parts, {}, bids_dir)]
    return [*(run for run in runs if run.modality != "bold"), *combined]


def _by_key(runs):
    groups = defaultdict(list)
    for run in runs:
        groups[run_key(run.entities)].append(run)
    return groups


def _fits(raw, files):
    """Return whether the echo and part of a raw file are among those of a preprocessed run."""
    pairs = [(raw.entities.get(key), files.entities.get(key)) for key in COMBINED]
    return all(wanted is None or own in (None, wanted) for own, wanted in pairs)


def _derived_run(files, raw, sidecars, *, bids_dir, dataset):
    derived, problems = {}, ()
    if files.bold:
        suffix = files.bold.name.partition(".")[0].rpartition("_")[2]
        derived, problems = sidecars.metadata_of(files.bold, entities_of(files.bold), suffix)
    metadata = {**derived, **(raw[0].metadata if raw else {})}
    header_s = None if "RepetitionTime" in metadata or not files.bold else read_shape(files.bold)[1]
    metadata |= {"RepetitionTime": header_s} if header_s else {}
    path = _name_of(files.entities, raw, bids_dir)
    return DerivedRun(
        path=path,
        modality="bold",
        entities=files.entities,
        metadata=metadata,
        problems=problems,
        files=files,
        raw=tuple(raw),
        dataset=dataset,
        root=sidecars.bids_dir,
        derived=derived,
        lost=lost_files(sidecars.bids_dir, path.name, files) if files.lost else None,
    )


def _combined(raw, derivatives, bids_dir):
    """Return one run of the raw files of one key, and those under wrong names as they are."""
    misnamed = [one for one in raw if one.misnamed]
    named = [one for one in raw if not one.misnamed]
    if len(named) == 1 and not derivatives:
        return raw
    return [*misnamed, *([_absent_run(named, derivatives, bids_dir)] if named else [])]


def _absent_run(raw, derivatives, bids_dir):
    """Return a run that derivatives do not hold, or not yet."""
    entities = {key: label for key, label in raw[0].entities.items() if key not in COMBINED}
    path = _name_of(entities, raw, bids_dir)
    sentences = [lost_files(root, path.name) for root in derivatives.values()]
    return DerivedRun(
        path=path,
        modality="bold",
        entities=entities,
        metadata=raw[0].metadata,
        raw=tuple(raw),
        derived={},
        lost=" ".join(sentences) or None,
    )


def _name_of(entities, raw, bids_dir):
    """Return the raw file of a run, or where one with its entities would be."""
    same = [one.path for one in raw if one.entities == entities]
    if same:
        return same[0]
    labels = [f"{key}-{label}" for key, label in entities.items()]
    folders = [label for label in labels if label.startswith(("sub-", "ses-"))]
    return Path(bids_dir, *folders, "func", "_".join([*labels, "bold.nii.gz"]))


def _is_selected(run, bids_dir, filters, labels):
    wanted = {ENTITY_OF[name[:-1]]: labels[name] for name in labels}
    if not all(
        not some or unpadded(run.entities.get(name, "")) in map(unpadded, some)
        for name, some in wanted.items()
    ):
        return False
    query = filters.get("bold")
    return query is None or is_selected(run.path.relative_to(bids_dir), run.metadata, query)


def _only_run(runs):
    """Return the run of one key; with a problem if several datasets or echoes claim to be it."""
    if len(runs) == 1:
        return runs[0]
    roots = dict.fromkeys(str(run.root) for run in runs)
    if len(roots) > 1:
        problem = f"is in {' and in '.join(roots)}: give one of them, or select with labels."
    else:
        names = ", ".join(run.files.bold.name for run in runs)
        problem = (
            f"has several echoes that are not combined ({names}): choose one with "
            '--bids-filter-file, such as {"bold": {"echo": 2}}.'
        )
    return replace(runs[0], problems=(*runs[0].problems, problem))
