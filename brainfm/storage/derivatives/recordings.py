"""Standardised recordings on disk: parcel series (TSV) and clean EEG (BrainVision), read lazily."""

import logging
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.errors import DataError, MissingInput, SignalError
from brainfm.files import read_json
from brainfm.recording import Recording
from brainfm.storage.bids.electrodes import position_files, read_electrodes
from brainfm.storage.bids.names import entities_of

log = logging.getLogger("brainfm")

_TYPES_OF_EEG = ("eeg",)


def find_recordings(root, *, modality=None, positions=None, **labels):
    """Find the standardised recordings of a derivative dataset.

    Parameters
    ----------
    root : path
        Folder with ``sub-*`` folders: an output folder of brainfm, or another dataset of
        parcel series named ``*_atlas-<label>[_...]_timeseries.tsv``.
    modality : {"bold", "eeg"}, optional
    positions : path, optional
        Table of the atlas (columns name, x, y, z in MNI millimetres) for series whose sidecar
        names no positions and whose dataset has no ``atlas-<label>_dseg.tsv``.
    **labels
        ``participant``, ``session``, ``task``, ``run``: one label or several, with or without
        the prefix (``sub-``, ``ses-``); ``atlas``: the label of the parcellation.

    Returns
    -------
    recordings : list of Recording, by path

    Raises
    ------
    MissingInput
        If the folder does not exist, or a recording has no positions.
    DataError
        If a file is not what its name says.
    """
    root = Path(root)
    if not root.is_dir():
        raise MissingInput(f"{root} is no folder: give the root of a derivative dataset.")
    wanted = {key: _as_labels(key, value) for key, value in labels.items() if value is not None}
    found = []
    for path in _standardised_files(root, wanted.get("participant")):
        kind = "eeg" if path.suffix == ".vhdr" else "bold"
        if modality in (None, kind) and _matches(path, wanted):
            try:
                found.append(read_eeg(path) if kind == "eeg" else read_timeseries(path, positions))
            except SignalError as error:
                raise SignalError(f"{path}: {error}") from error
    return found


def mean_fd_of(recording):
    """Return the mean framewise displacement (mm) of a run prepared by brainfm, or NaN."""
    path = Path(recording.source or "")
    stem = path.name.split("_space-")[0].split("_atlas-")[0]
    quality = path.parent / f"{stem}_desc-bold_qc.json"
    if recording.modality != "bold" or not recording.source or not quality.is_file():
        return float("nan")
    found = read_json(quality).get("fd_mean_mm")
    return float("nan") if found is None else float(found)


def tasks_of(root):
    """Return the tasks the standardised recordings of a dataset have, by their names alone."""
    tasks = {entities_of(path).get("task") for path in _standardised_files(Path(root), None)}
    return tasks - {None}


def read_timeseries(path, positions=None):
    """Describe one TSV of parcel time series; the numbers are read when asked for.

    Parameters
    ----------
    path : path
        ``*_atlas-<label>[_...]_timeseries.tsv``: one column a parcel, one row a volume,
        ``n/a`` for parcels outside the scan. Its JSON sidecar names ``SamplingFrequency`` (Hz)
        or ``RepetitionTime`` (s) and may name ``Positions``.
    positions : path, optional
        Table of the atlas: name, x, y, z in MNI millimetres.

    Raises
    ------
    MissingInput
        If the file, its sidecar or its positions are not there.
    DataError
        If the table is empty, or parcels are missing from the table of the atlas.
    """
    path = Path(path)
    sidecar = read_json(path.with_suffix(".json"))
    header, first, n_times = _peek(path)
    return Recording(
        read=_Series(str(path)),
        shape=(n_times, len(header)),
        sampling_hz=_sampling_hz(path, sidecar),
        modality="bold",
        channels=header,
        positions=_parcel_positions(path, header, sidecar, positions),
        mask=np.array([value not in ("n/a", "", "nan", "NaN") for value in first]),
        **_labels_of(path),
    )


