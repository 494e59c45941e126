"""Standardised recordings of a derivative dataset: parcel series and clean EEG."""

import logging
from pathlib import Path

from brainfm.errors import BrainFMError, DataError, MissingInput, SignalError
from brainfm.files import read_json
from brainfm.storage.bids.names import entities_of
from brainfm.storage.derivatives.exclusions import count_reasons
from brainfm.storage.derivatives.labels import labels_of
from brainfm.storage.derivatives.names import run_entities
from brainfm.storage.derivatives.read_eeg import read_eeg
from brainfm.storage.derivatives.read_timeseries import read_timeseries
from brainfm.storage.derivatives.selection import make_selection, modality_of
from brainfm.storage.derivatives.series_files import series_in
from brainfm.storage.derivatives.study import study_of

log = logging.getLogger("brainfm")


def find_recordings(root, *, positions=None, **selected):
    """Find the standardised recordings of a derivative dataset.

    Parameters
    ----------
    root : path
        Output folder of brainfm, or parcel series of another program, ``sub-*_timeseries.tsv`` in
        ``sub-*`` folders or in one folder.
    positions : path, optional
        Table of the atlas (columns name, x, y, z in MNI millimetres) for series whose sidecar
        names no positions and whose dataset has no ``atlas-<label>_dseg.tsv``.
    **selected
        See :func:`brainfm.storage.derivatives.selection.make_selection`.

    Returns
    -------
    recordings : list of Recording, by path

    Raises
    ------
    MissingInput
        If the folder does not exist, or a recording has no positions.
    DataError
        If a file is not what its name says, or two names differ only in the order of entities.
    UsageError
        If a label or filter is unknown.
    """
    return read_recordings(find_files([root], make_selection(**selected))[0], positions)


def find_files(roots, selection):
    """Find the files of standardised recordings; none is opened.

    Parameters
    ----------
    roots : iterable of path
    selection : brainfm.storage.derivatives.selection.Selection

    Returns
    -------
    paths : list of Path
        Selected files, without those of the exclusion list.
    excluded : list of (Path, Exclusion)
        Selected files that the exclusion list leaves out.

    Raises
    ------
    MissingInput
        If a folder does not exist.
    DataError
        If two names differ only in the order of entities.
    """
    study_of.cache_clear()  # a description may have changed since the last call
    paths, excluded = [], []
    for root in map(Path, roots):
        if not root.is_dir():
            raise MissingInput(
                f"{root} is not a folder; expected the root of a derivative dataset."
            )
        files = list(_standardised_files(root, selection.labels.get("participant")))
        _check_names(files)
        for path in (path for path in files if selection.selects(path, root)):
            exclusion = selection.exclusion_of(path)
            if exclusion:
                excluded.append((path, exclusion))
            else:
                paths.append(path)
    return paths, excluded


def read_recordings(paths, positions=None, problems=None):
    """Open standardised recordings; their signals are read lazily.

    Parameters
    ----------
    paths : iterable of Path
    positions : path, optional
        See :func:`find_recordings`.
    problems : list of (Path, BrainFMError), optional
        Extended by the files that cannot be read, which are then left out instead of raised.

    Returns
    -------
    recordings : list of Recording

    Raises
    ------
    MissingInput, DataError, SignalError
        If files are not what their names say, or have no positions; the text names all of them.
    """
    recordings, found = [], []
    for path in paths:
        try:
            is_eeg = modality_of(path) == "eeg"
            recordings.append(read_eeg(path) if is_eeg else read_timeseries(path, positions))
        except SignalError as error:
            found.append((path, SignalError(f"{path}: {error}")))
        except BrainFMError as error:
            found.append((path, error))
    if problems is None:
        _raise_all([error for _, error in found])
    else:
        problems += found
    return recordings


def _raise_all(errors):
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise type(errors[0])(
            f"{len(errors)} recordings cannot be read; fix them, or name them in an exclusion list "
            "(--exclude FILE, exclude= in Python):\n" + "\n".join(map(str, errors))
        )


def log_selection(roots, selection, excluded):
    """Log how many recordings the exclusion list leaves out, and labels that match none.

    Parameters
    ----------
    roots : iterable of path
    selection : brainfm.storage.derivatives.selection.Selection
    excluded : list of (Path, Exclusion)
        See :func:`find_files`.
    """
    roots = [Path(root) for root in roots]
    if excluded:
        people = {labels_of(path)["participant"] for path, _ in excluded}
        reasons = count_reasons(row.reason for _, row in excluded)
        log.info(
            "%d recordings of %d participants are excluded: %s",
            len(excluded), len(people), reasons,
        )  # fmt: skip
    wanted = selection.labels.get("participant", set())
    files = [path for root in roots for path in _standardised_files(root, wanted) if wanted]
    absent = wanted - {entities_of(path).get("sub") for path in files}
    if absent:
        log.warning("no recording of participant %s is there", ", ".join(sorted(absent)))
    unmatched = _unmatched(roots, selection.exclusions)
    if unmatched:
        log.warning(
            "%d rows of the exclusion list match no recording: %s",
            len(unmatched), "; ".join(map(str, unmatched)),
        )  # fmt: skip


def _unmatched(roots, exclusions):
    """Rows of an exclusion list that match no recording, selected or not."""
    people, labels = {row.labels["participant"] for row in exclusions}, {}
    for root in roots:
        for path in _standardised_files(root, people):
            found = labels_of(path) | {"modality": modality_of(path)}
            labels.setdefault(found["participant"], []).append(found)
    return [row for row in exclusions
            if not any(map(row.matches, labels.get(row.labels["participant"], ())))]  # fmt: skip


def mean_fd_of(recording):
    """Read the mean framewise displacement of a BOLD run that brainfm preprocessed.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    mean_fd_mm : float
        NaN for EEG and for runs without ``*_desc-bold_qc.json``.
    """
    if recording.modality != "bold" or not recording.source:
        return float("nan")
    path = Path(recording.source)
    run = "_".join(f"{key}-{label}" for key, label in run_entities(path).items())
    quality = path.with_name(f"{run}_desc-bold_qc.json")
    found = read_json(quality).get("fd_mean_mm") if quality.is_file() else None
    return float("nan") if found is None else float(found)


def _standardised_files(root, participants):
    for folder in sorted(root.glob("sub-*")):
        if participants is not None and folder.name.removeprefix("sub-") not in participants:
            continue
        for one in [folder, *sorted(folder.glob("ses-*"))]:
            yield from series_in(one)
            yield from sorted(one.glob("eeg/*_desc-preproc_eeg.vhdr"))
    yield from series_in(root)  # of a folder without those of participants


def _check_names(paths):
    """Refuse two names with the same entities, which would be one recording twice."""
    names = {}
    for path in paths:
        key = path.parent, path.name.rpartition("_")[2], frozenset(entities_of(path).items())
        if key in names:
            raise DataError(
                f"{names[key]} and {path.name} have the same entities in a different order; "
                "expected one file for each recording: remove the older one."
            )
        names[key] = path.name
