"""Results and duration of the evaluation stage on real data.

    python benchmarks/evaluation.py CHECKPOINT abide=FOLDER eegmat=FOLDER adhd=FOLDER
        --cache FOLDER --out FOLDER

Of ABIDE and ADHD only people are evaluated whom the checkpoint was not trained on; of EEGMAT
everybody, since too few were held back. Runs: diagnosis of ABIDE by cross-validation, beside the
connectivity of the networks of cognitive control, and by leaving one site out; rest or arithmetic
of EEGMAT; diagnosis of the ADHD children; and, timed, nested 5 times 5 folds of 300 people of ABIDE
with all default methods, without curves and permutations; all in two processes. Written: the output
of each run, and what is printed as ``evaluation.tsv``.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from cohorts import arguments_of, load_cohort
from joblib import Parallel, delayed

from brainfm import BrainEmbedder
from brainfm.config import EvaluateConfig
from brainfm.evaluation.cross_validation import (
    cross_predict,
    default_methods,
    fold_features,
    precompute_features,
)
from brainfm.evaluation.folds import Folds, participant_folds
from brainfm.evaluation.scores import aggregate_predictions
from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.stages.evaluate.run import evaluate_outputs

#: Frontoparietal, cingulo-opercular (salience) and dorsal attention network.
CONTROL_NETWORKS = ("Cont", "SalVentAttn", "DorsAttn")
#: Name of a run: dataset and settings of the evaluation.
RUNS = {
    "abide": ("abide", {"target": "diagnosis", "networks": CONTROL_NETWORKS}),
    "abide-sites": ("abide", {"target": "diagnosis", "groups": "site"}),
    "eegmat": ("eegmat", {"contrast": ("rest", "arithmetic")}),
    "adhd": ("adhd", {"target": "group"}),
}
N_TIMED, N_JOBS = 300, 2


def main():
    """Evaluate all runs; print and write the table."""
    arguments = arguments_of(__doc__)
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(arguments.checkpoint)
    embedder = BrainEmbedder.from_pretrained(arguments.checkpoint, device="cpu")
    cohorts = {
        name: load_cohort(name, folder, arguments.cache, checkpoint)
        for name, folder in arguments.data.items()
    }
    rows = []
    for run, (dataset, settings) in RUNS.items():
        if dataset in cohorts:
            start = time.monotonic()
            evaluation = evaluated(cohorts[dataset], settings, embedder, arguments.out / run)
            rows += list(table_of(run, evaluation, time.monotonic() - start))
            print(pd.DataFrame(rows[-1:])[["run", "seconds"]].to_string(index=False), flush=True)
    if "abide" in cohorts:
        rows += list(timed(cohorts["abide"], embedder))
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="%.3f"))
    table.to_csv(arguments.out / "evaluation.tsv", sep="\t", index=False, float_format="%.4f")


def evaluated(cohort, settings, embedder, out):
    """Run the stage on the held-out participants."""
    people = pd.read_csv(
        Path(cohort.root) / "participants.tsv", sep="\t", dtype={"participant_id": str}
    )
    recordings = [cohort.table[row][0] for row in cohort.test_rows]
    return evaluate_outputs(
        out, EvaluateConfig(**settings), recordings=recordings, participants=people,
        embedder=embedder, n_jobs=N_JOBS,
    )  # fmt: skip


def table_of(run, evaluation, seconds):
    """Yield a row for each method: score with interval, and few-shot scores."""
    primary = evaluation["primary"]
    curves = {(row["method"], row["k"]): row["score"] for row in evaluation["curves"]}
    for method in evaluation["methods"]:
        shots = {f"k{k}": curves.get((method["name"], k), np.nan) for k in (1, 2, 5, 10, 25, 50)}
        yield {
            "run": run, "method": method["name"], "n": evaluation["data"]["n_participants"],
            **method["scores"][primary], "p": method["p"], **shots, "seconds": seconds,
        }  # fmt: skip


def timed(cohort, embedder):
    """Time all default methods in nested 5 times 5 folds; yield a row for each."""
    rows = np.sort(np.random.default_rng(0).permutation(len(cohort.table))[:N_TIMED])
    table, y = cohort.table[rows], cohort.tasks[0].classes[rows]
    each = [participant_folds(y, table.groups, n_splits=5, seed=seed) for seed in range(5)]
    folds = Folds(
        pairs=tuple(pair for one in each for pair in one.pairs),
        repeat=tuple(np.repeat(range(5), 5)),
        kind="participant",
        people=each[0].people,
        units=each[0].units,
        strata=each[0].strata,
    )
    start, precomputed = time.monotonic(), {}
    methods = default_methods(cohort.modality, "classification", embedder=embedder)
    predicted = Parallel(n_jobs=N_JOBS, pre_dispatch="n_jobs")(
        delayed(predict)(method, *precompute_features(method, table, precomputed), y, folds)
        for method in methods
    )
    seconds = time.monotonic() - start
    for method, one in zip(methods, predicted, strict=True):
        yield {
            "run": f"nested 5 x 5, {N_TIMED} people", "method": method.name, "n": N_TIMED,
            "value": aggregate_predictions(y, one, folds, "classification").primary()[0],
            "seconds": seconds,
        }  # fmt: skip


def predict(method, table, precomputed, y, folds):
    """Predict every row by one method."""
    return cross_predict(
        method.head, fold_features(method, table, folds, precomputed=precomputed), y, folds
    )


if __name__ == "__main__":
    main()
