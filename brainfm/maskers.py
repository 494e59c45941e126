"""Masker that turns images and EEG into recordings, as the first step of a pipeline."""

from pathlib import Path

import mne
import nibabel as nib
import numpy as np
from nilearn.interfaces.fmriprep import load_confounds
from sklearn.base import BaseEstimator, TransformerMixin

from brainfm.errors import DataError, MissingInput, UsageError
from brainfm.recording import RUN_LABELS, Recording, RecordingTable
from brainfm.signal.bold import clean_series, parcel_means
from brainfm.storage.atlas import labels_on_grid, load_atlas
from brainfm.storage.bids.names import ENTITY_OF, entities_of


class RecordingMasker(TransformerMixin, BaseEstimator):
    """Extract recordings from preprocessed 4D images and EEG.

    Images become parcel time series, as with :class:`nilearn.maskers.NiftiLabelsMasker`; EEG
    becomes a signal with electrode positions. The result is a :class:`brainfm.RecordingTable`,
    the input of all brainfm estimators. The masker has no fitted attributes.

    Parameters
    ----------
    atlas : str or path, default="Schaefer100"
        Atlas in the space of the images, as :func:`brainfm.storage.atlas.load_atlas` takes it.
    tr_s : float, optional
        Repetition time in seconds; by default, that of the image header.
    high_pass_hz : float or None, default=0.008
        High-pass cut-off of the parcel time series in Hz; None disables the filter.
    low_pass_hz : float or None, default=0.1
        Low-pass cut-off of the parcel time series in Hz; None disables the filter.
    confounds : sequence of str, optional
        Confounds to regress out of the parcel time series, as ``strategy`` of
        :func:`nilearn.interfaces.fmriprep.load_confounds`. Images must be paths in an fMRIPrep
        output folder. Volumes that are not in steady state are left out at the start; with "scrub",
        motion outliers are NaN in the recording.

    See Also
    --------
    brainfm.load_recordings : recordings of an output folder of brainfm.
    nilearn.maskers.NiftiLabelsMasker : parcel time series as arrays.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from brainfm import BrainClassifier, RecordingMasker
    >>> pipeline = make_pipeline(RecordingMasker(), BrainClassifier())
    >>> pipeline.fit(paths, labels)  # doctest: +SKIP
    """

    def __init__(
        self, atlas="Schaefer100", *, tr_s=None, high_pass_hz=0.008, low_pass_hz=0.1, confounds=None
    ):
        self.atlas = atlas
        self.tr_s = tr_s
        self.high_pass_hz = high_pass_hz
        self.low_pass_hz = low_pass_hz
        self.confounds = confounds

    def fit(self, X, y=None):
        """Return the masker unchanged; it exists for pipelines.

        Parameters
        ----------
        X : list
            Not used.
        y : None
            Not used.

        Returns
        -------
        self : RecordingMasker
        """
        return self

    def transform(self, X):
        """Extract one recording per item.

        Parameters
        ----------
        X : list
            4D images (``nibabel`` images or paths), :class:`mne.io.Raw` or :class:`mne.Epochs`.
            EEG is used as it is filtered; epochs are concatenated.

        Returns
        -------
        table : RecordingTable
            One row per item. Participant, session, task and run are those of a BIDS file name.

        Raises
        ------
        MissingInput
            If a file does not exist.
        DataError
            If an image is not 4D, has no valid repetition time or does not overlap the atlas, or
            if EEG has no electrode positions.
        UsageError
            If an item has another type, or confounds are requested for an image in memory.
        """
        atlas = None
        rows = []
        for item in X:
            if isinstance(item, (mne.io.BaseRaw, mne.BaseEpochs)):
                rows.append((_from_eeg(item),))
            elif isinstance(item, (str, Path, nib.spatialimages.SpatialImage)):
                atlas = atlas or load_atlas(self.atlas)
                rows.append((self._from_image(item, atlas),))
            else:
                raise UsageError(
                    f"X holds {type(item).__name__}; expected 4D images, their paths, mne.io.Raw "
                    "or mne.Epochs."
                )
        return RecordingTable(rows)

    def __sklearn_is_fitted__(self):
        return True

    def _from_image(self, item, atlas):
        image, name = _load(item)
        tr_s = self.tr_s or float(image.header.get_zooms()[3])
        if not 0.1 < tr_s < 20:
            raise DataError(f"{name} has a repetition time of {tr_s:g} s; pass tr_s in seconds.")
        labels = labels_on_grid(atlas.image, image).ravel()
        bold = np.asarray(image.dataobj, dtype=np.float32).reshape(-1, image.shape[3])[labels > 0]
        series = parcel_means(bold.T, labels[labels > 0], len(atlas.names))
        confounds, kept = self._confounds(item, len(series))
        covered = np.isfinite(series).all(axis=0) & (np.ptp(series[kept], axis=0) > 0)
        if not covered.any():
            raise DataError(f"{name} has no parcel of {self.atlas}: are both in the same space?")
        series[:, ~covered] = np.nan
        start = int(np.argmax(kept))  # volumes that are not in steady state are no part of the run
        cleaned = clean_series(
            series[start:],
            None if confounds is None else confounds[start:],
            kept=kept[start:],
            sampling_hz=1 / tr_s,
            high_pass_hz=self.high_pass_hz or 0,
            low_pass_hz=self.low_pass_hz or 0,
        )
        return Recording.from_array(
            cleaned, sampling_hz=1 / tr_s, modality="bold", positions=atlas.positions,
            channels=atlas.names, mask=covered, **_labels(item),
        )  # fmt: skip

    def _confounds(self, item, n_times):
        """Return the confounds and which volumes nilearn keeps."""
        kept = np.ones(n_times, bool)
        if self.confounds is None:
            return None, kept
        if not isinstance(item, (str, Path)):
            raise UsageError(
                "confounds need the files of fMRIPrep: pass paths of images, or confounds=None."
            )
        confounds, sample_mask = load_confounds(str(item), strategy=tuple(self.confounds))
        if sample_mask is not None:
            kept = np.isin(np.arange(n_times), sample_mask)
        if kept.sum() < 2:
            raise DataError(f"{Path(item).name} has {kept.sum()} volumes that are no outliers.")
        return confounds.to_numpy(float), kept


