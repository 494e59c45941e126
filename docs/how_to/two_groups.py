"""Two small groups, from participants.tsv in one command: what is read, and from which networks?

The question of a laboratory: do players of action video games differ from others in how the
networks of cognitive control (frontoparietal: Cont; salience: SalVentAttn; dorsal attention:
DorsAttn) are connected to the rest of the brain? The recordings here are made up, and in one group
the parcels of Cont and of the visual network share a signal. With your own data, drop the first
part: ``derivatives`` is what the participant level wrote, or any dataset of parcel series.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from brainfm.cli.run import main
from brainfm.storage.atlas import load_atlas

folder = Path(tempfile.mkdtemp())
bids, derivatives, out = folder / "bids", folder / "derivatives", folder / "out"
rng = np.random.default_rng(0)
atlas = load_atlas("Schaefer100")
planted = np.isin(atlas.networks, ["Cont", "Vis"])
people = pd.DataFrame({
    "participant_id": [f"sub-{index:02d}" for index in range(16)],
    "group": ["gamer", "other"] * 8,
    "age": rng.integers(18, 35, size=16),
})  # fmt: skip
for root in (bids, derivatives):
    root.mkdir()
    (root / "dataset_description.json").write_text(
        json.dumps({"Name": "example", "BIDSVersion": "1.10.0", "DatasetType": "derivative"})
    )
people.to_csv(bids / "participants.tsv", sep="\t", index=False)
for label, group in zip(people["participant_id"], people["group"], strict=True):
    series = rng.standard_normal((120, 100))
    if group == "gamer":
        series[:, planted] += 0.7 * rng.standard_normal((120, 1))
    stem = derivatives / label / "func" / f"{label}_task-rest_atlas-Schaefer2018_timeseries"
    stem.parent.mkdir(parents=True)
    pd.DataFrame(series, columns=atlas.names).to_csv(f"{stem}.tsv", sep="\t", index=False)
    Path(f"{stem}.json").write_text(json.dumps({"RepetitionTime": 2.0}))
pd.DataFrame(atlas.positions, columns=["x", "y", "z"]).assign(
    index=range(1, 101), name=atlas.names
).to_csv(derivatives / "atlas-Schaefer2018_dseg.tsv", sep="\t", index=False)

code = main([
    str(bids), str(out), "group", "--derivatives", f"series={derivatives}",
    "--target", "group", "--networks", "Cont", "SalVentAttn", "DorsAttn",
    "--sloppy",  # a quick look; leave it out for a real answer
])  # fmt: skip
evaluation = json.loads((out / "group" / "evaluation.json").read_text())
print("\n".join(evaluation["answer"].values()))
print(pd.read_csv(out / "group" / "networks.tsv", sep="\t").head(3).to_string(index=False))
print("report:", out / "group.html")
raise SystemExit(code)
