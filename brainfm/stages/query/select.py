"""Select the runs of a call: raw ones, and those that derivatives hold."""

from brainfm.storage.bids.query import QUERIES, participants_of, raw_runs
from brainfm.storage.derivatives.dataset_description import is_derivative
from brainfm.storage.derivatives.derived_runs import combine_echoes, derived_runs


def known_participants(bids_dir, *, engine, derivatives):
    """List the participants of a dataset and of the derivatives that are used.

    Parameters
    ----------
    bids_dir : Path
    engine : {"derivatives", "fmriprep", "builtin"} or None
    derivatives : dict of str to Path

    Returns
    -------
    labels : list of str, sorted

    Raises
    ------
    MissingInput
        If a folder cannot be listed.
    """
    used = derivatives.values() if engine == "derivatives" else ()
    return sorted({label for root in (bids_dir, *used) for label in participants_of(root)})


def find_selected(bids_dir, *, participants, engine, derivatives, filters=None, **labels):
    """Find the runs that labels and filters select.

    Parameters
    ----------
    bids_dir : Path
        Raw dataset; or derivatives, which hold no raw runs.
    participants : iterable of str
    engine : {"derivatives", "fmriprep", "builtin"} or None
        Preprocessed BOLD runs are found in derivatives; fMRIPrep makes one of several echoes.
    derivatives : dict of str to Path
    filters : dict, optional
    **labels
        ``sessions``, ``tasks`` and ``runs``; see :func:`brainfm.storage.bids.query.raw_runs`.

    Returns
    -------
    runs : list of RawRun
        By participant, session and modality, then by name.

    Raises
    ------
    UsageError
        If something is no label.
    MissingInput
        If a folder cannot be listed.
    """
    wanted = {"participants": participants, "filters": filters, **labels}
    runs = [] if is_derivative(bids_dir) else raw_runs(bids_dir, **wanted)
    if engine == "fmriprep":
        runs = combine_echoes(runs, bids_dir)
    elif engine == "derivatives":
        raw = [run for run in runs if run.modality == "bold"]
        others = [run for run in runs if run.modality != "bold"]
        runs = [*others, *derived_runs(derivatives, raw, bids_dir=bids_dir, **wanted)]
    modalities = list(QUERIES)
    return sorted(
        runs,
        key=lambda run: (
            run.participant, run.session or "", modalities.index(run.modality), run.path.name
        ),
    )  # fmt: skip
