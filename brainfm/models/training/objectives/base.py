"""What every objective is: a batch in, one loss and what to watch out."""

from dataclasses import dataclass

import torch
from torch import nn

from brainfm.models.encoder.windows import Windows
from brainfm.models.training.objectives.metrics import explained, watch

__all__ = ["Batch", "Objective", "WeightedSum", "explained", "hide_blocks"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Two crops of each row: crop one of every row, then crop two of every row.

    Parameters
    ----------
    windows : dict of str to Windows
        The modalities all rows of the batch have; 2 * n_rows windows each.
    statistics : dict of str to Tensor, shape (n_rows, n_statistics)
        What connectivity-preserving regression predicts; computed over whole recordings.
    people : tuple of str, length n_rows
        Who is recorded in each row, to watch whether people are told apart; empty if unknown.
    phenotypes : Tensor, shape (n_rows, n_phenotypes), optional
        What phenotype prediction predicts, standardised; NaN where it is not known.
    """

    windows: dict[str, Windows]
    statistics: dict[str, torch.Tensor]
    people: tuple[str, ...] = ()
    phenotypes: torch.Tensor | None = None

    def __len__(self):
        return len(next(iter(self.windows.values()))) // 2

    def to(self, device):
        """Return the same batch on another device."""
        return Batch(
            windows={name: one.to(device) for name, one in self.windows.items()},
            statistics={name: one.to(device) for name, one in self.statistics.items()},
            people=self.people,
            phenotypes=None if self.phenotypes is None else self.phenotypes.to(device),
        )


class Objective(nn.Module):
    """A way to learn; parts that are learned with it (heads) live in it.

    A subclass says in ``hides`` whether blocks of its input are hidden, and gives ``score``.
    """

    hides = False

    def loss(self, encoder, batch, generator):
        """Encode a batch and score it.

        Parameters
        ----------
        encoder : BrainEncoder
        batch : Batch
        generator : torch.Generator
            On the CPU; the only source of chance.

        Returns
        -------
        loss : Tensor, shape ()
        metrics : dict of str to float
            What to watch; higher ``*_explained`` is better, 0 is as good as the mean; NaN where
            it cannot be told. Those of :func:`brainfm.models.training.objectives.metrics.watch`
            are always among them.
        """
        visible = None
        if self.hides:
            visible = {name: hide_blocks(one, generator) for name, one in batch.windows.items()}
        encoded = encoder(batch.windows, visible)
        loss, metrics = self.score(batch, visible, encoded, generator)
        return loss, {**metrics, **watch(encoded.summary, batch.people)}

    def score(self, batch, visible, encoded, generator):
        """Return the loss and the metrics of what was encoded; see :meth:`loss`."""
        raise NotImplementedError(f"{type(self).__name__} has no score()")


class WeightedSum(Objective):
    """Several objectives on one pass through the encoder.

    Parameters
    ----------
    parts : dict of str to Objective
    weights : dict of str to float
    """

    def __init__(self, parts, weights):
        super().__init__()
        self.parts, self.weights = nn.ModuleDict(parts), dict(weights)
        self.hides = any(part.hides for part in parts.values())

    def score(self, batch, visible, encoded, generator):
        """See :meth:`Objective.score`."""
        total, watched = 0.0, {}
        for name, part in self.parts.items():
            loss, metrics = part.score(batch, visible, encoded, generator)
            total = total + self.weights[name] * loss
            watched |= {f"{name}_loss": float(loss.detach()), **metrics}
        return total, watched


def hide_blocks(windows, generator, share=0.55, block=2):
    """Choose what the encoder may see: in each stretch of time a region of the head is hidden.

    Parameters
    ----------
    windows : Windows
    generator : torch.Generator
    share : float
        Part of the channels hidden around a random channel.
    block : int
        Patches that are hidden together.

    Returns
    -------
    visible : Tensor of bool, shape (b, n_channels, n_patches)
    """
    n_windows, n_channels, n_patches = windows.usable.shape
    n_blocks = -(-n_patches // block)
    device = windows.signal.device
    chance = torch.rand(n_windows, n_blocks, n_channels, generator=generator).to(device)
    chance = chance.masked_fill(~windows.channels[:, None], -1)
    centre = chance.argmax(dim=-1)  # b g: a random usable channel
    at = torch.gather(windows.positions, 1, centre[..., None].expand(-1, -1, 3))  # b g 3
    distance = (windows.positions[:, None] - at[:, :, None]).square().sum(-1)  # b g c
    distance = distance.masked_fill(~windows.channels[:, None], torch.inf)
    rank = distance.argsort(dim=-1).argsort(dim=-1)
    n_hidden = (share * windows.channels.sum(dim=1)).round().clamp_min(1)
    visible = rank >= n_hidden[:, None, None]  # b g c
    visible = visible.repeat_interleave(block, dim=1)[:, :n_patches]
    return visible.transpose(1, 2) & windows.usable
