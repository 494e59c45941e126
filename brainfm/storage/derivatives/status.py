"""Status files of participants: state, input hashes and output checksums of each recording."""

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from brainfm import __version__
from brainfm.errors import BrainFMError
from brainfm.files import read_json, write_json
from brainfm.storage.bids.names import stem_of
from brainfm.storage.bids.query import QUERIES
from brainfm.storage.derivatives.derived_runs import DerivedRun
from brainfm.storage.derivatives.names import run_entities
from brainfm.storage.lock import WorkLock

#: Settings that change how a run is processed, not its result.
_NOT_IN_KEY = {"container", "fs_license_file", "bids_database_dir", "skip_bids_validation",
               "device", "batch_size"}  # fmt: skip


def status_path(output_dir, participant):
    """Return the path of the status file of a participant.

    Parameters
    ----------
    output_dir : path
    participant : str
        Label without ``sub-``.

    Returns
    -------
    Path
    """
    return Path(output_dir) / f"sub-{participant}" / "status.json"


def read_status(output_dir, participant):
    """Read the status of a participant.

    Parameters
    ----------
    output_dir : path
    participant : str

    Returns
    -------
    status : dict
        ``participant``, ``recordings`` (an entry by the name of each) and what
        :func:`write_status` adds; without recordings if the file is missing or damaged.
    """
    try:
        status = read_json(status_path(output_dir, participant))
    except BrainFMError:
        status = {}
    if not isinstance(status, dict) or not isinstance(status.get("recordings", {}), dict):
        status = {}
    return {"participant": participant, "recordings": {}, **status}


def status_to_show(output_dir, participant):
    """Read the status of a participant for display.

    A killed call leaves the state ``running`` behind. It is shown as ``interrupted``, for the
    participant and each recording, when no process holds the lock of the participant.

    Parameters
    ----------
    output_dir : path
    participant : str

    Returns
    -------
    status : dict
        As :func:`read_status` returns it.
    """
    status = read_status(output_dir, participant)
    if WorkLock(output_dir, f"sub-{participant}").is_held:
        return status
    entries = status["recordings"]
    shown = {name: _not_running(entry) for name, entry in entries.items()}
    return _not_running({**status, "recordings": shown})


def _not_running(entry):
    if not isinstance(entry, dict) or entry.get("state") != "running":
        return entry
    return {**entry, "state": "interrupted"}


def write_status(output_dir, status, *, state):
    """Write the status of a participant, with the version of brainfm and the time.

    Parameters
    ----------
    output_dir : Path
    status : dict
        As :func:`read_status` returns it; ``state``, ``brainfm_version`` and ``updated`` are set.
    state : {"running", "done", "failed", "invalid"}

    Raises
    ------
    CannotCreateOutput, ReadWriteFailed
        If it cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    status.update(state=state, brainfm_version=__version__, updated=now)
    write_json(status_path(output_dir, status["participant"]), status)


def sha256_of(path):
    """Return the SHA-256 of the content of a file.

    Parameters
    ----------
    path : path

    Returns
    -------
    checksum : str
        64 hexadecimal digits.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def key_of_source(run, others=()):
    """Hash the sources of a recording.

    These are the content of the run, of the files beside it with the same entities and of
    ``others``, the merged sidecars and the version of brainfm; of a preprocessed run its image,
    mask and confounds. Paths are left out, so that datasets can be moved.

    Parameters
    ----------
    run : brainfm.storage.bids.query.RawRun
    others : iterable of Path
        The T1w image.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return key_of(
        {
            "version": __version__,
            "name": run.name,
            "files": {path.name: sha256_of(path) for path in _files_beside(run)},
            "metadata": run.metadata,
            "others": [sha256_of(path) for path in others],
        }
    )


def key_of_settings(modality, settings, engine):
    """Hash the settings that the preprocessed files of a modality depend on.

    Parameters
    ----------
    modality : {"bold", "eeg"}
    settings : brainfm.config.Settings
    engine : {"builtin", "derivatives", "fmriprep"}
        Counts for BOLD only.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    section = settings.eeg if modality == "eeg" else settings.bold
    facts = {
        "settings": _in_key(section),
        "seed": settings.run.random_seed,
        "sloppy": settings.run.sloppy,
        "engine": engine if modality != "eeg" else None,
    }
    if facts["engine"] == "fmriprep":
        facts["fmriprep"] = _in_key(settings.fmriprep)
    return key_of(facts)


def _in_key(section):
    return {name: value for name, value in asdict(section).items() if name not in _NOT_IN_KEY}


def key_of(facts):
    """Hash a dict independently of the order of its keys.

    Parameters
    ----------
    facts : dict
        Nested dicts, lists and values with a stable ``str``.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return hashlib.sha256(repr(_sorted(facts)).encode()).hexdigest()


def assign_outputs(output_dir, run):
    """Find the output files of a run by their names, and hash each once.

    A file belongs to the run whose entities it carries; ``space``, ``atlas``, ``desc`` and the
    like do not count. It lies in the folder of the run or among the figures.

    Parameters
    ----------
    output_dir : Path
    run : brainfm.storage.bids.query.RawRun

    Returns
    -------
    outputs : dict of str to str
        SHA-256 of each file by its path relative to the output, sorted.
    """
    folder, suffix, _ = QUERIES[run.modality]
    participant = Path(output_dir) / f"sub-{run.participant}"
    base = participant / f"ses-{run.session}" if run.session else participant
    files = _files_of_run(base / folder, run)
    for figures in {participant / "figures", base / "figures"}:
        files += [
            p for p in _files_of_run(figures, run) if p.name.split(".")[0].endswith(f"_{suffix}")
        ]
    return {str(path.relative_to(output_dir)): sha256_of(path) for path in sorted(files)}


def _files_of_run(folder, run):
    wanted = run_entities(run.path)
    return [
        path for path in folder.glob("sub-*") if run_entities(path) == wanted and path.is_file()
    ]


def is_intact(output_dir, outputs):
    """Check that output files exist and are unchanged.

    Parameters
    ----------
    output_dir : path
    outputs : dict of str to str or None
        Checksum of each file by its path, as :func:`assign_outputs` returns them.

    Returns
    -------
    bool
        False without files.
    """
    if not outputs:
        return False
    try:
        return all(sha256_of(Path(output_dir) / name) == sha for name, sha in outputs.items())
    except OSError:
        return False


def _files_beside(run):
    """Return the file of a run and those of its folder with the same entities.

    Of a preprocessed run these are its files, of one to be made of echoes their files.
    Sidecars are left out, since their merged content is hashed. Electrodes and coordinate
    systems of a session apply to all its EEG runs and are included.
    """
    if isinstance(run, DerivedRun):
        return list(run.files.files.values() if run.files else (one.path for one in run.raw))
    of_session = ("_electrodes", "_coordsystem")
    beside = [
        path
        for path in run.path.parent.iterdir()
        if (stem_of(path) == run.stem and path.suffix != ".json")
        or (run.modality == "eeg" and path.name.split(".")[0].endswith(of_session))
    ]
    return sorted({run.path, *filter(Path.is_file, beside)})


def _sorted(value):
    if isinstance(value, dict):
        return sorted((str(key), _sorted(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return str(value)
