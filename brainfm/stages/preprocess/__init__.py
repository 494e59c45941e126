"""Preprocess: clean raw fMRI and EEG runs."""
