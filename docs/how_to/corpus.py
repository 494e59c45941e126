"""Build a corpus of several datasets, withdraw a participant, pretrain on the rest.

The two datasets here are made up and written first, so that the script runs anywhere; yours are
output folders of ``brainfm ... participant`` and other people's ``*_timeseries.tsv`` as they lie.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm import add_to_corpus, pretrain_corpus, read_corpus, withdraw_participant
from brainfm.config import PretrainConfig

work = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)


def write_dataset(folder, name, n_people, n_parcels, tr_s):
    """Write parcel series with their positions (MNI millimetres) and repetition time."""
    parcels = [f"parcel{number}" for number in range(n_parcels)]
    places = {parcel: rng.uniform(-70, 70, 3).tolist() for parcel in parcels}
    for person in range(n_people):
        stem = folder / f"sub-{person:02d}/func/sub-{person:02d}_task-rest_atlas-{name}_timeseries"
        stem.parent.mkdir(parents=True)
        series = rng.standard_normal((150, 4)).cumsum(axis=0) @ rng.standard_normal((4, n_parcels))
        frame = pd.DataFrame(series + rng.standard_normal(series.shape), columns=parcels)
        frame.to_csv(f"{stem}.tsv", sep="\t", index=False)
        sidecar = {"RepetitionTime": tr_s, "Positions": places}
        Path(f"{stem}.json").write_text(json.dumps(sidecar))
    (folder / "dataset_description.json").write_text(json.dumps({"Name": name}))


write_dataset(work / "north", "North", n_people=8, n_parcels=30, tr_s=2.0)
write_dataset(work / "south", "South", n_people=6, n_parcels=40, tr_s=1.5)

# One call, or one a dataset, from as many jobs at once as you like; again adds what is new.
manifest = add_to_corpus([work / "north", work / "south"], work / "corpus")
table = pd.read_csv(manifest, sep="\t")
print(table.groupby(["dataset", "layout", "split"])["participant"].nunique())

# Nothing of this participant stays, and no later call brings them back.
n_removed = withdraw_participant(work / "corpus", "South", "sub-03")
add_to_corpus(work / "south", work / "corpus")
left = read_corpus(work / "corpus")
print(f"{n_removed} recording withdrawn, {len(left)} left")
np.testing.assert_equal(len(left), 13)

config = PretrainConfig(preset="nano", max_epochs=2, batch_size=4)
print("wrote", sorted(p.name for p in pretrain_corpus(work / "corpus", work, config).iterdir()))
