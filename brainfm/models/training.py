"""The training loop of the estimators: a skorch net over crops of recordings."""

import json
import logging
import math
import os
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn
from torch.utils.data import DataLoader, Dataset

from brainfm.models.objectives import Batch
from brainfm.models.windows import SPECS, collate, n_whole_patches, random_crop

log = logging.getLogger("brainfm")
#: What skorch notes of an epoch and a checkpoint does not keep: it differs from run to run.
_BOOKKEEPING = ("batches", "dur", "train_batch_count", "train_loss_best")


class Pretraining(nn.Module):
    """An encoder and its objective; ``forward(batch)`` gives the loss and what to watch."""

    def __init__(self, encoder, objective):
        super().__init__()
        self.encoder, self.objective = encoder, objective
        self.generator = torch.Generator()

    def forward(self, batch):
        """See :meth:`brainfm.models.objectives.Objective.loss`."""
        return self.objective.loss(self.encoder, batch, self.generator)


class Crops(Dataset):
    """Pairs of random crops; the same ones whenever seed, epoch and index are the same.

    An epoch has as many crops of a row as it has windows, so that long recordings count for more.

    Parameters
    ----------
    rows : list of dict of str to Prepared
        One entry a row: its modalities.
    statistics : list of dict of str to ndarray
        What connectivity-preserving regression predicts of each row.
    seed : int
    max_channels : int
        Channels of a crop, at most.
    """

    def __init__(self, rows, statistics, *, seed, max_channels):
        self.rows, self.statistics = rows, statistics
        self.seed, self.max_channels, self.epoch = seed, max_channels, 0
        self.row_of = [index for index, row in enumerate(rows) for _ in range(_n_pairs(row))]

    def __len__(self):
        return len(self.row_of)

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, self.epoch, index])
        row = self.row_of[index]
        crops = {
            name: [random_crop(one, rng, max_channels=self.max_channels) for _ in range(2)]
            for name, one in self.rows[row].items()
        }
        return crops, self.statistics[row]

    def batches(self, batch_size):
        """Shuffle the rows of this epoch into batches of the same modalities."""
        rng = np.random.default_rng([self.seed, self.epoch])
        alike = {}
        for index in rng.permutation(len(self)):
            alike.setdefault(tuple(self.rows[self.row_of[index]]), []).append(int(index))
        batches = [
            rows[start : start + batch_size]
            for rows in alike.values()
            for start in range(0, len(rows), batch_size)
        ]
        return [batches[index] for index in rng.permutation(len(batches))]


def _n_pairs(row):
    """Half as many as the longest of the recordings has windows."""
    n_windows = [n_whole_patches(one) / SPECS[name].n_patches for name, one in row.items()]
    return max(1, math.ceil(max(n_windows) / 2))


def collate_crops(items):
    """Put the crops of several rows into one :class:`Batch`: first crops, then second crops."""
    crops = [crop for crop, _ in items]
    windows = {
        name: collate([row[name][which] for which in range(2) for row in crops])
        for name in crops[0]
    }
    statistics = {
        name: torch.as_tensor(np.stack([one[name] for _, one in items]), dtype=torch.float32)
        for name in items[0][1]
    }
    return Batch(windows=windows, statistics=statistics), torch.zeros(len(items))


