"""
Build a corpus and withdraw a participant
=========================================

A corpus collects standardised recordings of many datasets in one folder. This example writes two
small datasets, adds both, withdraws a participant, and pretrains on the rest. Yours are the output
folders of ``brainfm ... participant`` and ``*_timeseries.tsv`` of other people.
"""

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from brainfm import add_to_corpus, pretrain_corpus, read_corpus, withdraw_participant
from brainfm.config import PretrainConfig

work = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)


def write_dataset(folder, name, n_people, n_parcels, tr_s):
    """Write parcel series with their positions (MNI millimetres) and repetition time."""
    parcels = [f"parcel{number}" for number in range(n_parcels)]
    positions_mm = {parcel: rng.uniform(-70, 70, 3).tolist() for parcel in parcels}
    for person in range(n_people):
        stem = folder / f"sub-{person:02d}/func/sub-{person:02d}_task-rest_atlas-{name}_timeseries"
        stem.parent.mkdir(parents=True)
        series = rng.standard_normal((150, 4)).cumsum(axis=0) @ rng.standard_normal((4, n_parcels))
        frame = pd.DataFrame(series + rng.standard_normal(series.shape), columns=parcels)
        frame.to_csv(f"{stem}.tsv", sep="\t", index=False)
        sidecar = {"RepetitionTime": tr_s, "Positions": positions_mm}
        Path(f"{stem}.json").write_text(json.dumps(sidecar))
    (folder / "dataset_description.json").write_text(json.dumps({"Name": name}))


write_dataset(work / "north", "North", n_people=12, n_parcels=30, tr_s=2.0)
write_dataset(work / "south", "South", n_people=9, n_parcels=40, tr_s=1.5)

# %%
# One call adds both datasets; so do two calls from two jobs at the same time. Calling again adds
# only what is new.

manifest = pd.read_csv(add_to_corpus([work / "north", work / "south"], work / "corpus"), sep="\t")
print(manifest[["dataset", "participant", "split", "n_times", "n_channels", "sampling_hz"]].head(3))

# %%
# Withdrawal removes every file of a participant, and no later call brings them back.

n_removed = withdraw_participant(work / "corpus", "South", "sub-03")
add_to_corpus(work / "south", work / "corpus")
remaining = read_corpus(work / "corpus")
print(f"{n_removed} recording withdrawn, {len(remaining)} remain")
np.testing.assert_equal(len(remaining), 20)

# %%
# Pretraining reads the corpus from disk. The checkpoint stores a hash of each training participant.

config = PretrainConfig(preset="nano", max_epochs=2, batch_size=4)
checkpoint = pretrain_corpus(work / "corpus", work, config)
print("files of the checkpoint:", sorted(path.name for path in checkpoint.iterdir()))

# %%

after = pd.read_csv(work / "corpus" / "manifest.tsv", sep="\t")
counts = after.groupby(["dataset", "split"])["participant"].nunique().unstack(fill_value=0)
axis = counts.plot.barh(stacked=True, figsize=(6, 2.8), color={"train": "C0", "validation": "C1"})
axis.set(xlabel="participants", ylabel="", title="The corpus after one withdrawal")
axis.figure.tight_layout()
plt.show()
