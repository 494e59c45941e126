"""Read one raw EEG run of a BIDS dataset: signal, names, positions, bad channels, events."""

import logging
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import mne
import pandas as pd
from mne_bids import get_bids_path_from_fname, read_raw_bids

from brainfm.errors import DataError, MissingInput
from brainfm.files import read_json, read_tsv
from brainfm.storage.bids.electrodes import position_files
from brainfm.storage.bids.montage import find_montage
from brainfm.storage.bids.names import entities_of, stem_of
from brainfm.storage.bids.query import raw_runs
from brainfm.storage.bids.validate_eeg import check_eeg

log = logging.getLogger("brainfm")

#: Suffixes of the files that a raw EEG run consists of.
_SUFFIXES = ("eeg", "channels", "events", "electrodes", "coordsystem")


@dataclass(frozen=True, kw_only=True)
class EegRun:
    """One raw EEG run.

    Parameters
    ----------
    path : Path
    raw : mne.io.BaseRaw
        EEG channels that have a position, in volts, under standard names; those that the dataset
        marks as bad are in ``raw.info["bads"]``.
    names : dict of str to str
        Standard names by the names in the file.
    without_position, other_channels : tuple of str
        Channels left out: EEG without a position, and other types.
    origin_of_positions : str
    line_hz : float
        Mains frequency.
    metadata : dict
        Merged sidecars.
    events : DataFrame or None
    about_events : dict of str to dict
        Descriptions of the columns of the events.
    """

    path: Path
    raw: mne.io.BaseRaw
    names: dict
    without_position: tuple[str, ...]
    other_channels: tuple[str, ...]
    origin_of_positions: str
    line_hz: float
    metadata: dict
    events: pd.DataFrame | None
    about_events: dict

    @property
    def stem(self):
        """Entities as in the file name."""
        return stem_of(self.path)

    @property
    def source(self):
        """BIDS URI of the file."""
        return f"bids:raw:{self.path.relative_to(_root_of(self.path)).as_posix()}"


def read_eeg_run(eeg_file, *, line_hz=None):
    """Read one raw EEG run.

    Parameters
    ----------
    eeg_file : path
        ``sub-*/[ses-*/]eeg/*_eeg.{edf,bdf,vhdr,set}`` in a BIDS dataset.
    line_hz : float, optional
        Mains frequency; by default ``PowerLineFrequency`` of the sidecar.

    Returns
    -------
    run : EegRun

    Raises
    ------
    MissingInput
        If there is no such file.
    DataError
        If it cannot be read to its end, its sidecar names no mains frequency, or its channels
        have no positions.
    """
    path = Path(eeg_file).absolute()
    metadata = _metadata_of(path)
    if line_hz is not None:
        metadata["PowerLineFrequency"] = line_hz
    problems = check_eeg(path, metadata)
    if problems:
        raise DataError("; ".join(f"{path} {problem}" for problem in problems))
    bids_path, raw = _read(path)
    raw, other_channels = _eeg_channels(raw, path)
    raw, montage, without_position = _with_positions(raw, path)
    return EegRun(
        path=path,
        raw=raw,
        names=montage.names,
        without_position=without_position,
        other_channels=other_channels,
        origin_of_positions=montage.origin,
        line_hz=float(metadata["PowerLineFrequency"]),
        metadata=metadata,
        events=_events_of(bids_path, raw),
        about_events=_columns_of_events(bids_path),
    )


def files_beside(eeg_file):
    """List every other file that the content of a run depends on.

    Parameters
    ----------
    eeg_file : path

    Returns
    -------
    files : list of Path
        Its data files and tables, and the sidecars, electrodes and coordinate systems of its
        folder and those above, up to the root of the dataset; sorted.

    Raises
    ------
    DataError
        If the file is in no folder of a participant.
    """
    path = Path(eeg_file).absolute()
    entities, root = entities_of(path), _root_of(path)
    return sorted(
        level / name
        for level in path.parents
        if level.is_relative_to(root)
        for name in os.listdir(level)
        if name.split(".")[0].rpartition("_")[2] in _SUFFIXES
        and _without_space(name).items() <= entities.items()
        and name != path.name
        and (level / name).is_file()
    )


def _without_space(name):
    """Return the entities but ``space``, which raw EEG does not have."""
    return {entity: label for entity, label in entities_of(name).items() if entity != "space"}


def _root_of(path):
    """Return the folder that holds the participant's folder."""
    for folder in path.parents:
        if folder.name.startswith("sub-"):
            return folder.parent
    raise DataError(f"{path} is not in a sub-<label> folder; expected a file of a BIDS dataset.")


def _metadata_of(path):
    if not path.exists():
        raise MissingInput(f"{path} does not exist; expected a raw EEG file.")
    found = raw_runs(_root_of(path), participants=[entities_of(path)["sub"]])
    return next((dict(run.metadata) for run in found if run.path == path), {})


def _read(path):
    try:
        bids_path = get_bids_path_from_fname(path, check=False)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            raw = read_raw_bids(bids_path, on_ch_mismatch="reorder", verbose="error")
            raw.load_data(verbose="error")
    except Exception as error:  # readers of four formats raise whatever they like
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{path} cannot be read as EEG ({reason}): copy or convert it again, or "
            "fix its sidecars."
        ) from error
    for warning in caught:
        log.debug("%s: %s", path.name, warning.message)
    return bids_path, raw


def _eeg_channels(raw, path):
    """Return the EEG channels of a recording without positions, and the names of the others."""
    types = zip(raw.ch_names, raw.get_channel_types(), strict=True)
    others = tuple(name for name, kind in types if kind != "eeg")
    if len(others) == len(raw.ch_names):
        raise DataError(f"{path} has no channel of type EEG; expected some in channels.tsv.")
    return raw.set_montage(None, verbose="error").pick("eeg", exclude=[], verbose="error"), others


def _with_positions(raw, path):
    montage = find_montage(raw.ch_names, *position_files(path))
    left_out = tuple(name for name in raw.ch_names if name not in montage.names)
    if left_out:
        log.warning(
            "%s: %d channels have no position and are left out: %s",
            path.name,
            len(left_out),
            ", ".join(left_out),
        )
    raw.drop_channels(list(left_out))
    raw.rename_channels(montage.names, verbose="error")
    raw.set_montage(montage.positions, verbose="error")
    return raw, montage, left_out


def _sidecar(bids_path, suffix, extension=".tsv"):
    return bids_path.find_matching_sidecar(suffix=suffix, extension=extension, on_error="ignore")


def _events_of(bids_path, raw):
    """Return the events of the dataset's table, else those of the file, else None."""
    table = _sidecar(bids_path, "events")
    if table is not None:
        return read_tsv(table, na_values=["n/a"], keep_default_na=False)
    annotations = raw.annotations
    if not len(annotations):
        return None
    onset = annotations.onset - (raw.first_time if raw.info["meas_date"] else 0)
    return pd.DataFrame(
        {"onset": onset, "duration": annotations.duration, "trial_type": annotations.description}
    )


def _columns_of_events(bids_path):
    """Return the descriptions of the columns of the events in the dataset."""
    sidecar = _sidecar(bids_path, "events", ".json")
    content = read_json(sidecar) if sidecar is not None else {}
    return {name: column for name, column in content.items() if isinstance(column, dict)}
