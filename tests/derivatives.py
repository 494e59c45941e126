"""Small datasets of standardised recordings, as the participant level or others write them."""

import json

import numpy as np
import pandas as pd
from brains import bold, eeg

from brainfm.storage.corpus.manifest import key_of, read_manifest


def write_dataset(root, name, participants, **options):
    """Write parcel series of several participants; seeds differ between datasets."""
    root.mkdir(parents=True)
    (root / "dataset_description.json").write_text(json.dumps({"Name": name}))
    for number, participant in enumerate(participants):
        write_series(root, participant, seed=100 * len(name) + number, **options)
    return root


def write_two_datasets(folder):
    """Return the roots of two datasets, seven recordings in all; the first has both modalities."""
    one = write_dataset(folder / "one", "One", ["01", "02", "03"], tr_s=2.2)
    write_clean_eeg(one, "01")
    write_clean_eeg(one, "02", seed=1, sampling_hz=128)
    return [one, write_dataset(folder / "two", "Second", ["01", "x"], n_channels=30, tr_s=3.0)]


def labels(corpus):
    """Labels of all recordings of a corpus, without those that are absent."""
    rows = read_manifest(corpus).to_dict("records")
    return {tuple(filter(None, key_of(row))) for row in rows}


def stored(corpus):
    """All files of a corpus but the manifest, and when each was written."""
    return {p: p.stat().st_mtime_ns for name in ("recordings", "prepared", "layouts")
            for p in (corpus / name).iterdir()}  # fmt: skip


def write_series(
    root, participant, *, seed=0, task="rest", more="", atlas="X", scale_mm=1.0, edit=None,
    **options,
):  # fmt: skip
    """Write one run of parcel series and return its path.

    ``more`` are further entities of its name, and ``edit`` changes the table.
    """
    recording = bold(seed, **options)
    stem = f"sub-{participant}_task-{task}{more}_atlas-{atlas}_timeseries"
    path = root / f"sub-{participant}" / "func" / f"{stem}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(recording.signal, columns=[f"p{n}" for n in range(recording.shape[1])])
    places = dict(zip(frame, (scale_mm * recording.positions).tolist(), strict=True))
    if edit:
        edit(frame)
    frame.to_csv(path, sep="\t", index=False, na_rep="n/a")
    sidecar = {"RepetitionTime": 1 / recording.sampling_hz, "Positions": places}
    path.with_suffix(".json").write_text(json.dumps(sidecar))
    return path


def write_clean_eeg(root, participant, *, seed=0, scale=1.0, places=1.0, sampling_hz=200):
    """Write one clean EEG with its electrodes; ``scale`` and ``places`` put units wrong."""
    import pybv

    recording = eeg(seed, n_channels=5, sampling_hz=sampling_hz)
    folder = root / f"sub-{participant}" / "eeg"
    folder.mkdir(parents=True, exist_ok=True)
    names = ["Fz", "Cz", "Pz", "Oz", "F3"]
    stem = f"sub-{participant}_task-rest"
    pybv.write_brainvision(
        data=recording.signal.T.astype(float) * scale, sfreq=sampling_hz, ch_names=names,
        fname_base=f"{stem}_desc-preproc_eeg", folder_out=str(folder), fmt="binary_float32",
        overwrite=True,
    )  # fmt: skip
    table = pd.DataFrame(recording.positions * places, columns=list("xyz"))
    table.insert(0, "name", names)
    table.to_csv(folder / f"sub-{participant}_electrodes.tsv", sep="\t", index=False)
    status = pd.DataFrame({"name": names, "type": "EEG", "status": ["bad"] + ["good"] * 4})
    status.to_csv(folder / f"{stem}_desc-preproc_channels.tsv", sep="\t", index=False)
    return folder / f"{stem}_desc-preproc_eeg.vhdr"


def holes(frame):
    """Put a sample that is missing into every parcel."""
    for number, name in enumerate(frame):
        frame.loc[number + 3, name] = np.nan
