"""Frozen embeddings against baselines, on people the checkpoint was not trained on.

    python benchmarks/representation.py CHECKPOINT CORPUS_DIR [--eeg-root NAME=FOLDER ...]

Prints one table a task: area under the ROC curve, mean over repeated participant-grouped 5-fold
cross-validation of people, and the interval over a bootstrap of people. All rows of a table use
the same folds and the same linear head. Parts of the embedding are scored alone too: ``context``
is what the transformer says, ``connectivity`` the covariance of the learned places.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline

from brainfm.models.baselines import (
    BandPowerFeatures,
    BlockScaler,
    ConnectivityFeatures,
    RiemannFeatures,
    linear_head,
)
from brainfm.models.checkpoint import load_checkpoint
from brainfm.models.embedder import embed_table
from brainfm.models.encoder import BrainEncoder
from brainfm.models.readout import layout
from brainfm.recording import RecordingTable
from brainfm.storage.recordings import find_recordings

N_REPEATS, N_FOLDS, N_BOOTSTRAP = 10, 5, 1000
CONTEXT = ("summary", "tokens_mean", "tokens_log_sd")


def main():
    """Run all tasks and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("data", nargs="+", help="abide|eegmat|adhd=FOLDER of standardised runs")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(arguments.checkpoint)
    for item in arguments.data:
        name, _, folder = item.partition("=")
        for title, table, y in TASKS[name](Path(folder), checkpoint):
            print_table(title, table, y, checkpoint)


def abide(root, checkpoint):
    """Yield diagnosis, sex and age of the people who were held out."""
    table = RecordingTable.from_recordings(find_recordings(root))
    table = table[~np.array(checkpoint.seen_in_training(table.groups))]
    people = _people(root).loc[[row[0].participant for row in table]]
    yield "ABIDE diagnosis", table, (people["diagnosis"] == "ASD").to_numpy().astype(int)
    yield "ABIDE sex", table, (people["sex"] == "F").to_numpy().astype(int)
    yield "ABIDE age above median", table, (people["age"] > people["age"].median()).to_numpy() * 1


def eegmat(root, checkpoint):
    """Yield rest against arithmetic: everyone (most of them trained on), and those held out."""
    table = RecordingTable.from_recordings(find_recordings(root))
    y = np.array([int(row[0].task == "arithmetic") for row in table])
    yield "EEGMAT rest / arithmetic, all 24 people", table, y
    new = ~np.array(checkpoint.seen_in_training(table.groups))
    yield "EEGMAT rest / arithmetic, held-out people only", table[new], y[new]


def adhd(root, checkpoint):
    """Yield the diagnosis of children, none of whom was trained on."""
    table = RecordingTable.from_recordings(find_recordings(root))
    people = _people(root).loc[[row[0].participant for row in table]]
    yield "ADHD diagnosis", table, (people["group"] == "adhd").to_numpy().astype(int)


TASKS = {"abide": abide, "eegmat": eegmat, "adhd": adhd}


def print_table(title, table, y, checkpoint):
    """Score all methods on one task and print them as Markdown."""
    modality = table.recordings[0].modality
    print(f"\n### {title}: {len(table)} recordings of {len(set(table.groups))} people")
    print("| method | features | AUC | 95 % interval |\n|---|---|---|---|")
    for name, features in methods(modality, table, checkpoint).items():
        mean, low, high = score(features, table, y)
        print(f"| {name} | {_width(features)} | {mean:.3f} | {low:.3f} to {high:.3f} |", flush=True)


def methods(modality, table, checkpoint):
    """Return what each method makes of the table: a matrix, or a transformer fitted in folds."""
    encoder, config = checkpoint.encoder, checkpoint.encoder.config
    torch.manual_seed(1)
    random = BrainEncoder(config).eval()
    mine, other = (embed_table(one, table, (modality,)) for one in (encoder, random))
    parts = layout(config, modality)
    context = np.r_[tuple(parts[name] for name in CONTEXT)]
    baselines = {
        "bold": {
            "Pearson connectivity": ConnectivityFeatures(),
            "tangent connectivity": ConnectivityFeatures("tangent"),
        },
        "eeg": {
            "log band power": BandPowerFeatures(),
            "Riemannian tangent space": RiemannFeatures(),
        },
    }[modality]
    found = {
        **baselines,
        "random encoder": other,
        "random encoder, context": other[:, context],
        f"{checkpoint.name}": mine,
        f"{checkpoint.name}, context": mine[:, context],
        f"{checkpoint.name}, connectivity": mine[:, parts["connectivity"]],
    }
    if modality == "eeg":
        bands = np.r_[parts["spectrum_mean"], parts["spectrum_log_sd"]]
        found[f"{checkpoint.name}, spectrum"] = mine[:, bands]
    return found


def score(features, table, y):
    """Return the mean AUC over repeats, and a bootstrap interval over people."""
    scores = np.zeros((N_REPEATS, len(y)))
    for repeat in range(N_REPEATS if isinstance(features, np.ndarray) else 1):
        folds = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=repeat)
        for train, test in folds.split(y, y, table.groups):
            if isinstance(features, np.ndarray):
                seen, new = features[train], features[test]
            else:
                fitted = clone(features).fit(table[train])
                seen, new = fitted.transform(table[train]), fitted.transform(table[test])
            scores[repeat, test] = head().fit(seen, y[train]).decision_function(new)
    if not isinstance(features, np.ndarray):
        scores = scores[:1]
    mean = np.mean([roc_auc_score(y, one) for one in scores])
    return mean, *_interval(scores, y, table.groups)


def head():
    """Make the linear model all rows of a table share."""
    return make_pipeline(BlockScaler(), linear_head())


def _interval(scores, y, groups):
    rng = np.random.default_rng(0)
    people = np.unique(groups)
    rows_of = {one: np.flatnonzero(groups == one) for one in people}
    drawn = []
    for _ in range(N_BOOTSTRAP):
        rows = np.concatenate([rows_of[one] for one in rng.choice(people, len(people))])
        if len(set(y[rows])) == 2:
            repeat = rng.integers(len(scores))
            drawn.append(roc_auc_score(y[rows], scores[repeat, rows]))
    return np.percentile(drawn, [2.5, 97.5])


def _width(features):
    return features.shape[1] if isinstance(features, np.ndarray) else "in folds"


def _people(root):
    frame = pd.read_csv(root / "participants.tsv", sep="\t")
    return frame.set_index(frame["participant_id"].str.removeprefix("sub-"))


if __name__ == "__main__":
    main()
