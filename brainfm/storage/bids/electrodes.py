"""Electrode positions of EEG recordings: find the tables of a dataset and read them in metres."""

from pathlib import Path

import numpy as np

from brainfm.errors import DataError
from brainfm.files import read_json, read_tsv
from brainfm.storage.bids.names import entities_of

#: Metres in the units that ``EEGCoordinateUnits`` may name.
METRES_IN = {"m": 1.0, "cm": 0.01, "mm": 0.001}
_COLUMNS = ("name", "x", "y", "z")


def position_files(eeg_file):
    """Find the tables of electrode positions that apply to a recording.

    Parameters
    ----------
    eeg_file : path

    Returns
    -------
    electrodes_file, coordsystem_file : Path or None
        The most specific ones in its folder, else in those of its session and participant.
    """
    path = Path(eeg_file)
    levels = [path.parent]
    while levels[-1].name and not levels[-1].name.startswith("sub-"):
        levels.append(levels[-1].parent)
    electrodes = _most_specific(levels, "_electrodes.tsv", entities_of(path))
    if electrodes is None:
        return None, None
    entities = {**entities_of(path), **entities_of(electrodes)}
    return electrodes, _most_specific(levels, "_coordsystem.json", entities)


def read_coordinate_system(coordsystem_file):
    """Read a ``coordsystem.json``.

    Parameters
    ----------
    coordsystem_file : path or None

    Returns
    -------
    system : dict
        Empty without a file.

    Raises
    ------
    MissingInput
        If it cannot be opened.
    DataError
        If it is not a JSON object.
    """
    system = read_json(coordsystem_file) if coordsystem_file else {}
    if not isinstance(system, dict):
        raise DataError(f"{coordsystem_file} is not a JSON object: fix it.")
    return system


def read_electrodes(electrodes_file, coordsystem_file=None, *, names=None, unit=None):
    """Read the positions of electrodes.

    Parameters
    ----------
    electrodes_file : path
        Table with the columns name, x, y and z.
    coordsystem_file : path, optional
        Names the unit in ``EEGCoordinateUnits``.
    names : collection of str, optional
        Electrodes to read; by default all.
    unit : {"m", "cm", "mm"}, optional
        Unit without a coordinate file.

    Returns
    -------
    positions : dict of str to ndarray of float, shape (3,), in metres
        Electrodes that have a position.

    Raises
    ------
    MissingInput
        If a file cannot be opened.
    DataError
        If the table lacks a column or holds anything but numbers, or the unit is missing.
    """
    table = read_tsv(electrodes_file, na_values=["n/a"], dtype={"name": str})
    missing = set(_COLUMNS) - set(table.columns)
    if missing:
        raise DataError(
            f"{electrodes_file} has no column {', '.join(sorted(missing))}; expected "
            f"{', '.join(_COLUMNS)}."
        )
    if coordsystem_file:
        unit = read_coordinate_system(coordsystem_file).get("EEGCoordinateUnits")
    if not isinstance(unit, str) or unit not in METRES_IN:
        raise DataError(
            f"{coordsystem_file or electrodes_file} gives EEGCoordinateUnits {unit!r}; expected "
            f"{', '.join(METRES_IN)}: add it to coordsystem.json."
        )
    if names is not None:
        table = table[table["name"].isin(names)]
    table = table.dropna(subset=["x", "y", "z"])
    try:
        positions = table[["x", "y", "z"]].to_numpy(dtype=float) * METRES_IN[unit]
    except ValueError as error:
        raise DataError(
            f"{electrodes_file} has x, y, z that are not numbers ({error}): fix it."
        ) from error
    return dict(zip(table["name"], positions, strict=True))


def electrode_positions(info):
    """Return the electrode positions of an MNE info.

    Parameters
    ----------
    info : mne.Info

    Returns
    -------
    positions : ndarray of float, shape (n_channels, 3), in metres
        Head coordinates; NaN for a channel without a position.
    """
    return np.array([channel["loc"][:3] for channel in info["chs"]])


def _most_specific(levels, ending, entities):
    for level in levels:
        fitting = [
            other
            for other in sorted(level.glob(f"*{ending}"))
            if _without_space(other, entities).items() <= entities.items()
        ]
        if fitting:
            return max(fitting, key=lambda other: len(entities_of(other)))
    return None


def _without_space(path, entities):
    """Return the entities of a table; its space counts only when one is given."""
    found = entities_of(path)
    return found if "space" in entities else {k: v for k, v in found.items() if k != "space"}
