"""Lightning loop for large pretraining, with the crops and the loss of the skorch loop.

One process or many give the same weights up to rounding (see
:mod:`brainfm.models.training.distributed`). All randomness follows from the seed, the epoch and the
step, so a killed training that is resumed ends with the weights of one that was not.
"""

import logging
import signal
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from brainfm.config import LoopConfig
from brainfm.errors import ModelError
from brainfm.models.training import loop
from brainfm.models.training.distributed import SharedEncoder
from brainfm.models.training.lightning_checkpoint import (
    STOP_SIGNALS,
    AtomicCheckpointIO,
    ResumeCheckpoint,
)
from brainfm.models.training.lightning_import import L

log = logging.getLogger("brainfm")


@dataclass(frozen=True, kw_only=True)
class LightningLoop(LoopConfig):
    """Training loop of ``BrainPretrainer(loop=...)`` that runs Lightning.

    Parameters
    ----------
    n_processes, n_nodes, precision, patience, n_workers, keep_every_s
        See :class:`brainfm.config.LoopConfig`. With ``patience`` and no validation recordings,
        the loss on the training recordings decides.
    log_dir : path, optional
        Folder of the TensorBoard files; by default in ``resume_dir``.
    """

    log_dir: str | Path | None = None

    @property
    def recipe(self):
        """Parameters that change the weights beyond rounding."""
        return {"precision": self.precision, "patience": self.patience}

    def __call__(self, module, crops, *, resume_dir, validation=None, device, **training):
        """Train a module in place; see :func:`brainfm.models.training.loop.train`.

        Raises
        ------
        ModelError
            Without a ``resume_dir``, or when the loss or its gradient is not finite.
        TemporaryFailure
            After SIGUSR1 or SIGTERM, once the state is written.
        ReadWriteFailed
            If the state cannot be written.
        """
        if resume_dir is None:
            raise ModelError("a LightningLoop writes its state: give the pretrainer a resume_dir.")
        monitor = "train_loss" if validation is None else "valid_loss"
        state = ResumeCheckpoint(
            Path(resume_dir),
            monitor=None if self.patience is None else monitor,
            every_s=self.keep_every_s,
        )
        n_done = _steps_done(state.last)
        data = CropData(crops, validation, training.pop("batch_size"), self.n_workers, n_done)
        learner = PretrainModule(module, crops, half=self.precision == "bf16", **training)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            trainer = self._trainer(state, n_done, device, training["max_epochs"], validation)
            trainer.fit(learner, data, ckpt_path=state.last if n_done else None, weights_only=True)
        if self.patience is not None:
            best = torch.load(state.folder / "best.ckpt", map_location="cpu", weights_only=True)
            learner.load_state_dict(best["state_dict"])
        module.cpu().eval()
        return learner.history

    def _trainer(self, state, n_done, device, max_epochs, validation):
        slurm = L.fabric.plugins.environments.SLURMEnvironment
        by_script = [slurm(auto_requeue=False)] if slurm.detect() else []
        is_shared = self.n_processes * self.n_nodes > 1
        callbacks = [state]
        if self.patience is not None:
            callbacks.append(ResumableEarlyStopping(state.monitor, patience=self.patience))
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        return L.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=self.n_processes,
            num_nodes=self.n_nodes,
            # A batch without EEG has no gradients for the weights of EEG.
            strategy="ddp_find_unused_parameters_true" if is_shared else "auto",
            plugins=[AtomicCheckpointIO(), *by_script],
            callbacks=callbacks,
            logger=L.pytorch.loggers.TensorBoardLogger(
                self.log_dir or state.folder / "tensorboard",
                name="",
                version="",
                purge_step=n_done or None,  # steps after the resumed state are done again
            ),
            max_epochs=max_epochs,
            limit_val_batches=0 if validation is None else None,
            num_sanity_val_steps=0,
            log_every_n_steps=10,
            use_distributed_sampler=False,  # each process reads the whole batch
            enable_progress_bar=sys.stderr.isatty(),
            enable_model_summary=False,
            default_root_dir=state.folder,
        )


