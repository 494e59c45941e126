"""Evaluate: score models and baselines on the same folds.

In: standardised recordings, ``participants.tsv`` and a target column or a contrast of two tasks.
Out: ``group/evaluation.json`` and its tables. The public function is
:func:`~brainfm.stages.evaluate.run.evaluate_outputs`.

- ``participants_table.py``: columns of the tables of participants by recording
- ``match_labels.py``, ``session_values.py``: the row of each recording
- ``column_values.py``, ``read_numbers.py``, ``describe_column.py``: meaning of the values
- ``refusals.py``: checks of settings, tasks and columns before any file is read
- ``target.py``: labels of the recordings, from a column or a contrast
- ``design.py``: methods, folds and checks before anything is computed
- ``n_jobs.py``: number of processes that fit into memory
- ``run.py``: the evaluation
- ``importance_networks.py``, ``importance_bands.py``: importance of networks and frequency bands
- ``embedding_map.py``: two-dimensional map of the embeddings
- ``summary_text.py``: sentences that state the result
- ``tables.py``: tables in ``group/``
"""
