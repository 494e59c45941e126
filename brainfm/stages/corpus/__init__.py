"""Corpus: collect the standardised recordings of many datasets in one folder.

In: output folders of the participant level, or other datasets of parcel time series. Out: a corpus
folder with ``manifest.tsv``, see :mod:`brainfm.storage.corpus`. The public function is
:func:`~brainfm.stages.corpus.build.add_to_corpus`.

- ``build.py``: add datasets to a corpus and detect duplicate participants
- ``withdraw.py``: remove a participant from a corpus, and readmit it
"""
