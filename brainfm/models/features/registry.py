"""Registry of features by name, learned and classical.

All are scikit-learn transformers of tables of recordings of one modality. Other encoders are added
by :func:`register_features`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from brainfm.errors import ModelError
from brainfm.models.features.classical import (
    AperiodicFeatures,
    BandPowerFeatures,
    BlockScaler,
    ConnectivityFeatures,
    LengthScaler,
    RiemannFeatures,
)
from brainfm.models.features.embedder import BrainEmbedder, modalities_of
from brainfm.models.features.protocol import FeatureExtractorMixin


class EmbeddingFeatures(FeatureExtractorMixin):
    """Embeddings of a frozen pretrained model; nothing is learned from the training rows.

    Parameters
    ----------
    embedder : transformer
        Fitted or loaded; its ``transform`` takes a :class:`~brainfm.RecordingTable`.
    """

    scaler, is_frozen = LengthScaler(), True

    def __init__(self, embedder):
        self.embedder = embedder

    def precompute(self, X):
        """Return embeddings, ndarray of float, shape (n_rows, n_features)."""
        return np.asarray(self.embedder.transform(X), dtype=float)

    def fit_precomputed(self, precomputed):
        """Return self."""
        return self

    def transform_precomputed(self, precomputed):
        """Return the embeddings, ndarray of float, shape (n_rows, n_features)."""
        return np.asarray(precomputed)

    def fit(self, X, y=None):
        """Return self without embedding ``X``: nothing is learned."""
        return self

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_clone__(self):
        return self  # a clone would forget the weights


@dataclass(frozen=True)
class Feature:
    """Entry of the registry.

    Parameters
    ----------
    modality : {"bold", "eeg"}
    title : str
        Display name in reports.
    make : callable, optional
        Returns a transformer from a :class:`~brainfm.RecordingTable` to an ndarray of shape
        (n_rows, n_features). None stands for the embedding of the pretrained model.
    """

    modality: str
    title: str
    make: Callable | None = None


FEATURES = {
    "bold": Feature("bold", "embedding"),
    "eeg": Feature("eeg", "embedding"),
    "pearson": Feature("bold", "Pearson connectivity", ConnectivityFeatures),
    "partial": Feature("bold", "partial connectivity", partial(ConnectivityFeatures, "partial")),
    "tangent": Feature("bold", "tangent connectivity", partial(ConnectivityFeatures, "tangent")),
    "band_power": Feature("eeg", "log band power", BandPowerFeatures),
    "aperiodic": Feature("eeg", "aperiodic spectrum", AperiodicFeatures),
    "riemann": Feature("eeg", "Riemannian tangent space", RiemannFeatures),
}


def register_features(name, make, *, modality, title=None):
    """Register features, for instance the embeddings of another pretrained encoder.

    The name can then be used as ``fusion`` of the estimators.

    Parameters
    ----------
    name : str
    make : callable
        Returns a scikit-learn transformer from a :class:`brainfm.RecordingTable` with one
        recording per row to an ndarray of shape (n_rows, n_features). One that is a
        :class:`~brainfm.models.features.protocol.FeatureExtractor` is faster to cross-validate.
    modality : {"bold", "eeg"}
    title : str, optional
        Display name in reports; by default ``name``.

    Raises
    ------
    ModelError
        If the name is taken, or the modality unknown.

    Examples
    --------
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> def loudness(table):
    ...     return np.array([[np.log(row[0].signal.std())] for row in table])
    >>> register_features("loudness", lambda: FunctionTransformer(loudness), modality="eeg")
    >>> FEATURES.pop("loudness").title
    'loudness'
    """
    if name in FEATURES:
        raise ModelError(f"features {name!r} are already registered: choose another name.")
    if modality not in ("bold", "eeg"):
        raise ModelError(f"modality is {modality!r}; expected bold or eeg.")
    FEATURES[name] = Feature(modality, title or name, make)


def names_of(fusion, table):
    """Resolve ``fusion`` to names of features.

    Parameters
    ----------
    fusion : str or sequence of str
        ``"auto"`` stands for the embedding of each modality in the table.
    table : RecordingTable

    Returns
    -------
    names : tuple of str

    Raises
    ------
    ModelError
        If a name is unknown, given twice, or no row has its modality.
    """
    present = modalities_of(table)
    names = present if fusion == "auto" else (fusion,) if isinstance(fusion, str) else tuple(fusion)
    unknown = [name for name in names if name not in FEATURES]
    if unknown or not names or len(set(names)) < len(names):
        raise ModelError(
            f"fusion is {fusion!r}; expected 'auto', or one or several different names of "
            f"{', '.join(FEATURES)}."
        )
    for name in names:
        if FEATURES[name].modality not in present:
            raise ModelError(
                f"fusion has {name!r}, which needs {FEATURES[name].modality}, but X holds "
                f"{' and '.join(present)} only."
            )
    return names


def make_features(name, model, *, device="auto"):
    """Make the transformer of registered features.

    Parameters
    ----------
    name : str
    model : str or path
        Checkpoint to load for an embedding; see :class:`brainfm.BrainEmbedder`.
    device : {"auto", "cpu", "cuda"}

    Returns
    -------
    features : transformer

    Raises
    ------
    ModelError, TemporaryFailure
        See :meth:`brainfm.BrainEmbedder.from_pretrained`.
    """
    feature = FEATURES[name]
    if feature.make is not None:
        return feature.make()
    return EmbeddingFeatures(BrainEmbedder.from_pretrained(model, device=device))


def scaler_of(features):
    """Return the scaler of features: their attribute ``scaler``, or a :class:`BlockScaler`.

    Parameters
    ----------
    features : transformer

    Returns
    -------
    scaler : transformer
    """
    return getattr(features, "scaler", BlockScaler())
