"""Check the folders of a call: input, output and work folder do not overlap, and can be written."""

import os

from brainfm.errors import CannotCreateOutput, DataError, MissingInput, UsageError, ValidationFailed
from brainfm.files import read_json


def check_folders(bids_dir, output_dir, run):
    """Check the folders of a call; write nothing.

    Parameters
    ----------
    bids_dir, output_dir : Path
    run : brainfm.config.RunConfig

    Returns
    -------
    errors : list of BrainFMError
    """
    data, out = bids_dir.resolve(), output_dir.resolve()
    work = (run.work_dir or output_dir / "work").resolve()
    overlap = _overlap(bids_dir, output_dir, data=data, out=out, work=work)
    texts = dict.fromkeys(filter(None, map(_not_writable, (out, work))))
    return [*filter(None, [overlap]), *map(CannotCreateOutput, texts)]


def _overlap(bids_dir, output_dir, *, data, out, work):
    """Return what is wrong with the positions of the folders, as an error, or None."""
    default = bids_dir / "derivatives" / "brainfm"
    if not bids_dir.is_dir():
        return MissingInput(f"{bids_dir} does not exist; expected the root of a BIDS dataset.")
    if out.is_relative_to(data) and data / "derivatives" not in out.parents:
        return UsageError(
            f"the output {output_dir} lies inside the input {bids_dir}; expected a folder "
            f"outside, or {default}."
        )
    if work.is_relative_to(data) and not work.is_relative_to(out):
        return UsageError(f"--work-dir {work} lies inside the input; choose one outside.")
    if data.is_relative_to(out) and not data.is_relative_to(out / "sourcedata"):
        return UsageError(
            f"the input {bids_dir} lies inside the output {output_dir}, where results would mix "
            f"with other data; expected a separate folder, such as {default}."
        )
    return None


def _not_writable(folder):
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        return f"{existing} is a file: choose another folder."
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} is not writable: choose another folder, or change its permissions."
    return None


def check_description(bids_dir):
    """Check the ``dataset_description.json`` of a dataset.

    Parameters
    ----------
    bids_dir : Path

    Raises
    ------
    ValidationFailed
        If it is missing or cannot be read.
    """
    path = bids_dir / "dataset_description.json"
    if not bids_dir.is_dir():
        return
    if not path.is_file():
        above = [p for p in bids_dir.absolute().parents if (p / path.name).is_file()]
        inside = sorted(p.parent for p in bids_dir.glob(f"*/{path.name}"))
        hint = f" Did you mean {(above + inside)[0]}?" if above + inside else ""
        raise ValidationFailed(
            f"{path} is missing; a BIDS dataset has one with at least Name and BIDSVersion.{hint}"
        )
    try:
        content = read_json(path)
    except (DataError, MissingInput) as error:
        raise ValidationFailed(str(error)) from error
    if not isinstance(content, dict):
        raise ValidationFailed(f"{path} is not a JSON object; expected Name and BIDSVersion.")
