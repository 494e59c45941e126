"""brainfm: raw BIDS datasets of fMRI and EEG to embeddings, trained heads and reports."""

from importlib import import_module

__version__ = "0.1.0"

_HOME_OF = {
    "Recording": "brainfm.recording",
    "RecordingTable": "brainfm.recording",
    "load_recordings": "brainfm.stages.query",
    "ToRecordings": "brainfm.stages.to_recordings",
    "add_to_corpus": "brainfm.stages.corpus",
    "withdraw_participant": "brainfm.stages.withdraw",
    "readmit_participant": "brainfm.stages.withdraw",
    "read_corpus": "brainfm.storage.corpus",
    "pretrain_corpus": "brainfm.stages.pretrain",
    "BrainPretrainer": "brainfm.models.pretrainer",
    "BrainEmbedder": "brainfm.models.embedder",
    "BrainClassifier": "brainfm.models.estimators",
    "BrainRegressor": "brainfm.models.estimators",
    "FewShotClassifier": "brainfm.models.estimators",
    "DeepClassifier": "brainfm.models.deep",
    "WithoutCovariates": "brainfm.models.covariates",
    "load_checkpoint": "brainfm.models.checkpoint",
    "publish_checkpoint": "brainfm.models.publish",
}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name):
    if name not in _HOME_OF:
        raise AttributeError(f"module 'brainfm' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__():
    return sorted(__all__)
