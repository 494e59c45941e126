"""Recordings of the group level: selected, of known studies, neither withdrawn nor excluded."""

import logging
from collections import Counter
from dataclasses import dataclass, field

import pandas as pd

from brainfm.errors import NothingSelected
from brainfm.files import write_tsv
from brainfm.recording import RUN_LABELS
from brainfm.stages.corpus.build import check_labels
from brainfm.storage.corpus.manifest import read_withdrawn
from brainfm.storage.derivatives.exclusions import Exclusion
from brainfm.storage.derivatives.join_studies import join_studies
from brainfm.storage.derivatives.labels import labels_of
from brainfm.storage.derivatives.recordings import find_files, log_selection, read_recordings
from brainfm.storage.derivatives.selection import Selection, modality_of

log = logging.getLogger("brainfm")
_UNREADABLE = "cannot be read: "


@dataclass(frozen=True, kw_only=True)
class IncludedRecordings:
    """Recordings of the group level, and those that were left out.

    Parameters
    ----------
    recordings : list of Recording
        Sorted by their identity, whatever the order of the roots.
    excluded : list of (Path, Exclusion)
        Files that the exclusion list leaves out, and those that cannot be read.
    selection : Selection
    n_unreadable : int
        Number of recordings that cannot be read.
    """

    recordings: list
    excluded: list = field(default_factory=list)
    selection: Selection = field(default_factory=Selection)
    n_unreadable: int = 0

    def describe(self):
        """Describe the selection for ``evaluation.json``.

        Returns
        -------
        description : dict
            ``labels`` and ``filters`` that select recordings, and of the exclusion list
            ``n_recordings``, ``n_participants`` and ``reasons``; ``n_unreadable`` recordings.
        """
        listed = [pair for pair in self.excluded if not pair[1].reason.startswith(_UNREADABLE)]
        people = {labels_of(path)["participant"] for path, _ in listed}
        labels = {name: sorted(wanted) for name, wanted in self.selection.labels.items()}
        return {
            "labels": labels,
            "has_filters": bool(self.selection.filters),
            "n_recordings": len(listed),
            "n_participants": len(people),
            "n_unreadable": self.n_unreadable,
            "reasons": dict(Counter(row.reason for _, row in listed).most_common()),
        }

    def excluded_participants(self):
        """List what the exclusion list leaves out.

        Returns
        -------
        excluded : list of dict
            ``participant``, followed by the labels of runs if only these are left out, and
            ``why``.
        """
        rows = dict.fromkeys((str(row).removeprefix("sub-"), row.reason)
                             for _, row in self.excluded)  # fmt: skip
        return [
            {
                "participant": name,
                "why": why if why.startswith(_UNREADABLE) else f"exclusion list: {why}",
            }
            for name, why in rows
        ]

    def write_excluded(self, path):
        """Write the excluded recordings as a table; remove it if there are none.

        Parameters
        ----------
        path : Path
        """
        if not self.excluded:
            path.unlink(missing_ok=True)
            return
        rows = [
            labels_of(file) | {"modality": modality_of(file), "reason": exclusion.reason}
            for file, exclusion in self.excluded
        ]
        columns = ["dataset", "participant", *RUN_LABELS, "modality", "reason"]
        frame = pd.DataFrame(rows, columns=columns)
        empty = [name for name in RUN_LABELS if frame[name].isna().all()]
        write_tsv(path, frame.drop(columns=empty))


def included_recordings(roots, corpus_dir, selection=None):
    """Find the standardised recordings that the group level uses.

    Parameters
    ----------
    roots : iterable of path
        Folders of standardised recordings.
    corpus_dir : path
        Corpus with the list of withdrawn participants, if there is one.
    selection : Selection, optional
        All recordings by default.

    Returns
    -------
    included : IncludedRecordings

    Raises
    ------
    NothingSelected
        If no recording is selected.
    DataError
        If two recordings have the same labels, or two datasets of one name may be different
        studies.
    MissingInput, SignalError
        If no recording can be read; single ones are logged and left out.
    """
    selection, withdrawn = selection or Selection(), read_withdrawn(corpus_dir)
    paths, excluded = find_files(roots, selection)
    log_selection(roots, selection, excluded)
    n_found, paths = len(paths), [one for one in paths if _participant_of(one) not in withdrawn]
    if len(paths) < n_found:
        log.info("%d recordings of withdrawn participants are left out", n_found - len(paths))
    if not paths:
        raise NothingSelected(
            f"no standardised recording is selected under {', '.join(map(str, roots))}; "
            "expected at least one that is neither excluded nor withdrawn: check the labels, the "
            "filter file and the exclusion list."
        )
    problems = []
    recordings = join_studies(read_recordings(paths, problems=problems))
    excluded += [_left_out(*problem) for problem in problems]
    if not recordings:
        raise type(problems[0][1])(f"no recording can be read; the first: {problems[0][1]}")
    recordings.sort(key=lambda one: (*map(str, one.key), one.modality))
    check_labels(recordings)
    return IncludedRecordings(
        recordings=recordings, excluded=excluded, selection=selection, n_unreadable=len(problems)
    )


def _left_out(path, error):
    """Log a recording that cannot be read, and list it with the excluded ones."""
    log.error("%s; it is left out.", str(error).rstrip("."))
    labels = {name: label for name, label in labels_of(path).items()
              if label and name in ("participant", *RUN_LABELS)}  # fmt: skip
    return path, Exclusion(labels, f"{_UNREADABLE}{error}")


def _participant_of(path):
    labels = labels_of(path)
    return labels["dataset"], labels["participant"]
