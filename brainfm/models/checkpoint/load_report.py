"""What a checkpoint is, in a line: said when it is loaded."""

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What was found when a checkpoint was loaded; ``str`` gives it as one readable line.

    Parameters
    ----------
    name : str
        Packaged name, name of the folder, or repository on the Hub.
    revision : str or None
        Commit hash on the Hub.
    sha256 : str
        Of ``model.safetensors``.
    tensors_matched, parameters_matched : float
        Shares of the tensors of the encoder, and of the numbers in them, that the file holds.
    modalities : tuple of str
        What it was trained on: ``bold``, ``eeg`` or both; empty when not stated.
    n_participants : int or None
        People in the training recordings; None when not stated.
    datasets : dict of str to int or None
        Datasets of the training recordings, and how many people each gave, where stated.
    licence : str or None
        Of the weights.
    phenotypes : tuple of str
        Labels of the participants that were trained on; mostly none.
    """

    name: str
    revision: str | None
    sha256: str
    tensors_matched: float
    parameters_matched: float
    modalities: tuple
    n_participants: int | None
    datasets: dict
    licence: str | None
    phenotypes: tuple = ()

    @classmethod
    def of(cls, info, *, name, revision, sha256, shares):
        """Gather the report from what ``config.json`` says and the two ``shares`` found."""
        training = info.get("training", {})
        counts = training.get("participants_by_dataset", {})
        return cls(
            name=name,
            revision=revision,
            sha256=sha256,
            tensors_matched=shares[0],
            parameters_matched=shares[1],
            modalities=tuple(info.get("modalities", ())),
            n_participants=training.get("n_participants"),
            datasets={one: counts.get(one) for one in training.get("datasets", ())},
            licence=info.get("licence"),
            phenotypes=tuple(training.get("phenotypes", ())),
        )

    def __str__(self):
        where = f"revision {self.revision[:12]}, " if self.revision else ""
        return "; ".join([
            f"{self.name} ({where}sha256 {self.sha256[:12]})",
            f"{_percent(self.tensors_matched)} of the tensors and "
            f"{_percent(self.parameters_matched)} of the parameters matched",
            f"trained on {self._training()}",
            f"licence {_plain(self.licence) if self.licence else 'not stated'}",
        ])  # fmt: skip

    def _training(self):
        if self.n_participants is None:
            return "what its config.json does not state"
        modalities = " and ".join(_plain(one).upper() for one in self.modalities)
        labels = f" and their {', '.join(map(_plain, self.phenotypes))}" if self.phenotypes else ""
        return (
            f"{modalities} of {self.n_participants} participants{labels} from "
            f"{by_dataset(self.datasets)}"
        )


def by_dataset(datasets):
    """Write datasets and their numbers of people as ``one (12), another (3)``."""
    told = [
        _plain(name) + (f" ({count})" if count is not None else "")
        for name, count in datasets.items()
    ]
    return ", ".join(told) or "datasets that are not stated"


def _percent(share):
    """Write a share so that only the whole reads 100 %."""
    return "100 %" if share == 1 else f"{min(100 * share, 99.9):.1f} %"


def _plain(text):
    """Keep what a line of a log can show of a text from outside."""
    kept = "".join(one if one.isprintable() else " " for one in str(text))
    return textwrap.shorten(kept, 80, placeholder="...")
