"""Tell apart the studies of several folders of recordings.

Two studies may have the same ``Name``, and two folders may be of one study. Folders of one name
are of one study if they have the same DOI, raw dataset or table of participants, and of two studies
if their DOIs differ. Otherwise nothing tells, and folders that share participants are refused.
"""

from collections import defaultdict
from dataclasses import replace
from itertools import combinations

from brainfm.errors import DataError
from brainfm.storage.derivatives.labels import dataset_root
from brainfm.storage.derivatives.study import Study, study_of


def join_studies(recordings, stored=()):
    """Give recordings of one study one DOI, and refuse folders that may be of two studies.

    Parameters
    ----------
    recordings : list of Recording
        From one or several roots.
    stored : iterable of dict
        Rows of the manifest of a corpus, to which the recordings are added.

    Returns
    -------
    recordings : list of Recording

    Raises
    ------
    DataError
        If two folders have the same name and share participants, and nothing tells whether they
        are of one study.
    """
    of_root = {root: study_of(root) for root in {_root_of(one) for one in recordings}}
    people = defaultdict(set)
    for row in stored:
        people[_study_of_row(row)].add(row["participant"])
    n_stored = len(people)
    for one in recordings:
        people[of_root[_root_of(one)]].add(one.participant)
    for one, other in combinations(people, 2):
        shared = sorted(people[one] & people[other])
        if one.name == other.name and shared and one.is_same(other) is None:
            raise _may_be_two_studies(one, other, shared)
    known = list(people)
    dois = {root: _joint_doi(study, known, n_stored) for root, study in of_root.items()}
    return [
        one if dois[_root_of(one)] == one.doi else replace(one, doi=dois[_root_of(one)])
        for one in recordings
    ]


def evidence_of(recording):
    """Return the evidence of the study of a recording, for the manifest of a corpus.

    Parameters
    ----------
    recording : Recording

    Returns
    -------
    evidence : str
        Separated by spaces; empty for a recording in memory.
    """
    if recording.source is None:
        return ""
    return " ".join(sorted(study_of(_root_of(recording)).evidence))


def _joint_doi(study, known, n_stored):
    """DOI that the corpus has for the study, else any that a folder of the study has."""
    same = [one.name == study.name and one.is_same(study) is True for one in known]
    stored = [one.doi for one, is_same in zip(known[:n_stored], same, strict=False) if is_same]
    found = [one.doi for one, is_same in zip(known, same, strict=True) if is_same and one.doi]
    return stored[0] if stored else study.doi or next(iter(found), None)


def _may_be_two_studies(one, other, shared):
    return DataError(
        f"{one.origin} and {other.origin} both have the Name {one.name!r} and "
        f"{len(shared)} participants with the same label (sub-{shared[0]}), and nothing tells "
        "whether they are one study. If they are two, write another Name to one "
        "dataset_description.json; if they are one, write its DatasetDOI to both."
    )


def _study_of_row(row):
    evidence = frozenset((row["study"] or "").split())
    return Study(row["dataset"], row["doi"], evidence, "the corpus")


def _root_of(recording):
    return str(dataset_root(recording.source))
