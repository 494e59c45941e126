"""Where the electrodes are: from the dataset, else from a template by name; in head coordinates."""

from dataclasses import dataclass
from pathlib import Path

import mne
import numpy as np

from brainfm.errors import DataError
from brainfm.files import read_json, read_tsv
from brainfm.signal.montage import fit_to_template, standard_names
from brainfm.storage.bids.names import entities_of

_METRES_IN = {"m": 1.0, "cm": 0.01, "mm": 0.001}
#: Caps whose names mean something only together, tried when 10-20 names do not fit.
_NUMBERED_CAPS = (
    "GSN-HydroCel-32",
    "GSN-HydroCel-64_1.0",
    "GSN-HydroCel-65_1.0",
    "GSN-HydroCel-128",
    "GSN-HydroCel-129",
    "GSN-HydroCel-256",
    "GSN-HydroCel-257",
    "biosemi128",
    "biosemi160",
    "biosemi256",
)
#: MNE's names of the landmarks, and those of BIDS in lower case.
_LANDMARKS = {"nasion": "nas", "lpa": "lpa", "rpa": "rpa"}
FEWEST_PLACED = 0.5


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Electrodes of one recording: their standard names and where they are.

    ``names`` maps the names in the file to standard names, for those that have a position;
    ``montage`` holds the positions under the standard names; ``origin`` says where they are from.
    """

    names: dict
    montage: mne.channels.DigMontage
    origin: str


def template():
    """Return the positions of the 10-05 system on an average head, as an MNE montage."""
    known = mne.channels.get_builtin_montages()
    return mne.channels.make_standard_montage(
        "colin27_1005" if "colin27_1005" in known else "standard_1005"
    )


def electrode_positions(info):
    """Return the electrode positions of an MNE info: (n_channels, 3), head coordinates, metres."""
    return np.array([channel["loc"][:3] for channel in info["chs"]])


def position_files(eeg_file):
    """Find the tables of electrode positions that hold for a recording.

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
    own = {**entities_of(path), **entities_of(electrodes)}
    return electrodes, _most_specific(levels, "_coordsystem.json", own)


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
    """Entities of a table; its space counts only when one is asked for."""
    found = entities_of(path)
    return found if "space" in entities else {k: v for k, v in found.items() if k != "space"}


def place_electrodes(names, electrodes_file=None, coordsystem_file=None):
    """Find name and position of each EEG channel.

    Positions of the dataset are used when it has them; else those of the 10-05 system for
    standard names; else those of a numbered cap (EGI, BioSemi) that has just these names.

    Parameters
    ----------
    names : list of str
        EEG channels as the recording spells them.
    electrodes_file, coordsystem_file : path, optional

    Returns
    -------
    Placement

    Raises
    ------
    DataError
        If fewer than half of the channels get a position, or the coordinate file lacks units.
    """
    standard = template()
    renamed = standard_names(names, standard.ch_names)
    if electrodes_file is not None:
        placement = _from_dataset(names, renamed, electrodes_file, coordsystem_file)
    else:
        placement = Placement(
            names=renamed, montage=standard, origin="template: 10-05 system, by electrode name"
        )
        if len(renamed) < FEWEST_PLACED * len(names):
            placement = _numbered_cap(names) or placement
    problem = too_few_placed(names, placement.names)
    if problem:
        raise DataError(problem)
    return placement


def too_few_placed(names, placed):
    """Return a sentence when fewer than half of the channels have a position, else None."""
    unplaced = [name for name in names if name not in placed]
    if names and len(placed) >= FEWEST_PLACED * len(names):
        return None
    return (
        f"{len(unplaced)} of {len(names)} EEG channels have no position "
        f"({', '.join(unplaced[:3])}{', ...' if len(unplaced) > 3 else ''}): add an "
        "electrodes.tsv with x, y, z, or name them as in the 10-20 system. Bipolar "
        "derivations such as Fp1-F3 have no single position and cannot be used."
    )


