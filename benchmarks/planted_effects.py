"""False-positive rate and power of the evaluation with planted effects.

    python benchmarks/planted_effects.py abide=FOLDER --cache FOLDER --out FOLDER

People of ABIDE who were held back from pretraining get labels at random, so nothing can be read
from them. *Null*: 200 draws of 40 people, 20 of each label; how often the permutation test (19
permutations) says p <= 0.05, with the 95 % interval of Clopper and Pearson. *Power*:
in the people of one label the parcels of the frontoparietal network (Cont) and of the default
network share a white signal of some size (in standard deviations of a parcel); 40 draws of n
people. Methods: Pearson connectivity, that of Cont to the rest, tangent connectivity, and the
embedding. Written: ``planted_effects.tsv`` and ``planted_effects.svg``.
"""

from dataclasses import replace

import matplotlib
import numpy as np
import pandas as pd
import torch
from cohorts import arguments_of, load_cohort
from scipy.stats import binomtest

from brainfm import BrainEmbedder
from brainfm.evaluation.cross_validation import permutation_test
from brainfm.evaluation.folds import participant_folds
from brainfm.evaluation.network_importance import NetworkConnectivity
from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.models.estimators.heads import RowSpacePCA
from brainfm.models.features.classical import (
    BlockScaler,
    ConnectivityFeatures,
    LengthScaler,
    linear_head,
)
from brainfm.recording import RecordingTable
from brainfm.stages.evaluate.importance_networks import networks_by_parcel

matplotlib.use("Agg")
N_NULL, N_POWER, N_PERMUTATIONS = 200, 40, 19
SIZES, PEOPLE = (0.3, 0.5), (20, 40, 80)


def main():
    """Run both; print and write the table and the figure."""
    arguments = arguments_of(__doc__, checkpoint=False)
    torch.set_num_threads(1)
    checkpoint = load_checkpoint("brainfm-tiny")
    cohort = load_cohort("abide", arguments.data["abide"], arguments.cache, checkpoint)
    table = cohort.table[cohort.test_rows]
    plain = features_of(table, table)
    rows = list(rates(plain, plain, 40, N_NULL, "null", 0.0))
    print(pd.DataFrame(rows).to_string(index=False), flush=True)
    for size in SIZES:
        planted = features_of(table, planted_table(table, size))
        for n in PEOPLE:
            rows += rates(plain, planted, n, N_POWER, "power", size)
            print(pd.DataFrame(rows[-4:]).to_string(index=False, header=False), flush=True)
    found = pd.DataFrame(rows)
    print(found.to_string(index=False, float_format="%.3f"))
    arguments.out.mkdir(parents=True, exist_ok=True)
    found.to_csv(arguments.out / "planted_effects.tsv", sep="\t", index=False, float_format="%.4f")
    draw(found, arguments.out / "planted_effects.svg")


def planted_table(table, size):
    """The same recordings with a signal shared by two networks."""
    network_of, rows = networks_by_parcel(table), []
    for number, (one,) in enumerate(table):
        chosen = np.isin([network_of[name] for name in one.channels], ["Cont", "Default"])
        signal = one.signal.copy()
        shared = np.random.default_rng(number).normal(size=(len(signal), 1))
        signal[:, chosen] += size * signal[:, chosen].std(axis=0) * shared
        rows.append((replace(one, read=_Held(signal), cache=None),))
    return RecordingTable(rows)


class _Held:
    def __init__(self, signal):
        self.signal = signal

    def __call__(self):
        return self.signal


def features_of(reference, table):
    """Features of all rows by method; channels are those that all people have."""
    network_of = networks_by_parcel(reference)
    classical = {
        "Pearson connectivity": ConnectivityFeatures(),
        "connectivity of Cont": NetworkConnectivity(network_of, ("Cont",)),
        "tangent connectivity": ConnectivityFeatures(kind="tangent"),
    }
    found = {
        name: one.fit_precomputed(one.precompute(reference)).transform(table)
        for name, one in classical.items()
    }
    embedder = BrainEmbedder.from_pretrained("brainfm-tiny", device="cpu")
    return found | {"brainfm-tiny": embedder.transform(table).astype(float)}


def rates(plain, planted, n, n_draws, kind, size):
    """Share of draws with p <= 0.05 for each method, on the same people and folds."""
    hits = dict.fromkeys(plain, 0)
    for draw_number in range(n_draws):
        rng = np.random.default_rng([n, draw_number])
        people = rng.permutation(len(plain["brainfm-tiny"]))[:n]
        y = np.tile([0, 1], n // 2)
        folds = replace(
            (made := participant_folds(y, people.astype(str), n_splits=5, seed=draw_number)),
            pairs=made.pairs[:5],
            repeat=(0,) * 5,
        )
        for name in plain:
            X = np.where(y[:, None] == 1, planted[name][people], plain[name][people])
            kind_of = LengthScaler if name == "brainfm-tiny" else BlockScaler
            matrices = [[scaled(kind_of, X[train], X[test])] for train, test in folds.pairs]
            p = permutation_test(
                linear_head(), matrices, y, folds, task="classification",
                n_permutations=N_PERMUTATIONS, seed=draw_number,
            )[2]  # fmt: skip
            hits[name] += p <= 0.05
    for name, count in hits.items():
        low, high = binomtest(count, n_draws).proportion_ci(0.95)
        yield {
            "kind": kind, "size": size, "n": n, "method": name, "draws": n_draws,
            "rate": count / n_draws, "low": low, "high": high,
        }  # fmt: skip


def scaled(kind, train, test):
    """Scale by the training rows and turn into their space."""
    scaler = kind().fit(train)
    rows = RowSpacePCA().fit(scaler.transform(train))
    return rows.transform(scaler.transform(train)), rows.transform(scaler.transform(test))


def draw(found, path):
    """Draw power against people for each size."""
    figure = matplotlib.figure.Figure(figsize=(8, 3.2), layout="constrained")
    for axis, size in zip(figure.subplots(1, len(SIZES), sharey=True), SIZES, strict=True):
        own = found[(found["kind"] == "power") & (found["size"] == size)]
        for name, line in own.groupby("method", sort=False):
            error = [line["rate"] - line["low"], line["high"] - line["rate"]]
            axis.errorbar(line["n"], line["rate"], yerr=error, marker="o", label=name, capsize=2)
        axis.axhline(0.05, color="grey", linestyle=":", linewidth=1)
        axis.set_title(f"shared signal of {size:g} standard deviations", fontsize=9.5)
        axis.set_xlabel("people")
    figure.axes[0].set_ylabel("found at p <= 0.05")
    figure.axes[-1].legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
