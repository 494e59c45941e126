"""Simulate one participant: T1w image, simultaneous BOLD and EEG, and the truth behind them."""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import mne
import nibabel as nib
import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from brainfm.files import read_tsv
from brainfm.signal import synthetic
from brainfm.storage.images import template

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
#: Positions of the eyes in MNI millimetres, and direction of their dipoles during a blink.
EYES_MM, EYE_DIRECTION = ((-32, 62, -34), (32, 62, -34)), (0, 0.6, 0.8)
#: Voxel sizes of T1w and BOLD (mm) and number of volumes, by size of the dataset.
SIZES = {"tiny": (4.0, 6.0, 40), "demo": (2.0, 4.0, 90)}
ALPHA_HZ = {"slow": 9.0, "fast": 11.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class SyntheticParticipant:
    """A synthetic participant: raw recordings, and the truth they were simulated from.

    Parameters
    ----------
    t1w, bold : nibabel.Nifti1Image
        Raw int16 images; BOLD of shape (nx, ny, nz, n_volumes).
    eeg_v : ndarray of float, shape (n_samples, 32), in V
        Reference FCz, 250 Hz; the first sample is the onset of the first volume.
    template_to_t1w : ndarray of float, shape (4, 4)
        True transform of points from MNI space (mm) to T1w (mm).
    t1w_to_bold : ndarray of float, shape (4, 4)
        True transform of points from T1w (mm) to the first BOLD volume (mm).
    motion : ndarray of float, shape (n_volumes, 6), in mm and rad
        Head motion relative to the first volume: translations (mm), rotations (rad).
    series : ndarray of float, shape (n_volumes, n_parcels), mean 0, variance 1
        True time series of the parcels.
    envelope : ndarray of float, shape (n_samples,), mean 1
        True amplitude of the occipital alpha rhythm.
    alpha_bold : ndarray of float, shape (n_volumes,), mean 0, variance 1
        Envelope convolved with the haemodynamic response.
    group : {"slow", "fast"}
        Alpha frequency of 9 or 11 Hz.
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


def synthetic_participant(index=0, *, seed=0, size="tiny"):
    """Simulate one participant.

    Parameters
    ----------
    index : int
        Number of the participant in a dataset; sets the group.
    seed : int
    size : {"tiny", "demo"}
        Voxel sizes and duration, see :data:`SIZES`.

    Returns
    -------
    participant : SyntheticParticipant
    """
    t1w_mm, bold_mm, n_volumes = SIZES[size]
    generator = np.random.default_rng([seed, index])
    group = ("fast", "slow")[index % 2]
    truth = _activity(n_volumes, generator)
    head = _head()
    placement = _placement(generator)
    motion = synthetic.head_motion(n_volumes, generator)
    bold = _bold(head, truth["series"], placement, motion, bold_mm=bold_mm, generator=generator)
    return SyntheticParticipant(
        t1w=_t1w(head, placement["template_to_t1w"], t1w_mm, generator),
        bold=bold,
        eeg_v=_eeg(truth["envelope"], ALPHA_HZ[group], generator),
        motion=motion,
        group=group,
        **placement,
        **truth,
    )


def parcellation():
    """Load the packaged Schaefer atlas with 100 parcels.

    Returns
    -------
    image : nibabel.Nifti1Image
    table : DataFrame
        Columns index, name, hemisphere, network, x, y, z (mm).

    References
    ----------
    .. [1] Schaefer et al., 2018, Cerebral Cortex 28(9). https://doi.org/10.1093/cercor/bhx179
    """
    stem = files("brainfm.data") / "atlases" / "atlas-Schaefer2018_seg-7n_scale-100_dseg"
    image = nib.load(f"{stem}.nii.gz")
    image = nib.Nifti1Image(np.asarray(image.dataobj, dtype=np.int16), image.affine)
    return image, read_tsv(f"{stem}.tsv")


def electrodes_mm():
    """Return the positions of electrodes, reference and fiducials in MNI millimetres.

    Returns
    -------
    positions : dict of str to ndarray of float, shape (3,)
    """
    montage = mne.channels.make_standard_montage("colin27_1005").get_positions()
    names = [*ELECTRODES, REFERENCE]
    points = {name: montage["ch_pos"][name] * 1000 for name in names}
    return points | {name: montage[name] * 1000 for name in FIDUCIALS}


def _activity(n_volumes, generator):
    """Simulate parcel time series, and the alpha envelope that drives the visual parcels."""
    networks = parcellation()[1]["network"].tolist()
    step_s = TR_S / 4
    n_steps = round((synthetic.HRF_S + n_volumes * TR_S) / step_s)
    neural = synthetic.network_sources(networks, n_steps, coupling=0.6, generator=generator)
    series = synthetic.convolve_response(neural, 1 / step_s)[:: round(TR_S / step_s)]
    n_samples = round((synthetic.HRF_S + n_volumes * TR_S) * EEG_HZ)
    envelope = synthetic.alpha_envelope(n_samples, EEG_HZ, generator)
    alpha_bold = synthetic.convolve_response(envelope, EEG_HZ)[:: round(TR_S * EEG_HZ)]
    visual = np.array(networks) == "Vis"
    # Visual BOLD decreases when alpha increases: https://doi.org/10.1097/00001756-200212200-00022
    series[:, visual] = 0.6 * series[:, visual] - 0.8 * alpha_bold[:, None]
    series = (series - series.mean(axis=0)) / series.std(axis=0)
    lead = round(synthetic.HRF_S * EEG_HZ)
    return {"series": series, "envelope": envelope[lead:], "alpha_bold": alpha_bold}


def _placement(generator):
    """Draw the position of the head in the scanner and its motion between T1w and BOLD."""
    size = np.diag([*generator.uniform(0.94, 1.06, 3), 1.0])
    shift = generator.uniform(-1, 1, 6) * ([8] * 3 + [0.12] * 3)
    between = generator.uniform(-1, 1, 6) * ([3] * 3 + [0.05] * 3)
    return {
        "template_to_t1w": synthetic.rigid_matrix(shift) @ size,
        "t1w_to_bold": synthetic.rigid_matrix(between),
    }


@cache
def _head():
    """Return the template at 2 mm with a skull and a scalp around the brain."""
    t1w, grey, white = (template(kind, 1).dataobj[::2, ::2, ::2] for kind in ("t1w", "gm", "wm"))
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


def _grid(voxel_mm):
    """Return shape and affine of a field of view around a head at the origin."""
    shape = np.ceil(np.array([200, 236, 208]) / voxel_mm).astype(int)
    affine = np.diag([voxel_mm] * 3 + [1.0])
    affine[:3, 3] = np.array([0, -18, 10]) - voxel_mm * (shape - 1) / 2
    return tuple(shape), affine


def _sampled(head, key, matrix, voxel_mm):
    """Resample a map of the head to the scanner grid, smoothed to its voxel size."""
    shape, affine = _grid(voxel_mm)
    volume, order = head[key].astype(float), 0
    if key != "labels":
        volume, order = gaussian_filter(volume, voxel_mm / 2 / 2.355), 1
    moved = synthetic.move_volume(
        volume, head["affine"], matrix, shape=shape, target_affine=affine, order=order
    )
    return moved, affine


def _t1w(head, matrix, voxel_mm, generator):
    volume, affine = _sampled(head, "t1w", matrix, voxel_mm)
    volume = 1000 * volume + generator.normal(0, 12, volume.shape)
    return _image(np.abs(volume), affine)


def _bold(head, series, placement, motion, *, bold_mm, generator):
    matrix = placement["t1w_to_bold"] @ placement["template_to_t1w"]
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


def _eeg(envelope, alpha_hz, generator):
    """Simulate alpha, background activity, blinks and line noise at the electrodes, in V."""
    points, (_, table) = electrodes_mm(), parcellation()
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
    signal = signal[:, :-1] - signal[:, -1:]  # reference FCz
    n_channels = signal.shape[1]
    signal += 4e-6 * synthetic.line_noise(n_samples, n_channels, EEG_HZ, LINE_HZ, generator)
    return signal + 0.5e-6 * generator.standard_normal(signal.shape)
