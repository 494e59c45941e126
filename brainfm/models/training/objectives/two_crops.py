"""Two-crop latent prediction: two stretches of one recording say the same, all say enough."""

import torch
from torch import nn

from brainfm.models.training.objectives.base import Objective

_DIM = 64
_N_SLICES = 256


class TwoCrops(Objective):
    """Bring the summaries of two crops together while keeping their distribution Gaussian.

    The second term (SIGReg) is what prevents collapse; there is no teacher and no queue. Its
    pull grows with the number of rows of a batch: the weight of the paper, 0.05, is for hundreds,
    and with 16 rows the crops of all people come to lie on one point.

    References
    ----------
    .. [1] Balestriero and LeCun, 2025, LeJEPA. https://arxiv.org/abs/2511.08544
    """

    def __init__(self, config, gaussian_weight=0.4):
        super().__init__()
        wide = 2 * config.dim
        self.project = nn.Sequential(
            nn.Linear(config.dim, wide), nn.GELU(), nn.Linear(wide, _DIM)
        )  # fmt: skip
        self.gaussian_weight = gaussian_weight

    def score(self, batch, visible, encoded, generator):
        """See :meth:`Objective.score`."""
        projected = self.project(encoded.summary)
        one, two = projected.chunk(2)
        apart = (one - two).square().mean()
        gaussian = 0.5 * sum(sigreg(half, generator) for half in (one, two))
        loss = (1 - self.gaussian_weight) * apart + self.gaussian_weight * gaussian
        return loss, {"crops_apart": float(apart.detach())}


def sigreg(points, generator):
    """How far points are from a standard Gaussian, by their characteristic function on slices.

    Parameters
    ----------
    points : Tensor, shape (n, dim)
    generator : torch.Generator
        Draws the directions.

    Returns
    -------
    distance : Tensor, shape ()
        Epps-Pulley statistic, averaged over 256 directions.
    """
    slices = torch.randn(points.shape[1], _N_SLICES, generator=generator).to(points.device)
    along = points @ (slices / slices.norm(dim=0))  # n m
    at = torch.linspace(-4, 4, 17, device=points.device)
    wanted = (-0.5 * at.square()).exp()
    angles = along[..., None] * at
    error = (angles.cos().mean(0) - wanted).square() + angles.sin().mean(0).square()
    return len(points) * torch.trapezoid(error * wanted, at, dim=-1).mean()
