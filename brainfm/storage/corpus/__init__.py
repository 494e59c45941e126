"""Corpus: a folder of standardised recordings from which windows are read at random.

====================  =========================================================================
``manifest.tsv``      one row per recording; a recording is in the corpus if it has a row
``recordings/``       signals, ``<participant hash>-<checksum>.npy``, (n_times, n_channels)
``layouts/``          names and positions of the channels, one ``.json`` per atlas or montage
``prepared/``         prepared signals that windows are read from, see
                      :mod:`brainfm.storage.cache.prepared_signals`; recreated when missing
``withdrawn.tsv``     participants that must not be added
====================  =========================================================================

Signals are named by hashes of the participant and of their content: concurrent jobs never write
different bytes under one name, and the files of a participant are found without the manifest.
Changes of the manifest are serialised by a lock that is released when its process ends.

- ``manifest.py``: manifest, withdrawn participants and file names
- ``recordings.py``: signals and layouts of recordings
- ``changes.py``: changes of the manifest under the lock
"""
