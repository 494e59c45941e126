"""Features by name: what an estimator may read from a recording, learned or classical.

All are scikit-learn transformers of tables of recordings of one modality. Other people's encoders
come in by :func:`register_features`.
"""

from collections.abc import Callable
from dataclasses import dataclass

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
    """Vectors of a frozen pretrained embedder: nothing is learned from the training rows.

    Parameters
    ----------
    embedder : transformer
        Already fitted or loaded; its ``transform`` takes what a :class:`RecordingTable` is.
    """

    scaler, is_frozen = LengthScaler(), True

    def __init__(self, embedder):
        self.embedder = embedder

    def precompute(self, X):
        """Return embeddings, ndarray of float, shape (n_rows, n_features)."""
        return np.asarray(self.embedder.transform(X), dtype=float)

    def fit_precomputed(self, precomputed):
        """Learn nothing."""
        return self

    def transform_precomputed(self, precomputed):
        """Return the embeddings as they are."""
        return np.asarray(precomputed)

    def fit(self, X, y=None):
        """Return self without embedding ``X``: nothing is learned."""
        return self

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_clone__(self):
        return self  # a clone would forget the weights


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One kind of features.

    Parameters
    ----------
    modality : {"bold", "eeg"}
    title : str
        As a report spells it.
    make : callable, optional
        Returns a transformer of a :class:`RecordingTable` to an array (n_rows, n_features). None
        stands for the embedding of the pretrained model.
    """

    modality: str
    title: str
    make: Callable | None = None


FEATURES = {
    "bold": Feature(modality="bold", title="embedding"),
    "eeg": Feature(modality="eeg", title="embedding"),
    "pearson": Feature(modality="bold", title="Pearson connectivity", make=ConnectivityFeatures),
    "partial": Feature(
        modality="bold",
        title="partial connectivity",
        make=lambda: ConnectivityFeatures(kind="partial"),
    ),
    "tangent": Feature(
        modality="bold",
        title="tangent connectivity",
        make=lambda: ConnectivityFeatures(kind="tangent"),
    ),
    "band_power": Feature(modality="eeg", title="log band power", make=BandPowerFeatures),
    "aperiodic": Feature(modality="eeg", title="aperiodic spectrum", make=AperiodicFeatures),
    "riemann": Feature(modality="eeg", title="Riemannian tangent space", make=RiemannFeatures),
}


def register_features(name, make, *, modality, title=None):
    """Make features known by a name, for instance the embeddings of another pretrained encoder.

    ``fusion`` of the estimators takes the name from then on.

    Parameters
    ----------
    name : str
    make : callable
        Returns a scikit-learn transformer of a :class:`brainfm.RecordingTable` with one recording
        a row to an array (n_rows, n_features).
    modality : {"bold", "eeg"}
    title : str, optional
        As a report spells it; by default ``name``.

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
        raise ModelError(f"features called {name!r} are known already: choose another name.")
    if modality not in ("bold", "eeg"):
        raise ModelError(f"modality is {modality!r}; expected bold or eeg.")
    FEATURES[name] = Feature(modality=modality, title=title or name, make=make)


def names_of(fusion, table):
    """Return the names of the features that are fused.

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
    """Make the transformer behind a name; that of an embedding loads the model."""
    feature = FEATURES[name]
    if feature.make is not None:
        return feature.make()
    return EmbeddingFeatures(BrainEmbedder.from_pretrained(model, device=device))


def scaler_of(features):
    """Return how the columns of features are scaled: their own way, or to unit variance."""
    return getattr(features, "scaler", BlockScaler())
