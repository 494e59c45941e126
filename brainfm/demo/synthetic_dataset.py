"""Write a raw BIDS dataset of synthetic participants with simultaneous EEG and BOLD."""

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pybv
from nilearn.datasets import (
    load_mni152_gm_template,
    load_mni152_template,
    load_mni152_wm_template,
)
from scipy.ndimage import binary_dilation, gaussian_filter

from brainfm.files import atomic, write_json, write_text, write_tsv
from brainfm.signal import synthetic

EEG_HZ = 250.0
TR_S = 2.0
LINE_HZ = 50
REFERENCE = "FCz"
FIDUCIALS = ("nasion", "lpa", "rpa")
ELECTRODES = (
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "FC5", "FC1", "FC2", "FC6",
    "T7", "C3", "Cz", "C4", "T8", "TP9", "CP5", "CP1", "CP2", "CP6", "TP10",
    "P7", "P3", "Pz", "P4", "P8", "PO9", "O1", "Oz", "O2", "PO10",
)  # fmt: skip
#: The two eyes in mm of MNI space, and where their dipoles point when a lid closes.
EYES_MM, EYE_DIRECTION = ((-32, 62, -34), (32, 62, -34)), (0, 0.6, 0.8)
#: Voxel sizes (mm) of T1w and BOLD and number of volumes of what can be asked for.
SIZES = {"tiny": (4.0, 6.0, 40), "demo": (2.0, 4.0, 90)}
ALPHA_HZ = {"slow": 9.0, "fast": 11.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class SyntheticParticipant:
    """One synthetic participant: what a scanner would give, and the truth behind it.

    Attributes
    ----------
    t1w, bold : nibabel.Nifti1Image
        Raw images; T1w in int16, BOLD of shape (nx, ny, nz, n_volumes).
    eeg_v : ndarray of float, shape (n_samples, 32), in V
        Against FCz, at 250 Hz, started together with the first volume.
    template_to_t1w : ndarray of float, shape (4, 4)
        Where a point of MNI space (mm) lies in T1w (mm): the true normalisation.
    t1w_to_bold : ndarray of float, shape (4, 4)
        Where a point of T1w (mm) lies in the first BOLD volume (mm).
    motion : ndarray of float, shape (n_volumes, 6), in mm and rad
        Movement of the head since the first volume.
    series : ndarray of float, shape (n_volumes, n_parcels), mean 0, variance 1
        The true time series of each parcel.
    envelope : ndarray of float, shape (n_samples,), mean 1
        The true amplitude of the occipital alpha rhythm.
    alpha_bold : ndarray of float, shape (n_volumes,), mean 0, variance 1
        The envelope convolved with the haemodynamic response.
    group : {"slow", "fast"}
        Whether alpha is at 9 or 11 Hz.
    """

    t1w: nib.Nifti1Image
    bold: nib.Nifti1Image
    eeg_v: np.ndarray
    template_to_t1w: np.ndarray
    t1w_to_bold: np.ndarray
    motion: np.ndarray
    series: np.ndarray
    envelope: np.ndarray
    alpha_bold: np.ndarray
    group: str


def write_synthetic_dataset(dest, *, participants=1, seed=0, size="tiny"):
    """Write synthetic participants ``sub-synthetic01`` and so on as raw BIDS.

    Every participant has one T1w and one resting run of BOLD and EEG recorded together.
    Column ``group`` of participants.tsv is the alpha frequency they were given.

    Parameters
    ----------
    dest : path
        Folder of the dataset; made when it is not there.
    participants : int
    seed : int
        The same seed gives the same participants; each has its own truth.
    size : {"tiny", "demo"}
        Voxel sizes and length: see :data:`SIZES`.

    Returns
    -------
    dest : Path

    See Also
    --------
    synthetic_participant : the truth behind participant ``index`` of a seed.
    """
    dest = Path(dest)
    rows = []
    for index in range(participants):
        person = synthetic_participant(index, seed=seed, size=size)
        rows.append(write_synthetic_participant(dest, person, f"synthetic{index + 1:02d}"))
    for name in ("dataset_description.json", "README.md", "participants.json"):
        write_text(dest / name, _packaged(name))
    write_tsv(dest / "participants.tsv", pd.DataFrame(rows))
    return dest


def synthetic_participant(index=0, *, seed=0, size="tiny"):
    """Make the images, the EEG and the truth of one synthetic participant.

    Returns
    -------
    person : SyntheticParticipant
    """
    t1w_mm, bold_mm, n_volumes = SIZES[size]
    generator = np.random.default_rng([seed, index])
    group = ("fast", "slow")[index % 2]
    truth = _activity(n_volumes, generator)
    head = _head()
    placed = _placement(generator)
    motion = synthetic.head_motion(n_volumes, generator)
    bold = _bold(head, truth["series"], placed, motion, bold_mm=bold_mm, generator=generator)
    return SyntheticParticipant(
        t1w=_t1w(head, placed["template_to_t1w"], t1w_mm, generator),
        bold=bold,
        eeg_v=_eeg(truth["envelope"], ALPHA_HZ[group], generator),
        motion=motion,
        group=group,
        **placed,
        **truth,
    )


def write_synthetic_participant(dest, person, label):
    """Write one participant into the dataset ``dest`` and return their row of participants.tsv.

    Parameters
    ----------
    dest : Path
    person : SyntheticParticipant
    label : str
        Participant label without ``sub-``.

    Returns
    -------
    row : dict
    """
    folder, name = dest / f"sub-{label}", f"sub-{label}"
    stem = f"{name}_task-rest"
    _write_image(folder / "anat" / f"{name}_T1w.nii.gz", person.t1w)
    write_json(folder / "anat" / f"{name}_T1w.json", json.loads(_packaged("T1w.json")))
    _write_image(folder / "func" / f"{stem}_bold.nii.gz", person.bold)
    write_json(folder / "func" / f"{stem}_bold.json", json.loads(_packaged("bold.json")))
    _write_eeg(folder / "eeg", name, stem, person)
    runs = [f"func/{stem}_bold.nii.gz", f"eeg/{stem}_eeg.vhdr"]
    together = pd.DataFrame({"filename": runs, "acq_time": "1925-01-01T12:00:00"})
    write_tsv(folder / f"{name}_scans.tsv", together)
    return {"participant_id": name, "kind": "synthetic", "group": person.group}


def parcellation():
    """Read the packaged Schaefer parcellation of 100 parcels.

    Returns
    -------
    image : nibabel.Nifti1Image
    table : DataFrame
        Columns index, name, hemisphere, network, x, y, z (mm).
    """
    name = "atlas-Schaefer2018_seg-7n_scale-100_dseg"
    atlases = files("brainfm") / "data" / "atlases"
    with as_file(atlases / f"{name}.nii.gz") as path:
        image = nib.load(path)
        image = nib.Nifti1Image(np.asarray(image.dataobj, dtype=np.int16), image.affine)
    with as_file(atlases / f"{name}.tsv") as path:
        return image, pd.read_csv(path, sep="\t")


def _activity(n_volumes, generator):
    """Draw the parcels' time series and the alpha envelope that drives the visual ones."""
    networks = parcellation()[1]["network"].tolist()
    step_s = TR_S / 4
    n_steps = round((synthetic.HRF_S + n_volumes * TR_S) / step_s)
    neural = synthetic.network_sources(networks, n_steps, coupling=0.6, generator=generator)
    series = synthetic.convolve_response(neural, 1 / step_s)[:: round(TR_S / step_s)]
    n_samples = round((synthetic.HRF_S + n_volumes * TR_S) * EEG_HZ)
    envelope = synthetic.alpha_envelope(n_samples, EEG_HZ, generator)
    alpha_bold = synthetic.convolve_response(envelope, EEG_HZ)[:: round(TR_S * EEG_HZ)]
    visual = np.array(networks) == "Vis"
    # visual cortex falls when alpha rises: https://doi.org/10.1097/00001756-200212200-00022
    series[:, visual] = 0.6 * series[:, visual] - 0.8 * alpha_bold[:, None]
    series = (series - series.mean(axis=0)) / series.std(axis=0)
    lead = round(synthetic.HRF_S * EEG_HZ)
    return {"series": series, "envelope": envelope[lead:], "alpha_bold": alpha_bold}


def _placement(generator):
    """Draw where the head lies in the scanner, and how it moved between T1w and BOLD."""
    size = np.diag([*generator.uniform(0.94, 1.06, 3), 1.0])
    shift = generator.uniform(-1, 1, 6) * ([8] * 3 + [0.12] * 3)
    between = generator.uniform(-1, 1, 6) * ([3] * 3 + [0.05] * 3)
    return {
        "template_to_t1w": synthetic.rigid_matrix(shift) @ size,
        "t1w_to_bold": synthetic.rigid_matrix(between),
    }


@cache
def _head():
    """Return the tissues of the template at 2 mm, with a skull and a scalp around them."""
    t1w, grey, white = (
        _every_second(load(resolution=1))
        for load in (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)
    )
    brain = t1w > 0.05
    skull, head = binary_dilation(brain, iterations=3), binary_dilation(brain, iterations=6)
    fluid = np.clip(brain - grey - white, 0, 1)
    scalp = (head & ~skull).astype(float)
    atlas = parcellation()[0]
    return {
        "affine": atlas.affine,  # the grid of the template at 2 mm
        "t1w": t1w + 0.7 * scalp,
        "epi": brain * (0.7 * grey + 0.55 * white + 1.0 * fluid) + 0.1 * scalp,
        "labels": np.asarray(atlas.dataobj),
    }


def _every_second(image):
    return np.asarray(image.dataobj, dtype=np.float32)[::2, ::2, ::2]


def _grid(voxel_mm):
    """Return the shape and affine of a field of view around a head at the origin."""
    shape = np.ceil(np.array([200, 236, 208]) / voxel_mm).astype(int)
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = np.array([0, -18, 10]) - voxel_mm * (shape - 1) / 2
    return tuple(shape), affine


def _sampled(head, what, matrix, voxel_mm):
    """Sample one of the head's maps on a scanner grid, smoothed to its voxel size."""
    shape, affine = _grid(voxel_mm)
    volume, order = head[what].astype(float), 0
    if what != "labels":
        volume, order = gaussian_filter(volume, voxel_mm / 2 / 2.355), 1
    moved = synthetic.move_volume(
        volume, head["affine"], matrix, shape=shape, target_affine=affine, order=order
    )
    return moved, affine


def _t1w(head, matrix, voxel_mm, generator):
    volume, affine = _sampled(head, "t1w", matrix, voxel_mm)
    volume = 1000 * volume + generator.normal(0, 12, volume.shape)
    return _image(np.abs(volume), affine)


def _bold(head, series, placed, motion, *, bold_mm, generator):
    matrix = placed["t1w_to_bold"] @ placed["template_to_t1w"]
    contrast, affine = _sampled(head, "epi", matrix, bold_mm)
    labels = _sampled(head, "labels", matrix, bold_mm)[0].astype(int)
    still = synthetic.bold_volumes(
        1000 * contrast, labels, series, percent=1.5, noise=6.0, generator=generator
    )
    volumes = [
        synthetic.move_volume(
            volume, affine, synthetic.rigid_matrix(moved), shape=volume.shape,
            target_affine=affine, order=3,
        )
        for volume, moved in zip(still, motion, strict=True)
    ]  # fmt: skip
    image = _image(np.abs(np.stack(volumes, axis=-1)), affine)
    image.header.set_zooms((*[bold_mm] * 3, TR_S))
    return image


def _image(data, affine):
    image = nib.Nifti1Image(np.round(data).astype(np.int16), affine)
    image.header.set_xyzt_units("mm", "sec")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    return image


def _electrodes_mm():
    """Return the positions of electrodes, reference and fiducials in mm of MNI space."""
    montage = mne.channels.make_standard_montage("colin27_1005").get_positions()
    names = [*ELECTRODES, REFERENCE]
    points = {name: montage["ch_pos"][name] * 1000 for name in names}
    return points | {name: montage[name] * 1000 for name in FIDUCIALS}


def _eeg(envelope, alpha_hz, generator):
    """Return what the electrodes record of alpha, background, blinks and mains, in V."""
    points, (_, table) = _electrodes_mm(), parcellation()
    electrodes = np.array([points[name] for name in [*ELECTRODES, REFERENCE]])
    sources = table[["x", "y", "z"]].to_numpy(float)
    leadfield = synthetic.dipole_leadfield(electrodes, sources)
    eyes = synthetic.dipole_leadfield(electrodes, EYES_MM, [EYE_DIRECTION] * 2).sum(axis=1)
    n_samples = len(envelope)
    neural = 9e-6 * synthetic.pink_noise(n_samples, len(sources), generator)
    rhythm = synthetic.alpha_rhythm(16e-6 * envelope, EEG_HZ, alpha_hz, generator)
    posterior = table["network"].eq("Vis").to_numpy() & (sources[:, 1] < -85)
    neural[:, posterior] += rhythm[:, None]
    signal = neural @ leadfield.T
    signal += 120e-6 * synthetic.blinks(n_samples, EEG_HZ, generator)[:, None] * eyes
    signal = signal[:, :-1] - signal[:, -1:]  # what an amplifier gives: against FCz
    n_channels = signal.shape[1]
    signal += 4e-6 * synthetic.line_noise(n_samples, n_channels, EEG_HZ, LINE_HZ, generator)
    return signal + 0.5e-6 * generator.standard_normal(signal.shape)


def _packaged(name):
    return (files("brainfm") / "data" / "synthetic" / name).read_text(encoding="utf8")


def _write_image(path, image):
    with atomic(path) as partial:
        nib.save(image, partial)


def _write_eeg(folder, name, stem, person):
    folder.mkdir(parents=True, exist_ok=True)
    onsets = np.arange(len(person.series)) * TR_S
    samples = np.round(onsets * EEG_HZ).astype(int)
    pybv.write_brainvision(
        data=person.eeg_v.T, sfreq=EEG_HZ, ch_names=list(ELECTRODES), ref_ch_names=REFERENCE,
        fname_base=f"{stem}_eeg", folder_out=folder, overwrite=True, resolution=0.05,
        fmt="binary_int16",
        events=[{"onset": int(s), "description": 128, "type": "Response"} for s in samples],
    )  # fmt: skip
    sidecar = json.loads(_packaged("eeg.json")) | {"RecordingDuration": len(onsets) * TR_S}
    write_json(folder / f"{stem}_eeg.json", sidecar)
    channels = {"name": ELECTRODES, "type": "EEG", "units": "µV", "reference": REFERENCE,
                "sampling_frequency": EEG_HZ, "status": "good"}  # fmt: skip
    write_tsv(folder / f"{stem}_channels.tsv", pd.DataFrame(channels))
    events = {"onset": onsets, "duration": 0.0, "trial_type": "volume", "sample": samples}
    write_tsv(folder / f"{stem}_events.tsv", pd.DataFrame(events))
    _write_electrodes(folder, name)


def _write_electrodes(folder, name):
    """Write positions in the CapTrak frame: x through the ears, y through the nasion, in m."""
    points = {key: point / 1000 for key, point in _electrodes_mm().items()}
    montage = mne.channels.make_dig_montage(
        {key: points[key] for key in ELECTRODES},
        **{key: points[key] for key in FIDUCIALS},
        coord_frame="mri",
    )
    head = mne.channels.montage.transform_to_head(montage).get_positions()
    rows = [dict(zip("xyz", head["ch_pos"][e], strict=True), name=e) for e in ELECTRODES]
    frame = pd.DataFrame(rows)[["name", "x", "y", "z"]].round(5)
    write_tsv(folder / f"{name}_space-CapTrak_electrodes.tsv", frame)
    marks = {k.upper() if k != "nasion" else "NAS": head[k].round(5) for k in FIDUCIALS}
    system = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "m",
              "AnatomicalLandmarkCoordinates": marks,
              "AnatomicalLandmarkCoordinateSystem": "CapTrak",
              "AnatomicalLandmarkCoordinateUnits": "m"}  # fmt: skip
    write_json(folder / f"{name}_space-CapTrak_coordsystem.json", system)
