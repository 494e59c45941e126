"""Features of each method on a cohort, computed once and cached.

Everything that is fitted without the checkpoint (channels all have, tangent references, principal
components) is fitted on people who are not tested: on the training rows of a fold, or where it
says *corpus* on the people the checkpoint was pretrained on, which is what a checkpoint has too.
"""

import hashlib
import inspect
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.base import clone
from sklearn.decomposition import PCA

from brainfm.errors import UsageError
from brainfm.models.encoder import encoder, readout, tokens, windows
from brainfm.models.encoder.encoder import BrainEncoder
from brainfm.models.encoder.readout import part_slices
from brainfm.models.encoder.windows import prepare
from brainfm.models.features import classical as classical_features
from brainfm.models.features import embedder
from brainfm.models.features.classical import (
    BandPowerFeatures,
    BlockScaler,
    ConnectivityFeatures,
    RiemannFeatures,
)
from brainfm.models.features.embedder import embed_table
from brainfm.models.training.initialisation import fit_anchors, fit_references

RANDOM_SEEDS = (1, 2, 3)
#: Baselines the checkpoint is put beside, and the random encoder beside the first.
STACKED = {
    "bold": ("Pearson FC", "tangent FC"),
    "eeg": ("log band power", "Riemannian tangent"),
}
#: What embeddings are made by, besides weights: cached ones are not used when it changes.
_EMBEDDING_CODE = (embedder, encoder, readout, tokens, windows)


@dataclass(frozen=True)
class Block:
    """Features of all rows of a cohort.

    Parameters
    ----------
    key : str
        Changes with the content.
    matrix : ndarray, shape (n_rows, n_features), or None
    in_fold : (transformer, RecordingTable) or None
        What must be fitted on the training rows of each fold instead.
    columns_alike : bool
        Scale each column to unit variance. Not so where the sizes of columns say something, in
        principal components and tangent spaces: these do better with their own.
    lasting : bool
        Whether kernels are kept on disk: of baselines, which every checkpoint meets again.
    """

    key: str
    matrix: np.ndarray | None = None
    in_fold: tuple | None = None
    columns_alike: bool = True
    lasting: bool = False


@dataclass(frozen=True, eq=False)
class Method:
    """One row of a table: one or more blocks, in one or several variants (random seeds).

    Each block has a head of its own; what the heads predict is averaged.

    ``kind`` is dummy, nuisance, baseline, random, checkpoint, part or stack.
    """

    name: str
    kind: str
    variants: tuple = ((),)