def _numbered_cap(names):
    for cap in _NUMBERED_CAPS:
        montage = mne.channels.make_standard_montage(cap)
        spare = len(montage.ch_names) - len(names)  # one for a reference left out of the file
        if set(names) <= set(montage.ch_names) and spare <= 1:
            return Placement(
                names={name: name for name in names}, montage=montage, origin=f"template: {cap}"
            )
    return None


def _from_dataset(names, renamed, electrodes_file, coordsystem_file):
    table = read_tsv(electrodes_file, na_values=["n/a"], dtype={"name": str})
    missing = {"name", "x", "y", "z"} - set(table.columns)
    if missing:
        raise DataError(
            f"{electrodes_file} has no column {', '.join(sorted(missing))}; expected name, x, y, z."
        )
    system = _system(coordsystem_file) if coordsystem_file else {}
    metres = _metres(system.get("EEGCoordinateUnits"), coordsystem_file or electrodes_file)
    table = table[table["name"].isin(names)].dropna(subset=["x", "y", "z"])
    places = _numbers(table[["x", "y", "z"]], electrodes_file) * metres
    own = {name: renamed.get(name, name) for name in table["name"]}
    positions = dict(zip(own.values(), places, strict=True))
    if not positions:
        return Placement(names={}, montage=None, origin="")
    montage, how = _in_head(positions, system)
    return Placement(names=own, montage=montage, origin=f"electrodes.tsv of the dataset{how}")


def _system(path):
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} holds no JSON object: mend it.")
    return content


def _numbers(places, path):
    try:
        return places.to_numpy(dtype=float)
    except ValueError as error:
        raise DataError(f"{path} holds x, y, z that are no numbers ({error}): mend it.") from error


def _metres(unit, path):
    if not isinstance(unit, str) or unit not in _METRES_IN:
        raise DataError(
            f"{path} gives EEGCoordinateUnits {unit!r}; expected m, cm or mm: say in "
            "coordsystem.json which it is."
        )
    return _METRES_IN[unit]


def _in_head(positions, system):
    """Make a montage in head coordinates: by landmarks, by the frame's name, else by fit."""
    landmarks = _landmarks(system)
    if landmarks:
        montage = mne.channels.make_dig_montage(positions, **landmarks, coord_frame="unknown")
        return mne.channels.montage.transform_to_head(montage), ""
    if system.get("EEGCoordinateSystem") == "CapTrak":
        return mne.channels.make_dig_montage(positions, coord_frame="head"), ""
    head = mne.channels.montage.transform_to_head(template()).get_positions()
    shared = [name for name in positions if name in head["ch_pos"]]
    mine = np.array([positions[name] for name in shared]).reshape(-1, 3)
    target = np.array([head["ch_pos"][name] for name in shared]).reshape(-1, 3)
    rotation, scale, shift, residual_m = fit_to_template(mine, target)
    fitted = {name: scale * place @ rotation + shift for name, place in positions.items()}
    fiducials = {name: head[name] for name in _LANDMARKS}
    montage = mne.channels.make_dig_montage(fitted, **fiducials, coord_frame="head")
    return montage, f", fitted to the 10-05 system (residual {1000 * residual_m:.0f} mm)"


def _landmarks(system):
    given = system.get("AnatomicalLandmarkCoordinates")
    unit = system.get("AnatomicalLandmarkCoordinateUnits") or system.get("EEGCoordinateUnits")
    frame = system.get("AnatomicalLandmarkCoordinateSystem")
    if frame not in (None, system.get("EEGCoordinateSystem")) or not isinstance(given, dict):
        return {}
    if not isinstance(unit, str) or unit not in _METRES_IN:
        return {}
    spelled = {name.lower(): place for name, place in given.items() if isinstance(place, list)}
    found = {
        key: np.array(spelled[name], dtype=float) * _METRES_IN[unit]
        for key, name in _LANDMARKS.items()
        if name in spelled
    }
    return found if len(found) == len(_LANDMARKS) else {}
