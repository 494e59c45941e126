"""Parcellations: label image, parcel names, networks and positions."""

import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from brainfm.errors import DataError, MissingInput
from brainfm.files import read_tsv
from brainfm.storage.bids.names import entities_of
from brainfm.storage.templateflow import find_templateflow

#: Hemisphere and network in the parcel names of the Schaefer and Yeo atlases of TemplateFlow.
_YEO_NAME = re.compile(r"\d+Networks_([LR])H_([^_]+)")
_PACKAGED = {
    f"Schaefer{n}": f"atlas-Schaefer2018_seg-7n_scale-{n}_dseg.nii.gz" for n in (100, 200, 400)
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Atlas:
    """A parcellation of the brain.

    Parameters
    ----------
    image : nibabel image of int
        1 to n_parcels in the order of ``names``; 0 is background.
    names : tuple of str
    networks : tuple of str
        Network of each parcel; "" where the table names none.
    positions : ndarray of float, shape (n_parcels, 3)
        Centres of gravity in MNI millimetres.
    entities : str
        How outputs are named after it: ``atlas-Schaefer2018_seg-7n_scale-100``.
    """

    image: nib.Nifti1Image
    names: tuple[str, ...]
    networks: tuple[str, ...]
    positions: np.ndarray
    entities: str


def load_atlas(name_or_path):
    """Load an atlas: a packaged one, one of TemplateFlow, or a NIfTI with its table.

    Parameters
    ----------
    name_or_path : str or path
        ``Schaefer100``, ``Schaefer200`` or ``Schaefer400``; the identifier of a ``dseg`` image in
        the home folder of TemplateFlow, such as
        ``tpl-MNI152NLin2009cAsym_atlas-Schaefer2018_desc-200Parcels7Networks``; or ``NAME.nii.gz``
        with ``NAME.tsv`` beside it (columns ``index`` and ``name``; ``network`` and
        ``hemisphere``, L or R, if known) in MNI space.

    Returns
    -------
    Atlas

    Raises
    ------
    MissingInput
        If there is no such atlas, or no table beside the image.
    DataError
        If labels and table disagree, or left and right are exchanged.
    """
    image_path, table_path = _files_of(name_or_path)
    table = _read_table(table_path)
    image, positions = _relabel(image_path, table)
    _check_sides(image_path, table, positions)
    return Atlas(
        image=image,
        names=tuple(table["name"].astype(str)),
        networks=tuple(table.get("network", pd.Series([""] * len(table))).astype(str)),
        positions=positions,
        entities=_entities(image_path),
    )


def labels_on_grid(image, grid):
    """Resample labels onto the grid of a run.

    Parameters
    ----------
    image : nibabel image of int
    grid : nibabel image, 4-D

    Returns
    -------
    labels : ndarray of int, shape (nx, ny, nz) of ``grid``
    """
    from nilearn.image import resample_to_img  # a second to import; checks of atlases need none

    resampled = resample_to_img(
        image, grid, interpolation="nearest", force_resample=True, copy_header=True
    )
    return np.asarray(resampled.dataobj).astype(int).squeeze()


def _files_of(name_or_path):
    """Return the paths of the image and of the table of an atlas."""
    if str(name_or_path).startswith("tpl-") and not Path(name_or_path).exists():
        image_path = find_templateflow(str(name_or_path), "dseg")
        without_resolution = re.sub(r"_res-\d+", "", str(name_or_path))
        return image_path, find_templateflow(without_resolution, "dseg", ".tsv")
    if name_or_path in _PACKAGED:
        image_path = Path(str(files("brainfm.data") / "atlases" / _PACKAGED[name_or_path]))
    else:
        image_path = Path(name_or_path)
    if not image_path.exists():
        raise MissingInput(
            f"there is no atlas {name_or_path!r}: expected {', '.join(_PACKAGED)}, the identifier "
            "of an atlas of TemplateFlow (tpl-*_atlas-*), or the path of a NIfTI with a TSV of "
            "the same name."
        )
    return image_path, image_path.with_name(image_path.name.split(".")[0] + ".tsv")


def _read_table(path):
    if not path.exists():
        raise MissingInput(f"{path} does not exist: an atlas needs a table with index and name.")
    table = read_tsv(path, keep_default_na=False)
    if not {"index", "name"} <= set(table):
        raise DataError(f"{path} has columns {', '.join(table)}; expected index and name.")
    twice = table["name"][table["name"].duplicated()]
    if len(twice):
        raise DataError(f"{path} has {twice.iloc[0]!r} twice; expected unique names.")
    table = table[table["index"] > 0].sort_values("index", ignore_index=True)
    matches = [_YEO_NAME.match(str(name)) for name in table["name"]]
    if all(matches) and "network" not in table:
        sides, networks = zip(*(match.groups() for match in matches), strict=True)
        table = table.assign(hemisphere=sides, network=networks)
    return table


def _relabel(image_path, table):
    """Number the parcels 1 to n in the order of the table, and find their centres."""
    image = nib.load(image_path)
    labels = np.asarray(image.dataobj).astype(int).squeeze()
    found = np.unique(labels[labels > 0])
    absent = sorted(set(table["index"]) ^ set(found.tolist()))
    if absent:
        raise DataError(
            f"{image_path.name} and its table disagree on label {absent[0]} ({len(absent)} in "
            "all); expected the same parcels in both."
        )
    new = np.searchsorted(table["index"].to_numpy(), labels) + 1
    new = np.where(labels > 0, new, 0).astype(np.int16)
    voxels = np.argwhere(new > 0)
    of_voxel = new[tuple(voxels.T)] - 1
    millimetres = nib.affines.apply_affine(image.affine, voxels)
    size = np.bincount(of_voxel, minlength=len(table))
    positions = np.stack(
        [np.bincount(of_voxel, axis, len(table)) / size for axis in millimetres.T], axis=1
    )
    return nib.Nifti1Image(new, image.affine), positions


def _check_sides(image_path, table, positions):
    if "hemisphere" not in table:
        return
    for side, sign in (("L", -1), ("R", 1)):
        wrong = (table["hemisphere"] == side) & (sign * positions[:, 0] < 0)
        if wrong.any():
            raise DataError(
                f"{image_path.name}: {table['name'][wrong].iloc[0]} is of hemisphere {side} but "
                f"lies at x = {positions[wrong.to_numpy()][0, 0]:.0f} mm; left is x < 0. Is the "
                "image flipped?"
            )


def _entities(image_path):
    found = entities_of(image_path)
    if "atlas" not in found:
        return f"atlas-{''.join(filter(str.isalnum, image_path.name.split('.')[0]))}"
    if image_path.name.startswith("tpl-") and "desc" in found:
        found["seg"] = found["desc"]  # TemplateFlow's name of a segmentation
    kept = {key: found[key] for key in found if key in ("atlas", "seg", "scale")}
    return "_".join(f"{key}-{label}" for key, label in kept.items())
