"""Validation of the geometry in the header of a NIfTI image: orientation, voxel size and unit."""

import nibabel as nib
import numpy as np

_VOXEL_MM = (0.1, 25.0)
_MOST_DIFFERENT = 0.2
#: Smallest cosine of the angle between the same axis of sform and qform.
_MIN_COSINE = 0.5
#: Smallest difference of position between sform and qform that is told, in voxels.
_MIN_SHIFT_VOXELS = 0.5


def check_geometry(image):
    """Find what makes the geometry of an image unknown or doubtful.

    Parameters
    ----------
    image : nibabel image
        As loaded from its file.

    Yields
    ------
    problem : str
        A sentence: what was expected, what came, what to do.
    """
    header = image.header
    if not isinstance(header, nib.Nifti1Header):
        return
    if header["qform_code"] <= 0 and header["sform_code"] <= 0:
        yield (
            "has no orientation: qform_code and sform_code are 0, so that left and right are "
            "unknown; expected one above 0: convert the scanner's files again, or set a code if "
            "you know the axes."
        )
    yield from _check_unit(header)
    stored_mm = _stored_voxel_mm(image)
    affine_mm = np.linalg.norm(image.affine[:3, :3], axis=0)
    if not (_are_usual(stored_mm) and _are_usual(affine_mm)):
        wrong = affine_mm if _are_usual(stored_mm) else stored_mm
        smallest, largest = _VOXEL_MM
        yield (
            f"has voxels of {_times(wrong)} mm; expected {smallest:g} to {largest:g} mm: "
            "correct its header, or convert it again."
        )
    elif (np.abs(affine_mm / stored_mm - 1) > _MOST_DIFFERENT).any():
        yield (
            f"has voxels of {_times(stored_mm)} mm by pixdim but of {_times(affine_mm)} mm by "
            "sform: find out which is right and correct the header."
        )
    elif not np.isfinite(image.affine).all() or _is_flat(image.affine):
        yield "has an sform or qform that is no transform: correct its header, or convert it again."
    elif _are_both_set(header) and _directions(header).min() < _MIN_COSINE:
        qform, sform = (
            "".join(nib.aff2axcodes(form)) for form in (header.get_qform(), header.get_sform())
        )
        yield (
            f"has axes {qform} by qform but {sform} by sform, so that its orientation is "
            "doubtful: find out which is right and set both to it."
        )


def orientation_note(image):
    """Say which orientation is used where sform and qform differ by more than half a voxel.

    Parameters
    ----------
    image : nibabel image

    Returns
    -------
    note : str
        Empty if they agree, or if only one is set.
    """
    header = image.header
    if not isinstance(header, nib.Nifti1Header) or not _are_both_set(header):
        return ""
    corners = np.indices((2, 2, 2)).reshape(3, 8).T * (np.array(image.shape[:3]) - 1)
    forms = header.get_sform(), header.get_qform()
    first, second = (nib.affines.apply_affine(form, corners) for form in forms)
    shift_mm = np.linalg.norm(first - second, axis=1).max()
    if shift_mm < _MIN_SHIFT_VOXELS * min(header.get_zooms()[:3]):
        return ""
    return f"sform and qform differ by up to {shift_mm:.1f} mm; sform is used."


def _check_unit(header):
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        unit = "unknown"
    if unit not in ("mm", "unknown"):
        yield (
            f"gives positions in {unit}; expected mm: correct xyzt_units, pixdim, sform and qform "
            "in its header, or convert it again."
        )


def _stored_voxel_mm(image):
    """Read the voxel size as stored; nibabel replaces 0 by 1 mm."""
    with nib.openers.ImageOpener(image.get_filename()) as file:
        stored = type(image.header).from_fileobj(file, check=False)
    return np.abs(stored["pixdim"][1:4].astype(float))


def _are_usual(size_mm):
    smallest, largest = _VOXEL_MM
    return bool(((size_mm >= smallest) & (size_mm <= largest)).all())


def _times(size_mm):
    return " x ".join(f"{size:.3g}" for size in size_mm)


def _are_both_set(header):
    return header["qform_code"] > 0 and header["sform_code"] > 0


def _is_flat(affine):
    unit = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return abs(np.linalg.det(unit)) < 0.1


def _directions(header):
    """Return the cosines of the angles between each axis of sform and of qform."""
    sform, qform = (
        form[:3, :3] / np.linalg.norm(form[:3, :3], axis=0)
        for form in (header.get_sform(), header.get_qform())
    )
    return (sform * qform).sum(axis=0)
