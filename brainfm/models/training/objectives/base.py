"""Base of the objectives: a batch in, one loss and its metrics out."""

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

from brainfm.models.encoder.windows import Windows
from brainfm.models.training.objectives.metrics import batch_metrics, explained_variance

#: Fraction of the channels that is masked, and number of patches that are masked together.
_MASKED_FRACTION = 0.55
_PATCHES_PER_BLOCK = 2


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Two crops of each row: the first crop of every row, then the second crop of every row.

    Parameters
    ----------
    windows : dict of str to Windows
        The modalities that all rows of the batch have; 2 * n_rows windows each.
    connectivity_targets : dict of str to Tensor, shape (n_rows, n_components)
        Targets of connectivity-preserving regression; computed over whole recordings.
    participants : tuple of str, length n_rows
        Participant of each row, for metrics only; empty if unknown.
    phenotypes : Tensor, shape (n_rows, n_phenotypes), optional
        Standardised targets of phenotype prediction; NaN where missing.
    """

    windows: dict[str, Windows]
    connectivity_targets: dict[str, torch.Tensor]
    participants: tuple[str, ...] = ()
    phenotypes: torch.Tensor | None = None

    def __len__(self):
        return len(next(iter(self.windows.values()))) // 2

    def to(self, device):
        """Return the same batch on another device."""
        moved = {
            part: {name: one.to(device) for name, one in getattr(self, part).items()}
            for part in ("windows", "connectivity_targets")
        }
        phenotypes = None if self.phenotypes is None else self.phenotypes.to(device)
        return replace(self, **moved, phenotypes=phenotypes)


class Objective(nn.Module):
    """Training objective; layers that are trained with it (heads) are its submodules.

    A subclass implements :meth:`score`, and sets ``masks_input`` if blocks of its input are masked.
    """

    masks_input = False

    def loss(self, encoder, batch, generator):
        """Encode a batch and score it.

        Parameters
        ----------
        encoder : BrainEncoder
        batch : Batch
        generator : torch.Generator
            On the CPU; the only source of randomness.

        Returns
        -------
        loss : Tensor, shape ()
        metrics : dict of str to float
            Higher ``*_explained`` is better, 0 is as good as the mean; NaN where it cannot be
            computed. Includes those of
            :func:`brainfm.models.training.objectives.metrics.batch_metrics`.
        """
        visible = None
        if self.masks_input:
            visible = {name: mask_blocks(one, generator) for name, one in batch.windows.items()}
        encoded = encoder(batch.windows, visible)
        loss, metrics = self.score(batch, visible, encoded, generator)
        return loss, {**metrics, **batch_metrics(encoded.summary, batch.participants)}

    def score(self, batch, visible, encoded, generator):
        """Return the loss and the metrics of an encoded batch; see :meth:`loss`."""
        raise NotImplementedError(f"{type(self).__name__} has no score()")


class WeightedSum(Objective):
    """Weighted sum of objectives on one pass through the encoder.

    Parameters
    ----------
    parts : dict of str to Objective
    weights : dict of str to float
    """

    def __init__(self, parts, weights):
        super().__init__()
        self.parts, self.weights = nn.ModuleDict(parts), dict(weights)
        self.masks_input = any(part.masks_input for part in parts.values())

    def score(self, batch, visible, encoded, generator):
        """See :meth:`Objective.score`."""
        total, metrics = 0.0, {}
        for name, part in self.parts.items():
            loss, of_part = part.score(batch, visible, encoded, generator)
            total = total + self.weights[name] * loss
            metrics |= {f"{name}_loss": float(loss.detach()), **of_part}
        return total, metrics


def regression(objective, pairs):
    """Compute the smooth L1 loss, mean over modalities, and the explained variance of each.

    Parameters
    ----------
    objective : str
        First part of the names of the metrics.
    pairs : dict of str to tuple of Tensor, shape (n, n_targets)
        Prediction and target of each modality.

    Returns
    -------
    loss : Tensor, shape ()
    metrics : dict of str to float
        ``<objective>_<modality>_explained``.
    """
    losses = [functional.smooth_l1_loss(*pair) for pair in pairs.values()]
    metrics = {
        f"{objective}_{name}_explained": explained_variance(*pair) for name, pair in pairs.items()
    }
    return sum(losses) / len(losses), metrics


def mask_blocks(windows, generator):
    """Mask a random region of the head, another one in each block of time.

    Parameters
    ----------
    windows : Windows
    generator : torch.Generator

    Returns
    -------
    visible : Tensor of bool, shape (b, n_channels, n_patches)
        False for 55 % of the channels, those nearest to a random channel, over two patches.
    """
    n_windows, n_channels, n_patches = windows.usable.shape
    n_blocks = -(-n_patches // _PATCHES_PER_BLOCK)
    device = windows.signal.device
    chance = torch.rand(n_windows, n_blocks, n_channels, generator=generator).to(device)  # b g c
    chance = chance.masked_fill(~windows.channels[:, None], -1)
    centre = chance.argmax(dim=-1)  # b g: a random usable channel
    at = torch.gather(windows.positions, 1, centre[..., None].expand(-1, -1, 3))  # b g 3
    distance = (windows.positions[:, None] - at[:, :, None]).square().sum(-1)  # b g c
    distance = distance.masked_fill(~windows.channels[:, None], torch.inf)
    rank = distance.argsort(dim=-1).argsort(dim=-1)
    n_masked = (_MASKED_FRACTION * windows.channels.sum(dim=1)).round().clamp_min(1)  # b
    visible = rank >= n_masked[:, None, None]  # b g c
    visible = visible.repeat_interleave(_PATCHES_PER_BLOCK, dim=1)[:, :n_patches]  # b s c
    return visible.transpose(1, 2) & windows.usable  # b c s
