"""Identification of participants across atlases and montages by their nearest embedding.

    python benchmarks/any_montage.py CHECKPOINT abide=FOLDER eegmat=FOLDER adhd=FOLDER
        --cache FOLDER --out FOLDER

Two versions of the recording of each participant are embedded: one with all channels, and one
through other
channels. For BOLD those are the atlas coarsened to about half as many parcels (each merged with
its nearest neighbour of the same hemisphere), or a random half of the parcels; for EEG a random
half of the electrodes. *Halves* are two versions without a channel in common. Both versions are
made from the whole run; then, which is harder, one from its first and the other from its second
half, so that nothing but the person is the same.

- *found*: share of people whose nearest neighbour (cosine, after each version is centred on its
  mean) in the other version is themselves, in both directions; chance is 1 / people.
- *margin*: own similarity minus that of the nearest other person.
- *site*: of the other people of the same site, the share that is less similar than oneself;
  chance is 0.5, and what is the same for a whole site does not help.

Intervals draw people with replacement, among the same others. Connectivity cannot be compared
across atlases, so it is given in its fair form: between regions by position (parcels belong to
the nearest of 30 centres; series averaged, or correlations averaged), and where versions share
channels, on these. Only people the checkpoint was not trained on, unless those are too few.
"""

import functools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from cohorts import arguments_of, corpus_of, load_cohort, stretch
from features import Cache, digest, embedded, parts_of, untrained, untrained_key
from sklearn.cluster import KMeans

from brainfm.models.checkpoint.load_save import load_checkpoint
from brainfm.recording import Recording, RecordingTable
from brainfm.signal.connectivity import pearson, upper_triangle
from brainfm.signal.eeg import band_power

N_REGIONS, N_BOOTSTRAP, SEED = 30, 1000, 0
_MEASURES = ("found", "found_back", "margin", "site")
COLUMNS = (
    "comparison", "method",
    *(name + end for name in _MEASURES for end in ("", "_low", "_high")), "n",
)  # fmt: skip


@dataclass(frozen=True)
class View:
    """Other channels of the same heads: ``groups`` of channel names, each averaged into one."""

    name: str
    groups: tuple


def main():
    """Compare all versions; print and write the tables."""
    arguments = arguments_of(__doc__)
    torch.set_num_threads(1)
    checkpoint, cache = load_checkpoint(arguments.checkpoint), Cache(arguments.cache)
    cohorts = [load_cohort(*item, arguments.cache, checkpoint) for item in arguments.data.items()]
    rows, text = [], [f"# {checkpoint.name} {checkpoint.sha256}"]
    for cohort in cohorts:
        corpus = corpus_of(cohorts, cohort.modality)
        for table in compare(cohort, checkpoint, corpus, cache):
            rows += table
            text.append(markdown(table))
            print(text[-1], flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "any_montage.md").write_text("\n".join(text) + "\n", encoding="utf8")
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame.to_csv(arguments.out / "any_montage.tsv", sep="\t", index=False, float_format="%.4f")


def encoders_of(checkpoint, corpus):
    """Return the checkpoint and its architecture before training.

    Returns
    -------
    encoders : list of (str, str, callable)
        Name, what changes with the weights, and a function that makes it (once).
    """
    config = checkpoint.encoder.config
    return [
        (checkpoint.name, checkpoint.sha256, lambda: checkpoint.encoder),
        (
            "random encoder",
            untrained_key(config, corpus, SEED),
            functools.cache(lambda: untrained(config, corpus, SEED)),
        ),
    ]


def compare(cohort, checkpoint, corpus, cache):
    """Yield the rows of each pair of versions of one cohort."""
    rows = cohort.test_rows
    if cohort.name == "eegmat":  # one recording a person
        rows = rows[[cohort.table[int(row)][0].task == "rest" for row in rows]]
    whole = [cohort.table[int(row)][0] for row in rows]
    who = "held-back people" if cohort.enough else "people, most of them pretrained on"
    versions, encoders = views_of(whole[0]), encoders_of(checkpoint, corpus)
    parts_of_vector = parts_of(checkpoint.encoder.config, cohort.modality)
    for time in ("whole run", "first and second half"):
        parts = [time, time] if time == "whole run" else ["first half", "second half"]
        for views in versions:
            sides = [version(whole, part, view) for part, view in zip(parts, views, strict=True)]
            keys = [digest(cohort.key, part, str(view))
                    for part, view in zip(parts, views, strict=True)]  # fmt: skip
            found = embeddings(sides, keys, encoders, parts_of_vector, cache)
            found |= {"bold": connectivities, "eeg": band_powers}[cohort.modality](*sides)
            title = f"{cohort.name.upper()}, {time}: {views[0].name} to {views[1].name}"
            title += f" ({len(whole)} {who})"
            yield [_row(title, name, pair, cohort.sites[rows]) for name, pair in found.items()]


