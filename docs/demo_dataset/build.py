"""Make the real part of the demonstration dataset from the two public datasets it comes from.

    python docs/demo_dataset/build.py STUDYFORREST EEGMMIDB brainfm/data/demo

STUDYFORREST holds one participant with T1w and BOLD, EEGMMIDB holds sub-001 with eyes open and
eyes closed as EDF. The README, the licences and the descriptions in brainfm/data/demo are
written by hand and stay.
"""

import json
import shutil
import sys
from pathlib import Path

import ants
import nibabel as nib
import numpy as np
import pandas as pd
from nilearn.datasets import load_mni152_brain_mask, load_mni152_template
from nilearn.image import new_img_like, resample_img
from scipy.ndimage import binary_dilation, binary_opening, gaussian_filter

T1W_MM, BOLD_MM, N_VOLUMES = 2.0, 4.0, 90
BOLD_STEP = 4  # rounding; a twentieth of the temporal standard deviation
KEPT_BOLD = (
    "Modality", "MagneticFieldStrength", "Manufacturer", "ManufacturersModelName",
    "PulseSequenceType", "ScanningSequence", "SequenceVariant", "ScanOptions",
    "MRAcquisitionType", "EchoTime", "RepetitionTime", "FlipAngle",
    "ParallelReductionFactorInPlane", "ParallelAcquisitionTechnique",
)  # fmt: skip


def main(studyforrest, eegmmidb, dest):
    """Write sub-bold01 and sub-eeg01 into ``dest``."""
    source = next(Path(studyforrest).glob("sub-*"))
    make_t1w(next(source.glob("anat/*_T1w.nii.gz")), dest / "sub-bold01/anat/sub-bold01_T1w")
    stem = dest / "sub-bold01/func/sub-bold01_task-oneback"
    make_bold(next(source.glob("func/*_bold.nii.gz")), f"{stem}_bold")
    make_events(next(source.glob("func/*_events.tsv")), f"{stem}_events.tsv")
    for task in ("eyesopen", "eyesclosed"):
        copy_eeg(Path(eegmmidb) / "sub-001" / "eeg", dest / "sub-eeg01" / "eeg", task)


def make_t1w(source, stem):
    """Remove the face, average to 2 mm and write image and sidecar."""
    head = nib.as_closest_canonical(nib.load(source))
    coarse = downsample(head, T1W_MM, gain=10)
    faceless = deface(coarse)
    save(crop(faceless, head_mask(np.asarray(faceless.dataobj))), f"{stem}.nii.gz")
    sidecar = {
        "Description": "T1-weighted image, resampled to 2 mm; the face was set to zero",
        "Modality": "MR",
        "Manufacturer": "Philips",
        "ManufacturersModelName": "Achieva dStream",
        "MagneticFieldStrength": 3,
    }
    write_json(f"{stem}.json", sidecar)


def make_bold(source, stem):
    """Average the first volumes to 4 mm and write image and sidecar."""
    run = nib.load(source)
    run = run.slicer[..., :N_VOLUMES]
    volumes = [downsample(volume, BOLD_MM) for volume in nib.four_to_three(run)]
    first = volumes[0]
    data = np.stack([np.asarray(volume.dataobj) for volume in volumes], axis=-1)
    keep = binary_dilation(head_mask(data.mean(axis=-1)), iterations=2)
    data = BOLD_STEP * np.round(data / BOLD_STEP).astype(np.int16) * keep[..., None]
    image = crop(nib.Nifti1Image(data, first.affine), keep, margin=0)
    image.header.set_zooms((*[BOLD_MM] * 3, 2.0))
    save(image, f"{stem}.nii.gz")
    sidecar = json.loads(Path(str(source).replace(".nii.gz", ".json")).read_text())
    kept = {key: sidecar[key] for key in KEPT_BOLD if key in sidecar}
    description = (
        f"First {N_VOLUMES} volumes of one run, resampled to {BOLD_MM:g} mm, air set to zero"
    )
    write_json(f"{stem}.json", {"Description": description, "TaskName": "oneback", **kept})


def make_events(source, dest):
    """Keep the events within the volumes kept, without the column of stimulus files."""
    events = pd.read_csv(source, sep="\t")[["onset", "duration", "trial_type"]]
    events[events["onset"] < N_VOLUMES * 2.0].to_csv(dest, sep="\t", index=False, na_rep="n/a")


