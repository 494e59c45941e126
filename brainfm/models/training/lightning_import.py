"""Import of Lightning and TensorBoard, or an error that says how to install them."""

from brainfm.errors import UsageError

try:
    import lightning as L  # noqa: N812
    import tensorboard  # noqa: F401
except ModuleNotFoundError as error:
    raise UsageError(
        f"pretraining in several processes needs the package {error.name}, which is not installed: "
        "pip install 'brainfm[train]'."
    ) from error

__all__ = ["L"]
