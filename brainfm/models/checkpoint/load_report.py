"""One-line summary of a checkpoint, logged when it is loaded."""

import textwrap
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """Summary of a checkpoint that was loaded; ``str`` gives it as one line.

    Parameters
    ----------
    name : str
        Packaged name, name of the folder, or repository on the Hub.
    revision : str or None
        Commit hash on the Hub.
    sha256 : str
        Of ``model.safetensors``.
    tensors_matched, parameters_matched : float
        Fractions of the tensors and of the parameters of the encoder found in the file.
    modalities : tuple of str
        Modalities it was trained on; empty when not stated.
    n_participants : int or None
        Number of training participants; None when not stated.
    datasets : dict of str to int or None
        Number of training participants of each dataset; None where not stated.
    licence : str or None
        Of the weights.
    phenotypes : tuple of str
        Labels that were trained on; usually none.
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
    def of(cls, info, *, name, revision, sha256, matched):
        """Build the report from ``config.json`` and the fractions of tensors and parameters."""
        training = info.get("training", {})
        counts = training.get("participants_by_dataset", {})
        return cls(
            name=name,
            revision=revision,
            sha256=sha256,
            tensors_matched=matched[0],
            parameters_matched=matched[1],
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
    """Format datasets and their numbers of participants as ``one (12), another (3)``.

    Parameters
    ----------
    datasets : dict of str to int or None

    Returns
    -------
    text : str
    """
    names = [
        _plain(name) + (f" ({count})" if count is not None else "")
        for name, count in datasets.items()
    ]
    return ", ".join(names) or "datasets that are not stated"


def _percent(fraction):
    """Format a fraction so that only 1 becomes 100 %."""
    return "100 %" if fraction == 1 else f"{min(100 * fraction, 99.9):.1f} %"


def _plain(text):
    """Make a text from outside safe for one line of a log."""
    printable = "".join(one if one.isprintable() else " " for one in str(text))
    return textwrap.shorten(printable, 80, placeholder="...")
