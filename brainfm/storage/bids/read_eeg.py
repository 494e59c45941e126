"""Read one raw EEG run of a BIDS dataset: signal, names, positions, bad channels, events."""

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import mne
import pandas as pd
from mne_bids import BIDSPath, read_raw_bids

from brainfm.errors import DataError, MissingInput
from brainfm.files import read_json, read_tsv
from brainfm.storage.bids.electrodes import place_electrodes, position_files
from brainfm.storage.bids.names import ENTITY_OF, entities_of, extension_of, stem_of
from brainfm.storage.bids.query import raw_runs
from brainfm.storage.bids.validate_eeg import check_eeg

log = logging.getLogger("brainfm")

_KINDS = ("eeg", "channels", "events", "electrodes", "coordsystem")
_ENTITIES_OF_EEG = ("subject", "session", "task", "acquisition", "run")


@dataclass(frozen=True, kw_only=True)
class EegRun:
    """One raw EEG run, ready to be cleaned.

    ``raw`` holds the EEG channels that have a position, in volts, under standard names, with
    the channels the dataset calls bad in ``raw.info["bads"]``.
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
    EegRun

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
    bids_path = _bids_path(path)
    raw = _read(bids_path)
    raw, placement, left_out, others = _with_positions(raw, bids_path)
    return EegRun(
        path=path,
        raw=raw,
        names=placement.names,
        without_position=left_out,
        other_channels=others,
        origin_of_positions=placement.origin,
        line_hz=float(metadata["PowerLineFrequency"]),
        metadata=metadata,
        events=_events_of(bids_path, raw),
        about_events=_columns_of_events(bids_path),
    )


def files_beside(eeg_file):
    """Return every other file that what is read of a run depends on, sorted.

    Its data files and tables, and the sidecars, electrodes and coordinate systems of its
    folder and those above, up to the root of the dataset.
    """
    path = Path(eeg_file).absolute()
    entities, root = entities_of(path), _root_of(path)
    found = set()
    for level in [level for level in path.parents if level.is_relative_to(root)]:
        for other in level.iterdir():
            kind = other.name.split(".")[0].rpartition("_")[2]
            if kind in _KINDS and other.is_file() and other != path:
                found |= {other} if _labels(other).items() <= entities.items() else set()
    return sorted(found)


def _labels(path):
    """Entities without ``space``, which raw EEG has not."""
    return {name: label for name, label in entities_of(path).items() if name != "space"}


def _root_of(path):
    """Folder that holds the participant's folder."""
    folders = [folder for folder in path.parents if folder.name.startswith("sub-")]
    if not folders:
        raise DataError(f"{path} is in no sub-<label> folder; expected a file of a BIDS dataset.")
    return folders[-1].parent


def _metadata_of(path):
    if not path.exists():
        raise MissingInput(f"{path} is not there; expected a raw EEG file.")
    found = raw_runs(_root_of(path), participants=[entities_of(path)["sub"]])
    return next((dict(run.metadata) for run in found if run.path == path), {})


def _bids_path(path):
    entities = entities_of(path)
    given = {name: entities.get(ENTITY_OF[name]) for name in _ENTITIES_OF_EEG}
    return BIDSPath(
        **given,
        root=_root_of(path),
        datatype="eeg",
        suffix="eeg",
        extension=extension_of(path),
        check=False,
    )


def _read(bids_path):
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            raw = read_raw_bids(bids_path, on_ch_mismatch="reorder", verbose="error")
            raw.load_data(verbose="error")
    except Exception as error:  # readers of four formats raise whatever they like
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{bids_path.fpath} cannot be read as EEG ({reason}): copy or convert it again, or "
            "mend its sidecars."
        ) from error
    for warning in said:
        log.debug("%s: %s", bids_path.basename, warning.message)
    return raw


def _with_positions(raw, bids_path):
    others = tuple(
        name
        for name, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True)
        if kind != "eeg"
    )
    if len(others) == len(raw.ch_names):
        raise DataError(
            f"{bids_path.fpath} has no channel of type EEG; expected some in channels.tsv."
        )
    raw = raw.set_montage(None, verbose="error").pick("eeg", exclude=[], verbose="error")
    placement = place_electrodes(raw.ch_names, *position_files(bids_path.fpath))
    left_out = tuple(name for name in raw.ch_names if name not in placement.names)
    if left_out:
        log.warning(
            "%s: %d channels have no position and are left out: %s",
            bids_path.basename,
            len(left_out),
            ", ".join(left_out),
        )
    raw.drop_channels(list(left_out))
    raw.rename_channels(placement.names, verbose="error")
    raw.set_montage(placement.montage, verbose="error")
    return raw, placement, left_out, others


def _sidecar(bids_path, suffix, extension=".tsv"):
    return bids_path.find_matching_sidecar(suffix=suffix, extension=extension, on_error="ignore")


def _events_of(bids_path, raw):
    """Events of the dataset's table, else those kept inside the file, else None."""
    table = _sidecar(bids_path, "events")
    if table is not None:
        return read_tsv(table, na_values=["n/a"], keep_default_na=False)
    notes = raw.annotations
    if not len(notes):
        return None
    onset = notes.onset - (raw.first_time if raw.info["meas_date"] else 0)
    return pd.DataFrame(
        {"onset": onset, "duration": notes.duration, "trial_type": notes.description}
    )


def _columns_of_events(bids_path):
    """What the dataset says about the columns of its events."""
    sidecar = _sidecar(bids_path, "events", ".json")
    said = read_json(sidecar) if sidecar is not None else {}
    return {name: about for name, about in said.items() if isinstance(about, dict)}
