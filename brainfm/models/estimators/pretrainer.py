"""Pretraining as a scikit-learn estimator; ``fit`` needs no labels unless the objective does."""

import logging
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

import pandas as pd
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from brainfm import __version__
from brainfm.errors import ModelError
from brainfm.models.checkpoint.load_save import save_checkpoint
from brainfm.models.checkpoint.model_card import finished_card, model_card, score_rows
from brainfm.models.checkpoint.participants import participant_hash, participants_hash
from brainfm.models.checkpoint.publish import publish_checkpoint
from brainfm.models.encoder.encoder import BrainEncoder, EncoderConfig, n_parameters
from brainfm.models.encoder.readout import (
    PART_WEIGHTS,
    PART_WEIGHTS_WITH_LABELS,
    embedding_feature_names,
)
from brainfm.models.encoder.windows import SPECS, prepare
from brainfm.models.features.embedder import embed_table
from brainfm.models.inputs import TableInputMixin, device_of
from brainfm.models.training.initialisation import (
    ConnectivityPCA,
    fit_anchors,
    fit_references,
    fit_reliability,
)
from brainfm.models.training.loop import Crops, Pretraining, score_crops, train
from brainfm.models.training.objectives import PhenotypeTargets, build_objective, objective_weights

log = logging.getLogger("brainfm")


