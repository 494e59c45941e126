"""Number of processes of an evaluation that fit into memory."""

#: Connectivity matrices of one recording: one of BOLD, four bands of EEG.
_N_MATRICES = {"bold": 1, "eeg": 4}


def n_jobs_for(recordings, *, max_jobs, memory_gb):
    """Return the number of processes that fit into memory.

    The tangent space of n matrices of p channels takes six times their size at its peak in a
    worker; the main process holds four times their size. For 177 participants and 200 parcels a
    worker took 0.8 GB.

    Parameters
    ----------
    recordings : list of Recording
    max_jobs : int
        Upper limit, such as the number of processors.
    memory_gb : float
        Memory of all processes together.

    Returns
    -------
    n_jobs : int
        At least 1.
    """
    matrices_gb = 8e-9 * sum(_N_MATRICES[one.modality] * one.shape[1] ** 2 for one in recordings)
    fit = (memory_gb - 1 - 4 * matrices_gb) / (1 + 6 * matrices_gb)
    return max(1, min(max_jobs, int(fit)))
