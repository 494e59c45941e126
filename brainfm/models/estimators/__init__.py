"""Estimators: pretraining, classification and regression with scikit-learn's interface."""
