"""Evaluation: folds, scores, cross-validation, few-shot curves and audits of arrays and tables."""
