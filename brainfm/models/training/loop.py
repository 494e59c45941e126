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
from brainfm.models.encoder.windows import collate, n_whole_patches, random_crop
from brainfm.models.training.objectives import Batch

log = logging.getLogger("brainfm")
#: Entries of the history of skorch that are left out of checkpoints: they differ between runs.
_BOOKKEEPING = ("batches", "dur", "train_batch_count", "train_loss_best")


class Pretraining(nn.Module):
    """An encoder and its objective; ``forward(batch)`` returns the loss and the metrics.

    Parameters
    ----------
    encoder : BrainEncoder
    objective : Objective
    """

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
            names = ", ".join(sorted(set(batch.participants)))
            raise ModelError(
                f"the loss is {float(loss.detach())} on the batch with {names}: look at these "
                "recordings for implausible values; if there are none, use a "
                "lower learning rate."
            )
        return loss, metrics


class Crops(Dataset):
    """Pairs of random crops, determined by seed, epoch and index.

    An epoch has as many crops of a row as it has windows, so that long recordings weigh more.

    Parameters
    ----------
    rows : list of dict of str to PreparedSignal
        One entry a row: its modalities.
    connectivity_targets : list of dict of str to ndarray, shape (n_components,)
        Targets of connectivity-preserving regression of each row.
    seed : int
    max_channels : int
        Largest number of channels of a crop.
    participants : sequence of str
        Participant of each row.
    n_patches : dict of str to int
        Patches of a window of each modality.
    phenotypes : ndarray of float32, shape (n_rows, n_phenotypes), or None
        Targets of phenotype prediction of each row; NaN where missing.
    """

    def __init__(
        self, rows, connectivity_targets, *, seed, max_channels, participants, n_patches, phenotypes
    ):
        self.rows, self.connectivity_targets = rows, connectivity_targets
        self.phenotypes = np.empty((len(rows), 0)) if phenotypes is None else phenotypes
        self.participants, self.n_patches = participants, n_patches
        self.seed, self.max_channels, self.epoch = seed, max_channels, 0
        self.row_of = [i for i, row in enumerate(rows) for _ in range(self._n_pairs(row))]

    def __len__(self):
        return len(self.row_of)

    def __getitem__(self, index):
        rng = np.random.default_rng([self.seed, self.epoch, index])
        row = self.row_of[index]
        crops = {
            name: [self._crop(one, rng) for _ in range(2)] for name, one in self.rows[row].items()
        }
        return crops, self.connectivity_targets[row], self.participants[row], self.phenotypes[row]

    def _crop(self, prepared, rng):
        n_patches = self.n_patches[prepared.modality]
        return random_crop(prepared, rng, max_channels=self.max_channels, n_patches=n_patches)

    def _n_pairs(self, row):
        """Half the number of windows of the longest recording."""
        n_windows = [n_whole_patches(one) / self.n_patches[name] for name, one in row.items()]
        return max(1, math.ceil(max(n_windows) / 2))

    def batches(self, batch_size):
        """Shuffle the pairs of this epoch into batches of the same modalities.

        Parameters
        ----------
        batch_size : int

        Returns
        -------
        batches : list of list of int
        """
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
    """Batch sampler: the batches of one epoch after the other.

    Parameters
    ----------
    crops : Crops
        Holds the number of the epoch.
    batch_size : int
    n_done : int
        Batches already trained on: the first epoch starts after them.
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
    """Collate the crops of several rows: first crops, then second crops.

    Parameters
    ----------
    items : list of tuple
        Items of :class:`Crops`.

    Returns
    -------
    batch : Batch
    labels : Tensor, shape (n_rows,)
        Zeros: skorch and Lightning expect a target.
    """
    crops, targets, participants, phenotypes = zip(*items, strict=True)
    windows = {
        name: collate([row[name][which] for which in range(2) for row in crops])
        for name in crops[0]
    }
    targets = {
        name: torch.as_tensor(np.stack([one[name] for one in targets]), dtype=torch.float32)
        for name in targets[0]
    }
    batch = Batch(
        windows=windows,
        connectivity_targets=targets,
        participants=participants,
        phenotypes=torch.as_tensor(np.stack(phenotypes), dtype=torch.float32),
    )
    return batch, torch.zeros(len(items))


class PretrainNet(NeuralNet):
    """Skorch net whose batches are :class:`Batch` and whose module returns its own loss."""

    def get_iterator(self, dataset, training=False):
        """Iterate over batches of rows with the same modalities."""
        order = EpochBatchSampler(dataset, self.batch_size)  # called in each epoch
        return DataLoader(dataset, batch_sampler=order, collate_fn=collate_crops)

    def infer(self, x, **_):
        """Run the module on one batch."""
        return self.module_(x.to(self.device))

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the loss of the module and record its metrics."""
        loss, metrics = y_pred
        for name, value in metrics.items():
            self.history.record_batch(name, value)
        return loss


class WarmupCosine(Callback):
    """Learning rate by step: warm-up over the first tenth, then a cosine to zero.

    Parameters
    ----------
    max_epochs : int
    learning_rate : float
        Maximum of the schedule.
    """

    def __init__(self, max_epochs, learning_rate):
        self.max_epochs, self.learning_rate = max_epochs, learning_rate

    def on_epoch_begin(self, net, dataset_train=None, **_):
        """Seed this epoch by its number, so that a resumed run draws the same."""
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
    """Return the factor of the learning rate.

    Parameters
    ----------
    done : float
        Fraction of the training that is over, 0 to 1.

    Returns
    -------
    factor : float

    References
    ----------
    .. [1] Loshchilov and Hutter, 2017. https://doi.org/10.48550/arXiv.1608.03983
    """
    return min(done / 0.1 + 1e-2, 0.5 * (1 + math.cos(math.pi * done)), 1.0)


