"""Frozen and fine-tuned encoders and published networks on the same folds.

    python benchmarks/adaptation.py CHECKPOINT abide=FOLDER eegmat=FOLDER adhd=FOLDER
        --cache FOLDER --out FOLDER

Each adaptation of ``BrainClassifier`` and each network of ``DeepClassifier`` (those of EEG where
braindecode can be imported). The first task of each dataset, five folds by person (of ABIDE and
ADHD, people the checkpoint was not trained on), area under the curve with a bootstrap interval over
people, and seconds of fitting and predicting on one thread. Written: ``adaptation.tsv``, after each
dataset.
"""

import time

import numpy as np
import pandas as pd
import torch
from cohorts import arguments_of, load_cohort

from brainfm import BrainClassifier, DeepClassifier
from brainfm.errors import ModelError
from brainfm.evaluation.folds import participant_folds
from brainfm.evaluation.scores import aggregate_predictions, bootstrap_counts, percentile_interval
from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.models.estimators.published_networks import NETWORKS

ADAPTATIONS = ("prototype", "probe", "lora", "full")


def main():
    """Score all adaptations; print and write the table."""
    arguments = arguments_of(__doc__)
    torch.set_num_threads(1)
    checkpoint, rows = load_checkpoint(arguments.checkpoint), []
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, folder in arguments.data.items():
        cohort = load_cohort(name, folder, arguments.cache, checkpoint)
        for model_name, model in models(arguments.checkpoint, cohort.modality).items():
            try:
                found = scored(model, cohort)
            except ModelError as error:
                print(f"{model_name}: {error}")
                continue
            rows.append({"task": cohort.tasks[0].title, "model": model_name, **found})
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=False), flush=True)
        table = pd.DataFrame(rows)
        table.to_csv(arguments.out / "adaptation.tsv", sep="\t", index=False, float_format="%.4f")


def models(checkpoint, modality):
    """Make all classifiers of a modality, by name."""
    adapted = {
        f"{checkpoint}, {name}": BrainClassifier(checkpoint, adaptation=name, device="cpu")
        for name in ADAPTATIONS
    }
    return adapted | {
        name: DeepClassifier(name, device="cpu")
        for name, network in NETWORKS.items()
        if network.modality == modality
    }


def scored(model, cohort):
    """Cross-validate a classifier; return its row of the table."""
    table, y = cohort.table[cohort.test_rows], cohort.tasks[0].classes[cohort.test_rows]
    folds = participant_folds(y, table.groups, n_splits=5)
    predicted, start = np.full((1, len(y), len(np.unique(y))), np.nan), time.monotonic()
    for train, test in folds.pairs[:5]:
        predicted[0, test] = model.fit(table[train], y[train]).predict_proba(table[test])
    seconds = time.monotonic() - start
    found = aggregate_predictions(y, predicted, folds, "classification")
    low, high = percentile_interval(found.primary(bootstrap_counts(found.resample)))
    return {
        "n": len(set(table.groups)),
        "score": found.primary()[0], "low": low, "high": high, "seconds": seconds,
    }  # fmt: skip


if __name__ == "__main__":
    main()