class PretrainNet(NeuralNet):
    """A skorch net whose batches are :class:`Batch` and whose module returns its own loss."""

    def get_iterator(self, dataset, training=False):
        """Iterate over batches of rows with the same modalities."""
        batches = dataset.batches(self.batch_size)
        return DataLoader(dataset, batch_sampler=batches, collate_fn=collate_crops)

    def infer(self, x, **_):
        """Run the module on one batch."""
        return self.module_(x.to(self.device))

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the loss the module gave, and note what to watch."""
        loss, metrics = y_pred
        for name, value in metrics.items():
            self.history.record_batch(name, value)
        return loss


class Schedule(Callback):
    """Warm-up over the first tenth, then a cosine to zero; depends on the step only."""

    def __init__(self, max_epochs, learning_rate):
        self.max_epochs, self.learning_rate = max_epochs, learning_rate

    def on_epoch_begin(self, net, dataset_train=None, **_):
        """Seed what is random in this epoch by its number, so that a resumed run is the same."""
        self.epoch_ = dataset_train.epoch = len(net.history) - 1
        net.module_.generator.manual_seed(dataset_train.seed * 1_000_003 + self.epoch_)
        self.n_steps_ = len(dataset_train.batches(net.batch_size))
        self.step_ = 0

    def on_batch_begin(self, net, training=True, **_):
        """Set the learning rate of this step."""
        done = (self.epoch_ + self.step_ / self.n_steps_) / self.max_epochs
        self.step_ += 1
        factor = min(done / 0.1 + 1e-2, 0.5 * (1 + math.cos(math.pi * done)), 1.0)
        for group in net.optimizer_.param_groups:
            group["lr"] = self.learning_rate * factor


class Watch(Callback):
    """Average what was watched over each epoch, log it, and keep the state for resuming."""

    def __init__(self, max_epochs, resume_dir=None):
        self.max_epochs, self.resume_dir = max_epochs, resume_dir

    def on_epoch_end(self, net, **_):
        """See the class."""
        for name, value in average(net.history[-1]["batches"]).items():
            net.history.record(name, value)
        shown = {k: v for k, v in net.history[-1].items() if k.endswith(("loss", "explained"))
                 or k in ("crops_found", "effective_rank")}  # fmt: skip
        told = ", ".join(f"{name} {value:.3g}" for name, value in shown.items())
        log.info("epoch %d of %d: %s", len(net.history), self.max_epochs, told)
        if self.resume_dir is not None:
            _keep_state(net, Path(self.resume_dir))


def train(
    module, crops, *, max_epochs, batch_size, learning_rate, weight_decay, device, resume_dir
):
    """Train a module in place.

    Parameters
    ----------
    module : Pretraining
    crops : Crops
    max_epochs, batch_size : int
    learning_rate, weight_decay : float
        Of AdamW; the learning rate is the highest of the schedule.
    device : torch.device
    resume_dir : path, optional
        The state of the last whole epoch is kept there; a state found there is taken up.

    Returns
    -------
    history : list of dict of str to float, one entry an epoch
    """
    net = PretrainNet(
        module,
        criterion=nn.Identity,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=weight_decay,
        optimizer__betas=(0.9, 0.98),
        lr=learning_rate,
        batch_size=batch_size,
        train_split=None,
        device=str(device),
        verbose=0,
        callbacks=[
            Schedule(max_epochs, learning_rate),
            GradientNormClipping(1.0),
            Watch(max_epochs, resume_dir),
        ],
    ).initialize()
    if resume_dir is not None:
        _take_up(net, Path(resume_dir))
    net.partial_fit(crops, y=None, epochs=max_epochs - len(net.history))
    module.cpu().eval()
    kept = [name for name in net.history[-1] if name not in _BOOKKEEPING]
    return [{name: epoch[name] for name in kept if name in epoch} for epoch in net.history]


def average(batches):
    """Average what was watched over the batches where it could be told.

    Parameters
    ----------
    batches : list of dict of str to float

    Returns
    -------
    metrics : dict of str to float
        Without those that no batch could tell.
    """
    seen = {}
    for batch in batches:
        for name, value in batch.items():
            if name != "train_batch_size" and math.isfinite(value):
                seen.setdefault(name, []).append(value)
    return {name: float(np.mean(seen[name])) for name in sorted(seen)}


@torch.no_grad()
def score(module, crops, *, batch_size):
    """Average what is watched over crops, without learning.

    Returns
    -------
    metrics : dict of str to float
        ``loss`` and what the objective watches.
    """
    module.eval().generator.manual_seed(crops.seed)
    seen, crops.epoch = [], 0
    for rows in crops.batches(batch_size):
        batch, _ = collate_crops([crops[index] for index in rows])
        loss, metrics = module(batch)
        seen.append({"loss": float(loss), **metrics})
    return average(seen)


def _keep_state(net, folder):
    """Write weights, optimiser and history under temporary names; the history comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = {name: folder / f".partial-{name}" for name in _STATE}
    save_file(net.module_.state_dict(), partial["module.safetensors"])
    torch.save(net.optimizer_.state_dict(), partial["optimizer.pt"])
    epochs = [{k: v for k, v in epoch.items() if k != "batches"} for epoch in net.history]
    partial["history.json"].write_text(json.dumps(epochs), encoding="utf8")
    number = len(net.history)
    for name, path in partial.items():
        os.replace(path, folder / f"{number}-{name}")
    for path in folder.iterdir():
        if not path.name.startswith(f"{number}-"):
            path.unlink()


_STATE = ("module.safetensors", "optimizer.pt", "history.json")


def _take_up(net, folder):
    done = sorted(int(p.name.split("-")[0]) for p in folder.glob("[0-9]*-history.json"))
    if not done:
        return
    at = {name: folder / f"{done[-1]}-{name}" for name in _STATE}
    net.module_.load_state_dict(load_file(at["module.safetensors"]))
    net.optimizer_.load_state_dict(torch.load(at["optimizer.pt"], weights_only=True))
    for epoch in json.loads(at["history.json"].read_text(encoding="utf8")):
        net.history.new_epoch()
        for name, value in epoch.items():
            net.history.record(name, value)
    log.info("taken up after epoch %d, from %s", done[-1], folder)
