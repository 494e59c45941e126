"""Parcel time series of BOLD (TSV), read lazily."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.errors import DataError, MissingInput
from brainfm.files import read_json, read_tsv
from brainfm.recording import Recording
from brainfm.storage.bids.names import entities_of
from brainfm.storage.derivatives.labels import dataset_root, labels_of


def read_timeseries(path, positions=None):
    """Open one TSV of parcel time series; the values are read lazily.

    Parameters
    ----------
    path : path
        ``*_atlas-<label>[_...]_timeseries.tsv``: one column a parcel, one row a volume,
        ``n/a`` for parcels outside the scan. Its JSON sidecar names ``SamplingFrequency`` (Hz)
        or ``RepetitionTime`` (s) and may name ``Positions``.
    positions : path, optional
        Table of the atlas: name, x, y, z in MNI millimetres.

    Returns
    -------
    Recording
        In the units of the file.

    Raises
    ------
    MissingInput
        If the file, its sidecar or its positions do not exist.
    DataError
        If the table is malformed, or parcels are missing from the table of the atlas.
    """
    path = Path(path)
    sidecar = read_json(path.with_suffix(".json"))
    header, first, n_times = _peek(path)
    return Recording(
        read=_ReadSeries(str(path)),
        shape=(n_times, len(header)),
        sampling_hz=_sampling_hz(path, sidecar),
        modality="bold",
        channels=header,
        positions=_parcel_positions(path, header, sidecar, positions),
        mask=np.array([value not in ("n/a", "", "nan", "NaN") for value in first]),
        **labels_of(path),
    )


@dataclass(frozen=True)
class _ReadSeries:
    """Reader of a TSV of parcel series."""

    path: str

    def __call__(self):
        try:
            frame = pd.read_csv(self.path, sep="\t", na_values=["n/a"], dtype=np.float32)
        except OSError as error:
            raise MissingInput(f"{self.path} cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise DataError(f"{self.path} holds values that are not numbers: {error}.") from error
        return frame.to_numpy()


def _peek(path):
    """Return the column names, the first row as text and the number of rows."""
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
            "expected one column per parcel and one row per volume."
        )
    return tuple(header), first, n_times


def _sampling_hz(path, sidecar):
    sampling, repetition = sidecar.get("SamplingFrequency"), sidecar.get("RepetitionTime")
    if sampling is None and repetition is None:
        raise DataError(
            f"{path.with_suffix('.json')} has neither SamplingFrequency (Hz) nor "
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
            f"{path.name} ({', '.join(lost[:3])}): give the table of the atlas of these series."
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
    frame = read_tsv(table)
    if not {"name", "x", "y", "z"} <= set(frame):
        raise DataError(f"{table} has columns {', '.join(frame)}; expected name, x, y and z.")
    return dict(zip(frame["name"], frame[["x", "y", "z"]].to_numpy().tolist(), strict=True))