class PretrainModule(L.LightningModule):
    """Steps of pretraining, and the metrics of each epoch.

    Parameters
    ----------
    pretraining : brainfm.models.training.loop.Pretraining
    crops : brainfm.models.training.loop.Crops
    max_epochs : int
    learning_rate, weight_decay : float
        Of AdamW; the learning rate is the maximum of the schedule.
    half : bool
        Encode in bfloat16.
    """

    def __init__(self, pretraining, crops, *, max_epochs, learning_rate, weight_decay, half):
        super().__init__()
        self.pretraining, self.crops, self.max_epochs = pretraining, crops, max_epochs
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.encoder = SharedEncoder(pretraining.encoder, half=half)
        self.history, self.train_metrics, self.valid_metrics = [], [], []

    def configure_optimizers(self):
        """Return the optimiser of the skorch loop."""
        return torch.optim.AdamW(
            self.parameters(),
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            betas=(0.9, 0.98),
        )

    def on_train_epoch_start(self):
        """Seed order, crops and draws of this epoch by its number."""
        self.crops.epoch = self.current_epoch
        self.pretraining.generator.manual_seed(
            loop.objective_seed(self.crops.seed, self.current_epoch)
        )
        self.train_metrics, self.valid_metrics = [], []

    def on_train_batch_start(self, batch, batch_idx):
        """Set the learning rate of this step."""
        done = self.current_epoch + batch_idx / self.trainer.num_training_batches
        self.rate = self.learning_rate * loop.warmup_cosine(done / self.max_epochs)
        for group in self.optimizers().param_groups:
            group["lr"] = self.rate

    def training_step(self, batch, batch_idx):
        """Return the loss of a batch."""
        loss, metrics = self.pretraining(batch, self.encoder)
        self.train_metrics.append({**metrics, "train_loss": float(loss.detach())})
        self.log_dict(
            {"step_loss": loss.detach(), "learning_rate": self.rate}, batch_size=len(batch)
        )
        return loss

    def configure_gradient_clipping(self, optimizer, *_, **__):
        """Clip the gradient to a norm of 1, and refuse one that is not finite."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters(), 1.0)
        if not torch.isfinite(norm):
            raise ModelError(
                f"the gradient is {float(norm)} in step {self.global_step + 1} although the loss "
                "is finite: use a lower learning rate, or precision 32."
            )

    def on_validation_epoch_start(self):
        """Seed the validation, so that it is the same after each epoch."""
        self.pretraining.generator.manual_seed(self.crops.seed)
        self.valid_metrics = []

    def validation_step(self, batch, batch_idx):
        """Record the metrics of a validation batch."""
        loss, metrics = self.pretraining(batch, self.encoder)
        self.valid_metrics.append({**metrics, "loss": float(loss)})

    def on_train_epoch_end(self):
        """Average the metrics for the history, TensorBoard and the log."""
        metrics = loop.mean_metrics(self.train_metrics)
        metrics |= {f"valid_{k}": v for k, v in loop.mean_metrics(self.valid_metrics).items()}
        self.history.append({"epoch": self.current_epoch + 1, **metrics})
        self.log_dict(metrics, batch_size=1, logger=False)
        # Before the state is written: steps before it are not repeated.
        self.logger.log_metrics(metrics, step=self.global_step - 1)
        self.logger.experiment.flush()
        if self.trainer.is_global_zero:
            number = self.current_epoch + 1
            log.info("epoch %d of %d: %s", number, self.max_epochs, loop.format_metrics(metrics))

    def on_save_checkpoint(self, checkpoint):
        """Add the random state within an epoch and the history."""
        checkpoint["pretraining"] = {
            "generator": self.pretraining.generator.get_state(),
            "history": self.history,
            "seen": self.train_metrics,
        }

    def on_load_checkpoint(self, checkpoint):
        """See :meth:`on_save_checkpoint`."""
        state = checkpoint["pretraining"]
        self.pretraining.generator.set_state(state["generator"].cpu())
        self.history, self.train_metrics = state["history"], state["seen"]
        log.info("resumed after step %d", checkpoint["global_step"])


class CropData(L.LightningDataModule):
    """Batches of training and validation crops.

    Parameters
    ----------
    crops, validation : Crops
        ``validation`` may be None.
    batch_size : int
    n_workers : int
    n_done : int
        Steps already done, which are skipped.
    """

    def __init__(self, crops, validation, batch_size, n_workers, n_done):
        super().__init__()
        self.crops, self.validation, self.batch_size = crops, validation, batch_size
        self.sampler = loop.EpochBatchSampler(crops, batch_size, n_done)
        crops.epoch = self.sampler.first_epoch
        self.loading = {
            "collate_fn": loop.collate_crops,
            "num_workers": n_workers,
            "worker_init_fn": _ignore_signals,
        }

    def train_dataloader(self):
        """Return the batches of one epoch, in an order that changes with the epoch."""
        return DataLoader(self.crops, batch_sampler=self.sampler, **self.loading)

    def val_dataloader(self):
        """Return the validation batches, the same ones after each epoch."""
        if self.validation is None:
            return []
        batches = self.validation.batches(self.batch_size)
        return DataLoader(self.validation, batch_sampler=batches, **self.loading)

    def transfer_batch_to_device(self, batch, device, dataloader_idx):
        """Drop the empty labels of :func:`~brainfm.models.training.loop.collate_crops`."""
        return batch[0].to(device)


class ResumableEarlyStopping(L.pytorch.callbacks.EarlyStopping):
    """Early stopping that also stops a run that is resumed after it has stopped.

    Parameters
    ----------
    monitor : str
    patience : int
    """

    def __init__(self, monitor, *, patience):
        super().__init__(monitor, patience=patience, check_on_train_epoch_end=True)

    def on_train_start(self, trainer, pl_module):
        """Stop before the first step if patience was exhausted."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


def _steps_done(path):
    if not path.exists():
        return 0
    return torch.load(path, map_location="cpu", weights_only=True)["global_step"]


def _ignore_signals(_worker):
    """Leave signals to the process group to the training process."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
