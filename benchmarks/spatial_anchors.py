"""Number and width of the spatial anchors of BOLD, and scaling of the embedding.

    python benchmarks/spatial_anchors.py abide=FOLDER --cache FOLDER --out FOLDER

Scored on the training participants of ``brainfm-tiny`` (without labels), so that the held-out ones
stay unseen, and on connectivity alone, which needs no gradient. Anchors, reference and weights are
fitted on one half of the sites and scored on the other, and vice versa; scores are the mean of
both. Rows: *as they are* (tangent space only), *standardised* (each number divided by its spread),
*reliable* (:class:`brainfm.models.encoder.reliability.Reliability`, which ships), and tangent
connectivity of all parcels. Written: what is printed, as ``places.tsv``.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from cohorts import arguments_of, load_cohort
from features import Block, Kernels, Method
from pyriemann.geometry.tangentspace import tangent_space
from representation import score_all
from scoring import episodes, repeated_folds

from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.models.encoder import readout
from brainfm.models.encoder.encoder import BrainEncoder, EncoderConfig
from brainfm.models.encoder.reliability import Reliability
from brainfm.models.encoder.windows import prepare, split_halves
from brainfm.models.features.classical import ConnectivityFeatures
from brainfm.models.training.initialisation import fit_anchors

#: Number of places and the deviation of their Gaussian in units of 100 mm.
PLACES = ((100, 0.08), (150, 0.06), (200, 0.08), (200, 0.06), (200, 0.04))


def main():
    """Score all choices; print and write the table."""
    arguments = arguments_of(__doc__, checkpoint=False)
    torch.set_num_threads(1)
    cohort = load_cohort(
        "abide",
        arguments.data["abide"],
        arguments.cache,
        load_checkpoint("brainfm-tiny"),
    )
    rows = []
    for number, (learned, test_rows) in enumerate(site_halves(cohort)):
        for title, matrix in choices(cohort, learned):
            found = Method(
                title, "baseline", ((Block(f"{title}-{number}", matrix, columns_alike=False),),)
            )
            rows += list(scored(cohort, learned, test_rows, found))
            print(f"scored {title}, half {number + 1} of the sites", flush=True)
    table = pd.DataFrame(rows).groupby(["method", "setting"], sort=False)["score"].mean().unstack()
    table = table[list(dict.fromkeys(row["setting"] for row in rows))]
    table["mean"] = table.mean(axis=1)
    print(table.round(3).to_string())
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / "places.tsv", sep="\t", float_format="%.4f")


def site_halves(cohort):
    """Return training and test rows, twice; both were trained on."""
    seen = np.flatnonzero(cohort.seen)
    sites = np.random.default_rng(0).permutation(np.unique(cohort.sites[seen]))
    parts = [seen[np.isin(cohort.sites[seen], half)] for half in (sites[::2], sites[1::2])]
    return [parts, parts[::-1]]


def choices(cohort, learned):
    """Yield a title and features of all rows for each choice."""
    for n_places, width in PLACES:
        whole, both = connectivity(cohort, learned, n_places, width)
        title = f"{n_places} places of {100 * width:g} mm"
        spread = whole[learned].std(axis=0)
        module = Reliability(whole.shape[1])
        module.fit(whole[learned], both[:, learned], {"all": slice(None)}, {"all": 1.0})
        yield f"{title}, as they are", whole
        yield f"{title}, standardised", (whole - whole[learned].mean(axis=0)) / spread
        yield f"{title}, reliable", module(torch.from_numpy(whole).float()).numpy()
    parcels = ConnectivityFeatures("tangent")
    measured = parcels.precompute(cohort.table)
    most = max(len(measured[row][0]) for row in learned)
    parcels.fit_precomputed([measured[row] for row in learned if len(measured[row][0]) == most])
    yield "tangent FC of all parcels", parcels.transform_precomputed(measured)


def connectivity(cohort, learned, n_places, width):
    """Tangent connectivity of places, over the whole of each recording and over its halves.

    Returns
    -------
    whole : ndarray of float, shape (n_rows, n_pairs)
    both : ndarray of float, shape (2, n_rows, n_pairs)
    """
    prepared = [prepare(one) for one in cohort.table.recordings]
    torch.manual_seed(0)
    encoder = BrainEncoder(replace(EncoderConfig.preset("tiny"), n_bold_anchors=n_places)).eval()
    fit_anchors(encoder, [{"bold": prepared[row]} for row in learned], seed=0)
    encoder.tokens["bold"].anchors.width = width
    covariances = [readout.anchor_covariances(encoder, one)[0] for one in prepared]
    reference = np.mean([covariances[row] for row in learned], axis=0)
    whole = np.stack([tangent_space(one, reference) for one in covariances])
    both = [
        [tangent_space(readout.anchor_covariances(encoder, half)[0], reference) for half in pair]
        for pair in map(split_halves, prepared)
    ]
    return whole, np.stack(both, axis=1)


def scored(cohort, learned, test_rows, method):
    """Yield a row of ``score_all`` for each task and setting."""
    kernels = Kernels(None)
    for task in cohort.tasks:
        splits = {
            "cross-validation": repeated_folds(
                test_rows, cohort.tasks[0].classes, cohort.groups, n_repeats=3
            ),
            "labels of other sites": [(learned, test_rows)],
        }
        for k in (5, 25):
            splits[f"few-shot {k}"] = episodes(test_rows, task.classes, cohort.groups, k)
        for setting, drawn in splits.items():
            if drawn:
                yield from score_all(
                    [method], kernels, cohort, task, f"{task.title}, {setting}", drawn
                )


if __name__ == "__main__":
    main()