def read_eeg(path):
    """Describe one clean EEG in BrainVision format; the samples are read when asked for.

    Channels marked bad in ``channels.tsv`` and channels without a position are masked; channels
    that are no EEG are left out.

    Parameters
    ----------
    path : path
        ``*_eeg.vhdr`` with ``*_channels.tsv`` beside it and an ``*_electrodes.tsv`` of the same
        participant in the folder.

    Raises
    ------
    MissingInput
        If there is no such file, or no table of electrode positions.
    DataError
        If the header cannot be read, or no EEG channel has a position.
    """
    path = Path(path)
    info, n_times = _eeg_header(path)
    names = _eeg_names(path, info["ch_names"])
    places, table = _electrode_positions(path)
    positions = np.array([places.get(name, (np.nan,) * 3) for name in names]).reshape(-1, 3)
    placed = np.isfinite(positions).all(axis=1)
    if not placed.any():
        raise DataError(
            f"{table} has a position for none of the EEG channels of {path.name} "
            f"({', '.join(names[:3])}, ...): their names must agree."
        )
    if not placed.all():
        lost = [name for name, has in zip(names, placed, strict=True) if not has]
        log.warning("%s: no position for %s; masked", path.name, ", ".join(lost))
    return Recording(
        read=_Eeg(str(path), names),
        shape=(n_times, len(names)),
        sampling_hz=float(info["sfreq"]),
        modality="eeg",
        channels=names,
        positions=positions,
        mask=placed & ~_is_bad(path, names),
        **_labels_of(path),
    )


