"""Published deep networks as classifiers of recordings."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import KW_ONLY, dataclass
from functools import partial

import numpy as np
import torch
from einops import rearrange
from scipy.spatial.distance import squareform
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNetClassifier
from skorch.dataset import ValidSplit
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from brainfm.errors import ModelError
from brainfm.models.encoder.windows import SPECS, prepare
from brainfm.models.estimators.adaptation import early_stopping_rows
from brainfm.models.estimators.fine_tuning import supervised_training
from brainfm.models.estimators.heads import encode_class_weight
from brainfm.models.features.classical import ConnectivityFeatures, common_channels, usable_channels
from brainfm.models.features.protocol import FeatureExtractorMixin
from brainfm.models.inputs import as_table, device_of
from brainfm.models.targets import check_target

_WINDOW_S = 4
_WINDOW = round(_WINDOW_S * SPECS["eeg"].sampling_hz)
#: Epochs without improvement on held-out participants before training stops.
_PATIENCE = 10


class EdgeToEdge(nn.Module):
    """Sum of linear maps of the rows of both ends of an edge, (b, n, n) -> (b, n, n * n_features).

    Parameters
    ----------
    n_parcels, n_features : int

    References
    ----------
    .. [1] Kawahara et al., 2017, NeuroImage 146.
       https://doi.org/10.1016/j.neuroimage.2016.09.046
    """

    def __init__(self, n_parcels, n_features):
        super().__init__()
        self.row = nn.Linear(n_parcels, n_features)
        self.column = nn.Linear(n_parcels, n_features)

    def forward(self, matrices):
        """Map matrices (b, n, n) to edge features, flattened by row."""
        ends = self.row(matrices)[:, :, None] + self.column(matrices.mT)[:, None]
        return ends.flatten(start_dim=2)  # from (b, n, n, n_features)


class BrainNetCNN(nn.Sequential):
    """Edge-to-edge, edge-to-node and node-to-graph layers: (b, n, n) -> (b, n_outputs) [1]_.

    Narrower than published, with one edge-to-edge layer instead of two, for hundreds of
    participants. Cross-shaped convolutions are written as linear layers of rows and columns.

    Parameters
    ----------
    n_parcels, n_outputs : int

    References
    ----------
    .. [1] Kawahara et al., 2017, NeuroImage 146.
       https://doi.org/10.1016/j.neuroimage.2016.09.046
    """

    def __init__(self, n_parcels, n_outputs):
        super().__init__(
            EdgeToEdge(n_parcels, 16),
            nn.LeakyReLU(0.33),
            nn.Linear(n_parcels * 16, 32),  # edge to node: (b, n_parcels, 32)
            nn.LeakyReLU(0.33),
            nn.Flatten(),
            nn.Linear(n_parcels * 32, 64),  # node to graph: (b, 64)
            nn.LeakyReLU(0.33),
            nn.Dropout(0.5),
            nn.Linear(64, n_outputs),
        )


def _of_braindecode(name, **settings):
    try:
        from braindecode import models
    except (ImportError, OSError) as error:  # OSError: torchaudio of another build than torch
        raise ModelError(
            f"{name} comes from braindecode, which cannot be imported ({error}): "
            'pip install "brainfm[deep]".'
        ) from error
    return partial(getattr(models, name), n_times=_WINDOW, **settings)


@dataclass(frozen=True)
class Network:
    """Entry of the registry of published networks.

    Parameters
    ----------
    modality : {"bold", "eeg"}
    load : callable
        Returns a factory of modules from the numbers of channels and outputs.
    """

    modality: str
    load: Callable


_EEGNET = {
    "kernel_length": round(SPECS["eeg"].sampling_hz / 2),  # half a second, as published
    "batch_norm_momentum": 0.1,  # at 0.01, running means do not converge in a small study
}
NETWORKS = {
    "shallow": Network("eeg", partial(_of_braindecode, "ShallowFBCSPNet")),
    "eegnet": Network("eeg", partial(_of_braindecode, "EEGNet", **_EEGNET)),
    "brainnetcnn": Network("bold", lambda: BrainNetCNN),
}


class _Matrices(ConnectivityFeatures):
    """BOLD -> a correlation matrix (1, n_parcels, n_parcels) per recording, 0 on the diagonal."""

    modality = "bold"

    def transform_precomputed(self, precomputed):
        edges = super().transform_precomputed(precomputed)
        return [squareform(row).astype(np.float32)[None] for row in edges]


class _EEGWindows(FeatureExtractorMixin):
    """EEG -> consecutive windows (n_windows, n_channels, n_times) per recording.

    A channel that a new recording lacks is imputed by 0, the mean.
    """

    modality = "eeg"

    def precompute(self, recordings):
        return [(usable_channels(one)[0], _long_enough(one)) for one in recordings]

    def fit_precomputed(self, precomputed):
        self.channels_ = common_channels([names for names, _ in precomputed])
        return self

    def transform_precomputed(self, precomputed):
        return [self._windows(dict(zip(*one, strict=True))) for one in precomputed]

    def _windows(self, series):
        absent = np.zeros_like(next(iter(series.values())))
        signal = np.stack([series.get(name, absent) for name in self.channels_])
        n_windows = signal.shape[1] // _WINDOW
        return rearrange(signal[:, : n_windows * _WINDOW], "c (n t) -> n c t", t=_WINDOW)


def _long_enough(recording):
    signal = prepare(recording).signal
    if signal.shape[1] < _WINDOW:
        raise ModelError(
            f"{recording!r} has {signal.shape[1] / SPECS['eeg'].sampling_hz:.3g} s of signal but "
            f"a window is {_WINDOW_S} s long: exclude it."
        )
    return signal


_INPUTS = {"bold": _Matrices, "eeg": _EEGWindows}


@dataclass(eq=False, repr=False)
class DeepClassifier(ClassifierMixin, BaseEstimator):
    """Classify recordings by a published deep network, trained from random weights.

    EEG is resampled to 100 Hz and scaled by :func:`brainfm.models.encoder.windows.prepare`, and cut
    into windows of 4 s; each window is an example, and the probabilities of the windows of a
    recording are averaged. Of BOLD, the input is the Pearson correlation matrix of the parcels.
    Only channels that every training recording has are used; one that a new recording lacks is
    imputed by the mean.

    Parameters
    ----------
    network : {"shallow", "eegnet", "brainnetcnn"}
        ShallowFBCSPNet [1]_ or EEGNet [2]_ of EEG, both of braindecode (extra ``deep``) with the
        layer sizes it gives them; or a small BrainNetCNN [3]_ of BOLD.
    max_epochs, batch_size : int
        Largest number of epochs; windows, or matrices, per step. Training stops after ten epochs
        without improvement on a held-out fifth of the participants. With fewer than five
        participants of a class none are held out, and all epochs are run.
    learning_rate : float
        Initial rate of AdamW; decays to zero along a cosine.
    class_weight : {"balanced", None} or dict of class label to float
    device : {"auto", "cpu", "cuda"}
    random_state : int
        Seed of the initial weights, the order of examples and dropout.

    Attributes
    ----------
    classes_ : ndarray
    module_ : torch.nn.Module
        The trained network, which gives logits.

    References
    ----------
    .. [1] Schirrmeister et al., 2017, Human Brain Mapping 38. https://doi.org/10.1002/hbm.23730
    .. [2] Lawhern et al., 2018, J. Neural Engineering 15. https://doi.org/10.1088/1741-2552/aace8c
    .. [3] Kawahara et al., 2017, NeuroImage 146.
       https://doi.org/10.1016/j.neuroimage.2016.09.046
    """

    network: str = "shallow"
    _: KW_ONLY
    max_epochs: int = 50
    batch_size: int = 32
    learning_rate: float = 1e-3
    class_weight: str | dict | None = "balanced"
    device: str = "auto"
    random_state: int = 0

    def fit(self, X, y, groups=None):
        """Fit on training rows only.

        Parameters
        ----------
        X : RecordingTable or list of Recording
            One recording of the modality of the network a row.
        y : array-like, shape (n,)
        groups : array-like, shape (n,), optional
            Participant of each row; by default that of the recordings.

        Returns
        -------
        self : DeepClassifier

        Raises
        ------
        DataError
            If ``y`` has one class or missing values.
        SignalError
            If the recordings have fewer than two channels in common.
        ModelError
            If the network is unknown or braindecode is missing; if lengths differ; if a row lacks
            the modality of the network, or EEG is shorter than a window.
        """
        if self.network not in NETWORKS:
            raise ModelError(f"network is {self.network!r}; expected one of {', '.join(NETWORKS)}.")
        table, y = as_table(X), np.asarray(y)
        groups = table.groups if groups is None else np.asarray(groups)
        if not len(table) == len(y) == len(groups):
            raise ModelError(
                f"X has {len(table)} rows, y {len(y)} values and groups {len(groups)}: give one "
                "of each for every row."
            )
        check_target(y, "classification")
        make = NETWORKS[self.network].load()
        self.classes_, numbers = np.unique(y, return_inverse=True)
        self.input_ = _INPUTS[NETWORKS[self.network].modality]()
        examples = self.input_.fit_transform(self._recordings(table))
        device = device_of(self.device)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(self.random_state)
            module = make(examples[0].shape[1], len(self.classes_))
            self.module_ = self._train(
                module, examples, numbers, early_stopping_rows(numbers, groups)
            )
        return self

    def predict(self, X):
        """Predict classes.

        Parameters
        ----------
        X : RecordingTable or list of Recording

        Returns
        -------
        y : ndarray, shape (n,)
            Most probable class of each row.

        Raises
        ------
        ModelError
            See :meth:`predict_proba`.
        """
        best = self.predict_proba(X).argmax(axis=1)  # first: it is what raises NotFittedError
        return self.classes_[best]

    @torch.inference_mode()
    def predict_proba(self, X):
        """Predict the probability of each class.

        Parameters
        ----------
        X : RecordingTable or list of Recording

        Returns
        -------
        probabilities : ndarray of float, shape (n, n_classes)

        Raises
        ------
        ModelError
            If a row lacks the modality of the network, or EEG is shorter than a window.
        """
        check_is_fitted(self, "module_")
        device = device_of(self.device)
        module = deepcopy(self.module_).to(device)
        probabilities = []
        for one in self._recordings(as_table(X)):
            (examples,) = self.input_.transform([one])
            parts = torch.from_numpy(examples).split(self.batch_size)
            outputs = torch.cat([module(part.to(device)) for part in parts])
            probabilities.append(outputs.softmax(dim=1).mean(dim=0).cpu().numpy())
        return np.stack(probabilities)

    def _recordings(self, table):
        modality = self.input_.modality
        chosen = table.of_modality(modality)
        if None in chosen:
            lost = chosen.index(None)
            raise ModelError(
                f"row {lost} has {table[lost][0]!r} but {self.network} reads {modality}: choose "
                "another network, or leave the row out."
            )
        return chosen

    def _train(self, module, examples, numbers, held_out):
        row_of = np.repeat(np.arange(len(examples)), [len(one) for one in examples])
        y = numbers[row_of]
        classes = np.unique(y)
        by_number = encode_class_weight(self.class_weight, self.classes_)
        weight = compute_class_weight(by_number, classes=classes, y=y)
        split = patience = None
        if held_out is not None:
            split = ValidSplit([[np.flatnonzero(held_out[row_of] == held) for held in (0, 1)]])
            patience = _PATIENCE
        net = NeuralNetClassifier(
            module,
            criterion=nn.CrossEntropyLoss,
            criterion__weight=torch.from_numpy(weight.astype(np.float32)),
            train_split=split,
            **supervised_training(self, patience),
        ).fit(np.concatenate(examples), y)
        return _settled(net.module_)


def _settled(module):
    """Replace parametrised weights by plain ones, which can be pickled."""
    for layer in list(module.modules()):
        if is_parametrized(layer, "weight"):
            remove_parametrizations(layer, "weight")
    return module.cpu().eval()
