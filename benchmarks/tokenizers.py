"""The tokenizers side by side: the same short pretraining, then the same frozen probes.

    python benchmarks/tokenizers.py DATA_DIR CORPUS_DIR [--preset nano] [--max-epochs 6]

DATA_DIR holds ``abide-cc200`` (for the diagnosis, sex and age of its people), CORPUS_DIR what
``pretrain_tiny.py`` built from it and EEGMAT. Trained on are the first ``--people`` training people
of ABIDE by the hash of their name, and all training people of EEGMAT. Prints two Markdown tables:
the share explained of what was hidden, on people not trained on; and the area under the ROC curve
of a linear head on what the transformer says alone (summary and tokens; two repeats of 5 folds),
with its 95 % interval over a bootstrap of people. ABIDE is probed on people not trained on; EEGMAT,
with 24 people, on all. The rows of 0 epochs are encoders with random weights.
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
from pretrain_tiny import split
from representation import CONTEXT, middle, repeated_folds, score, targets

from brainfm.models.checkpoint import participant_hash
from brainfm.models.embedder import embed_table
from brainfm.models.encoder import BrainEncoder, EncoderConfig
from brainfm.models.pretrainer import BrainPretrainer
from brainfm.models.readout import layout
from brainfm.models.tokenizers import TOKENIZERS
from brainfm.recording import RecordingTable
from brainfm.storage.corpus import read_corpus


def main():
    """Run all tokenizers and print the tables as they grow."""
    arguments = _arguments()
    torch.set_num_threads(1)
    training, held_out = split(arguments.corpus_dir)
    training = few(training, arguments.people)
    tasks = probes(arguments, held_out)
    print(f"{arguments.preset}, {training!r}, held out {held_out!r}\n")
    explained, probed = [], []
    for name, seed in itertools.product(TOKENIZERS, arguments.seeds):
        config = EncoderConfig.preset(arguments.preset, tokenizer=name)
        torch.manual_seed(seed)
        probed.append([name, 0, seed, *probe(BrainEncoder(config).eval(), tasks)])
        pretrainer = BrainPretrainer(
            arguments.preset,
            tokenizer=name,
            max_epochs=arguments.max_epochs,
            batch_size=16,
            learning_rate=2e-3,
            random_state=seed,
            device="cpu",
        ).fit(training)
        found = pretrainer.validate(held_out).validation_
        explained.append([name, seed, *(f"{found[key]:.3f}" for key in watched(found))])
        probed.append([name, arguments.max_epochs, seed, *probe(pretrainer.encoder_, tasks)])
        print(explained[-1], *probed[-2:], sep="\n", flush=True)
    print_table(["tokenizer", "seed", *watched(found)], explained)
    print_table(["tokenizer", "epochs", "seed", *tasks], probed)


def few(training, n_people):
    """Keep all EEG, and the first people with BOLD by the hash of their names."""
    groups = {g for row, g in zip(training, training.groups, strict=True) if has_bold(row)}
    kept = set(sorted(groups, key=participant_hash)[:n_people])
    rows = zip(training, training.groups, strict=True)
    return RecordingTable(row for row, group in rows if not has_bold(row) or group in kept)


def has_bold(row):
    """Tell whether a row of a table has BOLD."""
    return row[0].modality == "bold"


def watched(found):
    """Return the names of what is compared."""
    return [name for name in found if name.endswith("_explained")]


def probes(arguments, held_out):
    """Return table, target and folds of each task."""
    bold = RecordingTable(row for row in held_out if has_bold(row))
    eeg = (r for r in read_corpus(arguments.corpus_dir) if r.modality == "eeg")
    eeg = RecordingTable((middle(one),) for one in eeg)
    tasks = {}
    for name, table in (("abide", bold), ("eegmat", eeg)):
        for title, y in targets(name, table, arguments.data_dir / "abide-cc200").items():
            folds = repeated_folds(np.arange(len(y)), y, table.groups)[:2]
            tasks[f"{title}, {len(set(table.groups))} people"] = table, y, folds
    return tasks


def probe(encoder, tasks):
    """Return the AUC of each task and its interval, as text."""
    found, embedded = [], {}
    for table, y, folds in tasks.values():
        modality = table.recordings[0].modality
        if id(table) not in embedded:
            embedded[id(table)] = embed_table(encoder, table, (modality,), device="cpu")
        parts = layout(encoder.config, modality)
        features = embedded[id(table)][:, np.r_[tuple(parts[name] for name in CONTEXT)]]
        mean, low, high = score(features, folds, y, table.groups, np.arange(len(y)))
        found.append(f"{mean:.3f} ({low:.3f} to {high:.3f})")
    return found


def print_table(head, rows):
    """Print a Markdown table."""
    print(f"\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("corpus_dir", type=Path)
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--max-epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    return parser.parse_args()


if __name__ == "__main__":
    main()
