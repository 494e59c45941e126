"""Report: write one HTML page per participant and one for the group.

In: an output folder. Out: ``sub-<label>.html`` and ``group.html``, each one self-contained file,
``group_figures.html``, tables of quality measures and a proposed exclusion list.
The public functions are
:func:`~brainfm.stages.report.participant.write_participant_report` and
:func:`~brainfm.stages.report.group.write_group_report`.

- ``read.py``: readers that return nothing for missing or damaged files
- ``collect.py``: outputs of one participant
- ``participant.py``, ``group.py``: the two pages
- ``quality.py``, ``embeddings.py``, ``evaluation.py``: sections of the pages
- ``usual.py``: measures beside their usual ranges, and notes of preprocessing
- ``group_quality.py``, ``outliers.py``, ``group_tables.py``, ``exclusions.py``: quality of a group
- ``motion_effects.py``: correlation of connectivity with motion
- ``figure_page.py``: page with the figures of all participants
- ``methods.py``: facts of the methods section
- ``figures/``: figures of the pages
- ``render.py``: templates and embedded figures
"""
