"""Write a cleaned EEG as a BIDS derivative: BrainVision with its tables and sidecars."""

from functools import partial

import numpy as np
import pandas as pd
from pybv import write_brainvision

from brainfm.files import atomic_files, write_json, write_tsv
from brainfm.storage.derivatives.names import derivative_path

_ABOUT_CHANNELS = {
    "Description": "Channels of the cleaned EEG",
    "original_name": {"Description": "Name of the channel in the raw recording"},
}
_LANDMARKS = {"nasion": "NAS", "lpa": "LPA", "rpa": "RPA"}


def write_eeg_derivative(run, clean, out_dir, *, sidecar, channels, quality):
    """Write one cleaned run; all files are moved into place together, the header last.

    Parameters
    ----------
    run : brainfm.storage.bids.read_eeg.EegRun
    clean : mne.io.Raw
        EEG in volts with positions.
    out_dir : path
        Root of the derivative dataset.
    sidecar : dict
        Content of ``*_desc-preproc_eeg.json``.
    channels : DataFrame
        Content of ``*_desc-preproc_channels.tsv``.
    quality : dict
        Content of ``*_desc-eeg_qc.json``.

    Returns
    -------
    vhdr_file : Path
        BrainVision header.

    Raises
    ------
    CannotCreateOutput
        If the folder cannot be created.
    ReadWriteFailed
        If writing fails, for instance on a full disk.
    DataError
        If the name of the run holds an entity that BIDS does not have for EEG.

    Notes
    -----
    Each recording has its own table of electrodes, since channels without a position differ
    between recordings of one participant. BIDS has no ``run`` for coordinate systems.
    """
    path = partial(derivative_path, out_dir, run.path, datatype="eeg")
    vhdr_file = path(desc="preproc", suffix="eeg", extension=".vhdr")
    with atomic_files(vhdr_file.parent, last=".vhdr") as temporary:
        tables = sidecar, channels, quality
        _write_all(lambda **name: temporary / path(**name).name, run, clean, tables)
    return vhdr_file


def _write_all(path, run, clean, tables):
    sidecar, channels, quality = tables
    cleaned = partial(path, desc="preproc")
    vhdr_file = cleaned(suffix="eeg", extension=".vhdr")
    write_brainvision(
        data=clean.get_data(),
        sfreq=clean.info["sfreq"],
        ch_names=clean.ch_names,
        fname_base=vhdr_file.stem,
        folder_out=vhdr_file.parent,
        events=_markers(run.events, clean),
        meas_date=None,  # a date of recording may identify a person
    )
    write_json(cleaned(suffix="eeg", extension=".json"), sidecar)
    write_tsv(cleaned(suffix="channels", extension=".tsv"), channels)
    write_json(cleaned(suffix="channels", extension=".json"), _ABOUT_CHANNELS)
    write_json(path(desc="eeg", suffix="qc", extension=".json"), quality)
    if run.events is not None:
        events = _events(run.events, clean.info["sfreq"])
        write_tsv(cleaned(suffix="events", extension=".tsv"), events)
        about = {"Description": "Events of the raw recording; onsets in seconds are unchanged"}
        write_json(cleaned(suffix="events", extension=".json"), {**about, **run.about_events})
    _write_positions(partial(path, space="CapTrak"), run, clean)


def _events(events, sampling_hz):
    """Keep onsets in seconds; convert the column of samples to the new sampling rate."""
    events = events.copy()
    if "sample" in events:
        onset = pd.to_numeric(events["onset"], errors="coerce")
        events["sample"] = (onset * sampling_hz).round().astype("Int64")
    return events


def _markers(events, clean):
    """Return events inside the recording as BrainVision comments."""
    if events is None:
        return None
    onset = pd.to_numeric(events["onset"], errors="coerce")
    duration = pd.to_numeric(events.get("duration", onset * np.nan), errors="coerce").fillna(0)
    named = next((column for column in ("trial_type", "value") if column in events), None)
    text = events[named].astype(str) if named else pd.Series("event", index=events.index)
    start = (onset * clean.info["sfreq"]).round()
    inside = start.between(0, clean.n_times - 1)
    length = (duration * clean.info["sfreq"]).round().clip(lower=1)
    length = np.minimum(length, clean.n_times - start)
    return [
        {"onset": int(s), "duration": int(d), "description": t, "type": "Comment"}
        for s, d, t in zip(start[inside], length[inside], text[inside], strict=True)
    ]


def _write_positions(path, run, clean):
    montage = clean.get_montage().get_positions()
    positions = np.array([montage["ch_pos"][name] for name in clean.ch_names])
    table = pd.DataFrame(positions.round(6), columns=["x", "y", "z"])
    table.insert(0, "name", clean.ch_names)
    write_tsv(path(suffix="electrodes", extension=".tsv"), table)
    about = {
        "Description": f"Positions of the electrodes, from {run.origin_of_positions}",
        "SpatialReference": "Head of the participant (CapTrak), see the coordinate system",
    }
    write_json(path(suffix="electrodes", extension=".json"), about)
    system = {
        "EEGCoordinateSystem": "CapTrak",
        "EEGCoordinateUnits": "m",
        "EEGCoordinateSystemDescription": "RAS, origin between the ears, nasion on the y axis. "
        f"Positions from {run.origin_of_positions}.",
    }
    landmarks = {
        name: montage[key].round(6) for key, name in _LANDMARKS.items() if montage[key] is not None
    }
    if landmarks:
        system["AnatomicalLandmarkCoordinates"] = landmarks
        system["AnatomicalLandmarkCoordinateSystem"] = "CapTrak"
        system["AnatomicalLandmarkCoordinateUnits"] = "m"
    write_json(path(run=None, suffix="coordsystem", extension=".json"), system)
