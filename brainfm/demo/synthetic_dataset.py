"""Write synthetic participants as a raw BIDS dataset."""

from importlib.resources import files
from pathlib import Path

import mne
import nibabel as nib
import numpy as np
import pandas as pd
import pybv

from brainfm.demo.synthetic_participant import (
    EEG_HZ,
    ELECTRODES,
    FIDUCIALS,
    REFERENCE,
    TR_S,
    electrodes_mm,
    synthetic_participant,
)
from brainfm.files import atomic, read_json, write_json, write_text, write_tsv

_PACKAGED = files("brainfm.data") / "synthetic"


def write_synthetic_dataset(dest, *, participants=1, seed=0, size="tiny"):
    """Write synthetic participants ``sub-synthetic01``, ``sub-synthetic02`` ... as raw BIDS.

    Each participant has a T1w image and a resting-state run of simultaneous BOLD and EEG. Column
    ``group`` of ``participants.tsv`` is the simulated alpha frequency.

    Parameters
    ----------
    dest : path
        Folder of the dataset; created if necessary.
    participants : int
        Number of participants.
    seed : int
        The same seed gives the same participants.
    size : {"tiny", "demo"}
        Voxel sizes and duration, see :data:`brainfm.demo.synthetic_participant.SIZES`.

    Returns
    -------
    dest : Path

    See Also
    --------
    brainfm.demo.synthetic_participant.synthetic_participant : simulated truth of a participant.
    """
    dest = Path(dest)
    rows = []
    for index in range(participants):
        participant = synthetic_participant(index, seed=seed, size=size)
        label = f"synthetic{index + 1:02d}"
        rows.append(write_synthetic_participant(dest, participant, label))
    for name in ("dataset_description.json", "README.md", "participants.json"):
        write_text(dest / name, (_PACKAGED / name).read_text(encoding="utf8"))
    write_tsv(dest / "participants.tsv", pd.DataFrame(rows))
    return dest


def write_synthetic_participant(dest, participant, label):
    """Write one participant to a dataset.

    Parameters
    ----------
    dest : Path
        Folder of the dataset.
    participant : SyntheticParticipant
    label : str
        Without ``sub-``.

    Returns
    -------
    row : dict
        Row of ``participants.tsv``.
    """
    name, stem = f"sub-{label}", f"sub-{label}_task-rest"
    folder = dest / name
    _write_image(folder / "anat" / f"{name}_T1w.nii.gz", participant.t1w)
    write_json(folder / "anat" / f"{name}_T1w.json", read_json(_PACKAGED / "T1w.json"))
    _write_image(folder / "func" / f"{stem}_bold.nii.gz", participant.bold)
    write_json(folder / "func" / f"{stem}_bold.json", read_json(_PACKAGED / "bold.json"))
    _write_eeg(folder / "eeg", name, stem, participant)
    runs = [f"func/{stem}_bold.nii.gz", f"eeg/{stem}_eeg.vhdr"]
    scans = pd.DataFrame({"filename": runs, "acq_time": "1925-01-01T12:00:00"})
    write_tsv(folder / f"{name}_scans.tsv", scans)
    return {"participant_id": name, "kind": "synthetic", "group": participant.group}


def _write_image(path, image):
    with atomic(path) as partial:
        nib.save(image, partial)


def _write_eeg(folder, name, stem, participant):
    onsets = np.arange(len(participant.series)) * TR_S
    samples = np.round(onsets * EEG_HZ).astype(int)
    pybv.write_brainvision(
        data=participant.eeg_v.T, sfreq=EEG_HZ, ch_names=list(ELECTRODES), ref_ch_names=REFERENCE,
        fname_base=f"{stem}_eeg", folder_out=folder, overwrite=True, resolution=0.05,
        fmt="binary_int16",
        events=[{"onset": int(s), "description": 128, "type": "Response"} for s in samples],
    )  # fmt: skip
    sidecar = read_json(_PACKAGED / "eeg.json") | {"RecordingDuration": len(onsets) * TR_S}
    write_json(folder / f"{stem}_eeg.json", sidecar)
    channels = {"name": ELECTRODES, "type": "EEG", "units": "µV", "reference": REFERENCE,
                "sampling_frequency": EEG_HZ, "status": "good"}  # fmt: skip
    write_tsv(folder / f"{stem}_channels.tsv", pd.DataFrame(channels))
    events = {"onset": onsets, "duration": 0.0, "trial_type": "volume", "sample": samples}
    write_tsv(folder / f"{stem}_events.tsv", pd.DataFrame(events))
    _write_electrodes(folder, name)


def _write_electrodes(folder, name):
    """Write electrode positions in CapTrak coordinates (x: ears, y: nasion), in m."""
    points = {key: point / 1000 for key, point in electrodes_mm().items()}
    montage = mne.channels.make_dig_montage(
        {key: points[key] for key in ELECTRODES},
        **{key: points[key] for key in FIDUCIALS},
        coord_frame="mri",
    )
    head = mne.channels.montage.transform_to_head(montage).get_positions()
    table = pd.DataFrame(head["ch_pos"], index=list("xyz")).T.round(5)
    table = table.loc[list(ELECTRODES)].reset_index(names="name")
    write_tsv(folder / f"{name}_space-CapTrak_electrodes.tsv", table)
    marks = {k.upper() if k != "nasion" else "NAS": head[k].round(5) for k in FIDUCIALS}
    system = read_json(_PACKAGED / "coordsystem.json") | {"AnatomicalLandmarkCoordinates": marks}
    write_json(folder / f"{name}_space-CapTrak_coordsystem.json", system)
