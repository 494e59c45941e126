"""Pretrain the checkpoints that ship with brainfm: ``brainfm-tiny``, and one that knows labels.

    python benchmarks/pretrain.py DATA_DIR OUT_DIR [--preset tiny] [--max-epochs 30] [--seed 0]
    python benchmarks/pretrain.py DATA_DIR OUT_DIR --phenotypes age sex diagnosis

DATA_DIR holds the unpacked datasets ``abide-cc200`` (parcel series) and ``eegmat`` (raw EEG).
The EEG goes through brainfm's own participant stage first. Left out of pretraining, so that the
checkpoint can be tested on them: a fifth of all participants (by the hash of dataset and
participant, :func:`brainfm.storage.corpus.manifest.split_of`) and the whole ABIDE sites in
HELD_OUT_SITES.
The same command goes on where it was stopped, and gives the same weights on the same machine.
"""

import argparse
import hashlib
import logging
import shutil
from pathlib import Path

import pandas as pd
import torch

from brainfm.config import EegConfig
from brainfm.files import read_tsv
from brainfm.models.estimators.pretrainer import BrainPretrainer
from brainfm.recording import RecordingTable
from brainfm.stages.corpus.build import build_corpus
from brainfm.stages.evaluate.participants_table import phenotypes_by_row
from brainfm.stages.preprocess.eeg import preprocess_eeg
from brainfm.storage.corpus.recordings import read_corpus

RECIPE = {"batch_size": 16, "learning_rate": 2e-3}
LICENCE = "CC BY-NC-SA 4.0"
WITH_LABELS = {"connectivity": 1.0, "phenotypes": 0.5}
log = logging.getLogger("brainfm")


def is_held_out_site(site):
    """Tell whether a whole site is held out: about one in six, by the hash of its name."""
    return site is not None and hashlib.sha256(site.encode()).digest()[0] < 256 / 6


def main():
    """Run the whole thing."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(arguments.threads)
    roots = prepare_datasets(arguments.data_dir, arguments.out_dir)
    corpus_dir = build_corpus(roots, arguments.out_dir / "corpus").parent
    training, held_out = split(corpus_dir)
    log.info("training on %r, held out %r", training, held_out)
    labels, labels_apart = (
        labels_of(one, roots, arguments.phenotypes) for one in (training, held_out)
    )
    name = f"brainfm-{arguments.preset}{'-phenotypes' if arguments.phenotypes else ''}"
    objective = {"objective": WITH_LABELS} if arguments.phenotypes else {}
    pretrainer = make_pretrainer(arguments, arguments.out_dir / f"resume-{name}", **objective).fit(
        training, labels
    )
    pretrainer.validate(held_out, labels_apart)
    log.info("wrote %s", pretrainer.save(arguments.out_dir / name, licence=LICENCE))


def make_pretrainer(arguments, resume_dir, **changes):
    """Make what learns the weights, as the command line says and with what is changed."""
    return BrainPretrainer(
        arguments.preset,
        max_epochs=arguments.max_epochs,
        random_state=arguments.seed,
        resume_dir=resume_dir,
        device=arguments.device,
        **RECIPE,
        **changes,
    )


def labels_of(recordings, roots, columns):
    """Return the phenotypes of each recording from participants.tsv of its dataset, or None."""
    if not columns:
        return None
    tables = [read_tsv(root / "participants.tsv", dtype={"participant_id": str}) for root in roots]
    return phenotypes_by_row(recordings, pd.concat(tables, ignore_index=True), columns)


def prepare_datasets(data_dir, out_dir):
    """Return the roots of the standardised recordings; raw EEG is cleaned once."""
    eeg = out_dir / "eegmat"
    for raw in sorted((data_dir / "eegmat").glob("sub-*/eeg/*_eeg.edf")):
        stem = raw.name.removesuffix("_eeg.edf")
        if not (eeg / raw.parent.parent.name / "eeg" / f"{stem}_desc-preproc_eeg.vhdr").exists():
            preprocess_eeg(raw, eeg, EegConfig(), seed=0)
    for name in ("dataset_description.json", "participants.tsv"):
        shutil.copy(data_dir / "eegmat" / name, eeg / name)
    return [data_dir / "abide-cc200", eeg]


def split(corpus_dir):
    """Return the recordings to train on and those held out, as two tables."""
    training = [
        one for one in read_corpus(corpus_dir, split="train") if not is_held_out_site(one.site)
    ]
    mine = {one.source for one in training}
    held_out = [one for one in read_corpus(corpus_dir) if one.source not in mine]
    return RecordingTable.from_recordings(training), RecordingTable.from_recordings(held_out)


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--max-epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--phenotypes", nargs="+", metavar="COLUMN")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
