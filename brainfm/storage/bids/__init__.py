"""Raw BIDS datasets: find files, read sidecars, validate content.

- ``names.py``, ``query.py``, ``sidecars.py``, ``filters.py``: runs and their metadata
- ``validate_mri.py``, ``validate_eeg.py``: problems of files
- ``electrodes.py``, ``montage.py``, ``read_eeg.py``: EEG recordings with positions
"""
