"""The training loop of the estimators: a skorch net over crops of recordings."""

import json
import logging
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from skorch import NeuralNet
from skorch.callbacks import Callback, GradientNormClipping
from torch import nn
from torch.utils.data import DataLoader, Dataset

from brainfm.errors import ModelError
from brainfm.files import atomic, remove_partial, write_bytes, write_text
from brainfm.models.encoder.windows import SPECS, collate, n_whole_patches, random_crop
from brainfm.models.training.objectives import Batch

log = logging.getLogger("brainfm")
#: What skorch notes of an epoch and a checkpoint does not keep: it differs from run to run.
_BOOKKEEPING = ("batches", "dur", "train_batch_count", "train_loss_best")


class Pretraining(nn.Module):
    """An encoder and its objective; ``forward(batch)`` gives the loss and what to watch."""

    def __init__(self, encoder, objective):
        super().__init__()
        self.encoder, self.objective = encoder, objective
        self.generator = torch.Generator()

    def forward(self, batch, encoder=None):
        """See :meth:`brainfm.models.training.objectives.Objective.loss`.

        Raises
        ------
        ModelError
            If the loss is not a finite number.
        """
        loss, metrics = self.objective.loss(encoder or self.encoder, batch, self.generator)
        if not torch.isfinite(loss):
            people = ", ".join(sorted(set(batch.people)))
            raise ModelError(
                f"the loss is {float(loss.detach())} on the batch with {people}: look at these "
                "recordings for values no scanner or amplifier gives; if they are fine, take a "
                "lower learning rate."
            )
        return loss, metrics


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
    people : sequence of str, optional
        Who is recorded in each row; by default, each row is somebody else.
    n_patches : dict of str to int, optional
        Of a window of each modality; by default, as in ``SPECS``.
    phenotypes : ndarray of float32, shape (n_rows, n_phenotypes), optional
        What phenotype prediction predicts of each row; NaN where it is not known.
    """

    def __init__(
        self,
        rows,
        statistics,
        *,
        seed,
        max_channels,
        people=None,
        n_patches=None,
        phenotypes=None,
    ):
        self.rows, self.statistics = rows, statistics
        self.phenotypes = np.empty((len(rows), 0)) if phenotypes is None else phenotypes
        names = [f"row {index}" for index in range(len(rows))] if people is None else people
        self.people = [str(name) for name in names]
        self.seed, self.max_channels, self.epoch = seed, max_channels, 0
        self.n_patches = n_patches or {name: spec.n_patches for name, spec in SPECS.items()}
        self.row_of = [i for i, row in enumerate(rows) for _ in range(self._n_pairs(row))]

    def __len__(self):
        return len(self.row_of)

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, self.epoch, index])
        row = self.row_of[index]
        crops = {
            name: [self._crop(one, rng) for _ in range(2)] for name, one in self.rows[row].items()
        }
        return crops, self.statistics[row], self.people[row], self.phenotypes[row]

    def _crop(self, prepared, rng):
        n_patches = self.n_patches[prepared.modality]
        return random_crop(prepared, rng, max_channels=self.max_channels, n_patches=n_patches)

    def _n_pairs(self, row):
        """Half as many as the longest of the recordings has windows."""
        n_windows = [n_whole_patches(one) / self.n_patches[name] for name, one in row.items()]
        return max(1, math.ceil(max(n_windows) / 2))

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


class EpochBatchSampler:
    """The batches of one epoch after the other, as lists of indices; a batch sampler.

    Parameters
    ----------
    crops : Crops
        Says which epoch it is.
    batch_size : int
    n_done : int
        Batches already trained on: the first epoch begins after them.
    """

    def __init__(self, crops, batch_size, n_done=0):
        self.crops, self.batch_size = crops, batch_size
        self.first_epoch, self.n_skipped = divmod(n_done, len(self))

    def __len__(self):
        return len(self.crops.batches(self.batch_size))

    def __iter__(self):
        n_skipped = self.n_skipped if self.crops.epoch == self.first_epoch else 0
        return iter(self.crops.batches(self.batch_size)[n_skipped:])


def collate_crops(items):
    """Put the crops of several rows into one :class:`Batch`: first crops, then second crops."""
    crops, statistics, people, phenotypes = zip(*items, strict=True)
    windows = {
        name: collate([row[name][which] for which in range(2) for row in crops])
        for name in crops[0]
    }
    statistics = {
        name: torch.as_tensor(np.stack([one[name] for one in statistics]), dtype=torch.float32)
        for name in statistics[0]
    }
    batch = Batch(
        windows=windows,
        statistics=statistics,
        people=people,
        phenotypes=torch.as_tensor(np.stack(phenotypes), dtype=torch.float32),
    )
    return batch, torch.zeros(len(items))


class PretrainNet(NeuralNet):
    """A skorch net whose batches are :class:`Batch` and whose module returns its own loss."""

    def get_iterator(self, dataset, training=False):
        """Iterate over batches of rows with the same modalities."""
        order = EpochBatchSampler(dataset, self.batch_size)  # asked anew in each epoch
        return DataLoader(dataset, batch_sampler=order, collate_fn=collate_crops)

    def infer(self, x, **_):
        """Run the module on one batch."""
        return self.module_(x.to(self.device))

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the loss the module gave, and note what to watch."""
        loss, metrics = y_pred
        for name, value in metrics.items():
            self.history.record_batch(name, value)
        return loss


