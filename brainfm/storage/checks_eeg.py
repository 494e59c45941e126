"""Cheap checks of raw EEG files: can they be read to the end, and do they say what is needed."""

import os
from pathlib import Path

import mne

_FEWEST_CHANNELS_PLACED = 0.5


def check_eeg(eeg_file, metadata):
    """List what keeps an EEG recording from being processed.

    Parameters
    ----------
    eeg_file : path
    metadata : dict
        Its merged sidecars.

    Returns
    -------
    list of str
        One sentence a problem: what was expected, what came, what to do.
    """
    problems = _check_file(Path(eeg_file))
    line_hz = metadata.get("PowerLineFrequency")
    if line_hz is None or line_hz == "n/a":
        problems.append(
            "PowerLineFrequency is absent from its sidecars; expected 50 or 60 (Hz): add it to the "
            "JSON beside the file, or give --eeg-line-hz."
        )
    elif not isinstance(line_hz, int | float) or not 45 <= line_hz <= 65:
        problems.append(
            f"PowerLineFrequency is {line_hz!r}; expected 50 or 60 (Hz): mend the JSON."
        )
    return problems


def _check_file(path):
    if path.suffix == ".edf":
        problem = _check_edf_size(path)
        if problem:
            return [problem]
    try:
        raw = mne.io.read_raw(path, preload=False, verbose="error")
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [f"cannot be read as EEG ({reason}): copy or convert it again."]
    return _check_positions(path, raw)


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
        return "cannot be read as EDF (its header is damaged): copy or convert it again."
    expected, found = n_header + n_records * samples * 2, os.path.getsize(path)
    if n_records > 0 and found < expected:
        return f"is truncated: holds {found} bytes of {expected}; copy or convert it again."
    return None


def _check_positions(path, raw):
    if any(path.parent.glob("*_electrodes.tsv")):
        return []
    standard = {
        name.lower() for name in mne.channels.make_standard_montage("standard_1005").ch_names
    }
    names = list(raw.ch_names)
    placed = [n for n in names if n.strip(".").strip().lower().split("-")[0] in standard]
    if len(placed) < _FEWEST_CHANNELS_PLACED * len(names):
        unplaced = [name for name in names if name not in placed]
        return [
            f"{len(unplaced)} of {len(names)} channels have no position "
            f"({', '.join(unplaced[:3])}, ...): add an electrodes.tsv with x, y, z, or name "
            "them as in the 10-20 system."
        ]
    return []
