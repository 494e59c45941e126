"""Preprocessing of a T1w image: bias field, brain, tissues and normalisation."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813

from brainfm.config import TEMPLATE_SPACE
from brainfm.errors import DataError
from brainfm.signal.connectivity import pearson
from brainfm.signal.tissue import dice, extract_brain, segment_tissues
from brainfm.stages.preprocess.registration import register_affine, register_syn
from brainfm.storage.bids.validate_geometry import orientation_note
from brainfm.storage.derivatives.labels import raw_uri
from brainfm.storage.derivatives.names import derivative_path
from brainfm.storage.images import (
    from_sitk,
    read_image,
    read_transform,
    resample_image,
    resample_isotropic,
    template,
    to_sitk,
    write_image,
)
from brainfm.storage.templateflow import template_source

_COARSE_MM = 4
#: Smallest correlation with the template after affine registration. It is 0.6 to 0.8 in the T1w
#: images tested, about 0 in noise and negative in T2w images.
_MIN_CORRELATION = 0.25
#: Share of the brain of the template in the field of view, below which it is refused, and told.
_MIN_IN_VIEW, _WHOLE_IN_VIEW = 0.9, 0.97


@dataclass(frozen=True, kw_only=True)
class PreparedT1w:
    """Files of a T1w image before normalisation; all but ``t1w`` in voxels of 2 mm.

    Parameters
    ----------
    t1w, head : Path
        Image without bias field, on its own grid and resampled.
    brain, mask : Path
        Image without skull, and brain mask.
    affine : Path
        Transform from template points to points of the image.
    space : str
        Template.
    notes : list of str
        What is unusual about the image.
    """

    t1w: Path
    head: Path
    brain: Path
    mask: Path
    affine: Path
    space: str = TEMPLATE_SPACE
    notes: list = field(default_factory=list)


def prepare_t1w(t1w_file, out_dir, *, space=TEMPLATE_SPACE, sloppy=False):
    """Correct the bias field of a T1w image [1]_ and extract its brain.

    Parameters
    ----------
    t1w_file : path
    out_dir : path
        For intermediate files.
    space : str
        Template; see :func:`brainfm.storage.images.template`.
    sloppy : bool
        Voxels of 4 mm instead of 2 mm.

    Returns
    -------
    PreparedT1w

    Raises
    ------
    MissingInput, DataError, SignalError
        If the image cannot be read, is not T1-weighted, or shows no brain or a part of it.

    References
    ----------
    .. [1] Tustison et al., 2010, IEEE Trans Med Imaging 29(6) (N4).
       https://doi.org/10.1109/TMI.2010.2046908
    """
    out_dir, t1w = Path(out_dir), read_image(t1w_file)
    coarse = resample_isotropic(t1w, _COARSE_MM)
    brain = template("t1w", _COARSE_MM, space), template("mask", _COARSE_MM, space)
    affine = register_affine(coarse, *brain, sloppy=sloppy)
    in_view = _share_in_view(coarse, affine, brain[1])
    _check_is_t1w(t1w_file, coarse, affine, brain, in_view=in_view)
    voxel_mm = work_voxel_mm(sloppy)
    head = resample_isotropic(t1w, voxel_mm)
    prior = resample_image(template("mask", voxel_mm, space), head, affine.GetInverse())
    iterations = [8, 4] if sloppy else [30, 30, 20]
    field = _bias_field(coarse, resample_image(prior, coarse), iterations)
    head_data = _divided(head, field)
    mask = extract_brain(head_data, np.asarray(prior.dataobj) > 0.5, voxel_mm)
    sitk.WriteTransform(affine, str(out_dir / "template_to_t1w.tfm"))
    return PreparedT1w(
        t1w=write_image(out_dir / "t1w.nii.gz", _divided(t1w, field), t1w.affine),
        head=write_image(out_dir / "head.nii.gz", head_data, head.affine),
        brain=write_image(out_dir / "brain.nii.gz", head_data * mask, head.affine),
        mask=write_image(out_dir / "mask.nii.gz", mask, head.affine, dtype=np.uint8),
        affine=out_dir / "template_to_t1w.tfm",
        space=space,
        notes=_notes(t1w_file, in_view),
    )


def normalise_t1w(prepared, out_dir, *, seed, threads=1, sloppy=False):
    """Register a prepared T1w image to the template by SyN.

    Parameters
    ----------
    prepared : PreparedT1w
    out_dir : path
        For transform files.
    seed, threads : int
    sloppy : bool

    Returns
    -------
    t1w_to_template, template_to_t1w : list of Path
        See :func:`~brainfm.stages.preprocess.registration.register_syn`.
    """
    brain, grid = read_image(prepared.brain), template("t1w", work_voxel_mm(sloppy), prepared.space)
    options = {"seed": seed, "threads": threads, "sloppy": sloppy}
    return register_syn(brain, grid, prepared.affine, out_dir, **options)


def segment_t1w(prepared, template_to_t1w, out_dir, *, sloppy=False):
    """Segment a prepared T1w image, with the tissue maps of the template as priors.

    Parameters
    ----------
    prepared : PreparedT1w
    template_to_t1w : list of Path
        Transforms that warp images of the template to T1w.
    out_dir : path
    sloppy : bool

    Returns
    -------
    Path
        Labels 1 grey matter, 2 white matter, 3 CSF.
    """
    head, mask = read_image(prepared.head), read_image(prepared.mask)
    transform, voxel_mm = inverse_transform(template_to_t1w), work_voxel_mm(sloppy)
    maps = (template(kind, voxel_mm, prepared.space) for kind in ("gm", "wm", "mask"))
    gm, wm, inside = (np.asarray(resample_image(one, head, transform).dataobj) for one in maps)
    priors = np.stack([gm, wm, np.clip(inside - gm - wm, 0, 1)])
    labels = segment_tissues(np.asarray(head.dataobj), priors, np.asarray(mask.dataobj) > 0.5)
    return write_image(Path(out_dir) / "tissues.nii.gz", labels, head.affine, dtype=np.uint8)


def write_anatomy(t1w_file, prepared, t1w_to_template, out_dir):
    """Write the T1w image and its brain mask in template space into the derivative dataset.

    Parameters
    ----------
    t1w_file : path
        The raw image, after which the files are named.
    prepared : PreparedT1w
    t1w_to_template : list of Path
        Transforms that warp T1w images to the template.
    out_dir : path
        Root of the derivative dataset.

    Returns
    -------
    t1w, mask : Path
    """
    t1w, mask = read_image(prepared.t1w), read_image(prepared.mask)
    voxel_mm = 1 if min(t1w.header.get_zooms()) < 1.5 else 2
    space = prepared.space
    grid, transform = template("mask", voxel_mm, space), read_transform(t1w_to_template)
    inside = np.asarray(resample_image(mask, grid, transform).dataobj) > 0.5
    provenance = {
        "Sources": [raw_uri(t1w_file)],
        "Resolution": f"{voxel_mm} mm, of the template {template_source(space)}",
    }
    image = {"Description": "T1w without bias field, normalised", "SkullStripped": False}
    image["Notes"] = prepared.notes
    brain = {
        "Description": "Brain found in the T1w image by its intensities, normalised",
        "Type": "Brain",
        "DiceTemplate": round(dice(inside, np.asarray(grid.dataobj) > 0.5), 4),
    }
    path = partial(
        derivative_path, out_dir, t1w_file, datatype="anat", space=space, extension=".nii.gz"
    )
    return (
        write_image(
            path(desc="preproc", suffix="T1w"), resample_image(t1w, grid, transform).dataobj,
            grid.affine, dtype=np.int16, sidecar=image | provenance,
        ),
        write_image(
            path(desc="brain", suffix="mask"), inside, grid.affine, dtype=np.uint8,
            sidecar=brain | provenance,
        ),
    )  # fmt: skip


def inverse_transform(template_to_t1w):
    """Read the transforms of ANTs from template to T1w, whose affine file is not inverted.

    Parameters
    ----------
    template_to_t1w : list of path
        Affine and displacement field.

    Returns
    -------
    SimpleITK.CompositeTransform
    """
    affine, field = template_to_t1w
    forward = sitk.AffineTransform(sitk.ReadTransform(str(affine)))
    return sitk.CompositeTransform([read_transform([field]), forward.GetInverse()])  # last first


def work_voxel_mm(sloppy):
    """Return the voxel size in which the brain is extracted, segmented and normalised.

    Parameters
    ----------
    sloppy : bool

    Returns
    -------
    voxel_mm : int
    """
    return 4 if sloppy else 2


def _share_in_view(coarse, affine, mask):
    """Return the share of the brain of the template that lies in the field of view."""
    view = nib.Nifti1Image(np.ones(coarse.shape, np.float32), coarse.affine)
    seen = np.asarray(resample_image(view, mask, affine).dataobj) > 0.5
    return float(seen[np.asarray(mask.dataobj) > 0.5].mean())


def _notes(t1w_file, in_view):
    """Say what is unusual about an image."""
    notes = [orientation_note(nib.load(t1w_file))]
    if in_view < _WHOLE_IN_VIEW:
        notes.append(f"the field of view holds {in_view:.0%} of the brain; parcels may be missing.")
    return [note for note in notes if note]


def _check_is_t1w(t1w_file, coarse, affine, brain, *, in_view):
    if in_view < _MIN_IN_VIEW:
        raise DataError(
            f"the field of view of {t1w_file} holds {in_view:.0%} of the brain; expected "
            f"{_MIN_IN_VIEW:.0%} or more: is it a T1-weighted image of a whole head?"
        )
    grid, mask = brain
    inside = np.asarray(mask.dataobj) > 0.5
    images = (resample_image(coarse, grid, affine), grid)
    values = np.stack([np.asarray(image.dataobj)[inside] for image in images], axis=1)
    correlation = np.nan_to_num(pearson(values)[0, 1])  # NaN if the image does not vary
    if correlation < _MIN_CORRELATION:
        raise DataError(
            f"{t1w_file} resembles the T1w template by a correlation of {correlation:.2f}; "
            f"expected {_MIN_CORRELATION} or more: is it a T1-weighted image of a whole head, and "
            "is its orientation right?"
        )


def _bias_field(coarse, brain, iterations):
    """Return a function that samples the logarithm of the bias field on a SimpleITK grid."""
    correct = sitk.N4BiasFieldCorrectionImageFilter()
    correct.SetNumberOfWorkUnits(1)
    correct.SetMaximumNumberOfIterations(iterations)
    correct.SetConvergenceThreshold(1e-4)
    correct.Execute(sitk.Maximum(to_sitk(coarse), 1e-3), to_sitk(brain) > 0.5)
    return correct.GetLogBiasFieldAsImage


def _divided(image, log_field):
    field = np.asarray(from_sitk(log_field(to_sitk(image))).dataobj)
    return np.asarray(image.dataobj) / np.exp(field)