def copy_eeg(source, dest, task):
    """Copy one EDF as it is, with its channels, events and sidecar."""
    dest.mkdir(parents=True, exist_ok=True)
    for suffix in ("eeg.edf", "channels.tsv", "events.tsv"):
        shutil.copyfile(
            source / f"sub-001_task-{task}_{suffix}", dest / f"sub-eeg01_task-{task}_{suffix}"
        )
    sidecar = json.loads((source / f"sub-001_task-{task}_eeg.json").read_text())
    more = {"TaskDescription": f"Sitting still, {task.replace('eyes', 'eyes ')}, one minute",
            "EEGPlacementScheme": "10-10", "HardwareFilters": "n/a", "RecordingDuration": 60,
            "EOGChannelCount": 0, "ECGChannelCount": 0, "EMGChannelCount": 0,
            "MiscChannelCount": 0, "TriggerChannelCount": 0}  # fmt: skip
    write_json(dest / f"sub-eeg01_task-{task}_eeg.json", sidecar | more)


def downsample(image, voxel_mm, *, gain=1):
    """Smooth to the new voxel size and sample; negative values become 0."""
    zooms = np.array(image.header.get_zooms()[:3])
    blur = np.sqrt(np.maximum(voxel_mm**2 - zooms**2, 0)) / 2.355 / zooms
    smooth = new_img_like(image, gaussian_filter(image.get_fdata(dtype=np.float32), blur))
    directions = image.affine[:3, :3] / zooms
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = directions * voxel_mm, image.affine[:3, 3]
    shape = np.ceil(np.array(image.shape[:3]) * zooms / voxel_mm).astype(int)
    sampled = resample_img(
        smooth, affine, shape, interpolation="continuous", copy_header=True, force_resample=True
    )
    data = np.clip(gain * sampled.get_fdata(), 0, None)
    return nib.Nifti1Image(np.round(data).astype(np.int16), affine)


def deface(image):
    """Set to zero what lies in front of and below the brain, more than 8 mm away from it."""
    face = to_subject(face_of_template(), image)
    data = np.asarray(image.dataobj).copy()
    data[face > 0.5] = 0
    return nib.Nifti1Image(data, image.affine)


def face_of_template():
    """Return the mask of the face around the MNI152 template."""
    brain = load_mni152_brain_mask(resolution=2)
    pad = 30  # the template's field of view ends at the brain
    near = binary_dilation(np.pad(brain.get_fdata() > 0, pad), iterations=4)
    affine = brain.affine.copy()
    affine[:3, 3] -= 2.0 * pad
    index = np.indices(near.shape).reshape(3, -1)
    _, y, z = (affine[:3, :3] @ index + affine[:3, 3:]).reshape(3, *near.shape)
    face = ~near & (((y > 10) & (z < 25)) | ((y > -10) & (z < -40)))
    return nib.Nifti1Image(face.astype(np.float32), affine)


def to_subject(template_image, image):
    """Bring an image of template space onto the grid of a participant."""
    template = as_ants(load_mni152_template(resolution=2))
    subject = as_ants(image)
    found = ants.registration(template, subject, type_of_transform="Affine")
    moved = ants.apply_transforms(
        subject, as_ants(template_image), found["fwdtransforms"], whichtoinvert=[True]
    )
    return moved.numpy()


def as_ants(image):
    """Turn a nibabel image into one of antspyx."""
    return ants.from_nibabel_nifti(nib.Nifti1Image(image.get_fdata(dtype=np.float32), image.affine))


def head_mask(volume):
    """Return the voxels clearly brighter than the air, without islands."""
    return binary_opening(volume > 0.15 * np.percentile(volume, 99), iterations=1)


def crop(image, keep, margin=2):
    """Cut the field of view to the voxels of ``keep`` and a margin."""
    inside = np.argwhere(keep)
    low = np.maximum(inside.min(axis=0) - margin, 0)
    high = np.minimum(inside.max(axis=0) + margin + 1, keep.shape)
    return image.slicer[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]


def save(image, path):
    """Write an image in int16 with units and both transforms set."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    nib.save(image, path)


def write_json(path, data):
    """Write indented JSON."""
    Path(path).write_text(json.dumps(data, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
