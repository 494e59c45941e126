"""Montage of an EEG recording: from the dataset, else from a template by electrode names."""

from dataclasses import dataclass
from functools import cache

import mne
import numpy as np

from brainfm.errors import DataError
from brainfm.signal.montage import fit_to_template, standard_names
from brainfm.storage.bids.electrodes import METRES_IN, read_coordinate_system, read_electrodes

#: Caps with numbered electrodes, recognised by the whole set of names.
_NUMBERED_CAPS = (
    *(f"GSN-HydroCel-{n}" for n in ("32", "64_1.0", "65_1.0", "128", "129", "256", "257")),
    *(f"biosemi{n}" for n in (128, 160, 256)),
)
#: MNE's names of the landmarks, and those of BIDS in lower case.
_LANDMARKS = {"nasion": "nas", "lpa": "lpa", "rpa": "rpa"}
#: Fraction of the channels that must have a position.
_FEWEST_WITH_POSITION = 0.5
_MOST_NAMES = 3


@dataclass(frozen=True, kw_only=True)
class Montage:
    """Names and positions of the electrodes of one recording.

    Parameters
    ----------
    names : dict of str to str
        Standard names by the names in the file, of the channels that have a position.
    positions : mne.channels.DigMontage
        Positions under the standard names.
    origin : str
        Source of the positions, for reports.
    """

    names: dict
    positions: mne.channels.DigMontage
    origin: str


@cache
def standard_montage():
    """Return the 10-05 system on an average head.

    Returns
    -------
    montage : mne.channels.DigMontage
    """
    known = mne.channels.get_builtin_montages()
    return _builtin("colin27_1005" if "colin27_1005" in known else "standard_1005")


def find_montage(names, electrodes_file=None, coordsystem_file=None):
    """Find the standard name and the position of each EEG channel.

    Positions of the dataset are used when it has them; else those of the 10-05 system for
    standard names; else those of a numbered cap (EGI, BioSemi) that has exactly these names.

    Parameters
    ----------
    names : list of str
        EEG channels as the recording spells them.
    electrodes_file, coordsystem_file : path, optional

    Returns
    -------
    montage : Montage

    Raises
    ------
    DataError
        If fewer than half of the channels get a position, or a file of positions is malformed.
    MissingInput
        If a file of positions cannot be opened.
    """
    standard = standard_montage()
    renamed = standard_names(names, standard.ch_names)
    if electrodes_file is not None:
        montage = _from_dataset(names, renamed, electrodes_file, coordsystem_file)
    else:
        montage = Montage(
            names=renamed, positions=standard, origin="template: 10-05 system, by electrode name"
        )
        if len(renamed) < _FEWEST_WITH_POSITION * len(names):
            montage = _numbered_cap(names) or montage
    if not names or len(montage.names) < _FEWEST_WITH_POSITION * len(names):
        raise DataError(_too_few([name for name in names if name not in montage.names], names))
    return montage


def _too_few(without, names):
    return (
        f"{len(without)} of {len(names)} EEG channels have no position "
        f"({', '.join(without[:_MOST_NAMES])}{', ...' if len(without) > _MOST_NAMES else ''}): "
        "add an electrodes.tsv with x, y, z, or name them as in the 10-20 system. Bipolar "
        "derivations such as Fp1-F3 have no single position and cannot be used."
    )


@cache
def _builtin(name):
    return mne.channels.make_standard_montage(name)


def _numbered_cap(names):
    for cap in _NUMBERED_CAPS:
        positions = _builtin(cap)
        n_spare = len(positions.ch_names) - len(names)  # one for a reference left out of the file
        if set(names) <= set(positions.ch_names) and n_spare <= 1:
            own = {name: name for name in names}
            return Montage(names=own, positions=positions, origin=f"template: {cap}")
    return None


def _from_dataset(names, renamed, electrodes_file, coordsystem_file):
    found = read_electrodes(electrodes_file, coordsystem_file, names=names)
    own = {name: renamed.get(name, name) for name in found}
    positions = dict(zip(own.values(), found.values(), strict=True))
    if not positions:
        return Montage(names={}, positions=None, origin="")
    montage, note = _in_head(positions, read_coordinate_system(coordsystem_file))
    return Montage(names=own, positions=montage, origin=f"electrodes.tsv of the dataset{note}")


def _in_head(positions, system):
    """Make a montage in head coordinates: by landmarks, by the frame's name, else by fit."""
    landmarks = _landmarks(system)
    if landmarks:
        montage = mne.channels.make_dig_montage(positions, **landmarks, coord_frame="unknown")
        return mne.channels.montage.transform_to_head(montage), ""
    if system.get("EEGCoordinateSystem") == "CapTrak":
        return mne.channels.make_dig_montage(positions, coord_frame="head"), ""
    head = mne.channels.montage.transform_to_head(standard_montage()).get_positions()
    shared = [name for name in positions if name in head["ch_pos"]]
    source = np.array([positions[name] for name in shared]).reshape(-1, 3)
    target = np.array([head["ch_pos"][name] for name in shared]).reshape(-1, 3)
    rotation, scale, shift, residual_m = fit_to_template(source, target)
    fitted = {name: scale * point @ rotation + shift for name, point in positions.items()}
    fiducials = {name: head[name] for name in _LANDMARKS}
    montage = mne.channels.make_dig_montage(fitted, **fiducials, coord_frame="head")
    return montage, f", fitted to the 10-05 system (residual {1000 * residual_m:.0f} mm)"


def _landmarks(system):
    given = system.get("AnatomicalLandmarkCoordinates")
    unit = system.get("AnatomicalLandmarkCoordinateUnits") or system.get("EEGCoordinateUnits")
    frame = system.get("AnatomicalLandmarkCoordinateSystem")
    is_same_frame = frame in (None, system.get("EEGCoordinateSystem"))
    if not (is_same_frame and isinstance(given, dict) and unit in [*METRES_IN]):
        return {}
    spelled = {name.lower(): point for name, point in given.items() if isinstance(point, list)}
    found = {
        key: np.array(spelled[name], dtype=float) * METRES_IN[unit]
        for key, name in _LANDMARKS.items()
        if name in spelled
    }
    return found if len(found) == len(_LANDMARKS) else {}
