"""Evaluate: score models and baselines on the same folds."""
