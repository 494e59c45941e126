"""Preprocess: clean raw T1w, BOLD and EEG runs.

In: raw runs. Out: BIDS derivatives in template space (T1w, BOLD) and clean BrainVision recordings
(EEG), each with quality measures and figures. The public function for EEG is
:func:`~brainfm.stages.preprocess.eeg.preprocess_eeg`; images are preprocessed in the steps below,
which :mod:`brainfm.workflows` connects.

- ``t1w.py``: bias field, brain mask, tissues and normalisation of a T1w image
- ``registration.py``: rigid, affine and non-linear registration
- ``bold.py``: realignment, alignment to T1w and resampling of a BOLD run
- ``bold_confounds.py``: motion, tissue means, aCompCor and DVARS
- ``bold_qc.py``, ``bold_figures.py``: quality measures and figures of images
- ``fmriprep.py``, ``containers.py``: options of fMRIPrep, and the command of a container
- ``eeg.py``: filters, bad channels, artefacts and reference of an EEG run
- ``eeg_ica.py``: independent components and their labels
- ``eeg_sidecar.py``: sidecar and channels table
- ``eeg_qc.py``, ``eeg_figures.py``: quality measures and figures of EEG
"""
