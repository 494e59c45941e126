"""Validation of raw MRI files: they are complete, and header and sidecars fit."""

import gzip
import os
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from brainfm.errors import SignalError
from brainfm.signal.slice_timing import checked_slice_times, slice_axis

_FEWEST_VOLUMES = 10
_TR_RANGE_S = (0.1, 20.0)
_SECONDS_IN = {"msec": 1e-3, "usec": 1e-6}


def check_bold(bold_file, metadata, *, slice_timing=False):
    """List what keeps a BOLD run from being processed, without reading its volumes.

    Parameters
    ----------
    bold_file : path
    metadata : dict or None
        Its merged sidecars; None when one of them cannot be read, which is reported elsewhere.
    slice_timing : bool
        Check ``SliceTiming`` too, of a run that has no other problem.

    Returns
    -------
    problems : list of str
        Sentences: what was expected, what came, what to do.
    """
    image, problems = _open_image(bold_file, n_dimensions=4)
    if not problems:
        problems = [*_check_header(image, metadata or {}), *_check_length(image)]
    if metadata is not None:
        problems += check_repetition_time(metadata.get("RepetitionTime"))
    if slice_timing and metadata and not problems:
        problems += _check_slice_timing(image, metadata)
    return problems


def check_t1w(t1w_file):
    """List what keeps a T1w image from being processed.

    Parameters
    ----------
    t1w_file : path

    Returns
    -------
    problems : list of str
        Sentences: what was expected, what came, what to do.
    """
    return _open_image(t1w_file, n_dimensions=3)[1]


def _open_image(path, n_dimensions):
    try:
        image = nib.load(path)
        shape, size = image.shape, image.dataobj.dtype.itemsize
    except Exception as error:  # readers of several formats raise whatever they like
        return None, [f"cannot be read as NIfTI ({error}): copy or convert it again."]
    problems = []
    effective = tuple(n for n in shape[3:] if n > 1)
    if len(shape[:3]) + len(effective) != n_dimensions:
        problems.append(f"has shape {shape}; expected {n_dimensions} dimensions.")
    expected = int(np.prod(shape, dtype=np.int64)) * size + int(image.dataobj.offset)
    found = _content_bytes(path, expected)
    if found is None:
        problems.append("is a damaged or truncated gzip file: copy or convert it again.")
    elif found < expected % 2**32 and expected < 2**32:
        problems.append(
            f"is truncated: holds {found} bytes of {expected}; copy or convert it again."
        )
    return image, problems


def _content_bytes(path, expected):
    """Return the size of the uncompressed content (modulo 2**32), or None when gzip is cut off.

    A gzip file ends with the length of its content; a truncated one ends with anything, so that
    a length that does not fit is confirmed by reading it to the end.
    """
    if Path(path).suffix != ".gz":
        return os.path.getsize(path)
    with open(path, "rb") as file:
        file.seek(-4, os.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
    if length == expected % 2**32:
        return length
    try:
        with gzip.open(path) as file:
            return sum(len(chunk) for chunk in iter(lambda: file.read(2**22), b"")) % 2**32
    except (EOFError, OSError, zlib.error):
        return None


def _check_header(image, metadata):
    """Compare the sidecar with the header, in which 0 and 1 mean that the field is not set."""
    repetition_time_s, zooms = metadata.get("RepetitionTime"), image.header.get_zooms()
    if not isinstance(repetition_time_s, int | float) or len(zooms) < 4:
        return
    unit = getattr(image.header, "get_xyzt_units", lambda: ("", "sec"))()[1]
    header_s = float(zooms[3]) * _SECONDS_IN.get(unit, 1.0)
    shortest, longest = _TR_RANGE_S
    both_are_set = header_s not in (0, 1) and shortest <= repetition_time_s <= longest
    if both_are_set and abs(header_s - repetition_time_s) > 0.01 * repetition_time_s:
        yield (
            f"RepetitionTime is {repetition_time_s:g} s in the sidecar but {header_s:g} s in the "
            "header of the image: find out which is right and fix the other."
        )


def _check_length(image):
    n_volumes = image.shape[3]
    if n_volumes < _FEWEST_VOLUMES:
        yield f"holds {n_volumes} volumes; expected {_FEWEST_VOLUMES} or more: leave the run out."


def check_repetition_time(value):
    """Check a ``RepetitionTime``.

    Parameters
    ----------
    value : object
        As in a sidecar; None where it is absent.

    Yields
    ------
    problem : str
        A sentence: what was expected, what came, what to do.
    """
    shortest, longest = _TR_RANGE_S
    if value is None:
        yield (
            "RepetitionTime is absent from its sidecars; expected seconds between volumes: add it "
            "to the JSON beside the file."
        )
    elif isinstance(value, bool) or not isinstance(value, int | float):
        yield f"RepetitionTime is {value!r}; expected a number of seconds: fix the JSON."
    elif not shortest <= value <= longest:
        hint = f"; {value:g} looks like milliseconds, write {value / 1000:g}" if value > 100 else ""
        yield f"RepetitionTime is {value:g}; expected seconds, {shortest:g} to {longest:g}{hint}."


def _check_slice_timing(image, metadata):
    times, repetition_time_s = metadata.get("SliceTiming"), metadata["RepetitionTime"]
    try:
        if times:
            axis = slice_axis(metadata.get("SliceEncodingDirection", "k"))
            n_slices = image.shape[axis]
            checked_slice_times(times, n_slices, repetition_time_s=repetition_time_s, axis=axis)
    except SignalError as error:
        yield str(error)
