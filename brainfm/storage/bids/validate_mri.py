"""Validation of raw MRI files: they are complete, and header and sidecars fit."""

import gzip
import os
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from brainfm.errors import SignalError
from brainfm.signal.slice_timing import checked_slice_times, slice_axis
from brainfm.storage.bids.validate_geometry import check_geometry

_FEWEST_VOLUMES, _FEWEST_VOXELS = 10, 4
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
        problems = [*_check_header(image, metadata or {}), *check_geometry(image)]
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
    image, problems = _open_image(t1w_file, n_dimensions=3)
    return problems or [*check_geometry(image)]


def _open_image(path, n_dimensions):
    try:
        image = nib.load(path)
        shape, size = image.shape, image.dataobj.dtype.itemsize
    except Exception as error:  # readers of several formats raise whatever they like
        return None, [f"cannot be read as NIfTI ({error}): copy or convert it again."]
    problems = [*_check_shape(shape, n_dimensions), *_check_kind(image.dataobj.dtype)]
    expected = int(np.prod(shape, dtype=np.int64)) * size + int(image.dataobj.offset)
    found = _content_bytes(path, expected)
    if found is None:
        problems.append("is a damaged or truncated gzip file: copy or convert it again.")
    elif found < expected % 2**32 and expected < 2**32:
        problems.append(
            f"is truncated: holds {found} bytes of {expected}; copy or convert it again."
        )
    return image, problems


def _check_shape(shape, n_dimensions):
    """Axes of length 1 after the third are no dimensions: some converters add them."""
    n_volumes = [n for n in shape[3:] if n != 1]
    if min(shape, default=0) < 1 or min(shape[:3]) < _FEWEST_VOXELS or len(shape) < 3:
        yield f"has shape {shape}; expected {_FEWEST_VOXELS} voxels or more along three axes."
    elif len(n_volumes) > 1:
        yield f"has shape {shape}; expected {n_dimensions} dimensions: split or convert it again."
    elif n_dimensions == 3 and n_volumes:
        yield (
            f"has shape {shape}; expected 3 dimensions: keep one volume, or the mean of its "
            "repetitions."
        )
    elif n_dimensions == 4 and (length := next(iter(n_volumes), 1)) < _FEWEST_VOLUMES:
        yield (
            f"holds {length} volume{'s' * (length > 1)}; expected {_FEWEST_VOLUMES} or more: leave "
            "it out, or name it *_sbref if it is a reference."
        )


def _check_kind(dtype):
    if dtype.kind not in "iuf":
        yield (
            f"holds {'complex numbers' if dtype.kind == 'c' else 'colours'}; expected the "
            "magnitude of the signal: convert it again."
        )


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
    """Compare the sidecar with the header, in which 0 and 1 mean that the field is not set.

    A header with exactly a thousand times the value has milliseconds in a field of seconds; BIDS
    takes the sidecar.
    """
    repetition_time_s, zooms = metadata.get("RepetitionTime"), image.header.get_zooms()
    if not isinstance(repetition_time_s, int | float) or len(zooms) < 4:
        return
    header_s = float(zooms[3] if image.shape[3] > 1 else zooms[-1]) * _second_in(image.header)
    shortest, longest = _TR_RANGE_S
    both_are_set = header_s not in (0, 1) and shortest <= repetition_time_s <= longest
    if (
        both_are_set
        and not np.isclose(repetition_time_s, [header_s, header_s / 1000], rtol=0.01).any()
    ):
        yield (
            f"RepetitionTime is {repetition_time_s:g} s in the sidecar but {header_s:g} s in the "
            "header of the image: find out which is right and fix the other."
        )


def _second_in(header):
    try:
        return _SECONDS_IN.get(header.get_xyzt_units()[1], 1.0)
    except (AttributeError, KeyError):  # another format, or no unit of NIfTI
        return 1.0


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
