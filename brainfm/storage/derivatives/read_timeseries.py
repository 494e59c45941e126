"""Parcel time series of BOLD (TSV), of brainfm and of other programs, read lazily."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.errors import DataError, MissingInput
from brainfm.recording import Recording
from brainfm.storage.bids.names import entities_of
from brainfm.storage.derivatives.labels import labels_of
from brainfm.storage.derivatives.parcel_positions import parcel_positions
from brainfm.storage.derivatives.series_sidecar import kept_frames, sampling_hz_of, series_sidecar

log = logging.getLogger("brainfm")
_MISSING = ("n/a", "", "nan", "NaN", "NA", "N/A")


def read_timeseries(path, positions=None):
    """Open one TSV of parcel time series; the values are read lazily.

    Parameters
    ----------
    path : path
        ``*_timeseries.tsv``: one column a parcel, with or without a row of names, one row a
        volume. A row of ``n/a`` is a censored frame, a column of ``n/a`` a parcel outside the
        scan. Its JSON sidecar names ``SamplingFrequency`` (Hz) or ``RepetitionTime`` (s) and may
        name ``Positions``. Frames that XCP-D censored, which it removes or interpolates, are
        restored as ``n/a`` from its ``*_outliers.tsv``.
    positions : path, optional
        Table of the atlas: name, x, y, z in MNI millimetres; or its label image with a table.

    Returns
    -------
    Recording
        In the units of the file; NaN in all parcels of a censored frame.

    Raises
    ------
    MissingInput
        If the file or its positions do not exist.
    DataError
        If the table is malformed, its repetition time is absent or implausible, or parcels are
        missing from the table of the atlas.
    """
    path = Path(path)
    if "sub" not in entities_of(path):
        raise DataError(f"{path} has no sub-<label> in its name: rename it and its sidecar.")
    names, first, n_rows = _peek(path)
    sidecar = series_sidecar(path)
    sampling_hz = sampling_hz_of(path, sidecar)
    kept = kept_frames(path, n_rows)
    channels, places = parcel_positions(
        path, names or tuple(str(n) for n in range(len(first))), sidecar, positions
    )
    _warn_of_unknown_times(path, sidecar)
    return Recording(
        read=_ReadSeries(
            path=str(path),
            n_rows=n_rows,
            has_names=bool(names),
            kept=None if kept is None else kept.tobytes(),
        ),
        shape=(n_rows if kept is None else len(kept), len(channels)),
        sampling_hz=sampling_hz,
        modality="bold",
        channels=channels,
        positions=places,
        mask=np.array([value not in _MISSING for value in first]),
        **labels_of(path),
    )


@dataclass(frozen=True, kw_only=True)
class _ReadSeries:
    """Reader of a TSV of parcel series; ``kept`` is a bool for each frame."""

    path: str
    n_rows: int
    has_names: bool
    kept: bytes | None

    def __call__(self):
        header = {} if self.has_names else {"header": None}
        try:
            frame = pd.read_csv(
                self.path, sep="\t", na_values=list(_MISSING), dtype=np.float32,
                skip_blank_lines=False,
                nrows=self.n_rows, **header,
            )  # fmt: skip
        except OSError as error:
            raise MissingInput(f"{self.path} cannot be read ({error.strerror}).") from error
        except ValueError as error:
            raise DataError(f"{self.path} holds values that are not numbers: {error}.") from error
        series = frame.to_numpy()
        if self.kept is None:
            return series
        kept = np.frombuffer(self.kept, dtype=bool)
        whole = np.full((len(kept), series.shape[1]), np.nan, dtype=np.float32)
        whole[kept] = series[kept] if len(series) == len(kept) else series
        return whole


def _peek(path):
    """Return the column names, the values of the first row with any, and the number of rows.

    Names are empty where the first row holds values. Only the beginning is parsed.
    """
    try:
        with path.open("rb") as stream:
            names = first = _cells(stream)
            has_names = not all(map(_is_value, names)) or _are_numbers_of_parcels(names)
            n_read = int(not has_names)
            while first and (n_read == 0 or (len(first) == len(names) and _are_missing(first))):
                first, n_read = _cells(stream), n_read + 1
            rest = stream.read().rstrip(b"\r\n")
    except OSError as error:
        raise MissingInput(f"{path} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a table in UTF-8: copy or convert it again.") from error
    n_rows = n_read + rest.count(b"\n") + bool(rest)
    if not first and n_read > 1:
        n_rows, first = n_rows - 1, ["n/a"] * len(names)  # without any value
    if len(first) != len(names):
        raise DataError(
            f"{path} has {len(names)} column names and {len(first)} values in its first row: "
            "expected one column per parcel and one row per volume."
        )
    return tuple(names) if has_names else (), first, n_rows


def _cells(stream):
    """Return the cells of the next line; none at the end of the file."""
    line = stream.readline().decode("utf-8-sig")
    return line.rstrip("\r\n").split("\t") if line else []


def _are_missing(cells):
    return all(cell in _MISSING for cell in cells)


def _is_value(text):
    try:
        float(text)
    except ValueError:
        return text in _MISSING
    return True


def _are_numbers_of_parcels(names):
    """Return whether a row numbers the parcels in ascending order, as giga_connectome does."""
    if not all(name.isdecimal() for name in names):
        return False
    numbers = [int(name) for name in names]
    return numbers == sorted(set(numbers))


def _warn_of_unknown_times(path, sidecar):
    n_discarded = sidecar.get("NumberOfVolumesDiscardedByMotionScrubbing") or 0
    if isinstance(n_discarded, int | float) and n_discarded > 0:
        log.warning(
            "%s: %d volumes were removed and their times are not known; connectivity is not "
            "affected, but the volumes before and after them are taken for neighbours.",
            path.name, n_discarded,
        )  # fmt: skip