def views_of(recording):
    """Return pairs of views to compare.

    Parameters
    ----------
    recording : Recording
        Of anybody: the channels are the same for all.
    """
    names = recording.channels
    drawn = np.random.default_rng(SEED).permutation(len(names))
    cut = (len(names) + 1) // 2
    halves = [tuple((names[i],) for i in sorted(part)) for part in (drawn[:cut], drawn[cut:])]
    kind = {"bold": "parcels", "eeg": "electrodes"}[recording.modality]
    every = View(f"all {len(names)} {kind}", tuple((name,) for name in names))
    half, rest = View(f"a random half of the {kind}", halves[0]), View("the other half", halves[1])
    pairs = [(every, half), (half, rest)]
    if recording.modality == "bold":
        merged = coarse_groups(names, recording.positions)
        pairs.insert(0, (every, View(f"{len(merged)} coarser parcels", merged)))
    return pairs


def coarse_groups(names, positions):
    """Pair each parcel with its nearest neighbour of the same hemisphere, nearest pairs first.

    Returns
    -------
    groups : tuple of tuple of str
        Pairs; parcels left over stay alone.
    """
    apart = np.linalg.norm(positions[:, None] - positions, axis=-1)
    apart[(positions[:, None, 0] < 0) != (positions[:, 0] < 0)] = np.inf
    apart[np.tril_indices(len(names))] = np.inf
    free, groups = set(range(len(names))), []
    for one, other in zip(
        *np.unravel_index(np.argsort(apart, axis=None), apart.shape), strict=True
    ):
        if np.isinf(apart[one, other]):
            break
        if one in free and other in free:
            groups.append((names[one], names[other]))
            free -= {one, other}
    return tuple(groups) + tuple((names[one],) for one in sorted(free))


def version(recordings, part, view):
    """Return the recordings of all participants in one part of the run, through one view.

    Parameters
    ----------
    recordings : list of Recording
    part : {"whole run", "first half", "second half"}
    view : View

    Returns
    -------
    table : RecordingTable
    """
    return RecordingTable((through(_in_time(one, part), view),) for one in recordings)


def through(recording, view):
    """Average groups of channels, those usable; a group without any is masked."""
    place = {name: index for index, name in enumerate(recording.channels)}
    signal, positions, mask = recording.signal, [], []
    columns = np.full((len(signal), len(view.groups)), np.nan, dtype=np.float32)
    for number, group in enumerate(view.groups):
        members = [place[name] for name in group]
        usable = [
            one for one in members if recording.mask[one] and np.isfinite(signal[:, one]).all()
        ]
        if usable:
            columns[:, number] = signal[:, usable].mean(axis=1)
        positions.append(recording.positions[members].mean(axis=0))
        mask.append(bool(usable))
    return Recording.from_array(
        columns,
        sampling_hz=recording.sampling_hz,
        modality=recording.modality,
        positions=np.array(positions),
        channels=["+".join(group) for group in view.groups],
        mask=np.array(mask),
        participant=recording.participant,
        dataset=recording.dataset,
    )


def embeddings(sides, keys, encoders, parts, cache):
    """Return pairs of vectors of both versions, of each encoder and part of its embedding."""
    found = {}
    for name, key, make in encoders:
        pair = [embedded(make, table, cache, name="version", key=digest(key, of_table))
                for table, of_table in zip(sides, keys, strict=True)]  # fmt: skip
        found[name] = pair
        for part, columns in parts.items():
            found[f"{name}, {part}"] = [vectors[:, columns] for vectors in pair]
    return found


def connectivities(one, other):
    """Return pairs of connectivity: between regions by position, and of parcels both have."""
    centres = _centres(one)
    found = {
        "FC of regions, series averaged": [_each(_of_regions, t, centres) for t in (one, other)],
        "FC of regions, correlations averaged": [
            _each(_between_regions, t, centres) for t in (one, other)
        ],
    }
    shared = _shared(one, other)
    if len(shared) > 1:
        found[f"FC of the {len(shared)} shared parcels"] = [
            _each(_of_channels, t, shared) for t in (one, other)
        ]
    return found


def band_powers(one, other):
    """Return pairs of log band power: mean of channels, and of channels both have."""
    found = {"log band power, mean of channels": [_each(_mean_power, t) for t in (one, other)]}
    shared = _shared(one, other)
    if shared:
        found[f"log band power of the {len(shared)} shared electrodes"] = [
            _each(_power_of, t, shared) for t in (one, other)
        ]
    return found


