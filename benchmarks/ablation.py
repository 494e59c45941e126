"""Ablation of objectives and tokenizers: the same pretraining with one change.

    python benchmarks/ablation.py train DATA_DIR WORK_DIR [--variants NAME ...]
        [--preset tiny] [--max-epochs 20] [--seed 0]
    python benchmarks/ablation.py score WORK_DIR abide=DIR eegmat=DIR --cache DIR --out DIR

``train`` pretrains each of VARIANTS as ``pretrain.py`` does and keeps it in WORK_DIR; one that
is there is not trained again, so that several processes can share the variants. ``score`` reads
the tasks of ``representation.py`` from each, once from what the transformer says (context), which
is all that the variants differ in before the corpus is measured, and once from the whole vector:

- *trained on*: people whose recordings, but not labels, were trained on. These scores decide which
  variant is the default, so that the people held back stay unseen. A variant that has learned from
  labels has none.
- *held back*: people and sites not trained on.
"""

import argparse
import logging
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cohorts import load_cohort
from features import Block, Cache, Kernels, Method, embedded, parts_of
from pretrain import WITH_LABELS, labels_of, make_pretrainer, prepare_datasets, split
from representation import COLUMNS, score_all
from scoring import episodes, repeated_folds

from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.stages.corpus.build import build_corpus

#: Columns of participants.tsv that phenotype prediction learns from.
PHENOTYPES = ("age", "sex", "diagnosis")
_MIX = {"masked": 1.0, "crops": 0.5, "connectivity": 0.5}
VARIANTS = {
    "masked": {"objective": "masked"},
    "crops": {"objective": "crops"},
    "connectivity": {"objective": "connectivity"},
    "crops+connectivity": {"objective": {"crops": 0.5, "connectivity": 1.0}},
    "masked+crops+connectivity": {"objective": _MIX},
    "phenotypes": {"objective": "phenotypes"},
    "connectivity+phenotypes": {"objective": WITH_LABELS},
    "masked+crops+connectivity+phenotypes": {"objective": {**_MIX, "phenotypes": 0.5}},
    "conv": {"tokenizer": "conv"},
    "recurrent": {"tokenizer": "recurrent"},
}
log = logging.getLogger("brainfm")


def main():
    """Train or score."""
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    arguments.run(arguments)


def train(arguments):
    """Pretrain the variants that are not there yet."""
    roots = prepare_datasets(arguments.data_dir, arguments.work_dir)
    training, held_out = split(build_corpus(roots, arguments.work_dir / "corpus").parent)
    labels, labels_apart = (labels_of(one, roots, PHENOTYPES) for one in (training, held_out))
    for name in arguments.variants:
        folder = arguments.work_dir / "variants" / name
        if (folder / "config.json").exists():
            continue
        log.info("variant %s", name)
        pretrainer = make_pretrainer(
            arguments, arguments.work_dir / f"resume-{name}", **VARIANTS[name]
        ).fit(training, labels)
        pretrainer.validate(held_out, labels_apart).save(folder)


def score(arguments):
    """Score all variants that are there on the same folds; print and write the table."""
    checkpoints = [
        load_checkpoint(arguments.work_dir / "variants" / name)
        for name in VARIANTS
        if (arguments.work_dir / "variants" / name / "config.json").exists()
    ]
    cache, rows = Cache(arguments.cache), []
    for item in arguments.data:
        cohort = load_cohort(*item.split("=", 1), arguments.cache, checkpoints[0])
        found = [method for one in checkpoints for method in _methods(cohort, one, cache)]
        for task in cohort.tasks:
            for (people, setting), splits in _settings(cohort, task).items():
                table = score_all(
                    [method for method, with_labels in found if people == "held back"
                     or not with_labels],
                    Kernels(cache), cohort, task, f"{people}, {setting}", splits,
                )  # fmt: skip
                rows += table
                log.info("%s, %s, %s: %s", task.title, people, setting, ", ".join(
                    f"{row['method']} {row['score']:.3f}" for row in table
                ))  # fmt: skip
    arguments.out.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame.to_csv(arguments.out / "ablation.tsv", sep="\t", index=False, float_format="%.4f")
    (arguments.out / "ablation.md").write_text(markdown(frame), encoding="utf8")


def markdown(frame):
    """Return one table: a row a method, a column a task and setting."""
    wide = frame.assign(column=frame["task"] + ", " + frame["setting"])
    wide = wide.pivot(index="method", columns="column", values="score")
    wide = wide.loc[list(dict.fromkeys(frame["method"])), list(dict.fromkeys(
        frame["task"] + ", " + frame["setting"]
    ))]  # fmt: skip
    lines = ["| variant | " + " | ".join(wide.columns) + " |", "|---" * (wide.shape[1] + 1) + "|"]
    for name, values in wide.iterrows():
        cells = ("" if np.isnan(value) else f"{value:.3f}" for value in values)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _methods(cohort, checkpoint, cache):
    """Context and whole vector of one variant, and whether it has learned from labels."""
    key = f"{cohort.key}-{checkpoint.sha256}"
    vectors = embedded(
        lambda: checkpoint.encoder, cohort.table, cache, name=f"embedding-{cohort.name}", key=key
    )
    context = vectors[:, parts_of(checkpoint.encoder.config, cohort.modality)["context"]]
    with_labels = bool(checkpoint.info["training"].get("phenotypes"))
    blocks = {"context": context, "whole": vectors}
    return [
        (
            Method(
                f"{checkpoint.name}, {part}",
                "baseline",
                ((Block(f"{part}-{key}", matrix, columns_alike=False),),),
            ),
            with_labels,
        )
        for part, matrix in blocks.items()
    ]


def _settings(cohort, task):
    """Splits by people (trained on or held back) and setting."""
    found, balanced = {}, cohort.tasks[0].classes
    for people, rows in {"trained on": cohort.seen, "held back": ~cohort.seen}.items():
        rows = np.flatnonzero(rows)
        if len(set(cohort.groups[rows])) < 15:
            continue
        folds = repeated_folds(rows, balanced, cohort.groups, n_repeats=3)
        drawn = {f"few-shot {k}": episodes(rows, task.classes, cohort.groups, k) for k in (5, 25)}
        for setting, splits in {"cross-validation": folds, **drawn}.items():
            if splits:
                found[people, setting] = splits
    return found


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("train")
    one.add_argument("data_dir", type=Path)
    one.add_argument("work_dir", type=Path)
    one.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    one.add_argument("--preset", default="tiny")
    one.add_argument("--max-epochs", type=int, default=20)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--device", default="cpu")
    one.set_defaults(run=train)
    two = commands.add_parser("score")
    two.add_argument("work_dir", type=Path)
    two.add_argument("data", nargs="+", help="abide|eegmat=FOLDER")
    two.add_argument("--cache", type=Path, required=True)
    two.add_argument("--out", type=Path, required=True)
    two.set_defaults(run=score)
    return parser.parse_args()


if __name__ == "__main__":
    main()