@dataclass(frozen=True)
class _Series:
    """Reads a TSV of parcel series."""

    path: str

    def __call__(self):
        try:
            frame = pd.read_csv(self.path, sep="\t", na_values=["n/a"], dtype=np.float32)
        except OSError as error:
            raise MissingInput(f"{self.path} cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise DataError(f"{self.path} holds something that is no number: {error}.") from error
        return frame.to_numpy()


@dataclass(frozen=True)
class _Eeg:
    """Reads the samples of a BrainVision recording, in volts."""

    path: str
    names: tuple[str, ...]

    def __call__(self):
        raw = _open_brainvision(self.path)
        return raw.get_data(picks=list(self.names)).T.astype(np.float32)


def _as_labels(key, value):
    values = [value] if isinstance(value, str) else list(value)
    prefix = {"participant": "sub-", "session": "ses-"}.get(key, f"{key}-")
    return {str(item).removeprefix(prefix) for item in values}


def _standardised_files(root, participants):
    for folder in sorted(root.glob("sub-*")):
        if participants is not None and folder.name.removeprefix("sub-") not in participants:
            continue
        for pattern in (
            "func/*_timeseries.tsv",
            "ses-*/func/*_timeseries.tsv",
            "eeg/*_desc-preproc_eeg.vhdr",
            "ses-*/eeg/*_desc-preproc_eeg.vhdr",
        ):
            for path in sorted(folder.glob(pattern)):
                if path.suffix == ".vhdr" or "atlas" in entities_of(path):
                    yield path


def _matches(path, wanted):
    entities = entities_of(path)
    short = {"participant": "sub", "session": "ses"}
    return all(entities.get(short.get(key, key)) in values for key, values in wanted.items()
               if key != "atlas" or path.suffix != ".vhdr")  # fmt: skip


def _labels_of(path):
    entities, root = entities_of(path), dataset_root(path)
    participant = entities.get("sub", "unknown")
    return {
        "participant": participant,
        "session": entities.get("ses"),
        "task": entities.get("task"),
        "run": entities.get("run"),
        "dataset": _dataset_name(str(root)),
        "site": _sites(str(root)).get(participant),
        "source": str(path),
    }


def dataset_root(path):
    """Folder of the dataset a file of a participant lies in: the one above ``sub-*``."""
    for folder in Path(path).absolute().parents:
        if folder.name.startswith("sub-"):
            return folder.parent
    return Path(path).absolute().parent


@lru_cache(maxsize=64)
def _dataset_name(root):
    """Name of the raw dataset where a derivative says which it is, else its own name."""
    description = _description(root)
    raw = description.get("DatasetLinks", {}).get("raw")
    source = _description(Path(root) / raw) if raw else {}
    return source.get("Name") or description.get("Name") or Path(root).name


def _description(root):
    path = Path(root) / "dataset_description.json"
    return read_json(path) if path.exists() else {}


@lru_cache(maxsize=64)
def _sites(root):
    table = Path(root) / "participants.tsv"
    if not table.exists():
        return {}
    frame = pd.read_csv(table, sep="\t", dtype=str, na_values=["n/a"])
    column = next((name for name in ("site", "site_id") if name in frame), None)
    if column is None or "participant_id" not in frame:
        return {}
    frame = frame.dropna(subset=[column])
    return {
        label.removeprefix("sub-"): site
        for label, site in zip(frame["participant_id"], frame[column], strict=True)
    }


def _peek(path):
    """Names of the columns, first row as text, and number of rows."""
    try:
        with path.open("rb") as stream:
            header = stream.readline().decode("utf8").rstrip("\r\n").split("\t")
            first = stream.readline().decode("utf8").rstrip("\r\n").split("\t")
            rest = stream.read()
    except OSError as error:
        raise MissingInput(f"{path} cannot be read ({error.strerror}).") from error
    n_times = 1 + rest.count(b"\n") + (bool(rest) and not rest.endswith(b"\n"))
    if len(first) != len(header):
        raise DataError(
            f"{path} has {len(header)} column names and {len(first)} values in its first row: "
            "expected one column a parcel and one row a volume."
        )
    return tuple(header), first, n_times


def _sampling_hz(path, sidecar):
    sampling, repetition = sidecar.get("SamplingFrequency"), sidecar.get("RepetitionTime")
    if sampling is None and repetition is None:
        raise DataError(
            f"{path.with_suffix('.json')} names neither SamplingFrequency (Hz) nor "
            "RepetitionTime (s): add one of them."
        )
    return float(sampling) if sampling is not None else 1 / float(repetition)


def _parcel_positions(path, names, sidecar, table):
    if table is None and "Positions" in sidecar:
        known, source = sidecar["Positions"], f"Positions in {path.with_suffix('.json').name}"
    else:
        source = Path(table) if table is not None else _atlas_table(path)
        known = _read_atlas(str(source))
    lost = [name for name in names if name not in known]
    if lost:
        raise DataError(
            f"{source} has no position for {len(lost)} of the {len(names)} parcels of "
            f"{path.name} ({', '.join(lost[:3])}): give the table of the atlas these series "
            "were made with."
        )
    return np.array([known[name] for name in names], dtype=float)


def _atlas_table(path):
    entities, root = entities_of(path), dataset_root(path)
    exact = root / f"atlas-{entities['atlas']}_dseg.tsv"
    if exact.exists():
        return exact
    raise MissingInput(
        f"no positions for the parcels of {path.name}: expected Positions in its sidecar or "
        f"{exact.name} (name, x, y, z in MNI mm) in {root}; or give the table as positions=."
    )


@lru_cache(maxsize=16)
def _read_atlas(table):
    try:
        frame = pd.read_csv(table, sep="\t")
    except OSError as error:
        raise MissingInput(f"{table} cannot be read ({error.strerror}).") from error
    if not {"name", "x", "y", "z"} <= set(frame):
        raise DataError(f"{table} has columns {', '.join(frame)}; expected name, x, y and z.")
    return dict(zip(frame["name"], frame[["x", "y", "z"]].to_numpy().tolist(), strict=True))


def _open_brainvision(path):
    import mne  # slow to import, and parcel series do without

    try:
        return mne.io.read_raw_brainvision(path, preload=False, verbose="error")
    except FileNotFoundError as error:
        raise MissingInput(f"{path} cannot be read ({error}).") from error
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise DataError(f"{path} is no BrainVision recording MNE can read: {error}.") from error


def _eeg_header(path):
    raw = _open_brainvision(path)
    return raw.info, raw.n_times


def _channels_table(path):
    table = path.with_name(path.name.removesuffix("_eeg.vhdr") + "_channels.tsv")
    return pd.read_csv(table, sep="\t", dtype=str).set_index("name") if table.exists() else None


def _eeg_names(path, names):
    table = _channels_table(path)
    if table is None or "type" not in table:
        return tuple(names)
    kinds = table["type"].str.lower()
    return tuple(name for name in names if kinds.get(name, "eeg") in _TYPES_OF_EEG)


def _is_bad(path, names):
    table = _channels_table(path)
    if table is None or "status" not in table:
        return np.zeros(len(names), bool)
    return np.array([table["status"].get(name) == "bad" for name in names])


def _electrode_positions(path):
    """Return the positions in metres by electrode name, and the file they are from."""
    table, system = position_files(path)
    if table is None:
        raise MissingInput(
            f"no *_electrodes.tsv for {path.name} in {path.parent}: brainfm needs the position of "
            "each electrode; write them in metres as BIDS says."
        )
    return read_electrodes(table, system, unit="m"), table
