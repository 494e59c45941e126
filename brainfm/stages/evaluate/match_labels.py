"""Match labels of tables to those of recordings: 1 to 001, where only one can be meant."""

import re
from collections import defaultdict

from brainfm.errors import DataError


def match_labels(written, labels, what):
    """Match labels as written in a table to labels of recordings.

    Parameters
    ----------
    written : iterable of str
        With or without prefix (``sub-``, ``ses-``).
    labels : iterable of str
        Labels of recordings, without prefix.
    what : {"sub", "ses"}
        Prefix.

    Returns
    -------
    label_of : dict of str to str
        Label of the recordings by spelling in the table. Equal labels match first; what is left
        matches without zeros before numbers, signs and case.

    Raises
    ------
    DataError
        If several labels of either side are alike but for zeros, signs and case.
    """
    bare = {text: re.sub(rf"^{what}-", "", text, flags=re.IGNORECASE) for text in set(written)}
    labels = set(labels)
    label_of = {text: label for text, label in bare.items() if label in labels}
    left = defaultdict(set)
    for label in labels - set(label_of.values()):
        left[_alike(label)].add(label)
    similar = defaultdict(set)
    for text, label in bare.items():
        if text not in label_of and _alike(label) in left:
            similar[_alike(label)].add(label)
    for key, found in similar.items():
        if len(found) > 1 or len(left[key]) > 1:
            raise DataError(
                f"the table has {_spell(found, what)} and the recordings have "
                f"{_spell(left[key], what)}: write the labels of the recordings in the table, so "
                "that it is clear which row is whose."
            )
        label_of |= {text: min(left[key]) for text, label in bare.items() if label in found}
    return label_of


def _alike(label):
    """Label without zeros before numbers, signs and case; 1.0 is what spreadsheets make of 1."""
    label = re.sub(r"\.0$", "", label)
    label = re.sub(r"[^0-9a-z]", "", label.casefold())
    return re.sub(r"(?<!\d)0+(?=\d)", "", label)


def _spell(labels, what):
    return " and ".join(f"{what}-{label}" for label in sorted(labels)[:3])
