"""Pretrain: train a model on a corpus.

In: a corpus and the settings of pretraining. Out: a checkpoint folder with weights, configuration,
training history and model card. The public function is
:func:`~brainfm.stages.pretrain.run.pretrain_corpus`.

- ``run.py``: pretraining on the training split, resumed after an interruption
- ``hyperparameter_search.py``: search of learning rate, batch size and window length by Optuna
"""
