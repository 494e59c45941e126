"""Pretrain: train a model on a corpus."""
