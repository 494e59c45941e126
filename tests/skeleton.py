"""A raw BIDS dataset small enough to be written for each test."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

N_PARCELS, N_TIMES = 8, 90
EEG_CHANNELS = ["Fp1", "Fp2", "C3", "C4", "O1", "O2"]


def write_skeleton(dest, participants=("01", "02"), *, bold=True, eeg=True, tasks=("rest",)):
    """Write a dataset of tiny files that can be read: noise, nothing to make sense of."""
    dest = Path(dest)
    write(dest / "dataset_description.json", {"Name": "skeleton", "BIDSVersion": "1.9.0"})
    write(dest / "task-rest_bold.json", {"RepetitionTime": 2.0, "TaskName": "rest"})
    rows = "".join(f"sub-{label}\t{20 + i}\n" for i, label in enumerate(participants))
    (dest / "participants.tsv").write_text("participant_id\tage\n" + rows)
    for number, label in enumerate(participants):
        for task in tasks:
            if bold:
                write_mri(dest, label, task=task, seed=number)
            if eeg:
                write_eeg(dest, label, task=task, seed=number)
    return dest


def write_mri(dest, label, *, task="rest", seed=0):
    """Write a T1w image and a BOLD run of 12 volumes."""
    rng = np.random.default_rng(seed)
    folder = Path(dest) / f"sub-{label}"
    for name, shape in {
        f"anat/sub-{label}_T1w.nii.gz": (6, 6, 6),
        f"func/sub-{label}_task-{task}_bold.nii.gz": (6, 6, 6, 12),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        data = rng.integers(0, 1000, shape).astype(np.int16)
        nib.save(nib.Nifti1Image(data, np.diag([8, 8, 8, 1])), folder / name)


def write_eeg(dest, label, *, task="rest", seed=0, channels=EEG_CHANNELS, sampling_hz=100):
    """Write twelve seconds of EEG as EDF."""
    rng = np.random.default_rng(seed)
    folder = Path(dest) / f"sub-{label}" / "eeg"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{label}_task-{task}"
    samples = rng.integers(-300, 300, (12, len(channels), sampling_hz)).astype("<i2")
    (folder / f"{stem}_eeg.edf").write_bytes(
        _edf_header(channels, sampling_hz, 12) + samples.tobytes()
    )
    write(
        folder / f"{stem}_eeg.json",
        {"TaskName": task, "PowerLineFrequency": 50, "SamplingFrequency": sampling_hz,
         "EEGReference": "Cz", "SoftwareFilters": "n/a"},
    )  # fmt: skip
    lines = [f"{name}\tEEG\tuV\n" for name in channels]
    (folder / f"{stem}_channels.tsv").write_text("name\ttype\tunits\n" + "".join(lines))


def write_person(root, label, *, coupled, seed):
    """Write parcel series; in one of two groups neighbouring parcels go together."""
    rng = np.random.default_rng(seed)
    series = rng.standard_normal((N_TIMES, N_PARCELS))
    if coupled:
        series += 2 * rng.standard_normal((N_TIMES, 1))
    names = [f"p{number}" for number in range(N_PARCELS)]
    stem = (
        root / f"sub-{label}" / "func" / f"sub-{label}_task-rest_atlas-X_desc-denoised_timeseries"
    )
    stem.parent.mkdir(parents=True)
    frame = pd.DataFrame(series, columns=names)
    frame.to_csv(stem.with_suffix(".tsv"), sep="\t", index=False, float_format="%.5g")
    places = {name: [8.0 * number - 30, 10, 20] for number, name in enumerate(names)}
    write(stem.with_suffix(".json"), {"RepetitionTime": 2.0, "Positions": places})


def write(path, data):
    """Write JSON."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def _edf_header(channels, sampling_hz, n_records):
    n = len(channels)

    def text(value, width):
        return str(value).ljust(width).encode("ascii")

    head = [text("0", 8), text("X X X X", 80), text("Startdate X X X X", 80), text("01.01.20", 8),
            text("00.00.00", 8), text(256 * (n + 1), 8), text("", 44), text(n_records, 8),
            text(1, 8), text(n, 4)]  # fmt: skip
    columns = [(channels, 16), ([""] * n, 80), (["uV"] * n, 8), ([-1000] * n, 8), ([1000] * n, 8),
               ([-1000] * n, 8), ([1000] * n, 8), ([""] * n, 80), ([sampling_hz] * n, 8),
               ([""] * n, 32)]  # fmt: skip
    return b"".join(head + [text(value, width) for values, width in columns for value in values])
