"""What a prediction from EEG rests on: a planted band at planted electrodes is found and drawn."""

from dataclasses import replace

import mne
import numpy as np
import pandas as pd
import pytest

from brainfm.config import EvaluateConfig
from brainfm.recording import Recording
from brainfm.stages.evaluate.design import build_design
from brainfm.stages.evaluate.importance_bands import band_importance
from brainfm.stages.evaluate.run import evaluate_outputs
from brainfm.stages.report.group import write_group_report

NAMES = ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2")
PLANTED = ("O1", "O2")


@pytest.fixture(scope="module")
def recordings():
    """Twenty people; every second one has more alpha at the back of the head."""
    places = mne.channels.make_standard_montage("colin27_1005").get_positions()["ch_pos"]
    times_s, made = np.arange(1500) / 100, []
    for number in range(20):
        rng = np.random.default_rng(number)
        signal = rng.normal(size=(len(times_s), len(NAMES)))
        alpha = 0.6 * (number % 2) * np.sin(2 * np.pi * 10 * times_s)
        signal[:, np.isin(NAMES, PLANTED)] += alpha[:, None]
        made.append(
            Recording.from_array(
                1e-5 * signal, sampling_hz=100, modality="eeg", channels=NAMES,
                positions=np.array([places[name] for name in NAMES]),
                participant=f"{number:02d}", dataset="d",
            )
        )  # fmt: skip
    return made


def evaluated(recordings, out, groups):
    people = pd.DataFrame(
        {
            "participant_id": [f"sub-{one.participant}" for one in recordings],
            "group": np.tile(groups, 20)[:20],
        }
    )
    config = EvaluateConfig(target="group", n_splits=3, n_permutations=0, n_episodes=0)
    return evaluate_outputs(out, config, recordings=recordings, participants=people)


def test_the_planted_band_and_electrodes_have_the_largest_importance(recordings, tmp_path):
    evaluated(recordings, tmp_path, ["few", "much"])
    bands = pd.read_csv(tmp_path / "group/bands.tsv", sep="\t").set_index("band")
    assert bands["drop"].idxmax() == "alpha"
    assert bands["drop"].drop("alpha").abs().max() < bands["drop"]["alpha"] / 2
    sensors = pd.read_csv(tmp_path / "group/sensors.tsv", sep="\t")
    strongest = sensors.loc[sensors["pattern"].abs().nlargest(2).index]
    assert set(strongest["channel"]) == set(PLANTED)
    assert set(strongest["band"]) == {"alpha"}
    assert (strongest["pattern"] > 0.5).all()
    page = write_group_report(tmp_path).read_text(encoding="utf8")
    assert "Patterns of the electrodes" in page
    assert "higher log band power for predictions of much" in page
    assert (tmp_path / "group/figures/sensors.svg").exists()


def test_three_classes_have_no_pattern(recordings, tmp_path):
    evaluated(recordings, tmp_path, ["a", "b", "c"])
    assert not len(pd.read_csv(tmp_path / "group/bands.tsv", sep="\t"))
    page = write_group_report(tmp_path).read_text(encoding="utf8")
    assert "Permutation importance of frequency bands" not in page


def test_sites_without_common_channels_skip_the_importance_with_a_warning(recordings, caplog):
    other = tuple(f"E{number}" for number in range(10))
    mixed = [replace(one, channels=other) if n < 10 else one for n, one in enumerate(recordings)]
    people = pd.DataFrame({
        "participant_id": [f"sub-{one.participant}" for one in mixed],
        "group": ["a", "b"] * 10,
        "site": np.repeat(["x", "y"], 10),
    })  # fmt: skip
    design = build_design(EvaluateConfig(target="group", groups="site"), mixed, participants=people)
    bands, sensors = band_importance(design, seed=0)
    assert bands.empty
    assert sensors.empty
    assert (
        "the importance of frequency bands was not computed: the 20 training recordings"
        in caplog.text
    )
