"""The model card of a checkpoint, written from what its ``config.json`` says."""

_TEXT = """# {name}

An encoder of resting-state fMRI and EEG, pretrained without labels by brainfm {version}.

```python
from brainfm import BrainEmbedder, load_recordings

vectors = BrainEmbedder.from_pretrained("{name}").transform(load_recordings("derivatives"))
```

- **Input**: BOLD parcel series of any atlas and TR, with centroids in MNI millimetres; EEG of any
  montage, with electrode positions in metres. At least 12 s of BOLD or 1 s of EEG.
- **Output**: one float32 vector a recording; `brainfm.models.readout` says what each part holds.
- **Architecture**: preset `{preset}`, {n_parameters} parameters; sizes in `config.json`.
- **Objective**: `{objective}`, {max_epochs} epochs, batch {batch_size}, learning rate
  {learning_rate:g}, seed {seed}; every epoch in `history.json`.
- **Trained on**: {recordings} of {n_participants} participants, from {datasets}. `config.json`
  holds a hash of each of them, so that evaluation can tell overlap without naming anyone.
- **Licence of the weights**: {licence}.
- **Intended use**: research on groups of people. Not for decisions about a person.

| on recordings | {columns} |
|---|{rules}|
| trained on, last epoch | {last} |
| kept apart | {apart} |

`*_explained` is the share of variance predicted: 0 is as good as predicting the mean.
"""


def model_card(name, info, history, *, version, n_parameters):
    """Write the card of a checkpoint.

    Parameters
    ----------
    name : str
    info : dict
        As it stands in ``config.json``.
    history : list of dict
        One entry an epoch.
    version : str
        Of brainfm.
    n_parameters : int

    Returns
    -------
    card : str
        Markdown.
    """
    training, apart = info["training"], info.get("validation") or {}
    last = history[-1] if history else {}
    watched = [one for one in last if one.endswith("_explained")] + ["effective_rank"]
    counts = [
        f"{number} {modality.upper()} recordings ({training['hours'][modality]:g} h)"
        for modality, number in training["n_recordings"].items()
        if number
    ]
    return _TEXT.format(
        name=name,
        version=version,
        preset=info["preset"],
        n_parameters=f"{n_parameters:,}",
        objective=info["objective"],
        recordings=" and ".join(counts),
        datasets="; ".join(training["datasets"]),
        licence=info.get("licence") or "not stated: it follows that of the data",
        columns=" | ".join(watched),
        rules="|".join("---" for _ in watched),
        last=" | ".join(_number(last.get(one)) for one in watched),
        apart=" | ".join(_number(apart.get(one)) for one in watched),
        **{key: training[key] for key in (
            "max_epochs", "batch_size", "learning_rate", "seed", "n_participants",
        )},
    )  # fmt: skip


def _number(value):
    return "n/a" if value is None else f"{value:.3g}"
