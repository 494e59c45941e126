"""Fine-tuning of an encoder with a linear head on windows of labelled recordings."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from skorch import NeuralNet
from skorch.callbacks import EarlyStopping, GradientNormClipping, LRScheduler
from skorch.helper import predefined_split
from torch import nn
from torch.utils.data import Dataset

from brainfm.models.encoder.windows import (
    Windows,
    all_windows,
    collate,
    n_whole_patches,
    random_crop,
)
from brainfm.models.estimators.lora import add_lora, merge_lora
from brainfm.models.inputs import device_of


def supervised_training(estimator, patience=None):
    """Make the parameters that the skorch nets of supervised training share.

    Parameters
    ----------
    estimator : estimator
        With ``max_epochs``, over which the learning rate decays to zero along a cosine,
        ``batch_size``, ``learning_rate`` and ``device``.
    patience : int, optional
        Epochs without improvement on held-out rows before training stops; the best weights are
        restored. By default there is no early stopping.

    Returns
    -------
    parameters : dict
        Of :class:`skorch.NeuralNet`.
    """
    callbacks = [("schedule", LRScheduler("CosineAnnealingLR", T_max=estimator.max_epochs))]
    if patience is not None:
        stop = EarlyStopping(patience=patience, load_best=True, sink=_discard)
        callbacks.append(("stop", stop))
    return {
        "optimizer": torch.optim.AdamW,
        "lr": estimator.learning_rate,
        "max_epochs": estimator.max_epochs,
        "batch_size": estimator.batch_size,
        "iterator_train__shuffle": True,
        "callbacks": callbacks,
        "device": str(device_of(estimator.device)),
        "verbose": 0,
    }


class WindowNet(nn.Module):
    """Encoder and linear head: windows of one modality -> outputs (b, n_outputs).

    The head reads the summary token and the mean of the other tokens.

    Parameters
    ----------
    encoder : BrainEncoder
    modality : {"bold", "eeg"}
    n_outputs : int
    """

    def __init__(self, encoder, modality, n_outputs):
        super().__init__()
        self.encoder, self.modality = encoder, modality
        self.head = nn.Linear(2 * encoder.config.dim, n_outputs)

    def forward(self, **windows):
        """Take the fields of :class:`brainfm.models.encoder.windows.Windows`."""
        encoded = self.encoder({self.modality: Windows(**windows)})
        valid = rearrange(encoded.valid.float(), "b n -> b n 1")
        mean = (encoded.tokens * valid).sum(dim=1) / valid.sum(dim=1).clamp_min(1)
        return self.head(torch.cat([encoded.summary, mean], dim=-1))


@dataclass(eq=False, repr=False, kw_only=True)
class TuningSettings:
    """Settings of fine-tuning.

    Parameters
    ----------
    max_epochs, batch_size, patience : int
        Largest number of epochs; windows per step; epochs without improvement on held-out rows
        before training stops.
    learning_rate : float
        Initial rate of AdamW; decays to zero along a cosine.
    device : {"auto", "cpu", "cuda"}
    random_state : int
        Seed of the head, the order of the windows and their crops.
    """

    max_epochs: int = 20
    batch_size: int = 16
    patience: int = 5
    learning_rate: float = 1e-3
    device: str = "auto"
    random_state: int = 0


@dataclass(eq=False, repr=False, kw_only=True)
class FineTuner(TuningSettings):
    """Tune an encoder on labelled recordings of one modality.

    Parameters
    ----------
    encoder : BrainEncoder
        Not changed; a copy is tuned.
    method : {"lora", "full"}
        Low-rank adaptation of the transformer [1]_, or all weights.
    criterion : torch.nn.Module
        Loss of outputs (b, n_outputs) and targets.
    n_outputs : int
    max_epochs, batch_size, patience, learning_rate, device, random_state
        See :class:`TuningSettings`.

    References
    ----------
    .. [1] Hu et al., 2022, ICLR. https://arxiv.org/abs/2106.09685
    """

    encoder: nn.Module
    method: str
    criterion: nn.Module
    n_outputs: int

    def fit(self, prepared, target, stopping=None):
        """Tune a copy of the encoder.

        Parameters
        ----------
        prepared : list of PreparedSignal
        target : ndarray, shape (n,) or (n, n_outputs)
        stopping : ndarray of bool, shape (n,), optional
            Rows held out for early stopping; by default none, and all epochs are run.

        Returns
        -------
        self : FineTuner
            With ``net_``, a fitted :class:`skorch.NeuralNet`.
        """
        modality = prepared[0].modality
        learning = np.ones(len(target), bool) if stopping is None else ~stopping
        held_out = None if stopping is None else (prepared, target, stopping)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            encoder = copy.deepcopy(self.encoder)
            if self.method == "lora":
                add_lora(encoder)
            module = WindowNet(encoder, modality, self.n_outputs)
            windows = _RandomWindows(prepared, target, learning, encoder.config, self.random_state)
            self.net_ = self._net(module, held_out).fit(windows)
            self.net_.train_split = None  # holds the signals of held-out rows
            if self.method == "lora":
                merge_lora(encoder)
        return self

    @torch.inference_mode()
    def predict(self, prepared):
        """Compute the outputs of each window of each recording.

        Parameters
        ----------
        prepared : list of Prepared

        Returns
        -------
        outputs : list of Tensor of float32, shape (n_windows, n_outputs)
        """
        module = self.net_.module_.eval()
        device = next(module.parameters()).device
        n_patches = module.encoder.config.n_patches_of(module.modality)
        return [
            module(**vars(all_windows(one, n_patches).to(device))).float().cpu() for one in prepared
        ]

    def _net(self, module, held_out):
        split = patience = None
        if held_out is not None:
            split = predefined_split(_all_windows(*held_out, module.encoder.config))
            patience = self.patience
        parameters = supervised_training(self, patience)
        parameters["callbacks"].insert(0, ("clip", GradientNormClipping(1.0)))
        return NeuralNet(
            module,
            criterion=self.criterion,
            optimizer__weight_decay=0.05,
            iterator_train__collate_fn=_collate,
            iterator_valid__collate_fn=_collate,
            train_split=split,
            **parameters,
        )


class _RandomWindows(Dataset):
    """Random crops, as many per recording as it has windows; new ones in each epoch."""

    def __init__(self, prepared, target, chosen, config, seed):
        self.prepared, self.target = prepared, target
        self.n_patches = config.n_patches_of(prepared[0].modality)
        self.row_of = [
            row
            for row in np.flatnonzero(chosen)
            for _ in range(max(1, n_whole_patches(prepared[row]) // self.n_patches))
        ]
        self.rng = np.random.default_rng(seed)

    def __len__(self):
        return len(self.row_of)

    def __getitem__(self, index):
        row = self.row_of[index]
        crop = random_crop(
            self.prepared[row], self.rng,
            max_channels=len(self.prepared[row].signal), n_patches=self.n_patches,
        )  # fmt: skip
        return crop, self.target[row]


def _all_windows(prepared, target, chosen, config):
    """Consecutive windows of the held-out recordings, each with its target."""
    n_patches, items = config.n_patches_of(prepared[0].modality), []
    for row in np.flatnonzero(chosen):
        windows = all_windows(prepared[row], n_patches)
        parts = (windows.signal.numpy(), windows.positions.numpy(), windows.patches.numpy())
        items += [(one, target[row]) for one in zip(*parts, strict=True)]
    return items


def _collate(items):
    windows, targets = zip(*items, strict=True)
    return vars(collate(windows)), torch.as_tensor(np.stack(targets))


def _discard(text):
    """Discard what skorch would print when training stops early."""
