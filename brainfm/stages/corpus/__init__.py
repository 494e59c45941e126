"""Corpus: collect the standardised recordings of many datasets in one folder.

In: output folders of the participant level, or other datasets of parcel time series. Out: a corpus
folder with ``manifest.tsv``, see :mod:`brainfm.storage.corpus`. The public function is
:func:`~brainfm.stages.corpus.build.add_to_corpus`.

- ``build.py``: add datasets to a corpus
- ``included.py``: recordings that the group level uses: selected, not excluded, not withdrawn
- ``duplicates.py``: detect identical recordings of different participants
- ``withdraw.py``: remove a participant from a corpus, and readmit it
"""
