"""Clean EEG (BrainVision), read lazily."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.errors import DataError, MissingInput
from brainfm.files import read_tsv
from brainfm.recording import Recording
from brainfm.storage.bids.electrodes import position_files, read_electrodes
from brainfm.storage.derivatives.labels import labels_of

log = logging.getLogger("brainfm")


def read_eeg(path):
    """Open one clean EEG in BrainVision format; the samples are read lazily.

    Channels marked bad in ``channels.tsv`` and channels without a position are masked; channels
    of other types are left out.

    Parameters
    ----------
    path : path
        ``*_eeg.vhdr`` with ``*_channels.tsv`` beside it and an ``*_electrodes.tsv`` of the same
        participant.

    Returns
    -------
    Recording
        In volts.

    Raises
    ------
    MissingInput
        If the file or a table of electrode positions does not exist.
    DataError
        If the header cannot be read, or no EEG channel has a position.
    """
    path = Path(path)
    raw = _open_brainvision(path)
    names, is_bad = _eeg_channels(path, raw.ch_names)
    known, table = _electrode_positions(path)
    positions = np.array([known.get(name, (np.nan,) * 3) for name in names]).reshape(-1, 3)
    placed = np.isfinite(positions).all(axis=1)
    if not placed.any():
        raise DataError(
            f"{table} has a position for none of the EEG channels of {path.name} "
            f"({', '.join(names[:3])}, ...): their names must agree."
        )
    if not placed.all():
        lost = [name for name, has in zip(names, placed, strict=True) if not has]
        log.warning("%s: no position for %s; masked", path.name, ", ".join(lost))
    return Recording(
        read=_ReadEeg(str(path), names),
        shape=(raw.n_times, len(names)),
        sampling_hz=float(raw.info["sfreq"]),
        modality="eeg",
        channels=names,
        positions=positions,
        mask=placed & ~is_bad,
        **labels_of(path),
    )


@dataclass(frozen=True)
class _ReadEeg:
    """Reader of the samples of a BrainVision recording, in volts."""

    path: str
    names: tuple[str, ...]

    def __call__(self):
        raw = _open_brainvision(self.path)
        return raw.get_data(picks=list(self.names)).T.astype(np.float32)


def _open_brainvision(path):
    import mne  # slow to import, and parcel series do without

    try:
        return mne.io.read_raw_brainvision(path, preload=False, verbose="error")
    except FileNotFoundError as error:
        raise MissingInput(f"{path} cannot be read ({error}).") from error
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise DataError(
            f"{path} is not a BrainVision recording that MNE can read: {error}."
        ) from error


def _eeg_channels(path, names):
    """Return the names of the EEG channels, and whether each is marked bad."""
    path = path.with_name(path.name.removesuffix("_eeg.vhdr") + "_channels.tsv")
    table = read_tsv(path, dtype=str).set_index("name") if path.exists() else pd.DataFrame()
    kinds, states = table.get("type", {}), table.get("status", {})
    names = tuple(name for name in names if str(kinds.get(name, "eeg")).lower() == "eeg")
    return names, np.array([states.get(name) == "bad" for name in names], bool)


def _electrode_positions(path):
    """Return the positions in metres by electrode name, and the file they are from."""
    table, system = position_files(path)
    if table is None:
        raise MissingInput(
            f"no *_electrodes.tsv for {path.name} in {path.parent}: brainfm needs the position of "
            "each electrode; write them in metres as BIDS says."
        )
    return read_electrodes(table, system, unit="m"), table
