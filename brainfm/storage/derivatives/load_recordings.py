"""Table of the standardised recordings of a dataset, which scikit-learn can split."""

from brainfm.errors import NothingSelected, UsageError
from brainfm.recording import MODALITIES, RecordingTable
from brainfm.storage.derivatives.recordings import find_recordings


def load_recordings(root, *, modality=None, participant=None, session=None, task=None, **more):
    """Load the standardised recordings of a dataset; signals are read lazily.

    Parameters
    ----------
    root : path
        Output folder of ``brainfm ... participant``, or another derivative dataset of parcel
        series (``*_atlas-<label>_timeseries.tsv``).
    modality : {"bold", "eeg"}, optional
    participant, session, task : str or list of str, optional
        Select these labels, given with or without prefix.
    **more
        ``run`` and ``atlas`` labels; ``positions``: path of the atlas table (name, x, y, z in
        MNI millimetres) for series that name no positions.

    Returns
    -------
    table : RecordingTable
        BOLD and EEG of one run share a row.

    Raises
    ------
    NothingSelected
        If no recording is selected.
    MissingInput
        If the folder does not exist, or a recording has no positions.
    UsageError
        If the modality or a filter is unknown.
    """
    if modality not in (None, *MODALITIES):
        raise UsageError(f"modality is {modality!r}; expected one of {', '.join(MODALITIES)}.")
    unknown = set(more) - {"run", "atlas", "positions"}
    if unknown:
        raise UsageError(
            f"load_recordings has no filter {', '.join(sorted(unknown))}; expected participant, "
            "session, task, run, atlas or positions."
        )
    labels = {"participant": participant, "session": session, "task": task, **more}
    recordings = find_recordings(root, modality=modality, **labels)
    if not recordings:
        given = {key: value for key, value in labels.items() if value is not None}
        raise NothingSelected(
            f"no standardised {modality or ''} recording under {root}"
            f"{f' with {given}' if given else ''}: expected *_atlas-*_timeseries.tsv or "
            "*_desc-preproc_eeg.vhdr in sub-*/; run the participant level first."
        )
    return RecordingTable.from_recordings(recordings)
