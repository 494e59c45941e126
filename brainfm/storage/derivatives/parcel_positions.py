"""Positions of the parcels of a series: from its sidecar, a table, or an atlas."""

import logging
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from brainfm.errors import DataError, MissingInput
from brainfm.files import read_tsv
from brainfm.storage.atlas import load_atlas
from brainfm.storage.derivatives.labels import dataset_root
from brainfm.storage.derivatives.series_files import parcellation_of

log = logging.getLogger("brainfm")


def parcel_positions(path, names, sidecar, given=None):
    """Find the names and positions of the columns of a series.

    Parameters
    ----------
    path : Path
    names : tuple of str
        Names of the columns; numbers where the program wrote none, which are then taken in the
        order of the atlas.
    sidecar : dict
    given : path, optional
        Table of the atlas (name, x, y, z in MNI millimetres) or its label image with a table.

    Returns
    -------
    names : tuple of str
    positions : ndarray of float, shape (n_parcels, 3), in MNI millimetres

    Raises
    ------
    MissingInput
        If there are no positions.
    DataError
        If parcels are missing from the table.
    """
    source, known = _known_positions(path, names, sidecar, given)
    lost = [name for name in names if name not in known]
    if lost and all(name.isdecimal() for name in names) and len(names) == len(known):
        _log_once(f"{source}: columns without names are taken in its order, as in {path.name}")
        names, lost = tuple(known), []
    if lost:
        raise DataError(
            f"{source} has no position for {len(lost)} of the {len(names)} parcels of "
            f"{path.name} ({', '.join(lost[:3])}): give the table of the atlas of these series."
        )
    return names, np.array([known[name] for name in names], dtype=float)


def _known_positions(path, names, sidecar, given):
    """Return where positions are from, and positions by the names of parcels."""
    own = sidecar.get("Positions")
    if given is not None:
        return str(given), _read_positions(str(given))
    if own is not None:
        source = f"Positions in {path.with_suffix('.json').name}"
        return source, own if isinstance(own, dict) else _by_order(source, names, own)
    label, root = parcellation_of(path), dataset_root(path)
    table = _table_in(root, label)
    if table:
        return table, _read_positions(table)
    for packaged in _packaged():
        known = _read_positions(packaged)
        numbered = all(name.isdecimal() for name in names) and len(names) == len(known)
        if set(names) == set(known) or (numbered and _is_same_atlas(label, packaged)):
            return Path(packaged).name, known
    raise MissingInput(
        f"no positions for the parcels of {path.name}: expected Positions in its sidecar or "
        f"atlas-{label}_dseg.tsv (name, x, y, z in MNI mm) in {root}; or give the table, or the "
        "label image with its table, as positions=."
    )


def _by_order(source, names, positions):
    if len(positions) != len(names):
        raise DataError(
            f"{source} holds {len(positions)} positions for {len(names)} parcels; expected one for "
            "each column."
        )
    return dict(zip(names, positions, strict=True))


def _table_in(root, label):
    """Return the table or label image of a parcellation in a dataset, or None."""
    for name in (f"atlas-{label}_dseg.tsv", f"seg-{label}_dseg.tsv"):
        if label and (root / name).exists():
            return str(root / name)
    folders = (root / "atlases", root / "sourcedata" / "atlases")
    images = [image for folder in folders if label
              for image in sorted(folder.rglob(f"*atlas-{label}_*dseg.nii.gz"))]  # fmt: skip
    return next((str(image) for image in images if "MNI" in image.name), None)


@cache
def _packaged():
    folder = Path(str(files("brainfm.data") / "atlases"))
    return [str(path) for path in sorted(folder.glob("*_dseg.tsv"))]


def _is_same_atlas(label, packaged):
    """Compare a label such as Schaefer2018100Parcels7Networks with the name of a packaged atlas."""
    known = _read_positions(packaged)
    return label in (f"Schaefer2018{len(known)}Parcels7Networks", f"Schaefer{len(known)}")


@lru_cache(maxsize=16)
def _read_positions(source):
    """Return positions by name, in the order of the atlas."""
    if not source.endswith(".tsv"):
        atlas = load_atlas(source)
        return dict(zip(atlas.names, atlas.positions.tolist(), strict=True))
    frame = read_tsv(source, keep_default_na=False)
    if not {"name", "x", "y", "z"} <= set(frame):
        raise DataError(f"{source} has columns {', '.join(frame)}; expected name, x, y and z.")
    names = frame["name"].astype(str)
    return dict(zip(names, frame[["x", "y", "z"]].to_numpy(float).tolist(), strict=True))


@lru_cache(maxsize=64)
def _log_once(text):
    log.warning("%s", text)
