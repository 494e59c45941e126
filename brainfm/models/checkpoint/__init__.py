"""Checkpoints: save, load, describe and publish a pretrained model."""