def _load(item):
    if not isinstance(item, (str, Path)):
        image, name = item, "an image"
    elif Path(item).is_file():
        image, name = nib.load(item), Path(item).name
    else:
        raise MissingInput(f"there is no image {item}.")
    if len(image.shape) != 4:
        raise DataError(f"{name} has {len(image.shape)} dimensions; expected 4, a run of volumes.")
    return image, name


def _from_eeg(item):
    eeg = item.copy().pick("eeg", exclude=())
    positions = np.array([channel["loc"][:3] for channel in eeg.info["chs"]])
    has_position = np.isfinite(positions).all(axis=1) & positions.any(axis=1)
    if not has_position.any():
        raise DataError(
            "EEG has no electrode positions: call set_montage('standard_1005') or set your own "
            "montage."
        )
    signal = eeg.get_data()
    if signal.ndim == 3:
        signal = np.concatenate(list(signal), axis=1)
    good = np.array([name not in eeg.info["bads"] for name in eeg.ch_names])
    return Recording.from_array(
        signal.T, sampling_hz=eeg.info["sfreq"], modality="eeg", positions=positions,
        channels=eeg.ch_names, mask=has_position & good,
    )  # fmt: skip


def _labels(item):
    if not isinstance(item, (str, Path)):
        return {}
    found = entities_of(item)
    names = {"participant": "sub"} | {name: ENTITY_OF[name] for name in RUN_LABELS}
    return {name: found[key] for name, key in names.items() if key in found}
