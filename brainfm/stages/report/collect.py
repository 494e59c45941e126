"""Collect the outputs of one participant for the reports."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from brainfm.stages.report.read import as_dict, kinds_of, latest_settings, read_json_object
from brainfm.storage.bids.query import entities_of, stem_of
from brainfm.storage.derivatives.status import status_to_show

#: Order of the figures in a report; other figures follow, sorted by name.
_FIGURE_ORDER = (
    "brain", "mask", "template", "normalisation", "segmentation", "coregistration", "alignment",
    "motion", "carpet", "coverage", "connectivity", "psd", "traces", "components", "sensors",
    "bands",
)  # fmt: skip
#: Sidecars of a recording; where they share a key, the last one holds.
_SIDECARS = ("*_desc-preproc_T1w.json", "*_desc-preproc_bold.json", "*_desc-preproc_eeg.json",
             "*_desc-denoised_timeseries.json")  # fmt: skip
#: Kinds of recordings and their titles.
TITLES = {"T1w": "Anatomy", "bold": "BOLD", "eeg": "EEG"}
_SUFFIXES = tuple(TITLES)
#: Entities of raw file names, in contrast to those that derivatives add.
_RAW_ENTITIES = ("sub", "ses", "task", "acq", "ce", "rec", "dir", "run", "echo", "part")


@dataclass(frozen=True, kw_only=True)
class FigureFile:
    """A figure of a recording, with title and caption from its sidecar.

    Parameters
    ----------
    path : Path
        PNG or SVG file.
    desc : str
        Label of the ``desc`` entity.
    title, caption : str
    """

    path: Path
    desc: str
    title: str
    caption: str

    @property
    def rank(self):
        """Key of the order of figures in a report."""
        desc = self.desc.lower()
        rank = next((i for i, word in enumerate(_FIGURE_ORDER) if word in desc), len(_FIGURE_ORDER))
        return rank, self.desc


@dataclass(frozen=True, kw_only=True)
class EmbeddingFile:
    """An embedding of a recording.

    Parameters
    ----------
    name : str
        File name.
    sidecar : dict
    vector : ndarray of float, shape (n_dimensions,), or None
        None if the file cannot be read.
    """

    name: str
    sidecar: dict
    vector: np.ndarray | None


@dataclass(kw_only=True)
class RecordingOutputs:
    """Outputs of one run or one T1w image.

    Parameters
    ----------
    stem : str
        Entities of the raw file name.
    suffix : {"T1w", "bold", "eeg"}
    quality : dict
        Measures of ``*_qc.json``.
    sidecar : dict
        Sidecars of the preprocessed image and of the standardised signal.
    embeddings : list of EmbeddingFile
    matrices : dict of str to dict of str to Path
        Tables of connectivity, by atlas (entities of the file name) and label of ``desc``.
    status : dict
        Entry of ``status.json``.
    figures : list of FigureFile
        In the order of the report.
    """

    stem: str
    suffix: str
    quality: dict = field(default_factory=dict)
    sidecar: dict = field(default_factory=dict)
    embeddings: list = field(default_factory=list)
    matrices: dict = field(default_factory=dict)
    status: dict = field(default_factory=dict)
    figures: list = field(default_factory=list)

    @property
    def name(self):
        """Name of the raw file without extension, such as ``sub-01_task-rest_bold``."""
        return f"{self.stem}_{self.suffix}"

    @property
    def task(self):
        """Task label, or None."""
        return entities_of(f"{self.name}.x").get("task")

    @property
    def title(self):
        """Labels of the run, or the suffix if there are none."""
        entities = entities_of(f"{self.name}.x")
        words = {"task": "", "ses": "session ", "run": "run ", "acq": "acquisition ",
                 "dir": "direction ", "rec": "reconstruction ", "ce": "contrast ",
                 "echo": "echo ", "part": "part "}  # fmt: skip
        parts = [f"{words[key]}{entities[key]}" for key in words if key in entities]
        return ", ".join(parts) or {"T1w": "T1w image"}.get(self.suffix, self.suffix)

    @property
    def full_title(self):
        """Kind of the recording and its title, such as ``EEG: rest``."""
        kind = TITLES[self.suffix]
        return kind if self.title == self.suffix else f"{kind}: {self.title}"

    @property
    def anchor(self):
        """Name as an HTML id."""
        return "".join(c if c.isalnum() else "-" for c in self.name)


@dataclass(frozen=True, kw_only=True)
class ParticipantOutputs:
    """Outputs of one participant.

    Parameters
    ----------
    label : str
        Without ``sub-``.
    status : dict
        Content of ``status.json``.
    recordings : list of RecordingOutputs
        T1w images first, then BOLD, then EEG.
    dataset : dict
        ``dataset_description.json`` of the output.
    settings : dict of dict
        Settings of the last call, by section.
    kind : str
        Column ``kind`` of ``participants.tsv``; empty if there is none. Other columns are
        personal data and are not read, since reports are shared.
    """

    label: str
    status: dict
    recordings: list
    dataset: dict
    settings: dict
    kind: str

    def of(self, suffix):
        """Return the recordings of one kind.

        Parameters
        ----------
        suffix : {"T1w", "bold", "eeg"}

        Returns
        -------
        recordings : list of RecordingOutputs
        """
        return [recording for recording in self.recordings if recording.suffix == suffix]

    @property
    def is_synthetic(self):
        """Whether the label or ``participants.tsv`` marks the participant as synthetic."""
        return "synthetic" in f"{self.label} {self.kind}".lower()


def collect_outputs(out_dir, participant):
    """Collect the outputs of a participant; missing and damaged files are left out.

    Parameters
    ----------
    out_dir : path
        Output folder of brainfm.
    participant : str
        Label without ``sub-``.

    Returns
    -------
    outputs : ParticipantOutputs
    """
    return collect_group(out_dir, [participant])[0]


def collect_group(out_dir, participants):
    """Collect the outputs of several participants; see :func:`collect_outputs`.

    Parameters
    ----------
    out_dir : path
    participants : iterable of str

    Returns
    -------
    outputs : list of ParticipantOutputs
    """
    out_dir = Path(out_dir)
    dataset = read_json_object(out_dir / "dataset_description.json")
    settings, kinds = latest_settings(out_dir), kinds_of(out_dir, dataset)
    outputs = []
    for label in participants:
        status = status_to_show(out_dir, label)
        outputs.append(
            ParticipantOutputs(
                label=label,
                status=status,
                recordings=_recordings(out_dir / f"sub-{label}", status),
                dataset=dataset,
                settings=settings,
                kind=kinds.get(label, ""),
            )
        )
    return outputs


def _recordings(folder, status):
    found = {}

    def entry(path):
        stem, suffix = _raw_stem(path), _suffix_of(path)
        return found.setdefault((stem, suffix), RecordingOutputs(stem=stem, suffix=suffix))

    _add_figures(folder, entry)
    _add_quality(folder, entry)
    _add_signals(folder, entry)
    for name, state in as_dict(status.get("recordings")).items():
        path = Path(f"{name}.json")
        if _suffix_of(path) and path.name.startswith(folder.name):
            entry(path).status = as_dict(state)
    order = sorted(found, key=lambda key: (_SUFFIXES.index(key[1]), key[0]))
    return [found[key] for key in order]


def _add_figures(folder, entry):
    for path in sorted([*folder.glob("figures/*"), *folder.glob("ses-*/figures/*")]):
        desc = entities_of(path).get("desc")
        if path.suffix not in (".svg", ".png") or not desc or _suffix_of(path) is None:
            continue
        sidecar = read_json_object(path.with_suffix(".json"))
        figure = FigureFile(
            path=path,
            desc=desc,
            title=str(sidecar.get("title") or desc),
            caption=str(sidecar.get("caption") or ""),
        )
        figures = entry(path).figures
        figures.append(figure)
        figures.sort(key=lambda one: one.rank)


def _add_quality(folder, entry):
    for path in _files(folder, "*_qc.json"):
        if path.parent.name in ("func", "eeg"):
            entry(path).quality = read_json_object(path)
    for path in _files(folder, "*_desc-brain_mask.json"):
        overlap = read_json_object(path).get("DiceTemplate")
        if path.parent.name == "anat" and overlap is not None:
            entry(path).quality = {"dice_template": overlap}


def _add_signals(folder, entry):
    for path in _files(folder, "*_embedding.json"):
        array = path.with_suffix(".npy")
        sidecar, vector = read_json_object(path), _read_vector(array)
        embedding = EmbeddingFile(name=array.name, sidecar=sidecar, vector=vector)
        entry(path).embeddings.append(embedding)
    for path in _files(folder, "*_relmat.tsv"):
        run = entry(path)
        atlas, _, desc = stem_of(path).removeprefix(f"{run.stem}_").partition("_desc-")
        run.matrices.setdefault(atlas, {})[desc] = path
    for pattern in _SIDECARS:
        for path in _files(folder, pattern):
            sidecar = read_json_object(path)
            sidecar.pop("Positions", None)  # large, and in no report
            images = [str(one) for one in sidecar.get("Sources") or () if "_T1w." in str(one)]
            if images and "_bold." in path.name:
                sidecar["T1w"] = [one.replace(":", "/").rpartition("/")[2] for one in images]
            entry(path).sidecar |= sidecar


def _files(folder, pattern):
    return sorted([*folder.glob(f"*/{pattern}"), *folder.glob(f"ses-*/*/{pattern}")])


def _raw_stem(path):
    entities = entities_of(path)
    return "_".join(f"{key}-{entities[key]}" for key in entities if key in _RAW_ENTITIES)


def _suffix_of(path):
    """T1w, bold or eeg, by the suffix of the file name or by the folder."""
    suffix = path.name.removeprefix(f"{stem_of(path)}_").partition(".")[0]
    by_folder = {"func": "bold", "eeg": "eeg", "anat": "T1w"}
    return suffix if suffix in _SUFFIXES else by_folder.get(path.parent.name)


def _read_vector(path):
    try:
        vector = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        return None
    return vector if vector.ndim == 1 and vector.size and np.isfinite(vector).all() else None
