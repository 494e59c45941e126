"""Query: find the runs of a BIDS dataset, validate them and plan the work of a call.

In: a BIDS dataset, and derivatives of other pipelines. Out: the runs of each participant, the
problems found and the steps that remain. The public function is
:func:`~brainfm.stages.query.validate.preflight`.

- ``folders.py``: input and output folders of a call
- ``engine.py``: engine that preprocesses the fMRI, and derivatives given
- ``select.py``: runs that are selected, raw or preprocessed
- ``validate.py``, ``validate_runs.py``, ``validate_derived.py``: problems of a call and of its runs
- ``plan.py``: steps of a participant that are not done yet
"""