@dataclass(eq=False, repr=False)
class BrainPretrainer(TableInputMixin, TransformerMixin, BaseEstimator):
    """Pretrain an encoder on recordings, by default without labels, and embed with it.

    Parameters
    ----------
    preset : {"nano", "tiny", "small", "base"}
        Size of the encoder.
    tokenizer : {"patch", "conv", "recurrent"}
        What makes a vector of a patch; see :mod:`brainfm.models.encoder.tokenizers`.
    objective : str or dict of str to float
        ``"default"``, the name of one objective, or weights of several; see
        :data:`brainfm.models.training.objectives.OBJECTIVES`. Only "phenotypes" needs labels.
    max_epochs, batch_size : int
        Number of epochs; rows per step (two crops each).
    learning_rate, weight_decay : float
        Of AdamW; warm-up over a tenth of the steps, then cosine decay.
    max_channels : int
        Largest number of channels of a crop; drawn at random for each crop.
    window_s : dict of str to float, optional
        Seconds of one window, for instance ``{"bold": 60, "eeg": 4}``: whole patches, 12 s of
        BOLD and 1 s of EEG; by default 120 and 10. The checkpoint keeps it.
    positions : array-like, shape (n_channels, 3), optional
    sampling_hz : float, optional
    modality : {"bold", "eeg"}, optional
        The three describe ``X`` when it is an array.
    resume_dir : path, optional
        Folder of the training state after each epoch; training resumes from it.
    loop : callable, optional
        Training loop: by default :func:`brainfm.models.training.loop.train`, one process
        for notebooks; for several processes or GPUs, mixed precision, early stopping and
        TensorBoard, a :class:`brainfm.models.training.lightning_loop.LightningLoop`.
    device : {"auto", "cpu", "cuda"}
    random_state : int
        Seed of the initial weights, the order of rows and the crops.

    Attributes
    ----------
    encoder_ : BrainEncoder
    history_ : list of dict
        One entry per epoch: losses, share explained (0 is as good as predicting the mean),
        effective rank of the summaries, share of crops whose nearest crop is of the same
        participant.
    validation_ : dict of str to float
        Scores of the last :meth:`validate`.
    modalities_ : tuple of str
        Modalities of the training recordings, the order of the blocks of ``transform``.
    training_ : dict
        Training data: counts, hours, datasets, hashes of participants, and columns of labels if
        any.
    """

    preset: str = "tiny"
    _: KW_ONLY
    tokenizer: str = "patch"
    objective: str | dict = "default"
    max_epochs: int = 20
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    max_channels: int = 128
    window_s: dict | None = None
    resume_dir: str | Path | None = None
    loop: Callable | None = None
    random_state: int = 0

    def fit(self, X, y=None, validation=None):
        """Pretrain on recordings.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array (n, n_times, n_channels)
        y : DataFrame of n rows, optional
            Phenotypes for the objective "phenotypes", NaN where missing; ignored by all others.
        validation : same as X, or a tuple (X, y), optional
            Recordings of other participants; the objective is scored on them after each epoch.

        Returns
        -------
        self : BrainPretrainer

        Raises
        ------
        ModelError
            If there are fewer than two recordings, or one of them cannot be used; if the objective
            predicts phenotypes and ``y`` does not hold any.
        """
        table = self._table(X)
        if len(table) < 2:
            raise ModelError("pretraining needs at least two recordings; X has 1: add recordings.")
        rows = _prepare_rows(table)
        self._targets = PhenotypeTargets(_labels(y, table)) if self._needs_labels else None
        encoder, module = self._build(rows)
        reduce = ConnectivityPCA(encoder, rows)
        crops = self._crops(table, rows, reduce, y)
        log.info("pretraining %s (%d parameters) on %r", self.preset, n_parameters(encoder), table)
        self.history_ = (self.loop or train)(
            module,
            crops,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            device=device_of(self.device),
            resume_dir=self.resume_dir,
            validation=None if validation is None else self._validation(validation, reduce),
        )
        fit_references(encoder, rows)
        fit_reliability(encoder, rows, PART_WEIGHTS_WITH_LABELS if self._targets else PART_WEIGHTS)
        self.encoder_, self.validation_ = encoder, {}
        self._module, self._reduce = module, reduce
        self.modalities_ = tuple(name for name in SPECS if any(name in row for row in rows))
        self.training_ = _describe(table)
        if self._targets:
            self.training_["phenotypes"] = list(self._targets.classes)
        return self

    def validate(self, X, y=None):
        """Score the objective on held-out recordings; sets ``validation_``.

        Parameters
        ----------
        X : RecordingTable, list of Recording, or array (n, n_times, n_channels)
        y : DataFrame of n rows, optional
            Phenotypes, for the objective "phenotypes".

        Returns
        -------
        self : BrainPretrainer

        Raises
        ------
        ModelError
            If a recording cannot be used, or phenotypes are missing.
        """
        check_is_fitted(self, "encoder_")
        crops = self._validation((X, y), self._reduce)
        self.validation_ = score_crops(self._module, crops, batch_size=self.batch_size)
        scores = ", ".join(f"{name} {value:.3g}" for name, value in self.validation_.items())
        log.info("on %d held-out recordings: %s", len(crops.rows), scores)
        return self

    def transform(self, X):
        """Embed recordings; see :meth:`~brainfm.BrainEmbedder.transform`."""
        check_is_fitted(self, "encoder_")
        return embed_table(self.encoder_, self._table(X), self.modalities_, device=self.device)

    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns; see :class:`brainfm.BrainEmbedder`."""
        check_is_fitted(self, "encoder_")
        return embedding_feature_names(self.encoder_.config, self.modalities_)

    def save(self, folder, *, licence=None, card=None, scores=None):
        """Write the encoder as a checkpoint that ``BrainEmbedder.from_pretrained`` takes.

        Parameters
        ----------
        folder : path
        licence : str, optional
            Licence of the weights, which follows that of the data.
        card : str, optional
            Text of ``README.md`` instead of the generated model card.
        scores : DataFrame, optional
            Scores and baselines for the card, see
            :func:`brainfm.models.checkpoint.model_card.score_rows`.
            :func:`brainfm.models.checkpoint.publish.add_scores` adds them to a folder later.

        Returns
        -------
        folder : Path

        Raises
        ------
        ModelError
            If ``scores`` has other columns, or a task without a baseline.
        CannotCreateOutput, ReadWriteFailed
            If ``folder`` cannot be written; a former checkpoint there is unchanged.
        """
        check_is_fitted(self, "encoder_")
        info = self._info(licence)
        if scores is not None:
            info["scores"] = score_rows(pd.DataFrame(scores))
        if card is None:
            card = model_card(
                Path(folder).name,
                info,
                self.history_,
                version=__version__,
                n_parameters=n_parameters(self.encoder_),
            )
        card = finished_card(card, info)
        return save_checkpoint(folder, self.encoder_, info, history=self.history_, card=card)

    def push_to_hub(self, repo_id, *, private=True, token=None, **texts):
        """Save the encoder to the Hugging Face Hub.

        Parameters
        ----------
        repo_id : str
            ``org/name``.
        private, token
            See :func:`brainfm.models.checkpoint.publish.publish_checkpoint`.
        **texts
            ``licence``, ``card`` and ``scores``, as :meth:`save` takes them.

        Returns
        -------
        name : str
            ``org/name@commit``, for ``BrainEmbedder.from_pretrained``.

        Raises
        ------
        ModelError, TemporaryFailure
            See :func:`brainfm.models.checkpoint.publish.publish_checkpoint`.
        """
        with tempfile.TemporaryDirectory() as temporary:
            folder = self.save(Path(temporary) / repo_id.split("/")[-1], **texts)
            return publish_checkpoint(folder, repo_id, private=private, token=token)

    @property
    def _needs_labels(self):
        return "phenotypes" in objective_weights(self.objective)

    def _info(self, licence):
        return {
            "brainfm_version": __version__,
            "preset": self.preset,
            "objective": objective_weights(self.objective),
            "modalities": list(self.modalities_),
            "licence": licence,
            "validation": self.validation_,
            "training": {
                **self.training_,
                "max_epochs": self.max_epochs,
                "batch_size": self.batch_size,
                "learning_rate": self.learning_rate,
                "seed": self.random_state,
            },
        }

    def _validation(self, held_out, reduce):
        X, y = held_out if isinstance(held_out, tuple) and len(held_out) == 2 else (held_out, None)
        table = self._table(X)
        return self._crops(table, _prepare_rows(table), reduce, y)

    def _crops(self, table, rows, reduce, y):
        return Crops(
            rows,
            reduce(rows),
            seed=self.random_state,
            max_channels=self.max_channels,
            participants=_people(table),
            n_patches={name: reduce.initial.config.n_patches_of(name) for name in SPECS},
            phenotypes=self._targets and self._targets(_labels(y, table)),
        )

    def _build(self, rows):
        config = EncoderConfig.preset(self.preset, tokenizer=self.tokenizer)
        config = config.with_windows(self.window_s or {})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.random_state)
            encoder = BrainEncoder(config)
            fit_anchors(encoder, rows, seed=self.random_state)
            names = self._targets.names if self._targets else ()
            return encoder, Pretraining(encoder, build_objective(self.objective, config, names))


def _labels(y, table):
    shape = y.shape if isinstance(y, pd.DataFrame) else None
    if shape is None or shape[0] != len(table) or not shape[1]:
        found = type(y).__name__ if shape is None else f"a DataFrame of shape {shape}"
        raise ModelError(
            f"the objective predicts phenotypes and y is {found}; expected a DataFrame, one row "
            f"for each of the {len(table)} rows of X, with columns such as age, sex and diagnosis. "
            "Give those of held-out recordings as validation=(X, y) and validate(X, y)."
        )
    return y


def _people(table):
    """Participant of each row; a different one for each row of an array."""
    return [
        f"row {index}" if row[0].participant == "unknown" else group
        for index, (row, group) in enumerate(zip(table, table.groups, strict=True))
    ]


def _prepare_rows(table):
    return [{one.modality: prepare(one) for one in row} for row in table]


def _describe(table):
    people = sorted({participant_hash(group) for group in table.groups})
    recordings = table.recordings
    people_of = sorted({(one.dataset, one.group) for one in recordings})
    by_dataset = Counter(dataset for dataset, _ in people_of)
    return {
        "n_recordings": {name: sum(one.modality == name for one in recordings) for name in SPECS},
        "hours": {
            name: round(sum(r.duration_s for r in recordings if r.modality == name) / 3600, 2)
            for name in SPECS
        },
        "datasets": list(by_dataset),
        "participants_by_dataset": dict(by_dataset),
        "n_participants": len(people_of),
        "participants_hash": participants_hash(people),
        "participants": people,
    }
