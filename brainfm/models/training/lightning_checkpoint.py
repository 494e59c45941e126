"""What survives when a training is killed: files that are whole or not there, and when to write."""

import logging
import signal
import threading
import time

import torch

from brainfm.errors import BrainFMError, ReadWriteFailed, TemporaryFailure
from brainfm.files import atomic, remove_partial
from brainfm.models.training.lightning_import import L

log = logging.getLogger("brainfm")

#: Slurm sends the first before the time is up if asked to (``--signal=USR1@120``), the second
#: when a job is preempted.
STOP_SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


class AtomicCheckpointIO(L.pytorch.plugins.io.TorchCheckpointIO):
    """Write a checkpoint under a temporary name beside its place, then rename it."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        """Write ``checkpoint`` to ``path``.

        Raises
        ------
        ReadWriteFailed
            If it cannot be written whole; what stood at ``path`` stays.
        """
        try:
            with atomic(path, sync=True) as partial:
                torch.save(checkpoint, partial)
        except (BrainFMError, RuntimeError) as error:  # PyTorch turns some OSErrors into the latter
            raise ReadWriteFailed(
                f"the state of the training could not be written to {path} "
                f"({error.__cause__ or error}): is the disk full? The last good state is "
                "untouched; make room and run the same command again."
            ) from error


class ResumeCheckpoint(L.pytorch.callbacks.Checkpoint):
    """Write the state after every epoch, every few minutes, and when the process must stop.

    Parameters
    ----------
    folder : Path
    monitor : str, optional
        Loss whose best epoch is kept as ``best.ckpt``; by default, no epoch is.
    every_s : float
        Seconds between two states within an epoch.
    """

    def __init__(self, folder, *, monitor=None, every_s=600.0):
        self.folder, self.monitor, self.every_s = folder, monitor, every_s
        self.best, self.signal, self.kept_at = float("inf"), 0, 0.0

    @property
    def last(self):
        """Path of the state that is taken up."""
        return self.folder / "last.ckpt"

    def state_dict(self):
        """Return the best loss so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict):
        """Take up the best loss so far."""
        self.best = state_dict["best"]

    def on_train_start(self, trainer, pl_module):
        """Note the signals from here on; Lightning puts the old handlers back at the end."""
        self.kept_at = time.monotonic()
        if trainer.is_global_zero:
            remove_partial(self.folder)  # of a process that was killed while it wrote
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                signal.signal(number, self._note)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Keep the state within an epoch if it is time to."""
        if trainer.is_last_batch:
            return  # the end of the epoch keeps it
        is_due = time.monotonic() - self.kept_at > self.every_s
        wanted = self._agree(trainer, self.signal or int(is_due))
        if wanted:
            self._keep(trainer)
        self._stop_if(wanted)

    def on_train_epoch_end(self, trainer, pl_module):
        """Keep the state, and the weights if they are the best so far."""
        if self.monitor is not None:
            loss = float(trainer.callback_metrics[self.monitor])
            if loss < self.best:
                self.best = loss
                trainer.save_checkpoint(self.folder / "best.ckpt", weights_only=True)
        self._keep(trainer)
        self._stop_if(self._agree(trainer, self.signal))

    def _note(self, number, _frame):
        self.signal = int(number)

    def _agree(self, trainer, number):
        """Give all processes the largest number: a signal may reach one of them only."""
        number = torch.tensor(number, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(number, reduce_op="max"))

    def _keep(self, trainer):
        trainer.save_checkpoint(self.last)
        self.kept_at = time.monotonic()

    def _stop_if(self, number):
        if number in list(map(int, STOP_SIGNALS)):
            raise TemporaryFailure(
                f"asked to stop by {signal.Signals(number).name}: the state is kept in "
                f"{self.folder}; the same command goes on from there."
            )
