"""Weight of the transformer parts of an embedding relative to connectivity.

    python benchmarks/embedding_weights.py DATA_DIR WORK_DIR --cache FOLDER --out FOLDER

Scored on the training participants of ``brainfm-tiny``, so that the held-out ones stay unseen, by
models pretrained without them: one on each half of the sites, scored on the other half (as
``pretrain.py``, with 40 epochs); scores are the mean of both.
Models: without labels, and with phenotypes at two weights. *S* is the share of the summary, *T*
that of the tokens, in mean square length; connectivity is 1. DATA_DIR and WORK_DIR are the folders
of ``pretrain.py``, whose corpus is used; trainings go on where they were stopped. Written:
what is printed, as ``shares.tsv``.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cohorts import load_cohort
from features import Block, Cache, Method, embedded
from pretrain import RECIPE, labels_of, split
from spatial_anchors import scored, site_halves

from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.models.encoder.readout import part_slices
from brainfm.models.estimators.pretrainer import BrainPretrainer
from brainfm.recording import RecordingTable

#: Name of a model and the weight of phenotypes beside connectivity regression.
MODELS = {"no labels": 0.0, "labels 0.1": 0.1, "labels 0.5": 0.5}
SHARES = (0.01, 0.03, 0.1, 0.3, 1.0)
LABELS = ["age", "sex", "diagnosis"]


def main():
    """Train what is not there, score all shares, print and write the table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    cache = Cache(arguments.cache)
    cohort = load_cohort(
        "abide",
        arguments.data_dir / "abide-cc200",
        arguments.cache,
        load_checkpoint("brainfm-tiny"),
    )
    rows = []
    for half, (learned, test_rows) in enumerate(site_halves(cohort)):
        for name, weight in MODELS.items():
            checkpoint = trained(arguments, weight, set(cohort.sites[learned]), f"{name}-{half}")
            vectors = embedded(
                lambda made=checkpoint: made.encoder, cohort.table, cache,
                name="shares", key=f"{cohort.key}-{checkpoint.sha256}",
            )  # fmt: skip
            parts = part_slices(checkpoint.encoder.config, "bold")
            for title, matrix in mixtures(name, vectors, parts, learned):
                block = Block(f"{title}-{half}", matrix, columns_alike=False)
                method = Method(title, "baseline", ((block,),))
                rows += list(scored(cohort, learned, test_rows, method))
            print(f"scored {name}, half {half + 1} of the sites", flush=True)
    table = pd.DataFrame(rows).groupby(["method", "setting"], sort=False)["score"].mean().unstack()
    table["mean"] = table.mean(axis=1)
    print(table.round(3).to_string())
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "shares.tsv", sep="\t", float_format="%.4f")


def trained(arguments, weight, sites, name):
    """Pretrain on some sites, and on every other person of EEGMAT; return the checkpoint."""
    folder = arguments.work_dir / "halves" / name.replace(" ", "-")
    if not (folder / "model.safetensors").exists():
        roots = [arguments.data_dir / "abide-cc200", arguments.work_dir / "eegmat"]
        training, _ = split(arguments.work_dir / "corpus")
        people = sorted({one.participant for one in training.recordings if not one.site})
        chosen = set(people[int(name[-1]) :: 2])
        table = RecordingTable.from_recordings(
            one
            for one in training.recordings
            if (one.site in sites if one.site else one.participant in chosen)
        )
        pretrainer = BrainPretrainer(
            "tiny", max_epochs=40, device="cpu", **RECIPE,
            resume_dir=folder.with_name(f"resume-{folder.name}"),
            objective={"connectivity": 1.0, "phenotypes": weight} if weight else "default",
        )  # fmt: skip
        pretrainer.fit(table, labels_of(table, roots, LABELS if weight else None)).save(folder)
    return load_checkpoint(folder)


def mixtures(name, vectors, parts, learned):
    """Yield a title and features for each share."""
    connectivity, summary, tokens = (
        unit(np.concatenate([vectors[:, parts[part]] for part in which], axis=1), learned)
        for which in (["connectivity"], ["summary"], ["tokens_mean", "tokens_log_sd"])
    )
    yield "connectivity only", connectivity
    for share in SHARES:
        yield f"{name}, S {share:g}", np.hstack([connectivity, np.sqrt(share) * summary])
    for share in SHARES[1:4]:
        yield f"{name}, T {share:g}", np.hstack([connectivity, np.sqrt(share) * tokens])
    yield f"{name}, summary only", summary


def unit(matrix, learned):
    """Centre on the rows learned from and scale to a mean square length of 1."""
    centred = matrix - matrix[learned].mean(axis=0)
    return centred / np.sqrt(np.square(centred[learned]).sum(axis=1).mean())


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("work_dir", type=Path)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
