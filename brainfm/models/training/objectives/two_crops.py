"""Two-crop latent prediction: two crops of one recording have the same latent."""

import torch
from torch import nn

from brainfm.models.training.objectives.base import Objective

_DIM = 64
_N_SLICES = 256
#: The 0.05 of the paper is for hundreds of rows in a batch: the pull of SIGReg grows with their
#: number, and with 16 rows the crops of all participants collapse to one point.
_GAUSSIAN_WEIGHT = 0.4


class TwoCrops(Objective):
    """Minimise the distance between the latents of two crops while they stay Gaussian.

    The second term (SIGReg) prevents collapse; there is no teacher and no queue.

    Parameters
    ----------
    config : EncoderConfig

    References
    ----------
    .. [1] Balestriero and LeCun, 2025, LeJEPA. https://doi.org/10.48550/arXiv.2511.08544
    """

    def __init__(self, config):
        super().__init__()
        wide = 2 * config.dim
        self.project = nn.Sequential(
            nn.Linear(config.dim, wide), nn.GELU(), nn.Linear(wide, _DIM)
        )  # fmt: skip

    def score(self, batch, visible, encoded, generator):
        """See :meth:`Objective.score`."""
        projected = self.project(encoded.summary)  # 2n m
        one, two = projected.chunk(2)
        distance = (one - two).square().mean()
        gaussian = 0.5 * sum(sigreg(half, generator) for half in (one, two))
        loss = (1 - _GAUSSIAN_WEIGHT) * distance + _GAUSSIAN_WEIGHT * gaussian
        return loss, {"crops_apart": float(distance.detach())}


def sigreg(points, generator):
    """Measure how far points are from a standard Gaussian.

    Parameters
    ----------
    points : Tensor, shape (n, dim)
    generator : torch.Generator
        Draws the directions.

    Returns
    -------
    distance : Tensor, shape ()
        Epps-Pulley statistic of the characteristic function, averaged over 256 directions.

    References
    ----------
    .. [1] Epps and Pulley, 1983, Biometrika 70(3). https://doi.org/10.1093/biomet/70.3.723
    """
    slices = torch.randn(points.shape[1], _N_SLICES, generator=generator).to(points.device)
    along = points @ (slices / slices.norm(dim=0))  # n m
    at = torch.linspace(-4, 4, 17, device=points.device)
    normal = (-0.5 * at.square()).exp()
    angles = along[..., None] * at  # n m 17
    error = (angles.cos().mean(0) - normal).square() + angles.sin().mean(0).square()
    return len(points) * torch.trapezoid(error * normal, at, dim=-1).mean()
