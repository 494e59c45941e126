"""``status.json`` of a participant: what is done, with which input, and whether it still holds."""

import hashlib
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from brainfm import __version__
from brainfm.errors import BrainFMError
from brainfm.files import read_json, write_json
from brainfm.storage.bids.names import stem_of
from brainfm.storage.lock import WorkLock

#: Settings which say how to run, not what comes out.
_NOT_IN_KEY = {"fmriprep_container", "fs_license_file", "device", "batch_size"}
_CHUNK = 2**20


def status_path(output_dir, participant):
    """Return where the status of a participant stands."""
    return Path(output_dir) / f"sub-{participant}" / "status.json"


def read_status(output_dir, participant):
    """Return the status of a participant; an empty one when there is none or it is damaged."""
    try:
        status = read_json(status_path(output_dir, participant))
    except BrainFMError:
        status = {}
    if not isinstance(status, dict) or not isinstance(status.get("recordings", {}), dict):
        status = {}
    return {"participant": participant, "recordings": {}, **status}


def status_to_show(output_dir, participant):
    """Return the status of a participant as a person should read it.

    A killed call leaves ``running`` behind. It is told as ``interrupted``, of the participant and
    of each recording, when nobody holds the lock of the participant.
    """
    status = read_status(output_dir, participant)
    if WorkLock(output_dir, f"sub-{participant}").is_held:
        return status
    entries = status["recordings"]
    told = {name: _not_running(entry) for name, entry in entries.items()}
    return _not_running({**status, "recordings": told})


def _not_running(entry):
    if not isinstance(entry, dict) or entry.get("state") != "running":
        return entry
    return {**entry, "state": "interrupted"}


def write_status(output_dir, status, *, state):
    """Write a status.

    Parameters
    ----------
    output_dir : Path
    status : dict
        As :func:`read_status` gives it.
    state : {"running", "done", "failed", "invalid"}
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    status.update(state=state, brainfm_version=__version__, updated=now)
    write_json(status_path(output_dir, status["participant"]), status)


def sha256_of(path):
    """Return the checksum of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def key_of_source(run, others=()):
    """Hash what a recording is made from.

    The content of the run, of the files beside it that share its entities and of ``others``,
    the merged sidecars and the version of brainfm; no path, so that datasets may move.

    Parameters
    ----------
    run : brainfm.storage.bids.query.RawRun
    others : iterable of Path
        The T1w image, or the files of a derivative dataset.

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
    """Hash the settings that decide on the preprocessed files of a modality."""
    section = settings.eeg if modality == "eeg" else settings.bold
    return key_of(
        {
            "settings": {k: v for k, v in asdict(section).items() if k not in _NOT_IN_KEY},
            "seed": settings.run.random_seed,
            "sloppy": settings.run.sloppy,
            "engine": engine if modality != "eeg" else None,
        }
    )


def key_of(facts):
    """Hash a dict of plain facts, in whatever order they come."""
    return hashlib.sha256(repr(_sorted(facts)).encode()).hexdigest()


def outputs_of(output_dir, run):
    """Return the files in the output that belong to a run.

    By their names: those that begin with the entities of the run, in its folder or among the
    figures. A name that begins with the longer entities of another run belongs to that one,
    which :func:`assign_outputs` settles.
    """
    folder = {"t1w": "anat", "bold": "func", "eeg": "eeg"}[run.modality]
    suffix = {"t1w": "T1w", "bold": "bold", "eeg": "eeg"}[run.modality]
    participant = Path(output_dir) / f"sub-{run.participant}"
    base = participant / f"ses-{run.session}" if run.session else participant
    files = [p for p in (base / folder).glob(f"{run.stem}_*") if p.is_file()]
    for figures in {participant / "figures", base / "figures"}:
        names = figures.glob(f"{run.stem}_*")
        files += [p for p in names if p.name.split(".")[0].endswith(f"_{suffix}")]
    return sorted(files)


def assign_outputs(output_dir, run, runs):
    """Return ``{path relative to the output: checksum}`` of what belongs to a run only.

    Parameters
    ----------
    output_dir : Path
    run : RawRun
    runs : iterable of RawRun
        All runs of the participant.
    """
    longer = [
        other.stem
        for other in runs
        if other.modality == run.modality and other.stem.startswith(run.stem + "_")
    ]
    own = [
        path
        for path in outputs_of(output_dir, run)
        if not any(path.name.startswith(stem + "_") for stem in longer)
    ]
    return {str(path.relative_to(output_dir)): sha256_of(path) for path in own}


def is_intact(output_dir, outputs):
    """Tell whether all files of ``{path: checksum}`` are there and unchanged; False for none."""
    if not outputs:
        return False
    try:
        return all(sha256_of(Path(output_dir) / name) == sha for name, sha in outputs.items())
    except OSError:
        return False


def _files_beside(run):
    """Return the run's file and those of its folder which carry its entities and no others.

    Sidecars are left out, since their merged content is hashed. The electrodes and coordinate
    systems of a session serve all its EEG runs, so they are taken too.
    """
    of_session = ("_electrodes", "_coordsystem")
    files = {run.path}
    for path in run.path.parent.iterdir():
        is_own = stem_of(path) == run.stem and path.suffix != ".json"
        is_shared = run.modality == "eeg" and path.name.split(".")[0].endswith(of_session)
        if (is_own or is_shared) and path.is_file():
            files.add(path)
    return sorted(files)


def _sorted(value):
    if isinstance(value, dict):
        return sorted((str(key), _sorted(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return str(value)
