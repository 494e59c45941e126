"""Embed: compute one vector per recording with a pretrained model."""
