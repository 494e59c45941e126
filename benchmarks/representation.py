"""Frozen embeddings against baselines, on people the checkpoint was not trained on.

    python benchmarks/representation.py CHECKPOINT abide=FOLDER eegmat=FOLDER adhd=FOLDER
        --cache FOLDER --out FOLDER

Reads from each recording, with one linear head: diagnosis, sex and age of ABIDE, rest or
arithmetic of EEGMAT, diagnosis of the ADHD children. Scores compare people of one site only, see
``benchmarks/scoring.py``; 0.5 is chance. ``adhd=`` is the raw dataset: it is cleaned once into
the cache. Three ways to train the head:

- *cross-validation*: 10 times 5 folds of the people held back from pretraining;
- *labels of the corpus*: trained on the labels of the people pretrained on, tested on those held
  back, and on those of sites nobody of whom was pretrained on;
- *few-shot*: 5, 10 or 25 people of each class, 50 episodes.

All rows of a table have the same folds, the same draws of the bootstrap and the same head (ridge,
penalty by leaving out one person in turn). ``difference`` is to the best row of the kind
*baseline*, chosen by the score in the same table, which favours the baseline. Written: what is
printed, as ``representation.md`` and ``representation.tsv``.
"""

import time

import numpy as np
import pandas as pd
import torch
from cohorts import arguments_of, corpus_of, load_cohort
from features import Cache, Kernels, methods
from scoring import (
    agreement,
    draws,
    episodes,
    pairs_within,
    repeated_folds,
    ridge_scores,
    within,
)

from brainfm.models.checkpoint.load_save import load_checkpoint

SHOTS = (5, 10, 25)
COLUMNS = (
    "task", "setting", "method", "kind", "score", "low", "high",
    "against", "difference", "difference_low", "difference_high", "n",
)  # fmt: skip


def main():
    """Score all tasks; print and write their tables."""
    arguments = arguments_of(__doc__)
    torch.set_num_threads(1)
    start = time.monotonic()
    checkpoint = load_checkpoint(arguments.checkpoint)
    cohorts = [load_cohort(*item, arguments.cache, checkpoint) for item in arguments.data.items()]
    cache, rows, text = Cache(arguments.cache), [], [f"# {checkpoint.name} {checkpoint.sha256}"]
    for cohort in cohorts:
        found = methods(cohort, checkpoint, corpus_of(cohorts, cohort.modality), cache)
        kernels = Kernels(cache)
        for task in cohort.tasks:
            for setting, (splits, note) in settings(cohort, task).items():
                table = score_all(found, kernels, cohort, task, setting, splits)
                rows += table
                text.append(markdown(table, note))
                print(text[-1], flush=True)
    write(arguments.out, rows, [*text, f"{time.monotonic() - start:.0f} s"])


def settings(cohort, task):
    """Return the ways to train and test.

    Returns
    -------
    settings : dict of str to (splits, note)
        ``splits`` is a list of (train, test) rows.
    """
    test_rows, groups = cohort.test_rows, cohort.groups
    balanced = cohort.tasks[0].classes  # the same folds for all tasks of a cohort
    note = "people held back from pretraining"
    if cohort.seen.all() or not cohort.enough:
        note = "all people: too few were held back, so most were pretrained on (without labels)"
    found = {"cross-validation": (repeated_folds(test_rows, balanced, groups), note)}
    if cohort.seen.any() and cohort.enough:
        seen, new = np.flatnonzero(cohort.seen), np.flatnonzero(~cohort.seen)
        found["labels of the corpus"] = ([(seen, new)], note)
        far = np.flatnonzero(cohort.at_new_site)
        if len(far) >= 20:
            found["labels of the corpus, new sites"] = ([(seen, far)], "sites nobody was seen of")
    for k in SHOTS:
        drawn = episodes(test_rows, task.classes, groups, k)
        if drawn:
            found[f"few-shot {k}"] = (drawn, note)
    return found


def score_all(found, kernels, cohort, task, setting, splits):
    """Score all methods on the same splits.

    Returns
    -------
    rows : list of dict of ``COLUMNS``
    """
    tested = np.zeros(len(task.y), bool)
    tested[np.concatenate([test for _, test in splits])] = True
    pairs = pairs_within(np.where(tested, task.y, np.nan), cohort.sites)
    once, drawn = tested[None].astype(float), draws(cohort.groups, tested, len(splits))
    values = {}
    for method in found:
        agree = agreement_of(method, kernels, cohort, task, splits, pairs)
        values[method] = within(agree, pairs, once)[0], within(agree, pairs, *drawn)
    best = max((m for m in values if m.kind == "baseline"), key=lambda m: values[m][0])
    n_people, rows = len(set(cohort.groups[tested])), []
    for method, (score, spread) in values.items():
        row = (task.title, setting, method.name, method.kind, score, *_interval(spread), best.name)
        difference = (score - values[best][0], *_interval(spread - values[best][1]))
        rows.append(dict(zip(COLUMNS, (*row, *difference, n_people), strict=True)))
    return rows


def agreement_of(method, kernels, cohort, task, splits, pairs):
    """Return the share of variants that order each pair rightly, (n_splits, n_pairs)."""
    each = [predicted(blocks, kernels, cohort, task, splits) for blocks in method.variants]
    return np.mean([agreement(scores, pairs) for scores in each], axis=0)


def predicted(blocks, kernels, cohort, task, splits):
    """Score the test rows of every split, (n_splits, n_rows); NaN where not tested."""
    scores = np.full((len(splits), len(task.y)), np.nan)
    for number, (_, test) in enumerate(splits):
        scores[number, test] = 0  # no signal: one guess for all
    if not blocks:
        return scores
    each, groups = kernels.of(blocks, splits), cohort.groups
    for number, ((train, test), kernels_of) in enumerate(zip(splits, each, strict=True)):
        heads = [ridge_scores(*pair, task.y[train], groups[train]) for pair in kernels_of]
        scores[number, test] = np.mean(heads, axis=0)
    return scores


def markdown(rows, note):
    """Return one table."""
    first = rows[0]
    lines = [
        f"\n### {first['task']}: {first['setting']}\n",
        f"{first['n']} people tested ({note}); difference to {first['against']}\n",
        "| method | score | 95 % interval | difference | 95 % interval |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['method']} | {row['score']:.3f} | {row['low']:.3f} to {row['high']:.3f} "
        f"| {row['difference']:+.3f} "
        f"| {row['difference_low']:+.3f} to {row['difference_high']:+.3f} |"
        for row in rows
    ]
    return "\n".join(lines)


def write(out, rows, text):
    """Write the tables as Markdown and all rows as one TSV."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "representation.md").write_text("\n".join(text) + "\n", encoding="utf8")
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame.to_csv(out / "representation.tsv", sep="\t", index=False, float_format="%.4f")


def _interval(values):
    return np.nanpercentile(values, [2.5, 97.5])


if __name__ == "__main__":
    main()
