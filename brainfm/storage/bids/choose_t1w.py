"""Choice of the T1w image that a BOLD run is normalised with."""

import re

import nibabel as nib
import numpy as np

_LOCALISER = re.compile(r"locali[sz]er|scout|survey|3plane|^loc$", re.IGNORECASE)
_WHOLE_HEAD_MM = 120


def t1w_for(run, runs):
    """Choose the T1w image that a BOLD run is normalised with.

    In this order: a name by which it can be used; no localiser (by its ``acq-`` label) and no
    phase image; readable; a field of view of 120 mm or more along all axes; of the session of the
    run; with the shortest longest edge of its voxels; without contrast agent (``ce-``); first by
    name, run 2 before run 10.

    Parameters
    ----------
    run : brainfm.storage.bids.query.RawRun
    runs : iterable of brainfm.storage.bids.query.RawRun
        All runs of the participant.

    Returns
    -------
    t1w : brainfm.storage.bids.query.RawRun or None
    """
    images = t1w_images(runs)
    if len(images) < 2:
        return next(iter(images), None)
    return min(images, key=lambda image: _rank(image, run.session))


def t1w_images(runs):
    """List the T1w images among the runs of a participant.

    Parameters
    ----------
    runs : iterable of brainfm.storage.bids.query.RawRun

    Returns
    -------
    images : list of brainfm.storage.bids.query.RawRun
    """
    return [run for run in runs if run.modality == "t1w"]


def _rank(image, session):
    entities = image.entities
    is_localiser = bool(_LOCALISER.search(entities.get("acq", "")))
    is_no_magnitude = entities.get("part", "mag") != "mag"
    is_unreadable, is_partial, edge_mm = _geometry(image.path)
    return (
        bool(image.misnamed),
        is_localiser or is_no_magnitude,
        is_unreadable,
        is_partial,
        image.session != session,
        edge_mm,
        "ce" in entities,
        [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", image.stem)],
    )


def _geometry(path):
    """Return whether a file is unreadable and partial, and the longest edge of its voxels."""
    try:
        image = nib.load(path)
        size_mm = nib.affines.voxel_sizes(image.affine)
        is_partial = min(np.array(image.shape[:3]) * size_mm) < _WHOLE_HEAD_MM
        return False, bool(is_partial), round(float(size_mm.max()), 1)
    except Exception:  # readers of several formats raise whatever they like
        return True, True, np.inf
