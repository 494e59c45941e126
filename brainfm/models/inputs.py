"""Input of the estimators: conversion of ``X`` to a table of recordings."""

from dataclasses import dataclass

import numpy as np
import torch

from brainfm.errors import ModelError, SignalError
from brainfm.recording import Recording, RecordingTable


def as_table(X, *, positions=None, sampling_hz=None, modality=None):
    """Convert the ``X`` of an estimator to a table of recordings.

    Parameters
    ----------
    X : RecordingTable, list of Recording, or array-like, shape (n, n_times, n_channels)
        A list may also hold arrays, shape (n_times, n_channels), of different lengths. Each
        recording of a list is one row.
    positions : array-like, shape (n_channels, 3), optional
    sampling_hz : float, optional
    modality : {"bold", "eeg"}, optional
        Required for arrays. Positions are in MNI millimetres (BOLD) or metres (EEG).

    Returns
    -------
    table : RecordingTable, with at least one row

    Raises
    ------
    ModelError
        If ``X`` is empty or of another type, or arrays come without these three.
    SignalError
        If an array has another shape, or positions do not match it.
    """
    if not isinstance(X, RecordingTable):
        items = list(X) if not np.isscalar(X) else []
        if items and all(isinstance(item, Recording) for item in items):
            X = RecordingTable((item,) for item in items)
        elif items and all(isinstance(item, tuple) for item in items):
            X = RecordingTable(items)
        elif items and np.ndim(items[0]) > 0:
            X = _from_arrays(items, positions, sampling_hz, modality)
        elif items:
            raise ModelError(
                f"X holds {type(items[0]).__name__}; expected a RecordingTable, a list of "
                "Recording, or an array (n, n_times, n_channels)."
            )
    if not len(X):
        raise ModelError("X is empty: expected at least one recording.")
    return X


@dataclass(eq=False, repr=False, kw_only=True)
class TableInputMixin:
    """Conversion of ``X``, and the parameters of estimators that describe it when it is an array.

    Parameters
    ----------
    positions : array-like, shape (n_channels, 3), optional
    sampling_hz : float, optional
    modality : {"bold", "eeg"}, optional
        See :func:`as_table`.
    device : {"auto", "cpu", "cuda"}
    """

    positions: np.ndarray | None = None
    sampling_hz: float | None = None
    modality: str | None = None
    device: str = "auto"

    def _table(self, X):
        return as_table(
            X, positions=self.positions, sampling_hz=self.sampling_hz, modality=self.modality
        )


def device_of(name):
    """Return a torch device.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda"} or any other name of a torch device

    Returns
    -------
    device : torch.device
        ``auto`` is CUDA if there is a GPU, else the CPU.

    Raises
    ------
    ModelError
        If CUDA is requested and there is no GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if str(name).startswith("cuda") and not torch.cuda.is_available():
        raise ModelError("device is 'cuda' but torch sees no GPU: use device='cpu' or 'auto'.")
    return torch.device(name)


def _from_arrays(items, positions, sampling_hz, modality):
    given = {"positions": positions, "sampling_hz": sampling_hz, "modality": modality}
    missing = [name for name, value in given.items() if value is None]
    if missing:
        raise ModelError(
            f"X is an array and the estimator has no {', '.join(missing)}: pass positions "
            "(n_channels, 3), sampling_hz and modality, or pass recordings."
        )
    if np.ndim(items[0]) != 2:
        raise SignalError(
            f"each recording has shape {np.shape(items[0])}; expected X of shape "
            "(n, n_times, n_channels): for one recording, use X[None]."
        )
    return RecordingTable((Recording.from_array(item, **given),) for item in items)
