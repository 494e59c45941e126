"""Demonstration dataset, and the command that runs both levels of brainfm on it.

- ``synthetic_participant.py``: simulation of one participant
- ``synthetic_dataset.py``: synthetic participants as a raw BIDS dataset
- ``dataset.py``: copy of the demonstration dataset
- ``__main__.py``: ``python -m brainfm.demo FOLDER``
"""