def identified(one, other, sites):
    """Tell how often the nearest vector of the other version is the same person.

    Parameters
    ----------
    one, other : ndarray of float, shape (n_people, d)
        NaN where something is missing: it then says nothing.
    sites : ndarray of str, shape (n_people,)

    Returns
    -------
    values : list of float
        Found, found back, margin and site, each with the ends of its 95 % interval; people.
    """
    alike = _unit(one) @ _unit(other).T
    own = np.diag(alike)
    rest = np.where(np.eye(len(alike), dtype=bool), -np.inf, alike)
    nearest, nearest_back = rest.max(axis=1), rest.max(axis=0)
    same_site = (sites[:, None] == sites) & ~np.eye(len(sites), dtype=bool)
    n_same = same_site.sum(axis=1)
    below = (same_site & (alike < own[:, None])).sum(axis=1)
    values = (
        own > nearest,
        own > nearest_back,
        own - nearest,
        np.where(n_same > 0, below / np.maximum(n_same, 1), np.nan),
    )
    drawn = np.random.default_rng(SEED).integers(len(own), size=(N_BOOTSTRAP, len(own)))
    scores = []
    for each in values:
        scores += [
            np.nanmean(each),
            *np.nanpercentile(np.nanmean(each[drawn].astype(float), axis=1), [2.5, 97.5]),
        ]
    return [*map(float, scores), len(own)]


def markdown(table):
    """Return one table."""
    lines = [
        f"\n### {table[0]['comparison']}\n",
        f"chance: found {1 / table[0]['n']:.3f}, site 0.5\n",
        "| method | found | found back | margin | site |",
        "|---|---|---|---|---|",
    ]
    for row in table:
        cells = [
            f"{row[m]:.3f} ({row[m + '_low']:.3f} to {row[m + '_high']:.3f})" for m in _MEASURES
        ]
        lines.append(f"| {row['method']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _row(title, name, pair, sites):
    return dict(zip(COLUMNS, (title, name, *identified(*pair, sites)), strict=True))


def _in_time(recording, part):
    half = recording.shape[0] // 2
    if part == "whole run":
        return recording
    return stretch(recording, 0 if part == "first half" else recording.shape[0] - half, half)


def _unit(vectors):
    centred = np.nan_to_num(vectors - np.nanmean(vectors, axis=0))
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def _shared(one, other):
    there = set(other.recordings[0].channels)
    return [name for name in one.recordings[0].channels if name in there]


def _each(function, table, *arguments):
    return np.array([function(one, *arguments) for one in table.recordings])


def _centres(table):
    positions = table.recordings[0].positions
    return KMeans(N_REGIONS, n_init=4, random_state=SEED).fit(positions).cluster_centers_


def _standard(recording):
    """Series (n_times, n_channels) of unit variance; NaN where there is none."""
    signal = np.where(recording.mask, recording.signal, np.nan).astype(float)
    spread = signal.std(axis=0)
    return (signal - signal.mean(axis=0)) / np.where(spread > 0, spread, np.nan)


def _membership(recording, centres, usable):
    apart = np.linalg.norm(recording.positions[:, None] - centres, axis=-1)
    return (np.eye(len(centres))[apart.argmin(axis=1)] * usable[:, None]).T  # (regions, channels)


def _of_regions(recording, centres):
    series = _standard(recording)
    usable = np.isfinite(series).all(axis=0)
    member = _membership(recording, centres, usable)
    size = member.sum(axis=1)
    means = np.nan_to_num(series) @ member.T / np.where(size > 0, size, np.nan)
    return upper_triangle(pearson(means))


def _between_regions(recording, centres):
    matrix = pearson(recording.signal)
    usable = np.isfinite(np.diag(matrix)) & recording.mask
    member = _membership(recording, centres, usable)
    pairs = np.outer(member.sum(axis=1), member.sum(axis=1))
    sums = member @ np.nan_to_num(matrix) @ member.T
    return upper_triangle(sums / np.where(pairs > 0, pairs, np.nan))


def _of_channels(recording, names):
    columns = [recording.channels.index(name) for name in names]
    return upper_triangle(pearson(recording.signal[:, columns]))


def _log_power(recording):
    return np.log10(band_power(recording.signal[:, recording.mask], recording.sampling_hz))


def _mean_power(recording):
    return _log_power(recording).mean(axis=0)


def _power_of(recording, names):
    kept = list(np.array(recording.channels)[recording.mask])
    power = _log_power(recording)
    missing = np.full(power.shape[1], np.nan)
    return np.concatenate([power[kept.index(n)] if n in kept else missing for n in names])


if __name__ == "__main__":
    main()
