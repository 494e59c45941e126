"""Check the folders of a call: what is read, what is written; neither lies in the other."""

import os

from brainfm.errors import (
    CannotCreateOutput,
    DataError,
    MissingInput,
    UsageError,
    ValidationFailed,
)
from brainfm.files import read_json


def check_folders(bids_dir, output_dir, run):
    """List what is wrong with the folders of a call, as errors; write nothing."""
    errors = []
    data, out = bids_dir.resolve(), output_dir.resolve()
    work = (run.work_dir or output_dir / "work").resolve()
    inside = data / "derivatives"
    if not bids_dir.is_dir():
        errors.append(
            MissingInput(f"{bids_dir} is not there; expected the root of a BIDS dataset.")
        )
    elif out == data or (out.is_relative_to(data) and not _strictly_inside(out, inside)):
        errors.append(
            UsageError(
                f"the output {output_dir} lies inside the input {bids_dir}; expected a folder "
                f"outside, or {bids_dir / 'derivatives' / 'brainfm'}."
            )
        )
    elif work.is_relative_to(data) and not work.is_relative_to(out):
        errors.append(UsageError(f"--work-dir {work} lies inside the input; choose one outside."))
    elif data.is_relative_to(out) and not data.is_relative_to(out / "sourcedata"):
        errors.append(
            UsageError(
                f"the input {bids_dir} lies inside the output {output_dir}, where results would "
                f"stand among other data; expected a folder of its own, such as "
                f"{bids_dir / 'derivatives' / 'brainfm'}."
            )
        )
    problems = [_not_writable(folder) for folder in (out, work)]
    return [*errors, *(CannotCreateOutput(text) for text in dict.fromkeys(problems) if text)]


def _strictly_inside(path, folder):
    return path != folder and path.is_relative_to(folder)


def _not_writable(folder):
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is a file: choose another folder."
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} is not writable: choose another folder, or change its permissions."
    return None


def check_description(bids_dir):
    """List what is wrong with ``dataset_description.json``, as errors."""
    path = bids_dir / "dataset_description.json"
    if not bids_dir.is_dir():
        return []
    if not path.is_file():
        above = [p for p in bids_dir.absolute().parents if (p / path.name).is_file()]
        inside = sorted(p.parent for p in bids_dir.glob(f"*/{path.name}"))
        hint = f" Did you mean {(above + inside)[0]}?" if above + inside else ""
        return [
            ValidationFailed(
                f"{path} is missing; a BIDS dataset has one with at least Name and "
                f"BIDSVersion.{hint}"
            )
        ]
    try:
        content = read_json(path)
    except (DataError, MissingInput) as error:
        return [ValidationFailed(str(error))]
    if not isinstance(content, dict):
        return [ValidationFailed(f"{path} holds no JSON object; expected Name and BIDSVersion.")]
    if content.get("DatasetType") == "derivative":
        return [
            ValidationFailed(
                f"{bids_dir} is a derivative dataset; expected raw data. Give it as "
                "--derivatives NAME=PATH beside the raw dataset."
            )
        ]
    return []
