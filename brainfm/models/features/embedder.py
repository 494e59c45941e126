"""Embedding as a scikit-learn transformer."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from brainfm.errors import ModelError
from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.models.encoder.readout import embed, embedding_dim, embedding_feature_names
from brainfm.models.encoder.windows import SPECS, prepare
from brainfm.models.inputs import TableInputMixin, device_of


@dataclass(eq=False, repr=False)
class BrainEmbedder(TableInputMixin, TransformerMixin, BaseEstimator):
    """Turn recordings into vectors with a pretrained encoder.

    Parameters
    ----------
    model : str or path
        Name of a packaged checkpoint, folder of one, or ``org/name[@revision]`` on the Hugging
        Face Hub; only the last uses the network.
    positions : array-like, shape (n_channels, 3), optional
    sampling_hz : float, optional
    modality : {"bold", "eeg"}, optional
        The three describe ``X`` when it is an array.
    batch_size : int
        Windows encoded at once.
    device : {"auto", "cpu", "cuda"}

    Attributes
    ----------
    checkpoint_ : Checkpoint
    modalities_ : tuple of str
        Modalities of ``X`` in ``fit``, in the order of their blocks in a vector. After
        :meth:`from_pretrained` without ``fit``, ``transform`` uses the modalities of its ``X``.

    Examples
    --------
    >>> embedder = BrainEmbedder.from_pretrained("brainfm-tiny")  # doctest: +SKIP
    >>> vectors = embedder.transform(load_recordings("derivatives"))  # doctest: +SKIP
    """

    model: str | Path = "brainfm-tiny"
    _: KW_ONLY
    batch_size: int = 32

    @classmethod
    def from_pretrained(cls, name_or_path, **parameters):
        """Load a checkpoint now, so that ``transform`` needs no ``fit``.

        Parameters
        ----------
        name_or_path : str or path
            A packaged name, a folder, or ``org/name[@revision]`` on the Hugging Face Hub.
        **parameters
            Of :class:`BrainEmbedder`.

        Returns
        -------
        embedder : BrainEmbedder
            ``embedder.checkpoint_.report`` says what was loaded.

        Raises
        ------
        ModelError
            If there is no such checkpoint, or it is of another architecture.
        TemporaryFailure
            If it is on the Hub, and the Hub cannot be reached.
        """
        embedder = cls(name_or_path, **parameters)
        embedder.checkpoint_ = load_checkpoint(name_or_path)
        return embedder

    def fit(self, X, y=None):
        """Load the checkpoint and store the modalities of ``X``; nothing is learned.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array (n, n_times, n_channels)
        y : ignored

        Returns
        -------
        self : BrainEmbedder

        Raises
        ------
        ModelError, TemporaryFailure
            See :meth:`from_pretrained`.
        """
        table = self._table(X)
        self.checkpoint_ = load_checkpoint(self.model)
        self.modalities_ = modalities_of(table)
        return self

    def transform(self, X):
        """Embed recordings.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array (n, n_times, n_channels)

        Returns
        -------
        vectors : ndarray of float32, shape (n, d)
            One block per modality, BOLD first; see :mod:`brainfm.models.encoder.readout` for what a
            block holds. A row without one of the modalities has NaN in that block.

        Raises
        ------
        NotFittedError
            Without ``fit`` or :meth:`from_pretrained`.
        ModelError
            If a recording cannot be used, or a row has none of the fitted modalities.
        """
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                "this BrainEmbedder has no encoder yet: call fit, or make it with "
                "BrainEmbedder.from_pretrained."
            )
        table = self._table(X)
        modalities = getattr(self, "modalities_", None) or modalities_of(table)
        encoder, batch_size = self.checkpoint_.encoder, self.batch_size
        return embed_table(encoder, table, modalities, batch_size=batch_size, device=self.device)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns: modality, part, and index in the part.

        Parameters
        ----------
        input_features : ignored

        Returns
        -------
        names : ndarray of str, shape (d,)
        """
        check_is_fitted(self, "modalities_")
        return embedding_feature_names(self.checkpoint_.encoder.config, self.modalities_)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "checkpoint_")


def modalities_of(table):
    """Return the modalities of a table, BOLD first.

    Parameters
    ----------
    table : RecordingTable

    Returns
    -------
    modalities : tuple of {"bold", "eeg"}
    """
    present = {one.modality for one in table.recordings}
    return tuple(name for name in SPECS if name in present)


def embed_table(encoder, table, modalities, *, batch_size=32, device="auto"):
    """Embed the rows of a table, one block per modality.

    Parameters
    ----------
    encoder : BrainEncoder
    table : RecordingTable
    modalities : tuple of str
    batch_size : int
        Windows encoded at once.
    device : {"auto", "cpu", "cuda"}

    Returns
    -------
    vectors : ndarray of float32, shape (n, d)

    Raises
    ------
    ModelError
        If a row has none of the modalities.
    """
    absent = {name: np.full(embedding_dim(encoder.config, name), np.nan) for name in modalities}
    vectors = []
    home = next(encoder.parameters()).device
    encoder.to(device_of(device))
    try:
        for index, row in enumerate(table):
            blocks = {one.modality: embed(encoder, prepare(one), batch_size=batch_size)
                      for one in row if one.modality in absent}  # fmt: skip
            if not blocks:
                raise ModelError(
                    f"row {index} has {row[0]!r} but the model was fitted on "
                    f"{' and '.join(modalities)}: fit it on both, or leave the row out."
                )
            vectors.append(np.concatenate([{**absent, **blocks}[name] for name in modalities]))
    finally:
        encoder.to(home)
    return np.array(vectors, dtype=np.float32)
