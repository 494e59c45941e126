"""Images and EEG in memory as recordings: the first step of a scikit-learn or nilearn pipeline."""

from pathlib import Path

import mne
import nibabel as nib
import numpy as np
from nilearn.image import resample_to_img
from nilearn.interfaces.fmriprep import load_confounds
from sklearn.base import BaseEstimator, TransformerMixin

from brainfm.errors import DataError, MissingInput, UsageError
from brainfm.recording import Recording, RecordingTable
from brainfm.signal.bold import clean_series, parcel_means
from brainfm.storage.atlas import load_atlas
from brainfm.storage.bids.names import entities_of


class RecordingMasker(TransformerMixin, BaseEstimator):
    """Turn preprocessed images and EEG into a :class:`brainfm.RecordingTable`; nothing is learned.

    Parameters
    ----------
    atlas : str or path
        ``Schaefer100``, or a parcellation as :func:`brainfm.storage.atlas.load_atlas` takes it, in
        the space of the images.
    tr_s : float, optional
        Repetition time in seconds; by default, as the header says.
    high_pass_hz, low_pass_hz : float or None
        Of the parcel series.
    confounds : sequence of str, optional
        Regressed out of the parcel series: a strategy of
        :func:`nilearn.interfaces.fmriprep.load_confounds`, which needs paths in an fMRIPrep
        folder.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from brainfm import BrainClassifier
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
        """Learn nothing."""
        return self

    def transform(self, X):
        """Read the series of each item.

        Parameters
        ----------
        X : list
            Each a 4D image or the path of one, or a ``mne.io.Raw`` or ``mne.Epochs`` that is loaded
            and filtered as wanted. Epochs are put one after the other.

        Returns
        -------
        table : RecordingTable, one row an item
            The participant is that of a BIDS name, else unknown.

        Raises
        ------
        MissingInput
            If there is no such file.
        DataError
            If an image is not 4D, does not say its repetition time, or lies beside the atlas; if
            EEG has no positions.
        UsageError
            If an item is something else, or confounds are asked for of an image in memory.
        """
        atlas = None
        rows = []
        for item in X:
            if isinstance(item, (mne.io.BaseRaw, mne.BaseEpochs)):
                rows.append((_of_eeg(item),))
            elif isinstance(item, (str, Path, nib.spatialimages.SpatialImage)):
                atlas = atlas or load_atlas(self.atlas)
                rows.append((self._of_image(item, atlas),))
            else:
                raise UsageError(
                    f"X holds {type(item).__name__}; expected 4D images, their paths, mne.io.Raw "
                    "or mne.Epochs."
                )
        return RecordingTable(rows)

    def __sklearn_is_fitted__(self):
        return True

    def _of_image(self, item, atlas):
        image, name = _loaded(item)
        tr_s = self.tr_s or float(image.header.get_zooms()[3])
        if not 0.1 < tr_s < 20:
            raise DataError(f"{name} has a repetition time of {tr_s:g} s; pass tr_s in seconds.")
        labels = resample_to_img(
            atlas.image, image, interpolation="nearest", force_resample=True, copy_header=True
        )
        labels = np.asarray(labels.dataobj).astype(int).ravel()
        bold = np.asarray(image.dataobj, dtype=np.float32).reshape(-1, image.shape[3])[labels > 0]
        series = parcel_means(bold.T, labels[labels > 0], len(atlas.names))
        covered = np.isfinite(series).all(axis=0) & (np.ptp(series, axis=0) > 0)
        if not covered.any():
            raise DataError(f"{name} holds no parcel of {self.atlas}: are both in one space?")
        series[:, ~covered] = np.nan
        cleaned = clean_series(
            series,
            self._confounds(item),
            sampling_hz=1 / tr_s,
            high_pass_hz=self.high_pass_hz or 0,
            low_pass_hz=self.low_pass_hz or 0,
        )
        return Recording.from_array(
            cleaned, sampling_hz=1 / tr_s, modality="bold", positions=atlas.positions,
            channels=atlas.names, mask=covered, **_labels(item),
        )  # fmt: skip

    def _confounds(self, item):
        if self.confounds is None:
            return None
        if not isinstance(item, (str, Path)):
            raise UsageError("confounds are read beside a file: pass paths, or confounds=None.")
        return load_confounds(str(item), strategy=tuple(self.confounds))[0].to_numpy(float)


def _loaded(item):
    if not isinstance(item, (str, Path)):
        image, name = item, "an image"
    elif Path(item).is_file():
        image, name = nib.load(item), Path(item).name
    else:
        raise MissingInput(f"there is no image {item}.")
    if len(image.shape) != 4:
        raise DataError(f"{name} has {len(image.shape)} dimensions; expected 4, a run of volumes.")
    return image, name


def _of_eeg(item):
    eeg = item.copy().pick("eeg", exclude=())
    positions = np.array([channel["loc"][:3] for channel in eeg.info["chs"]])
    placed = np.isfinite(positions).all(axis=1) & positions.any(axis=1)
    if not placed.any():
        raise DataError(
            "EEG has no electrode positions: call set_montage('standard_1005'), or with your own."
        )
    signal = eeg.get_data()
    if signal.ndim == 3:
        signal = np.concatenate(list(signal), axis=1)
    good = np.array([name not in eeg.info["bads"] for name in eeg.ch_names])
    return Recording.from_array(
        signal.T, sampling_hz=eeg.info["sfreq"], modality="eeg", positions=positions,
        channels=eeg.ch_names, mask=placed & good,
    )  # fmt: skip


def _labels(item):
    if not isinstance(item, (str, Path)):
        return {}
    found = entities_of(item)
    names = {"participant": "sub", "session": "ses", "task": "task", "run": "run"}
    return {name: found[key] for name, key in names.items() if key in found}
