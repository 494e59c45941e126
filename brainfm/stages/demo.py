"""The demonstration dataset: two real people and one synthetic participant."""

from brainfm.stages.synthesise import write_synthetic_dataset

__all__ = ["write_synthetic_dataset"]
