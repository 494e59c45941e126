"""Ways to learn without labels, alone or weighted; all have ``loss(encoder, batch, generator)``."""

from brainfm.errors import ModelError
from brainfm.models.objectives.base import Batch, Objective, WeightedSum
from brainfm.models.objectives.connectivity import ConnectivityRegression
from brainfm.models.objectives.crops import TwoCrops
from brainfm.models.objectives.masked import MaskedPrediction

OBJECTIVES = {
    "masked": MaskedPrediction,
    "crops": TwoCrops,
    "connectivity": ConnectivityRegression,
}
#: What ``objective="default"`` stands for.
DEFAULT_WEIGHTS = {"masked": 1.0, "crops": 0.5, "connectivity": 0.5}


def build_objective(objective, config):
    """Make an objective by name or by weights.

    Parameters
    ----------
    objective : str or dict of str to float
        ``"default"``, one name of ``OBJECTIVES``, or weights such as
        ``{"masked": 1.0, "crops": 0.5}``.
    config : EncoderConfig

    Returns
    -------
    objective : Objective

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
        raise ModelError(f"weights of the objective are {weights}; leave out what is not wanted.")
    return WeightedSum({name: OBJECTIVES[name](config) for name in weights}, weights)


__all__ = ["DEFAULT_WEIGHTS", "OBJECTIVES", "Batch", "Objective", "WeightedSum", "build_objective"]
