"""State of a training on disk, for resuming after it was killed or preempted."""

import logging
import signal
import threading
import time

import torch

from brainfm.errors import BrainFMError, ReadWriteFailed, TemporaryFailure
from brainfm.files import atomic, remove_partial
from brainfm.models.training.lightning_import import L

log = logging.getLogger("brainfm")

#: Slurm sends the first before the time limit (``--signal=USR1@120``), the second when a job is
#: preempted.
STOP_SIGNALS = (signal.SIGUSR1, signal.SIGTERM)


class AtomicCheckpointIO(L.pytorch.plugins.io.TorchCheckpointIO):
    """Write a checkpoint whole or not at all."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        """Write ``checkpoint`` to ``path``.

        Raises
        ------
        ReadWriteFailed
            If it cannot be written; the former file stays.
        """
        try:
            with atomic(path, sync=True) as partial:
                torch.save(checkpoint, partial)
        except (BrainFMError, RuntimeError) as error:  # PyTorch turns some OSErrors into the latter
            raise ReadWriteFailed(
                f"the state of the training could not be written to {path} "
                f"({error.__cause__ or error}): is the disk full? The last complete state is "
                "unchanged; free disk space and run the same command again."
            ) from error


class ResumeCheckpoint(L.pytorch.callbacks.Checkpoint):
    """Write the state after every epoch, every few minutes, and when the process must stop.

    Parameters
    ----------
    folder : Path
    monitor : str, optional
        Loss whose best epoch is written to ``best.ckpt``; by default none is.
    every_s : float
        Seconds between two states within an epoch.
    """

    def __init__(self, folder, *, monitor=None, every_s=600.0):
        self.folder, self.monitor, self.every_s = folder, monitor, every_s
        self.best, self.signal, self.written_at = float("inf"), 0, 0.0

    @property
    def last(self):
        """Path of the state that is resumed."""
        return self.folder / "last.ckpt"

    def state_dict(self):
        """Return the best loss so far."""
        return {"best": self.best}

    def load_state_dict(self, state_dict):
        """Restore the best loss so far."""
        self.best = state_dict["best"]

    def on_train_start(self, trainer, pl_module):
        """Handle the signals; Lightning restores the former handlers at the end."""
        self.written_at = time.monotonic()
        if trainer.is_global_zero:
            remove_partial(self.folder)  # of a process that was killed
        if threading.current_thread() is threading.main_thread():
            for number in STOP_SIGNALS:
                signal.signal(number, self._note)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        """Write the state within an epoch if it is due."""
        if trainer.is_last_batch:
            return  # written at the end of the epoch
        is_due = time.monotonic() - self.written_at > self.every_s
        signal_or_due = self._agree(trainer, self.signal or int(is_due))
        if signal_or_due:
            self._write(trainer)
        self._stop_if(signal_or_due)

    def on_train_epoch_end(self, trainer, pl_module):
        """Write the state, and the weights if they are the best so far."""
        if self.monitor is not None:
            loss = float(trainer.callback_metrics[self.monitor])
            if loss < self.best:
                self.best = loss
                trainer.save_checkpoint(self.folder / "best.ckpt", weights_only=True)
        self._write(trainer)
        self._stop_if(self._agree(trainer, self.signal))

    def _note(self, number, _frame):
        self.signal = int(number)

    def _agree(self, trainer, number):
        """Return the largest number of all processes: a signal may reach only one of them."""
        number = torch.tensor(number, device=trainer.strategy.root_device)
        return int(trainer.strategy.reduce(number, reduce_op="max"))

    def _write(self, trainer):
        trainer.save_checkpoint(self.last)
        self.written_at = time.monotonic()

    def _stop_if(self, number):
        if number in list(map(int, STOP_SIGNALS)):
            raise TemporaryFailure(
                f"stopped by {signal.Signals(number).name}: the state is in {self.folder}; run the "
                "same command again to continue."
            )
