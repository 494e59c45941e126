"""Recording and RecordingTable: the data types that all layers share."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from brainfm.errors import SignalError

MODALITIES = ("bold", "eeg")
#: Labels that tell apart the runs of a participant, by the names that PyBIDS gives to entities.
RUN_LABELS = ("session", "task", "acquisition", "ceagent", "reconstruction", "direction", "run",
              "echo", "part", "chunk")  # fmt: skip
#: Largest distance from the origin a position may have: parcels in mm, electrodes in m.
_LARGEST_POSITION = {"bold": 200.0, "eeg": 0.5}


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One run of one modality of one participant.

    Make one with :meth:`from_array`, or many with :func:`brainfm.load_recordings`.

    Parameters
    ----------
    read : callable
        Returns the signal, shape (n_times, n_channels). Picklable, called at each access.
    shape : tuple of int
        (n_times, n_channels).
    sampling_hz : float
        Samples per second; ``1 / RepetitionTime`` for BOLD.
    modality : {"bold", "eeg"}
    channels : tuple of str
        Parcel or electrode names.
    positions : ndarray of float, shape (n_channels, 3)
        BOLD: MNI millimetres of the parcel centroids. EEG: head coordinates in metres.
    mask : ndarray of bool, shape (n_channels,)
        True where a channel is usable.
    cache : callable, optional
        Called with the recording and the function that prepares it for a model; returns the
        result of that function, from disk if it is there. Recordings of a corpus have one.
    participant : str
        Label without ``sub-``.
    session, task, acquisition, ceagent, reconstruction, direction, run, echo, part, chunk : str
        BIDS labels, or None; together they identify a run.
    dataset : str
        Name of the dataset.
    doi : str, optional
        DOI of the dataset without its version; it tells apart two datasets of one name.
    site : str, optional
    source : str, optional
        File that the signal is read from.
    """

    read: Callable[[], np.ndarray]
    shape: tuple[int, int]
    sampling_hz: float
    modality: str
    channels: tuple[str, ...]
    positions: np.ndarray
    mask: np.ndarray
    participant: str = "unknown"
    session: str | None = None
    task: str | None = None
    acquisition: str | None = None
    ceagent: str | None = None
    reconstruction: str | None = None
    direction: str | None = None
    run: str | None = None
    echo: str | None = None
    part: str | None = None
    chunk: str | None = None
    dataset: str = "unknown"
    doi: str | None = None
    site: str | None = None
    source: str | None = None
    cache: Callable | None = None

    def __post_init__(self):
        _check_recording(self)

    @classmethod
    def from_array(
        cls, signal, *, sampling_hz, modality, positions, channels=None, mask=None, **entities
    ):
        """Make a recording from an array in memory.

        Parameters
        ----------
        signal : ndarray of float, shape (n_times, n_channels)
            EEG in volts; BOLD in any unit. A channel without data is all NaN, and so is a
            censored frame of BOLD.
        sampling_hz, modality, positions, channels, mask
            See :class:`Recording`. ``channels`` default to "0", "1", ...; ``mask`` defaults
            to the channels whose samples are finite in all frames that are not censored.
        **entities : str
            ``participant``, ``session``, ``task``, ``run`` and the other labels of
            :class:`Recording`, ``dataset``, ``doi``, ``site``, ``source``.

        Returns
        -------
        recording : Recording

        Raises
        ------
        SignalError
            If the shapes disagree, the modality is unknown, the sampling rate is not
            positive, or the positions are not in the unit the modality uses.
        """
        signal = np.asarray(signal, dtype=np.float32)
        if signal.ndim != 2:
            raise SignalError(
                f"signal has shape {signal.shape}; expected (n_times, n_channels): "
                "pass one recording at a time."
            )
        if mask is None:
            frames = np.isfinite(signal).any(axis=1)  # the others are censored
            mask = np.isfinite(signal[frames]).all(axis=0) & frames.any()
        if channels is None:
            channels = [str(index) for index in range(signal.shape[1])]
        return cls(
            read=partial(np.asarray, signal),
            shape=signal.shape,
            sampling_hz=float(sampling_hz),
            modality=modality,
            channels=tuple(channels),
            positions=np.asarray(positions, dtype=float),
            mask=np.asarray(mask, dtype=bool),
            **entities,
        )

    @property
    def signal(self):
        """ndarray of float32, shape (n_times, n_channels), read at each access."""
        return np.asarray(self.read(), dtype=np.float32)

    @property
    def duration_s(self):
        """Length in seconds."""
        return self.shape[0] / self.sampling_hz

    @property
    def key(self):
        """All labels: dataset and participant, those of the run, and the DOI of the dataset."""
        run = (getattr(self, name) for name in RUN_LABELS)
        return (self.dataset, self.participant, *run, self.doi)

    @property
    def group(self):
        """``dataset/participant``; a dataset with a DOI is written ``name (doi:...)``."""
        doi = f" (doi:{self.doi.replace('/', '_')})" if self.doi else ""
        return f"{self.dataset}{doi}/{self.participant}"

    def with_entities(self, **entities):
        """Return a copy with other labels.

        Parameters
        ----------
        **entities : str
            For instance ``participant="02"``.

        Returns
        -------
        recording : Recording
        """
        return replace(self, **entities)

    def __repr__(self):
        short = {"session": "ses", "acquisition": "acq", "direction": "dir",
                 "reconstruction": "rec", "ceagent": "ce"}  # fmt: skip
        labels = {short.get(name, name): getattr(self, name) for name in RUN_LABELS}
        labels = {"sub": self.participant, **labels}
        name = "_".join(f"{key}-{value}" for key, value in labels.items() if value)
        return (
            f"<Recording {name} {self.modality}: {self.shape[0]} samples at "
            f"{self.sampling_hz:g} Hz x {self.shape[1]} channels>"
        )