class Cache:
    """Lists of arrays in one folder, by name and key."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def get(self, name, key, compute):
        """Return a list of arrays; ``compute()`` makes it if it is not there."""
        path = self.folder / f"{name}-{key}.npz"
        if not path.exists():
            partial = path.with_suffix(f".{os.getpid()}.npz")
            np.savez(partial, *compute())
            partial.rename(path)
        with np.load(path) as held:
            return [held[f"arr_{index}"] for index in range(len(held.files))]


class Kernels:
    """Linear kernels of blocks in folds; scalers are fitted on the training rows."""

    def __init__(self, cache):
        self.cache, self.known, self.precomputed = cache, {}, {}

    def of(self, blocks, folds):
        """Return the kernels of each block.

        Parameters
        ----------
        blocks : tuple of Block, at least one
        folds : list of (train, test) rows

        Returns
        -------
        kernels : list of list of (ndarray, ndarray), (n_train, n_train) and (n_test, n_train)
            Of each fold, and in it of each block.
        """
        return list(zip(*(self._of_block(block, folds) for block in blocks), strict=True))

    def _of_block(self, block, folds):
        key = digest(block.key, *[part for fold in folds for part in fold])
        if key not in self.known:
            self.known[key] = (
                self.cache.get("kernels", key, lambda: self._flat(block, folds))
                if block.lasting
                else self._flat(block, folds)
            )
        flat = self.known[key]
        return list(zip(flat[::2], flat[1::2], strict=True))

    def _flat(self, block, folds):
        return [side for fold in folds for side in kernel_pair(*self._in_fold(block, *fold))]

    def _in_fold(self, block, train, test):
        """Features of training and test rows, and whether columns are to be scaled alike."""
        if block.in_fold is None:
            return block.matrix[train], block.matrix[test], block.columns_alike
        transformer, table = block.in_fold
        rows = np.concatenate([train, test])
        precomputed = self.precomputed.setdefault(block.key, {})
        new = [row for row in rows if row not in precomputed]
        if new:
            precomputed.update(zip(new, transformer.precompute(table[new]), strict=True))
        fitted = clone(transformer).fit_precomputed([precomputed[row] for row in train])
        seen = fitted.transform_precomputed([precomputed[row] for row in train])
        new = fitted.transform_precomputed([precomputed[row] for row in test])
        return seen, new, block.columns_alike


def kernel_pair(seen, new, columns_alike=True):
    """Compute linear kernels of training and test rows, of mean square length about 1.

    Parameters
    ----------
    seen : ndarray, shape (n_train, n_features)
    new : ndarray, shape (n_test, n_features)
    columns_alike : bool

    Returns
    -------
    train_kernel, test_kernel : ndarray of float32, (n_train, n_train) and (n_test, n_train)
    """
    if columns_alike:
        scaler = BlockScaler().fit(seen)
        seen, new = scaler.transform(seen), scaler.transform(new)
    else:
        centre = seen.mean(axis=0)
        size = np.sqrt(np.square(seen - centre).sum(axis=1).mean())
        seen, new = (seen - centre) / size, (new - centre) / size
    return (seen @ seen.T).astype(np.float32), (new @ seen.T).astype(np.float32)


def digest(*parts):
    """Hash texts and arrays into one key."""
    total = hashlib.sha256()
    for part in parts:
        total.update(str(part).encode() if isinstance(part, str) else np.asarray(part).tobytes())
        total.update(b"|")
    return total.hexdigest()[:20]


def code_of(*what):
    """Return the text of modules, classes or functions, which is part of a key."""
    return "".join(inspect.getsource(one) for one in what)


def methods(cohort, checkpoint, corpus, cache):
    """Make the rows of the tables of one cohort.

    Parameters
    ----------
    cohort : Cohort
    checkpoint : Checkpoint
    corpus : RecordingTable
        Recordings of the modality whose people the checkpoint was trained on.
    cache : Cache

    Returns
    -------
    methods : list of Method
    """
    classical = {"bold": _bold_baselines, "eeg": _eeg_baselines}[cohort.modality](cohort, cache)
    mine = _embedding(cohort, checkpoint, cache)
    random = _random_embeddings(cohort, checkpoint, corpus, cache)
    parts = parts_of(checkpoint.encoder.config, cohort.modality)
    name, (first, second) = checkpoint.name, STACKED[cohort.modality]
    found = [Method("dummy (no signal)", "dummy")]
    if cohort.nuisance is not None:
        motion = Block(f"nuisance-{cohort.key}", cohort.nuisance)
        found.append(Method("head motion and scan length only", "nuisance", ((motion,),)))
    found += [Method(title, "baseline", ((block,),)) for title, block in classical.items()]
    found += [
        Method("random encoder", "random", tuple((one,) for one in random)),
        Method(
            "random encoder, context",
            "random",
            tuple((_columns(one, parts["context"], "context"),) for one in random),
        ),
        Method(
            f"random encoder + {first}", "random", tuple((one, classical[first]) for one in random)
        ),
        Method(name, "checkpoint", ((mine,),)),
    ]
    found += [Method(f"{name}, {part}", "part", ((_columns(mine, columns, part),),))
              for part, columns in parts.items()]  # fmt: skip
    found += [Method(f"{name} + {title}", "stack", ((mine, classical[title]),))
              for title in (first, second)]  # fmt: skip
    return found


def _bold_baselines(cohort, cache):
    key = digest(cohort.key, code_of(classical_features, _connectivity))
    pearson, tangent, components = cache.get("connectivity", key, lambda: _connectivity(cohort))
    return {
        "Pearson FC": Block(f"pearson-{key}", pearson, lasting=True),
        "tangent FC": Block(f"tangent-own-{key}", tangent, columns_alike=False, lasting=True),
        "PCA-32 of Pearson FC": Block(f"pca32-{key}", components[:, :32], columns_alike=False),
        "PCA-128 of Pearson FC": Block(f"pca128-{key}", components, columns_alike=False),
    }


def _connectivity(cohort):
    """Pearson and tangent connectivity, and principal components; all fitted on the corpus.

    Fitted on those who have all parcels: the few who lack many would leave 47 of 200 in common.
    What somebody lacks is the mean of the corpus.
    """
    corpus, found = np.flatnonzero(cohort.seen), []
    if not len(corpus):
        raise UsageError(
            f"nobody of {cohort.name} was in the training of this checkpoint; expected some, to "
            "fit the tangent space and the principal components on: give another checkpoint."
        )
    for kind in ("pearson", "tangent"):
        features = ConnectivityFeatures(kind)
        precomputed = features.precompute(cohort.table)
        most = max(len(precomputed[row][0]) for row in corpus)
        whole = [precomputed[row] for row in corpus if len(precomputed[row][0]) == most]
        found.append(
            features.fit_precomputed(whole).transform_precomputed(precomputed).astype(np.float32)
        )
    pca = PCA(128, svd_solver="randomized", random_state=0).fit(found[0][corpus])
    return [*found, pca.transform(found[0])]


def _eeg_baselines(cohort, cache):
    key = digest(cohort.key, code_of(classical_features))
    return {
        title: Block(
            f"{title}-{alike}-{key}",
            in_fold=(features, cohort.table),
            columns_alike=alike,
            lasting=True,
        )
        for title, features, alike in (
            ("log band power", BandPowerFeatures(), True),
            ("Riemannian tangent", RiemannFeatures(), False),
        )
    }


def embedded(make_encoder, table, cache, *, name, key):
    """Embed all rows of a table of one modality, or read what was embedded before.

    Parameters
    ----------
    make_encoder : callable
        Returns the encoder; not called where the vectors are in the cache.
    table : RecordingTable
    cache : Cache
    name, key : str
        ``key`` changes with the weights and the content of the table.

    Returns
    -------
    vectors : ndarray of float32, shape (n_rows, d)
    """
    modality = table.recordings[0].modality

    def compute():
        return [embed_table(make_encoder(), table, (modality,), device="cpu")]

    return cache.get(name, digest(key, code_of(*_EMBEDDING_CODE)), compute)[0]


def untrained(config, corpus, seed):
    """Make the same architecture before any training.

    It has what pretraining starts from or adds without a gradient: places where the channels of
    the corpus are, and the mean covariances of the corpus as the reference of its tangent space.

    Parameters
    ----------
    config : EncoderConfig
    corpus : RecordingTable
    seed : int

    Returns
    -------
    encoder : BrainEncoder
    """
    rows = [{one.modality: prepare(one)} for one in corpus.recordings]
    torch.manual_seed(seed)
    made = BrainEncoder(config).eval()
    fit_anchors(made, rows, seed=seed)
    fit_references(made, rows)
    return made


def untrained_key(config, corpus, seed):
    """Return what changes when :func:`untrained` gives something else."""
    sources = [one.source for one in corpus.recordings]
    return digest(str(config), *sources, str(seed), code_of(untrained, fit_anchors, fit_references))


def _embedding(cohort, checkpoint, cache):
    key = digest(cohort.key, checkpoint.sha256)
    name = f"embedding-{cohort.name}"
    vectors = embedded(lambda: checkpoint.encoder, cohort.table, cache, name=name, key=key)
    return Block(f"embedding-{key}", vectors, columns_alike=False)


def _random_embeddings(cohort, checkpoint, corpus, cache):
    config, blocks = checkpoint.encoder.config, []
    for seed in RANDOM_SEEDS:
        key = digest(cohort.key, untrained_key(config, corpus, seed))
        make = partial(untrained, config, corpus, seed)
        vectors = embedded(make, cohort.table, cache, name=f"random-{cohort.name}", key=key)
        blocks.append(Block(f"random-{key}", vectors))
    return blocks


def parts_of(config, modality):
    """Return the columns of what the transformer says (context) and of what is computed."""
    found = {}
    for name, columns in part_slices(config, modality).items():
        part = next((p for p in ("connectivity", "spectrum") if name.startswith(p)), "context")
        if name != "log_scale":
            found.setdefault(part, []).append(columns)
    return {part: np.r_[tuple(columns)] for part, columns in found.items()}


def _columns(block, columns, part):
    return Block(f"{block.key}-{part}", block.matrix[:, columns], columns_alike=block.columns_alike)
