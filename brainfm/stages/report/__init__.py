"""Report: write one HTML page per participant and one for the group.

In: an output folder. Out: ``sub-<label>.html`` and ``group.html``, each one self-contained file.
The public functions are
:func:`~brainfm.stages.report.participant.write_participant_report` and
:func:`~brainfm.stages.report.group.write_group_report`.

- ``read.py``: readers that return nothing for missing or damaged files
- ``collect.py``: outputs of one participant
- ``participant.py``, ``group.py``: the two pages
- ``quality.py``, ``embeddings.py``, ``evaluation.py``: sections of the pages
- ``methods.py``: facts of the methods section
- ``figures/``: figures of the pages
- ``render.py``: templates and embedded figures
"""
