"""Sidecars of parcel series: merged by inheritance, with a repetition time that is checked."""

import numpy as np

from brainfm.errors import DataError
from brainfm.files import read_json, read_tsv
from brainfm.storage.bids.names import entities_of
from brainfm.storage.bids.sidecars import Sidecars
from brainfm.storage.bids.validate_mri import check_repetition_time
from brainfm.storage.derivatives.labels import dataset_root
from brainfm.storage.derivatives.names import run_entities

_LARGEST_DIFFERENCE = 0.01


def series_sidecar(path):
    """Read the sidecars of a series.

    Parameters
    ----------
    path : Path

    Returns
    -------
    sidecar : dict
        That beside the file if it has a repetition time, else merged with those above, and with
        those that lack entities of its name, as that of giga_connectome lacks ``seg``.

    Raises
    ------
    DataError
        If a sidecar cannot be read.
    """
    own = path.with_suffix(".json")
    if own.is_file():  # listing the folders above takes as long as all the rest
        sidecar = read_json(own)
        if isinstance(sidecar, dict) and {"RepetitionTime", "SamplingFrequency"} & set(sidecar):
            return sidecar
    path, root = path.absolute(), dataset_root(path)
    sidecar, problems = Sidecars(root).metadata_of(path, entities_of(path), "timeseries")
    if problems:
        raise DataError(f"{path}: {problems[0]}")
    return sidecar


def sampling_hz_of(path, sidecar):
    """Return the volumes per second of a series.

    XCP-D writes ``"SamplingFrequency": "TR"``: the repetition time is that of the image beside it.

    Parameters
    ----------
    path : Path
    sidecar : dict

    Returns
    -------
    sampling_hz : float

    Raises
    ------
    DataError
        If no sidecar has it, two values disagree, or it is no repetition time of fMRI.
    """
    repetition_s, sampling_hz = sidecar.get("RepetitionTime"), sidecar.get("SamplingFrequency")
    if sampling_hz == "TR":
        sampling_hz = None
    if "feature" in entities_of(path) and sampling_hz is not None:
        if repetition_s is None:
            raise DataError(
                f"{path.name}: SamplingFrequency is {sampling_hz}; HALFpipe writes the repetition "
                "time (s) there, which cannot be told from a frequency (Hz): add RepetitionTime to "
                "its sidecar, or to a task-<label>_timeseries.json in the root of the dataset."
            )
        sampling_hz = None
    if repetition_s is None and sampling_hz is None:
        repetition_s = _of_images(path)
    problem = _problem(repetition_s, sampling_hz)
    if problem:
        raise DataError(f"{path.with_suffix('.json')}: {problem}")
    return float(sampling_hz) if repetition_s is None else 1 / float(repetition_s)


def kept_frames(path, n_rows):
    """Read which frames of a series XCP-D censored, from ``*_outliers.tsv`` of the run.

    Parameters
    ----------
    path : Path
    n_rows : int
        Rows of the series: all frames, or only those that are not censored.

    Returns
    -------
    kept : ndarray of bool, shape (n_times,), or None
        False where a frame is censored; None without such a table.

    Raises
    ------
    DataError
        If the numbers of frames do not fit.
    """
    tables = [
        table for table in sorted(path.parent.glob("sub-*_outliers.tsv")) if _same_run(table, path)
    ]
    if not tables:
        return None
    table = read_tsv(tables[0])
    if "framewise_displacement" not in table:
        raise DataError(
            f"{tables[0]} has columns {', '.join(table)}; expected framewise_displacement, 1 where "
            "a frame is censored."
        )
    kept = table["framewise_displacement"].to_numpy() == 0
    if n_rows not in (len(kept), np.count_nonzero(kept)):
        raise DataError(
            f"{path.name} has {n_rows} rows, but {tables[0].name} {len(kept)} frames of which "
            f"{np.count_nonzero(kept)} are kept; expected one of these numbers: are both of the "
            "same call?"
        )
    return kept


def _of_images(path):
    """Return the repetition time on which the images of the same run beside a series agree."""
    images = [one for one in path.parent.glob("sub-*_bold.json") if _same_run(one, path)]
    found = {read_json(one).get("RepetitionTime") for one in images} - {None}
    return found.pop() if len(found) == 1 else None


def _same_run(one, other):
    return run_entities(one) == run_entities(other)


def _problem(repetition_s, sampling_hz):
    if repetition_s is None and sampling_hz is None:
        return (
            "has neither SamplingFrequency (Hz) nor RepetitionTime (s), nor has a sidecar above "
            "it: add one of them."
        )
    if repetition_s is not None:
        problem = next(iter(check_repetition_time(repetition_s)), None)
        if problem or sampling_hz is None:
            return problem
    if isinstance(sampling_hz, bool) or not isinstance(sampling_hz, int | float):
        return f"SamplingFrequency is {sampling_hz!r}; expected a number of Hz: fix it."
    period_s = 1 / sampling_hz if sampling_hz else np.inf
    if repetition_s is not None:
        differs = abs(period_s - repetition_s) > _LARGEST_DIFFERENCE * repetition_s
        return differs and (
            f"SamplingFrequency is {sampling_hz:g} Hz but RepetitionTime {repetition_s:g} s, which "
            f"is {1 / repetition_s:g} Hz: find out which is right and fix the other."
        )
    if next(iter(check_repetition_time(period_s)), None):
        hint = f"; {1000 * sampling_hz:g} if it is 1 / milliseconds" if period_s > 100 else ""
        hint = f"; {1000 / sampling_hz:g} if it is milliseconds" if sampling_hz > 100 else hint
        return (
            f"SamplingFrequency is {sampling_hz:g}, one volume in {period_s:g} s; expected "
            f"1 / RepetitionTime in Hz{hint}: fix it."
        )
    return None
