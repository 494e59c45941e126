"""Validation of raw EEG files: they are complete, and say what is needed."""

import os
from pathlib import Path

import mne

from brainfm.errors import DataError, MissingInput
from brainfm.files import read_tsv
from brainfm.storage.bids.electrodes import position_files
from brainfm.storage.bids.montage import find_montage
from brainfm.storage.bids.names import stem_of

_SHORTEST_S = 10.0
_LINE_RANGE_HZ = (45, 65)
#: Formats whose header says how many bytes follow, and their bytes of a sample.
_BYTES_OF_SAMPLE = {".edf": 2, ".bdf": 3}
#: Formats whose header names the file of its samples.
_WITH_SIGNAL_FILE = (".vhdr", ".set")
_BYTES_OF_BRAINVISION = {"single": 4, "int": 4, "short": 2}


def check_eeg(eeg_file, metadata):
    """List what keeps an EEG recording from being processed, without reading its samples.

    Parameters
    ----------
    eeg_file : path
    metadata : dict or None
        Its merged sidecars, with ``PowerLineFrequency`` of the settings where they give it; None
        when one of them cannot be read, which is reported elsewhere.

    Returns
    -------
    problems : list of str
        Sentences that follow the name of the file: what was expected, what came, what to do.
    """
    path = Path(eeg_file)
    line = [] if metadata is None else _check_line(metadata.get("PowerLineFrequency"))
    return [*_check_file(path), *line]


def _check_line(line_hz):
    lowest, highest = _LINE_RANGE_HZ
    if line_hz is None or line_hz == "n/a":
        yield (
            "PowerLineFrequency is absent from its sidecars; expected 50 or 60 (Hz): add it to the "
            "JSON beside the file, or give --eeg-line-hz."
        )
    elif not isinstance(line_hz, int | float) or not lowest <= line_hz <= highest:
        yield f"PowerLineFrequency is {line_hz!r}; expected 50 or 60 (Hz): fix the JSON."


def _check_file(path):
    problems = _check_edf_size(path) if path.suffix.lower() in _BYTES_OF_SAMPLE else []
    if problems:
        return problems
    try:
        raw = mne.io.read_raw(path, preload=False, verbose="error")
    except Exception as error:  # readers of four formats raise whatever they like
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [f"cannot be read as EEG ({reason}): copy or convert it again."]
    return [*_check_signal_file(path, raw)] or [
        *_check_brainvision_size(path, raw), *_check_length(raw), *_check_positions(path, raw)
    ]  # fmt: skip


def _check_edf_size(path):
    """An EDF header says how many records follow and how many samples each holds."""
    try:
        with open(path, "rb") as file:
            fixed = file.read(256)
            n_header = int(fixed[184:192])
            n_records, n_signals = int(fixed[236:244]), int(fixed[252:256])
            file.seek(256 + n_signals * 216)
            samples = sum(int(file.read(8)) for _ in range(n_signals))
    except (OSError, ValueError):
        return ["cannot be read as EDF (its header is damaged): copy or convert it again."]
    expected = n_header + n_records * samples * _BYTES_OF_SAMPLE[path.suffix.lower()]
    found = os.path.getsize(path)
    if n_records > 0 and found < expected:
        return [f"is truncated: holds {found} bytes of {expected}; copy or convert it again."]
    return []


def _check_signal_file(path, raw):
    """A BrainVision or EEGLAB header names the file of its samples, and could name any file."""
    if path.suffix.lower() in _WITH_SIGNAL_FILE:
        signal = Path(os.path.abspath(raw.filenames[0]))
        if signal.parent not in (Path(os.path.abspath(path)).parent, path.resolve().parent):
            yield (
                "names a file of samples in another folder; expected it beside the header: fix it."
            )


def _check_brainvision_size(path, raw):
    """A BrainVision header gives no length: only an incomplete last sample can be found."""
    signal, n_bytes = Path(raw.filenames[0]), _BYTES_OF_BRAINVISION.get(raw.orig_format)
    if path.suffix.lower() != ".vhdr" or signal.suffix != ".eeg" or n_bytes is None:
        return
    if os.path.getsize(signal) % (n_bytes * len(raw.ch_names)):
        yield f"is truncated: {signal.name} ends within a sample; copy or convert it again."


def _check_length(raw):
    length_s = raw.n_times / raw.info["sfreq"]
    if length_s < _SHORTEST_S:
        yield f"lasts {length_s:.1f} s; expected at least {_SHORTEST_S:g} s: leave it out."


def _check_positions(path, raw):
    try:
        names = _eeg_names(path, raw)
        if names:
            find_montage(names, *position_files(path))
        else:
            yield "has no channel of type EEG; expected some: fix its channels.tsv."
    except (DataError, MissingInput) as error:
        yield f"has no usable electrode positions: {error}"


def _eeg_names(path, raw):
    """Return the channels that are EEG by channels.tsv, else by the file itself."""
    table = path.with_name(f"{stem_of(path)}_channels.tsv")
    if table.is_file():
        frame = read_tsv(table, dtype=str, keep_default_na=False)
        if {"name", "type"} <= set(frame.columns):
            return frame["name"][frame["type"].str.upper() == "EEG"].tolist()
    kinds = raw.get_channel_types()
    return [name for name, kind in zip(raw.ch_names, kinds, strict=True) if kind == "eeg"]
