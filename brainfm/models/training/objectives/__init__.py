"""Objectives, alone or weighted; all have ``loss(encoder, batch, generator)``.

All but one are self-supervised; ``phenotypes`` learns from the columns of ``participants.tsv``.
A new objective is a subclass of :class:`Objective` and a line in ``OBJECTIVES``.
"""

from brainfm.errors import ModelError
from brainfm.models.training.objectives.base import Batch, Objective, WeightedSum
from brainfm.models.training.objectives.connectivity import ConnectivityRegression
from brainfm.models.training.objectives.masked import MaskedPrediction
from brainfm.models.training.objectives.phenotypes import PhenotypePrediction, PhenotypeTargets
from brainfm.models.training.objectives.two_crops import TwoCrops

OBJECTIVES = {
    "masked": MaskedPrediction,
    "crops": TwoCrops,
    "connectivity": ConnectivityRegression,
    "phenotypes": PhenotypePrediction,
}
#: Weights of ``objective="default"``; docs/explanations/representation.md has the ablation.
DEFAULT_WEIGHTS = {"connectivity": 1.0}


def objective_weights(objective):
    """Return the weight of each part of an objective.

    Parameters
    ----------
    objective : str or dict of str to float
        ``"default"``, one name of ``OBJECTIVES``, or weights such as
        ``{"masked": 1.0, "crops": 0.5}``.

    Returns
    -------
    weights : dict of str to float

    Raises
    ------
    ModelError
        If a name is unknown or a weight is not positive.
    """
    if objective == "default":
        objective = DEFAULT_WEIGHTS
    weights = {objective: 1.0} if isinstance(objective, str) else dict(objective)
    unknown = [name for name in weights if name not in OBJECTIVES]
    if unknown or not weights:
        raise ModelError(
            f"objective is {objective!r}; expected 'default', or one or several of "
            f"{', '.join(OBJECTIVES)}."
        )
    if min(weights.values()) <= 0:
        raise ModelError(
            f"weights of the objective are {weights}; expected positive weights: omit the others."
        )
    return weights


def build_objective(objective, config, phenotypes=()):
    """Build an objective by name or by weights.

    Parameters
    ----------
    objective : str or dict of str to float
        See :func:`objective_weights`.
    config : EncoderConfig
    phenotypes : sequence of str
        Names of the targets of phenotype prediction.

    Returns
    -------
    objective : Objective

    Raises
    ------
    ModelError
        If a name is unknown, a weight is not positive, or there are no phenotypes to predict.
    """
    weights = objective_weights(objective)
    with_labels = {"phenotypes": {"phenotypes": phenotypes}}
    parts = {name: OBJECTIVES[name](config, **with_labels.get(name, {})) for name in weights}
    return WeightedSum(parts, weights)


__all__ = [
    "DEFAULT_WEIGHTS", "OBJECTIVES", "Batch", "Objective", "PhenotypeTargets", "WeightedSum",
    "build_objective", "objective_weights",
]  # fmt: skip
