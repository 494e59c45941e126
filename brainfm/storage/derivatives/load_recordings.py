"""Table of the standardised recordings of a dataset, which scikit-learn can split."""

from pathlib import Path

from brainfm.errors import NothingSelected, UsageError
from brainfm.recording import MODALITIES, RecordingTable
from brainfm.storage.derivatives.recordings import find_files, log_selection, read_recordings
from brainfm.storage.derivatives.selection import make_selection
from brainfm.storage.derivatives.series_files import check_one_series_per_run, other_outputs


def load_recordings(
    root,
    *,
    modality=None,
    participant=None,
    session=None,
    task=None,
    run=None,
    bids_filter_file=None,
    exclude=None,
    positions=None,
    **labels,
):
    """Load the standardised recordings of a dataset; signals are read lazily.

    Parameters
    ----------
    root : path
        Output folder of ``brainfm ... participant``, or parcel series of another program, such as
        XCP-D or giga_connectome (``*_timeseries.tsv``).
    modality : {"bold", "eeg"}, optional
    participant, session, task, run : str or list of str, optional
        Select these labels, given with or without prefix; ``run-01`` is run 1.
    bids_filter_file : path, optional
        JSON file of PyBIDS filters, ``{"bold": {"task": "rest"}, "eeg": {...}}``, as
        ``--bids-filter-file`` takes it. Entities that are not in the names of derivatives, such
        as the extension, are ignored.
    exclude : path, optional
        Exclusion list, as ``--exclude`` takes it: a TSV with ``participant_id``, if needed
        ``session_id``, ``task``, ``run`` and other entities, and ``reason``.
    positions : path, optional
        Atlas table (name, x, y, z in MNI millimetres) for series that name no positions; or a
        label image with its table.
    **labels : str or list of str
        ``atlas`` (also of ``seg-<label>``), ``acquisition``, ``ceagent``, ``reconstruction``,
        ``direction``, ``echo``, ``part`` and ``chunk``.

    Returns
    -------
    table : RecordingTable
        BOLD and EEG of one run share a row.

    Raises
    ------
    NothingSelected
        If no recording is selected.
    MissingInput
        If a folder or file does not exist, or a recording has no positions.
    UsageError
        If the modality or a filter is unknown.
    DataError
        If the exclusion list is malformed, a file is not what its name says, or a run has
        several series.
    """
    if modality not in (None, *MODALITIES):
        raise UsageError(f"modality is {modality!r}; expected one of {', '.join(MODALITIES)}.")
    labels |= {"participant": participant, "session": session, "task": task, "run": run}
    files = {"bids_filter_file": bids_filter_file, "exclude": exclude}
    selection = make_selection(modality=modality, **files, **labels)
    paths, excluded = find_files([root], selection)
    log_selection([root], selection, excluded)
    if not paths:
        given = {key: value for key, value in (labels | files).items() if value is not None}
        raise NothingSelected(
            f"no standardised {modality or ''} recording under {root}"
            f"{f' with {given}' if given else ''}: expected *_atlas-*_timeseries.tsv or "
            "*_desc-preproc_eeg.vhdr in sub-*/; run the participant level first."
            f"{other_outputs(Path(root))}"
        )
    check_one_series_per_run(paths)
    return RecordingTable.from_recordings(read_recordings(paths, positions))