class RecordingTable:
    """Rows of recordings that scikit-learn can index and split.

    A row is a tuple with one recording, or with the BOLD and the EEG that were recorded
    together: those with the same labels, or the only two of a dataset, participant, session,
    task and run.

    Parameters
    ----------
    rows : iterable of tuple of Recording
    """

    def __init__(self, rows: Iterable[tuple[Recording, ...]]):
        self.rows = tuple(tuple(row) for row in rows)

    @classmethod
    def from_recordings(cls, recordings):
        """Pair recordings that were made together, in the order of first appearance.

        Parameters
        ----------
        recordings : iterable of Recording

        Returns
        -------
        table : RecordingTable

        Raises
        ------
        SignalError
            If two recordings share labels and modality, so that pairing is ambiguous.
        """
        together = defaultdict(dict)
        for index, recording in enumerate(recordings):
            # A recording without a participant is never paired.
            key = recording.key if recording.participant != "unknown" else index
            if recording.modality in together[key]:
                raise SignalError(
                    f"two {recording.modality} recordings are both labelled {recording!r}: "
                    "give them different task, run or session labels, or select one of them, for "
                    "instance with atlas=."
                )
            together[key][recording.modality] = recording
        rows = _pair_the_only_two(list(together.values()))
        return cls(tuple(row[name] for name in MODALITIES if name in row) for row in rows)

    @property
    def recordings(self):
        """All recordings, row after row."""
        return [recording for row in self.rows for recording in row]

    @property
    def groups(self):
        """ndarray of str, shape (n_rows,): :attr:`Recording.group` of each row, for group folds."""
        return np.array([row[0].group for row in self.rows], dtype=str)

    def of_modality(self, modality):
        """Recording of a modality in each row, None where a row has none; list of Recording."""
        return [next((one for one in row if one.modality == modality), None) for row in self.rows]

    @property
    def shape(self):
        """``(n_rows,)``, which scikit-learn reads before it indexes."""
        return (len(self.rows),)

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)

    def __getitem__(self, index):
        positions = np.arange(len(self))[index]  # scikit-learn also asks for table[rows, ...]
        if positions.ndim == 0:
            return self.rows[positions]
        return RecordingTable(self.rows[position] for position in positions)

    def __repr__(self):
        people = len(set(self.groups))
        return f"<RecordingTable: {len(self)} rows of {people} participants>"


def _pair_the_only_two(rows):
    """Join a BOLD and an EEG row whose session, task and run no other recording has.

    BOLD has labels that EEG has not, such as the direction of phase encoding.
    """
    similar = defaultdict(list)
    for row in rows:
        (one, *_) = row.values()
        if one.participant != "unknown":
            similar[one.group, one.session, one.task, one.run].append(row)
    for pair in similar.values():
        if len(pair) == 2 and not pair[0].keys() & pair[1].keys():
            pair[0].update(pair[1])
            pair[1].clear()
    return [row for row in rows if row]


def _check_recording(recording):
    n_channels = recording.shape[1]
    if recording.modality not in MODALITIES:
        raise SignalError(
            f"modality is {recording.modality!r}; expected one of {', '.join(MODALITIES)}."
        )
    if not recording.sampling_hz > 0:
        raise SignalError(
            f"sampling_hz is {recording.sampling_hz}; expected samples per second above 0 "
            "(for BOLD, 1 / RepetitionTime)."
        )
    expected_of = {"channels": (n_channels,), "positions": (n_channels, 3), "mask": (n_channels,)}
    for name, expected in expected_of.items():
        size = np.shape(getattr(recording, name))
        if size != expected:
            raise SignalError(
                f"{name} has shape {size} but the signal has {n_channels} channels: "
                f"expected {expected}."
            )
    _check_positions(recording)


def _check_positions(recording):
    usable = recording.positions[recording.mask]
    if not usable.size:
        return
    if not np.isfinite(usable).all():
        names = np.array(recording.channels)[recording.mask]
        lost = names[~np.isfinite(usable).all(axis=1)]
        raise SignalError(
            f"no position for {', '.join(lost[:5])} ({len(lost)} in all): give x, y, z for "
            "every usable channel, or mask the channel."
        )
    furthest = np.abs(usable).max()
    largest = _LARGEST_POSITION[recording.modality]
    if furthest > largest:
        unit = "MNI millimetres" if recording.modality == "bold" else "metres, not millimetres"
        raise SignalError(
            f"a position lies {furthest:g} from the origin; {recording.modality} positions are "
            f"in {unit}, at most {largest:g}."
        )
    if recording.modality == "bold" and len(usable) > 1 and furthest < 1:
        raise SignalError(
            f"all positions lie within {furthest:g} of the origin; bold positions are in MNI "
            "millimetres, and these look like metres: multiply by 1000."
        )
