"""Frozen embeddings against baselines, on people the checkpoint was not trained on.

    python benchmarks/representation.py CHECKPOINT CORPUS_DIR [--eeg-root NAME=FOLDER ...]

Prints a table for each task and way to split people: area under the ROC curve (mean over repeated
participant-grouped 5-fold cross-validation), and its interval over a bootstrap of people. All rows
of a table use the same folds and the same linear head. Parts of the embedding are scored alone
too: ``context`` is what the transformer says, ``connectivity`` the covariance of the learned
places.
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
from brainfm.recording import Recording, RecordingTable
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
        table = RecordingTable.from_recordings(find_recordings(folder))
        if name == "eegmat":
            table = RecordingTable((middle(row[0]),) for row in table)
        new = ~np.array(checkpoint.seen_in_training(table.groups))
        found = methods(table, checkpoint)
        for title, y in targets(name, table, Path(folder)).items():
            for setting, folds in settings(table, y, new).items():
                print_table(f"{title}: {setting}", found, folds, y, table.groups)


def middle(recording, length_s=55):
    """Keep the middle of a recording: in EEGMAT rest is three times longer than arithmetic."""
    n_kept = round(length_s * recording.sampling_hz)
    first = (recording.shape[0] - n_kept) // 2
    return Recording.from_array(
        recording.signal[first : first + n_kept],
        sampling_hz=recording.sampling_hz,
        modality=recording.modality,
        positions=recording.positions,
        channels=recording.channels,
        mask=recording.mask,
        participant=recording.participant,
        task=recording.task,
        dataset=recording.dataset,
    )


def targets(name, table, root):
    """Return what is read from a dataset, as 0 and 1."""
    if name == "eegmat":
        return {
            "EEGMAT rest / arithmetic": np.array([int(r[0].task == "arithmetic") for r in table])
        }
    frame = pd.read_csv(root / "participants.tsv", sep="\t")
    frame = frame.set_index(frame["participant_id"].str.removeprefix("sub-"))
    people = frame.loc[[row[0].participant for row in table]]
    if name == "adhd":
        return {"ADHD diagnosis": (people["group"] == "adhd").to_numpy().astype(int)}
    return {
        "ABIDE diagnosis": (people["diagnosis"] == "ASD").to_numpy().astype(int),
        "ABIDE sex": (people["sex"] == "F").to_numpy().astype(int),
        "ABIDE age above median": (people["age"] > people["age"].median()).to_numpy().astype(int),
    }


def settings(table, y, new):
    """Return the ways to split people, each a list of repeats of (train, test) rows."""
    everyone = np.arange(len(y))
    found = {}
    if new.all():
        return {"cross-validation, nobody trained on": repeated_folds(everyone, y, table.groups)}
    if (~new).any() and len(set(y[new])) == 2:
        title = f"head from the labels of the others, {new.sum()} held-out recordings"
        found[title] = [[(everyone[~new], everyone[new])]]
    if new.sum() >= 50:
        title = f"cross-validation of the {new.sum()} held-out recordings"
        found[title] = repeated_folds(everyone[new], y, table.groups)
    else:
        title = "cross-validation of all people (most trained on, without labels)"
        found[title] = repeated_folds(everyone, y, table.groups)
    return found


def repeated_folds(rows, y, groups):
    """Return N_REPEATS lists of (train, test) rows that keep people together."""
    return [
        [
            (rows[train], rows[test])
            for train, test in StratifiedGroupKFold(
                N_FOLDS, shuffle=True, random_state=repeat
            ).split(rows, y[rows], groups[rows])
        ]
        for repeat in range(N_REPEATS)
    ]


def print_table(title, found, repeats, y, groups):
    """Score all methods on one task and print them as Markdown."""
    tested = np.unique(np.concatenate([test for _, test in repeats[0]]))
    print(f"\n### {title}\n{len(tested)} recordings of {len(set(groups[tested]))} people\n")
    print("| method | features | AUC | 95 % interval |\n|---|---|---|---|")
    for name, features in found.items():
        mean, low, high = score(features, repeats, y, groups, tested)
        width = features.shape[1] if isinstance(features, np.ndarray) else "in folds"
        print(f"| {name} | {width} | {mean:.3f} | {low:.3f} to {high:.3f} |", flush=True)


def methods(table, checkpoint):
    """Return what each method makes of the table: a matrix, or what must be fitted in folds."""
    modality = table.recordings[0].modality
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
    baselines = {name: (one, one.measure(table)) for name, one in baselines.items()}
    found = {
        **baselines,
        "random encoder": other,
        "random encoder, context": other[:, context],
        f"{checkpoint.name}": mine,
        f"{checkpoint.name}, context": mine[:, context],
        f"{checkpoint.name}, connectivity": mine[:, parts["connectivity"]],
    }
    if modality == "eeg":
        bands = np.r_[parts["spectrum_mean"], parts["spectrum_log_spread"]]
        found[f"{checkpoint.name}, spectrum"] = mine[:, bands]
    return found


def score(features, repeats, y, groups, tested):
    """Return the mean AUC over repeats, and a bootstrap interval over people."""
    if not isinstance(features, np.ndarray):
        repeats = repeats[:2]  # fitted anew in each fold, which takes its time
    scores = np.full((len(repeats), len(y)), np.nan)
    for one, folds in zip(scores, repeats, strict=True):
        for train, test in folds:
            seen, new = in_fold(features, train, test)
            one[test] = head().fit(seen, y[train]).decision_function(new)
    mean = np.mean([roc_auc_score(y[tested], one[tested]) for one in scores])
    return mean, *_interval(scores[:, tested], y[tested], groups[tested])


def in_fold(features, train, test):
    """Return the features of training and test rows; what is learned is from training rows."""
    if isinstance(features, np.ndarray):
        return features[train], features[test]
    transformer, measured = features
    fitted = clone(transformer).fit_measured([measured[row] for row in train])
    return (
        fitted.transform_measured([measured[row] for row in train]),
        fitted.transform_measured([measured[row] for row in test]),
    )


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


if __name__ == "__main__":
    main()