def objective_seed(seed, epoch):
    """Return the seed of the random draws of the objective in an epoch.

    Parameters
    ----------
    seed, epoch : int

    Returns
    -------
    seed : int
    """
    return seed * 1_000_003 + epoch


class EpochLogger(Callback):
    """Average the metrics of each epoch, log them, and write the state for resuming.

    Parameters
    ----------
    max_epochs : int
    validation : Crops or None
    resume_dir : path or None
    """

    def __init__(self, max_epochs, *, validation, resume_dir):
        self.max_epochs, self.validation, self.resume_dir = max_epochs, validation, resume_dir

    def on_epoch_end(self, net, **_):
        """See the class."""
        metrics = mean_metrics(net.history[-1]["batches"])
        if self.validation is not None:
            found = score_crops(net.module_, self.validation, batch_size=net.batch_size)
            metrics |= {f"valid_{name}": value for name, value in found.items()}
        for name, value in metrics.items():
            net.history.record(name, value)
        log.info(
            "epoch %d of %d: %s", len(net.history), self.max_epochs, format_metrics(net.history[-1])
        )
        if self.resume_dir is not None:
            _write_state(net, Path(self.resume_dir))


def format_metrics(metrics):
    """Format the losses of an epoch, and the metrics that show a collapse, for the log.

    Parameters
    ----------
    metrics : dict of str to float

    Returns
    -------
    line : str
    """
    logged = ("train_loss", "valid_loss", "explained", "effective_rank", "found", "by_chance")
    return ", ".join(f"{k} {v:.3g}" for k, v in metrics.items() if k.endswith(logged))


def train(
    module, crops, *, max_epochs, batch_size, learning_rate, weight_decay, device, resume_dir,
    validation,
):  # fmt: skip
    """Train a module in place.

    Parameters
    ----------
    module : Pretraining
    crops : Crops
    max_epochs, batch_size : int
    learning_rate, weight_decay : float
        Of AdamW; the learning rate is the maximum of the schedule.
    device : torch.device
    resume_dir : path or None
        Folder for the state of the last complete epoch; a state found there is resumed.
    validation : Crops or None
        Evaluated after each epoch.

    Returns
    -------
    history : list of dict of str to float, one entry an epoch

    Raises
    ------
    ModelError
        If ``resume_dir`` holds a pretraining of another architecture or objective, or the loss is
        not finite.
    ReadWriteFailed
        If the state cannot be written.
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
        _resume(net, Path(resume_dir))
    net.partial_fit(crops, y=None, epochs=max_epochs - len(net.history))
    module.cpu().eval()
    names = [name for name in net.history[-1] if name not in _BOOKKEEPING]
    return [{name: epoch[name] for name in names if name in epoch} for epoch in net.history]


def mean_metrics(batches):
    """Average metrics over batches.

    Parameters
    ----------
    batches : list of dict of str to float

    Returns
    -------
    metrics : dict of str to float
        Values that are not finite are left out.
    """
    values = {}
    for batch in batches:
        for name, value in batch.items():
            if name != "train_batch_size" and math.isfinite(value):
                values.setdefault(name, []).append(value)
    return {name: float(np.mean(values[name])) for name in sorted(values)}


@torch.no_grad()
def score_crops(module, crops, *, batch_size):
    """Average the loss and the metrics over crops without training.

    Parameters
    ----------
    module : Pretraining
    crops : Crops
    batch_size : int

    Returns
    -------
    metrics : dict of str to float
    """
    module.eval().generator.manual_seed(crops.seed)
    batches, crops.epoch = [], 0
    device = next(module.parameters()).device
    for rows in crops.batches(batch_size):
        batch, _ = collate_crops([crops[index] for index in rows])
        loss, metrics = module(batch.to(device))
        batches.append({"loss": float(loss), **metrics})
    return mean_metrics(batches)


def _write_state(net, folder):
    """Write weights, optimiser and history of the last epoch; the history completes them."""
    number = len(net.history)
    # Not save_file: on a full disk it raises what is no OSError.
    write_bytes(folder / f"{number}-module.safetensors", save(net.module_.state_dict()))
    with atomic(folder / f"{number}-optimizer.pt") as partial:
        torch.save(net.optimizer_.state_dict(), partial)
    epochs = [{k: v for k, v in epoch.items() if k != "batches"} for epoch in net.history]
    write_text(folder / f"{number}-history.json", json.dumps(epochs))
    for path in folder.glob("[0-9]*-*"):
        if path.name.endswith(_STATE) and not path.name.startswith(f"{number}-"):
            path.unlink()


_STATE = ("module.safetensors", "optimizer.pt", "history.json")


def _resume(net, folder):
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
            f"epoch {done[-1]}: give the settings it was started with, or another resume_dir. "
            f"({' '.join(str(error).split())[:200]}...)"
        ) from None
    net.optimizer_.load_state_dict(torch.load(at["optimizer.pt"], weights_only=True))
    history = json.loads(at["history.json"].read_text(encoding="utf8"))
    net.history.extend({"batches": [], **epoch} for epoch in history)
    log.info("resumed after epoch %d, from %s", done[-1], folder)
