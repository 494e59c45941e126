"""Independent components of EEG, classified by ICLabel."""

import warnings
from dataclasses import dataclass, field

import mne
import numpy as np
from mne_icalabel.iclabel import iclabel_label_components

#: Classes of ICLabel, in the order of its output.
LABELS = ("brain", "muscle", "eye", "heart", "line noise", "channel noise", "other")
#: Classes whose components are removed.
ARTEFACTS = ("muscle", "eye", "heart", "line noise", "channel noise")
_MOST_COMPONENTS = 30
_FEWEST_CHANNELS = 8
_FEWEST_COMPONENTS = 5
_SAMPLES_PER_WEIGHT = 10
_FIT_HZ = 250.0


@dataclass(frozen=True, kw_only=True)
class Components:
    """Independent components of one recording and their ICLabel classes.

    Parameters
    ----------
    ica : mne.preprocessing.ICA or None
    probabilities : ndarray of float, shape (n_components, 7)
        Columns as in :data:`LABELS`.
    removed : tuple of int
    skipped : str or None
        Reason if the ICA was skipped; then there are no components.
    """

    ica: mne.preprocessing.ICA | None = None
    probabilities: np.ndarray = field(default_factory=lambda: np.zeros((0, len(LABELS))))
    removed: tuple[int, ...] = ()
    skipped: str | None = None

    @property
    def labels(self):
        """The most probable class of each component."""
        return [LABELS[index] for index in self.probabilities.argmax(axis=1)]

    def describe(self):
        """Return one dict per component: index, label, probability, removed."""
        return [
            {
                "Component": index,
                "Label": label,
                "Probability": round(float(self.probabilities[index].max()), 4),
                "Removed": index in self.removed,
            }
            for index, label in enumerate(self.labels)
        ]


def find_components(raw, *, threshold, seed, sloppy=False):
    """Fit ICA on an average-referenced copy filtered to 1 to 100 Hz, and label its components.

    The number of components is at most 30, the rank, and the square root of a tenth of the
    number of samples (ten samples per weight). With too few channels or samples the ICA is
    skipped, and ``skipped`` has the reason.

    Parameters
    ----------
    raw : mne.io.Raw
        EEG in volts without line noise, not yet band-passed; bad channels are left out.
    threshold : float
        A component of an artefact class above this probability is removed; 1 removes none.
    seed : int
    sloppy : bool
        At most 10 components and few iterations, for tests.

    Returns
    -------
    Components

    References
    ----------
    .. [1] Ablin, Cardoso, Gramfort, 2018, IEEE Trans. Signal Process. 66(15) (Picard).
       https://doi.org/10.1109/TSP.2018.2844203
    .. [2] Pion-Tonachini et al., 2019, NeuroImage 198 (ICLabel).
       https://doi.org/10.1016/j.neuroimage.2019.05.026
    """
    copy = _fitted_band(raw)
    n_components, reason = _n_components(copy, most=10 if sloppy else _MOST_COMPONENTS)
    if reason:
        return Components(skipped=reason)
    ica = mne.preprocessing.ICA(
        n_components=n_components,
        method="picard",
        fit_params={"ortho": False, "extended": True},
        max_iter=60 if sloppy else 500,
        random_state=seed,
        verbose="error",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not converged within max_iter; a low-pass below 100 Hz
        ica.fit(copy, verbose="error")
        probabilities = np.asarray(iclabel_label_components(copy, ica, inplace=False))
    artefact = np.isin(LABELS, ARTEFACTS)[probabilities.argmax(axis=1)]
    removed = np.flatnonzero(artefact & (probabilities.max(axis=1) > threshold))
    return Components(ica=ica, probabilities=probabilities, removed=tuple(removed.tolist()))


def _fitted_band(raw):
    """Copy with the properties ICLabel was trained on: 1 to 100 Hz, average reference."""
    copy = raw.copy().pick("eeg", exclude="bads", verbose="error")
    nyquist = copy.info["sfreq"] / 2
    copy.filter(1.0, 100.0 if nyquist > 105 else None, verbose="error")
    if copy.info["sfreq"] > _FIT_HZ:
        copy.resample(_FIT_HZ, verbose="error")
    return copy.set_eeg_reference("average", verbose="error")


def _n_components(raw, *, most):
    n_channels = len(raw.ch_names)
    if n_channels < _FEWEST_CHANNELS:
        return 0, f"{n_channels} good channels, at least {_FEWEST_CHANNELS} are needed"
    rank = mne.compute_rank(raw, rank=None, verbose="error")["eeg"]
    most_by_samples = int(np.sqrt(raw.n_times / _SAMPLES_PER_WEIGHT))
    n_components = min(rank, n_channels - 1, most, most_by_samples)
    if n_components < _FEWEST_COMPONENTS:
        reason = f"rank {rank} and {raw.n_times} samples allow {n_components} components"
        return 0, f"{reason}, at least {_FEWEST_COMPONENTS} are needed"
    return n_components, None
