"""Standardise: turn a preprocessed BOLD run into parcel time series and connectivity.

In: a BOLD run in template space with its confounds, from any engine. Out: denoised parcel time
series and their correlation matrix (TSV). Clean EEG is already in its standard form. The public
function is :func:`~brainfm.stages.standardise.parcellate.standardise_bold`.

- ``parcellate.py``: parcel means, denoising and connectivity
"""
