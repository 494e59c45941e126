"""brainfm: raw BIDS datasets of fMRI and EEG to embeddings, trained heads and reports."""

import warnings
from importlib import import_module

__version__ = "0.1.0"

_HOME_OF = {
    "Recording": "brainfm.recording",
    "RecordingTable": "brainfm.recording",
    "load_recordings": "brainfm.storage.derivatives.load_recordings",
    "RecordingMasker": "brainfm.maskers",
    "add_to_corpus": "brainfm.stages.corpus.build",
    "withdraw_participant": "brainfm.stages.corpus.withdraw",
    "readmit_participant": "brainfm.stages.corpus.withdraw",
    "read_corpus": "brainfm.storage.corpus.recordings",
    "pretrain_corpus": "brainfm.stages.pretrain.run",
    "BrainPretrainer": "brainfm.models.estimators.pretrainer",
    "BrainEmbedder": "brainfm.models.features.embedder",
    "BrainClassifier": "brainfm.models.estimators.brain",
    "BrainRegressor": "brainfm.models.estimators.brain",
    "FewShotClassifier": "brainfm.models.estimators.brain",
    "DeepClassifier": "brainfm.models.estimators.published_networks",
    "WithoutCovariates": "brainfm.models.features.covariates",
    "load_checkpoint": "brainfm.models.checkpoint.load_save",
    "publish_checkpoint": "brainfm.models.checkpoint.publish",
}

#: Former names, kept for one version.
_RENAMED = {"ToRecordings": "RecordingMasker"}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name):
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(
            f"brainfm.{name} is now brainfm.{new}; the old name goes in version 0.2.",
            DeprecationWarning,
            stacklevel=2,
        )
        name = new
    if name not in _HOME_OF:
        raise AttributeError(f"module 'brainfm' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__():
    return sorted(__all__)
