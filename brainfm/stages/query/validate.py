"""Check everything before anything starts, and tell every problem of every participant at once.

Problems of the dataset or the command stop the run. Problems of a participant leave that
participant out, with status ``invalid``; the others are processed and the exit code at the end is
66 when only files were missing, else 65.
"""

import os
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from brainfm.errors import (
    BrainFMError,
    DataError,
    MissingInput,
    NothingSelected,
    UsageError,
    ValidationFailed,
)
from brainfm.files import read_json
from brainfm.stages.query.folders import check_description, check_folders
from brainfm.storage.atlas import load_atlas
from brainfm.storage.bids.query import participants_of, raw_runs, read_filters, t1w_for
from brainfm.storage.bids.validate_eeg import check_eeg
from brainfm.storage.bids.validate_mri import check_bold, check_slice_timing, check_t1w
from brainfm.storage.derivatives.fmriprep import find_fmriprep_run
from brainfm.storage.plugin_file import read_plugin


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that keeps one participant from being processed; ``path`` is below the dataset."""

    participant: str
    text: str
    path: Path | None = None
    exit_code: int = DataError.exit_code

    def __str__(self):
        return f"{self.path}: {self.text}" if self.path else self.text


@dataclass(frozen=True, kw_only=True)
class Preflight:
    """What can be processed, how, and what cannot."""

    runs: tuple
    problems: tuple[Problem, ...]
    engine: str
    derivatives: dict

    @property
    def participants(self):
        """Labels of those without problems, sorted."""
        left_out = {problem.participant for problem in self.problems}
        return sorted({run.participant for run in self.runs} - left_out)

    @property
    def exit_code(self):
        """0 without problems, 66 when only files are missing, else 65."""
        codes = {problem.exit_code for problem in self.problems}
        return 0 if not codes else codes.pop() if len(codes) == 1 else DataError.exit_code

    def recordings_of(self, participant):
        """BOLD and EEG runs of one participant."""
        return [r for r in self.runs if r.participant == participant and r.modality != "t1w"]


def preflight(bids_dir, output_dir, settings):
    """Check a dataset against what the settings ask for; write nothing.

    Parameters
    ----------
    bids_dir, output_dir : Path
    settings : brainfm.config.Settings

    Returns
    -------
    Preflight

    Raises
    ------
    BrainFMError
        For problems that concern the whole dataset or the command, all in one text:
        the dataset or its description is missing, the output is inside the input or cannot be
        written, derivatives are not there or are raw data, nothing is selected.
    """
    run = settings.run
    errors = [*check_folders(bids_dir, output_dir, run), *check_description(bids_dir)]
    derivatives, wrong = read_derivatives(run.derivatives)
    engine, unavailable = choose_engine(settings.bold, derivatives)
    errors += [*wrong, *unavailable]
    engine_is_ready = not (wrong or unavailable)
    for check, path in ((read_plugin, run.use_plugin), (load_atlas, settings.bold.atlas)):
        _attempt(errors, check, path)  # refused now, not after an hour
    filters = _attempt(errors, read_filters, run.bids_filter_file)
    if not bids_dir.is_dir():
        raise_all(errors)
    known = participants_of(bids_dir)
    runs = _attempt(errors, _selected, bids_dir, run, known, filters) or []
    recordings = [r for r in runs if r.modality != "t1w"]
    seen = {r.participant for r in recordings}
    runs = tuple(r for r in runs if r.participant in seen)
    problems = (
        *_check_labels(run.participant_label if seen else (), known, seen),
        *(_check_runs(runs, settings, engine, derivatives) if engine_is_ready else ()),
    )
    problems = tuple(replace(p, path=_below(p.path, bids_dir)) for p in problems)
    if errors:
        raise_all([*errors, *(DataError(f"sub-{p.participant}: {p}") for p in problems)])
    return Preflight(runs=runs, problems=problems, engine=engine, derivatives=derivatives)


def _attempt(errors, check, *words):
    """Return what a check gives, or None and its error in the list; no first word, no check."""
    try:
        return check(*words) if words[0] else None
    except BrainFMError as error:
        errors.append(error)


def _selected(bids_dir, run, known, filters):
    """Return the runs asked for; refuse when there is no recording among them."""
    asked = run.participant_label
    runs = raw_runs(
        bids_dir,
        participants=[label for label in asked if label in known] if asked else known,
        sessions=run.session_label,
        tasks=run.task_label,
        runs=run.run_label,
        filters=filters,
    )
    if all(r.modality == "t1w" for r in runs):
        raise _nothing_selected(bids_dir, run, known)
    return runs


def _below(path, bids_dir):
    """Name a file as seen from the dataset: shorter to read, and no home folder in an output."""
    return path.relative_to(bids_dir) if path else None


def choose_engine(config, derivatives):
    """Decide who preprocesses raw fMRI.

    Parameters
    ----------
    config : brainfm.config.BoldConfig
    derivatives : dict of str to Path

    Returns
    -------
    engine : {"derivatives", "fmriprep", "builtin"}
    errors : list of UsageError
        What the engine asked for by name lacks.
    """
    wanted = config.fmri_engine
    if wanted == "derivatives" and "fmriprep" not in derivatives:
        text = "--fmri-engine derivatives needs --derivatives fmriprep=PATH."
        return wanted, [UsageError(text)]
    if wanted == "fmriprep" and not _can_run_fmriprep(config):
        text = (
            "--fmri-engine fmriprep: no fmriprep program is on PATH and --fmriprep-container "
            "names no image that apptainer, singularity or docker could run; give one, or "
            "--fmri-engine builtin."
        )
        return wanted, [UsageError(text)]
    if wanted != "auto":
        return wanted, []
    if "fmriprep" in derivatives:
        return "derivatives", []
    licensed = config.fs_license_file or os.environ.get("FS_LICENSE")
    return ("fmriprep" if licensed and _can_run_fmriprep(config) else "builtin"), []


def read_derivatives(words):
    """Read ``NAME=PATH`` words.

    Returns
    -------
    derivatives : dict of str to Path
    errors : list of BrainFMError
        For each word that is malformed, leads nowhere or to a raw dataset.
    """
    derivatives, errors = {}, []
    for word in words:
        name, _, path = word.partition("=")
        if not name or not path:
            errors.append(
                UsageError(f"--derivatives {word}: expected NAME=PATH, such as fmriprep=/data/fp.")
            )
            continue
        derivatives[name] = Path(path).absolute()
        problem = _check_derivative(name, derivatives[name])
        errors += [problem] if problem else []
    return derivatives, errors


def _check_derivative(name, path):
    description = path / "dataset_description.json"
    if not path.is_dir():
        return MissingInput(f"--derivatives {name}: {path} does not exist.")
    if not description.is_file():
        inside = sorted(d.parent.name for d in path.glob("*/dataset_description.json"))
        hint = f" Did you mean {path / inside[0]}?" if inside else ""
        return MissingInput(f"--derivatives {name}: {path} has no dataset_description.json.{hint}")
    content = read_json(description)
    if content.get("DatasetType", "raw") == "raw" and "GeneratedBy" not in content:
        return ValidationFailed(
            f"--derivatives {name}: {path} is a raw dataset by its dataset_description.json; "
            "expected derivatives (DatasetType derivative)."
        )
    return None


def _can_run_fmriprep(config):
    if config.fmriprep_container:
        return any(shutil.which(tool) for tool in ("apptainer", "singularity", "docker"))
    return bool(shutil.which("fmriprep"))


def _nothing_selected(bids_dir, run, known):
    missing = [label for label in run.participant_label if label not in known]
    if missing and len(missing) == len(run.participant_label):
        return NothingSelected(
            f"there is no participant {', '.join(missing)} in {bids_dir}; {_those(known)}"
        )
    there = raw_runs(bids_dir, participants=[p for p in known if p not in missing][:50])
    names = Counter(
        f"task-{r.entities.get('task')} {r.modality}" for r in there if r.modality != "t1w"
    )
    found = ", ".join(f"{name} ({count})" for name, count in names.most_common(10))
    return NothingSelected(
        f"no BOLD or EEG run of {bids_dir} is selected by the labels and filters given; "
        f"there is: {found or 'none at all'}."
    )


def _those(known):
    shown = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
    return f"there are {len(known)}: {shown or 'none'}."


def _check_labels(asked, known, seen):
    for label in asked:
        if label not in known:
            text = f"there is no participant {label}; {_those(known)}"
        elif label not in seen:
            text = "no BOLD or EEG run is selected; check the task, session and filter."
        else:
            continue
        yield Problem(participant=label, text=text, exit_code=MissingInput.exit_code)


def _check_runs(runs, settings, engine, derivatives):
    for run in runs:
        texts = [(text, DataError.exit_code) for text in run.problems]
        if not run.path.exists():
            target = "is a link that leads nowhere: fetch its content (datalad get)"
            texts.append((f"{target}, or take it out of the selection.", MissingInput.exit_code))
        elif run.path.is_file() and not run.path.stat().st_size:
            texts.append(("is empty (0 bytes): copy or convert it again.", DataError.exit_code))
        elif run.modality == "eeg":
            line_hz = settings.eeg.line_hz
            metadata = {**run.metadata, **({"PowerLineFrequency": line_hz} if line_hz else {})}
            metadata = None if run.problems else metadata
            texts += [(text, DataError.exit_code) for text in check_eeg(run.path, metadata)]
        elif run.modality == "bold":
            texts += _check_bold_run(run, runs, engine)
            texts += _check_derivatives(run, engine, derivatives)
        elif engine == "builtin" and _is_used(run, runs):
            texts += [(text, DataError.exit_code) for text in check_t1w(run.path)]
        for text, code in texts:
            yield Problem(participant=run.participant, path=run.path, text=text, exit_code=code)


def _check_bold_run(run, runs, engine):
    metadata = None if run.problems else run.metadata
    said = check_bold(run.path, metadata)
    if engine == "builtin" and metadata and not said:
        said = check_slice_timing(run.path, metadata)
    texts = [(text, DataError.exit_code) for text in said]
    if engine != "derivatives" and not t1w_for(run, runs):
        text = (
            f"sub-{run.participant} has no T1w image, which this BOLD run is normalised with: "
            "add anat/*_T1w.nii.gz, or give --derivatives fmriprep=PATH."
        )
        texts.append((text, MissingInput.exit_code))
    if engine == "builtin" and len(_echoes_of(run, runs)) > 1:
        text = (
            "is one of several echoes or parts of one run, which the built-in engine does not "
            'combine; choose one with --bids-filter-file, such as {"bold": {"echo": 1}}.'
        )
        texts.append((text, DataError.exit_code))
    return texts


def _check_derivatives(run, engine, derivatives):
    if engine != "derivatives":
        return []
    try:
        find_fmriprep_run(derivatives["fmriprep"], run.path)
    except MissingInput as error:
        return [(str(error), MissingInput.exit_code)]
    return []


def _echoes_of(run, runs):
    def rest(other):
        kept = {k: v for k, v in other.entities.items() if k not in ("echo", "part")}
        return other.modality, kept

    return [other for other in runs if rest(other) == rest(run)]


def _is_used(t1w, runs):
    return any(r.modality == "bold" and t1w_for(r, runs) is t1w for r in runs)


def raise_all(errors):
    """Raise the only error, or the kind of the first with the text of all; nothing for none."""
    if not errors:
        return
    if len(errors) == 1:
        raise errors[0]
    text = "\n".join(f"  - {error}" for error in errors)
    raise type(errors[0])(f"{len(errors)} problems:\n{text}")