class WarmupCosine(Callback):
    """Warm-up over the first tenth, then a cosine to zero; depends on the step only."""

    def __init__(self, max_epochs, learning_rate):
        self.max_epochs, self.learning_rate = max_epochs, learning_rate

    def on_epoch_begin(self, net, dataset_train=None, **_):
        """Seed what is random in this epoch by its number, so that a resumed run is the same."""
        self.epoch_ = dataset_train.epoch = len(net.history) - 1
        net.module_.generator.manual_seed(objective_seed(dataset_train.seed, self.epoch_))
        self.n_steps_ = len(dataset_train.batches(net.batch_size))
        self.step_ = 0

    def on_batch_begin(self, net, training=True, **_):
        """Set the learning rate of this step."""
        done = (self.epoch_ + self.step_ / self.n_steps_) / self.max_epochs
        self.step_ += 1
        for group in net.optimizer_.param_groups:
            group["lr"] = self.learning_rate * warmup_cosine(done)


def warmup_cosine(done):
    """Share of the highest learning rate when ``done`` (0 to 1) of the training is over."""
    return min(done / 0.1 + 1e-2, 0.5 * (1 + math.cos(math.pi * done)), 1.0)


def objective_seed(seed, epoch):
    """Seed of what the objective draws in an epoch, so that a resumed run draws the same."""
    return seed * 1_000_003 + epoch


class EpochLogger(Callback):
    """Average what was watched over each epoch, log it, and keep the state for resuming."""

    def __init__(self, max_epochs, *, validation=None, resume_dir=None):
        self.max_epochs, self.validation, self.resume_dir = max_epochs, validation, resume_dir

    def on_epoch_end(self, net, **_):
        """See the class."""
        metrics = average(net.history[-1]["batches"])
        if self.validation is not None:
            found = score(net.module_, self.validation, batch_size=net.batch_size)
            metrics |= {f"valid_{name}": value for name, value in found.items()}
        for name, value in metrics.items():
            net.history.record(name, value)
        log.info(
            "epoch %d of %d: %s", len(net.history), self.max_epochs, format_metrics(net.history[-1])
        )
        if self.resume_dir is not None:
            _write_state(net, Path(self.resume_dir))


def format_metrics(metrics):
    """Put the losses of an epoch, and what tells a collapse, into one line."""
    watched = ("train_loss", "valid_loss", "explained", "effective_rank", "found", "by_chance")
    return ", ".join(f"{k} {v:.3g}" for k, v in metrics.items() if k.endswith(watched))


def train(
    module,
    crops,
    *,
    max_epochs,
    batch_size,
    learning_rate,
    weight_decay,
    device,
    resume_dir=None,
    validation=None,
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
    validation : Crops, optional
        Scored after each epoch.

    Returns
    -------
    history : list of dict of str to float, one entry an epoch

    Raises
    ------
    ModelError
        If ``resume_dir`` holds a pretraining of another architecture or objective, or the loss is
        no longer finite.
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
            WarmupCosine(max_epochs, learning_rate),
            GradientNormClipping(1.0),
            EpochLogger(max_epochs, validation=validation, resume_dir=resume_dir),
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
    device = next(module.parameters()).device
    for rows in crops.batches(batch_size):
        batch, _ = collate_crops([crops[index] for index in rows])
        loss, metrics = module(batch.to(device))
        seen.append({"loss": float(loss), **metrics})
    return average(seen)


def _write_state(net, folder):
    """Write weights, optimiser and history of the last epoch; the history completes them."""
    number = len(net.history)
    # Not save_file: on a full disk it raises what is no OSError.
    write_bytes(folder / f"{number}-module.safetensors", save(net.module_.state_dict()))
    with atomic(folder / f"{number}-optimizer.pt") as partial:
        torch.save(net.optimizer_.state_dict(), partial)
    epochs = [{k: v for k, v in epoch.items() if k != "batches"} for epoch in net.history]
    write_text(folder / f"{number}-history.json", json.dumps(epochs))
    for name in _STATE:
        for path in folder.glob(f"[0-9]*-{name}"):
            if path.name != f"{number}-{name}":
                path.unlink()


_STATE = ("module.safetensors", "optimizer.pt", "history.json")


def _take_up(net, folder):
    remove_partial(folder)
    done = sorted(int(p.name.split("-")[0]) for p in folder.glob("[0-9]*-history.json"))
    if not done:
        return
    at = {name: folder / f"{done[-1]}-{name}" for name in _STATE}
    try:
        net.module_.load_state_dict(load_file(at["module.safetensors"]))
    except RuntimeError as error:
        raise ModelError(
            f"{folder} holds a pretraining of another architecture or objective, stopped after "
            f"epoch {done[-1]}: give the settings it was begun with, or another resume_dir. "
            f"({' '.join(str(error).split())[:200]}...)"
        ) from None
    net.optimizer_.load_state_dict(torch.load(at["optimizer.pt"], weights_only=True))
    for epoch in json.loads(at["history.json"].read_text(encoding="utf8")):
        net.history.new_epoch()
        for name, value in epoch.items():
            net.history.record(name, value)
    log.info("taken up after epoch %d, from %s", done[-1], folder)
