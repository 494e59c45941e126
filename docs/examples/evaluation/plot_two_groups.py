"""
Two groups in one command, and the networks behind the answer
=============================================================

Does a group of video gamers differ from other people in how the networks of cognitive control are
connected to the rest of the brain? One call of the group level answers such a question from a
column of ``participants.tsv``. The recordings are simulated: in one group the frontoparietal
network (Cont) and the visual network (Vis) share a signal. With your own data, leave out the first
part; ``derivatives`` is what the participant level wrote, or any dataset of parcel series.
"""

import json
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from nilearn.plotting import plot_connectome

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

# %%
# The command ``brainfm bids out group --derivatives series=derivatives --target group --networks
# Cont SalVentAttn DorsAttn`` does everything; a script calls the same function.

exit_code = main([
    str(bids), str(out), "group", "--derivatives", f"series={derivatives}",
    "--target", "group", "--networks", "Cont", "SalVentAttn", "DorsAttn",
    "--sloppy",  # a quick look; leave it out for a real answer
])  # fmt: skip
print("exit code:", exit_code)
evaluation = json.loads((out / "group" / "evaluation.json").read_text())
print("\n".join(evaluation["answer"].values()))

# %%
# ``group.html`` is the report. Its numbers are in tables: ``networks.tsv`` says how far the score
# falls when all edges between two networks are permuted together, and ``edges.tsv`` how each edge
# goes with the prediction. The strongest edges connect Cont with the visual network, as simulated;
# blue edges are stronger in gamers.

pairs = pd.read_csv(out / "group" / "networks.tsv", sep="\t")
edges = pd.read_csv(out / "group" / "edges.tsv", sep="\t")
print(pairs.head(3).to_string(index=False))

strongest = edges.reindex(edges["pattern"].abs().sort_values(ascending=False).index).head(40)
matrix = pd.DataFrame(0.0, index=atlas.names, columns=atlas.names)
for edge in strongest.itertuples():
    matrix.loc[edge.parcel, edge.other] = matrix.loc[edge.other, edge.parcel] = edge.pattern
colours = dict(zip(sorted(set(atlas.networks)), plt.get_cmap("tab10").colors, strict=False))
figure = plt.figure(figsize=(9, 3.4))
plot_connectome(
    matrix.to_numpy(), atlas.positions, node_color=[colours[name] for name in atlas.networks],
    node_size=12, figure=figure, edge_kwargs={"linewidth": 1},
    title="Edges most associated with the prediction",
)  # fmt: skip
plt.show()
