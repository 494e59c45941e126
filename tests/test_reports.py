"""Reports: content, missing and damaged files, and escaping of text from the data."""

import json
import re
from html.parser import HTMLParser

import jinja2
import numpy as np
import pandas as pd
import pytest
from test_evaluation import MeanPower

from brainfm.config import EvaluateConfig
from brainfm.recording import Recording
from brainfm.stages.evaluate.run import evaluate_outputs
from brainfm.stages.report.group import write_group_report
from brainfm.stages.report.participant import write_participant_report
from brainfm.stages.report.usual import format_measure
from brainfm.storage.lock import WorkLock

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8ff"
    "ff3f0005fe02fea73581e40000000049454e44ae426082"
)
EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """Tags, ids, links and text of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.ids, self.links, self.sources, self.text = [], [], [], [], ""
        self.alts = []
        self.html = path.read_text(encoding="utf8")
        self.feed(self.html)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []
        self.sources += [attrs["src"]] if "src" in attrs else []
        self.alts += [attrs.get("alt", "")] if tag == "img" else []

    def handle_data(self, data):
        self.text += data

    @property
    def words(self):
        return re.sub(r"\s+", " ", self.text)


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))


def figure(folder, name, title="A title", caption="A caption."):
    put(folder / f"{name}.png", PNG)
    put(folder / f"{name}.json", {"title": title, "caption": caption})


@pytest.fixture
def out(tmp_path):
    """Output of one person with BOLD and two EEG runs, as the stages write it."""
    return make_out(tmp_path)


def make_out(tmp_path):
    """Fill a folder as the stages do."""
    person = tmp_path / "sub-01"
    figures = person / "figures"
    figure(figures, "sub-01_desc-normalisation_T1w", "T1w on the template")
    figure(figures, "sub-01_task-rest_desc-carpet_bold", "Motion and carpet")
    put(
        person / "func/sub-01_task-rest_desc-bold_qc.json",
        {"fd_mean_mm": 0.1234, "tsnr_median": 51.26, "dice_template": 0.934,
         "n_parcels_covered": 97, "n_parcels": 100, "n_volumes": 100, "repetition_time_s": 2.0},
    )  # fmt: skip
    put(
        person / "anat/sub-01_space-MNI152NLin2009aSym_desc-brain_mask.json",
        {"Type": "Brain", "DiceTemplate": 0.9512},
    )
    put(
        person / "func/sub-01_task-rest_space-MNI_atlas-A_desc-denoised_timeseries.json",
        {"Coverage": {"LH_Vis_1": 1.0, "LH_Limbic_2": 0.31},
         "Confounds": ["trans_x", "a_comp_cor_00", "a_comp_cor_01"],
         "n_confounds": 29, "n_confound_components": 8,
         "Denoising": {"Strategy": "24P+aCompCor", "VolumesDroppedAtStart": 4,
                       "CensoredAbove": {"FramewiseDisplacement": 0.4, "StandardisedDVARS": 1.5}},
         "SoftwareFilters": {"HighPass": {"CutOff (Hz)": 0.01},
                             "LowPass": {"CutOff (Hz)": 0.12}}},
    )  # fmt: skip
    for task, alpha in (("eyesopen", 0.13), ("eyesclosed", 0.71)):
        put_eeg(person, f"sub-01_task-{task}", alpha)
    put(
        person / "status.json",
        {"participant": "01", "state": "failed", "recordings": {
            "sub-01_task-rest_bold": {"state": "done"},
            "sub-01_task-music_bold": {"state": "failed", "error": "it broke: fix it.",
                                       "crash_file": "logs/1/crash/crash-01.txt"}}},
    )  # fmt: skip
    put(
        tmp_path / "dataset_description.json",
        {"SourceDatasets": [{"Version": "A dataset"}], "DatasetType": "derivative"},
    )
    return tmp_path


def put_eeg(person, stem, alpha):
    """Figures, quality, embedding and sidecar of one EEG run."""
    figure(person / "figures", f"{stem}_desc-psd_eeg", "Power spectra")
    put(
        person / f"eeg/{stem}_desc-eeg_qc.json",
        {"n_channels": 64, "n_bad_channels": 1, "bad_channels": ["T8"],
         "bad_channel_reasons": ["flat"], "n_ica_removed": 2, "n_ica_components": 30,
         "alpha_relative_occipital": alpha, "duration_s": 60.0},
    )  # fmt: skip
    put(
        person / f"eeg/{stem}_desc-tiny_embedding.json",
        {"ModelName": "tiny", "ModelSHA256": "ab" * 32, "SeenInTraining": True},
    )
    np.save(
        person / f"eeg/{stem}_desc-tiny_embedding.npy",
        np.random.default_rng(round(100 * alpha)).normal(size=16).astype(np.float32),
    )
    put(
        person / f"eeg/{stem}_desc-preproc_eeg.json",
        {"SoftwareFilters": {"Notch": {"FrequenciesHz": [60.0]},
                             "BandPass": {"HighPassHz": 0.5, "LowPassHz": 75.0}},
         "SamplingFrequency": 200.0, "EEGReference": "average",
         "ArtefactRemoval": {"Method": "ICA", "ProbabilityThreshold": 0.8, "RandomSeed": 0}},
    )  # fmt: skip


class TestParticipant:
    def test_figures_measures_and_methods_are_shown(self, out):
        page = Page(write_participant_report(out, "sub-01"))
        for words in (
            "sub-01", "A dataset", "Motion and carpet", "T1w on the template", "Power spectra",
            "0.123", "51.3", "0.934", "97 of 100", "1 of 64", "2 of 30", "T8 (flat)",
            "0.71 with eyes closed and 0.13 with eyes open (ratio 5.5)",
            "increase with eyes closed that is expected in most people is present",
            "pretrained on recordings of this participant",
            "0.951", "less than half of their voxels in the field of view: LH_Limbic_2 (31 %)",
            "band-passed from 0.01 to 0.12 Hz", "1 motion parameters", "2 aCompCor components",
            "(strategy 24P+aCompCor)",
            "before the steady state were removed at the start",
            "a framewise displacement above 0.4 mm or a standardised DVARS above 1.5 were censored",
            "the 29 confounds were reduced to their 8 largest principal components",
            "band-passed from 0.5 to 75 Hz", "ICLabel", "mne 1.",
        ):  # fmt: skip
            assert words in page.words, words

    def test_failures_are_shown_with_their_crash_files(self, out):
        path = write_participant_report(out, "01", errors=["something else went wrong."])
        page = Page(path)
        assert path == out / "sub-01.html"
        assert "2 steps failed" in page.words
        assert "sub-01_task-music_bold: it broke: fix it." in page.words
        assert "logs/1/crash/crash-01.txt" in page.words
        assert "something else went wrong." in page.words

    @pytest.mark.parametrize(
        ("engine", "folder"), [("fmriprep", "sourcedata/fmriprep"), ("derivatives", "../fp")]
    )
    def test_the_text_of_fmriprep_for_a_paper_is_shown(self, out, engine, folder):
        (quality,) = out.glob("sub-01/**/func/*_qc.json")
        put(quality, {"engine": engine})
        for series in out.glob("sub-01/**/func/*_timeseries.json"):
            put(series, {"Engine": engine})
        put(out / "dataset_description.json", {"DatasetLinks": {"raw": "../raw", "fp": "../fp"}})
        put(out / folder / "logs" / "CITATION.md", f"Preprocessed with *fMRIPrep* {EVIL}")
        page = Page(write_participant_report(out, "01"))
        assert f"Preprocessed with *fMRIPrep* {EVIL}" in page.text
        assert EVIL not in page.html

    def test_a_killed_call_is_interrupted_and_only_a_live_one_is_running(self, out):
        put(out / "sub-01/status.json", {"state": "running", "recordings": {}})
        page = Page(write_participant_report(out, "01"))
        assert "interrupted: run the same command again to continue" in page.words
        lock = WorkLock(out, "sub-01").acquire()
        page = Page(write_participant_report(out, "01"))
        lock.release()
        assert "running" in page.words
        assert "interrupted" not in page.words

    def test_missing_outputs_are_listed(self, out):
        page = Page(write_participant_report(out, "01"))
        assert (
            "sub-01_task-music_bold: no quality measures, no figures, no embedding." in page.words
        )
        assert "sub-01_task-rest_bold: no embedding." in page.words

    def test_the_page_loads_nothing_and_runs_nothing(self, out):
        page = Page(write_participant_report(out, "01"))
        assert "script" not in page.tags
        assert "link" not in page.tags
        assert all(source.startswith("data:image/") for source in page.sources)
        outside = [link for link in page.links if not link.startswith("#")]
        assert all(link.startswith("https://doi.org/") for link in outside)
        assert "url(" not in page.html

    def test_links_have_targets_and_images_have_alternative_text(self, out):
        page = Page(write_participant_report(out, "01"))
        anchors = {link[1:] for link in page.links if link.startswith("#")}
        assert anchors <= set(page.ids)
        assert len(page.ids) == len(set(page.ids))
        assert page.sources
        assert all(page.alts)

    def test_an_empty_output_gives_a_page(self, tmp_path):
        page = Page(write_participant_report(tmp_path, "09"))
        assert "The output folder has no results of this participant yet." in page.words
        assert "no status.json" in page.words

    @pytest.mark.parametrize(
        "broken", ["{", "[]", '"text"', b"\xff\xfe\x00", '{"recordings": []}', '{"recordings": 3}']
    )
    def test_damaged_files_do_not_prevent_the_report(self, out, broken):
        for path in [*out.rglob("*.json")]:
            put(path, broken)
        for path in out.rglob("*.npy"):
            put(path, b"no array")
        page = Page(write_participant_report(out, "01"))
        assert "sub-01" in page.words

    def test_text_from_the_data_never_becomes_markup(self, out):
        person = out / "sub-01"
        put(person / "eeg/sub-01_task-eyesopen_desc-eeg_qc.json",
            {"bad_channels": [EVIL], "note": EVIL, "n_channels": 3})  # fmt: skip
        figure(person / "figures", "sub-01_task-rest_desc-carpet_bold", EVIL, f'"onload={EVIL}')
        put(person / "figures/sub-01_task-rest_desc-x_bold.svg",
            f"<svg xmlns='http://www.w3.org/2000/svg'>{EVIL}</svg>")  # fmt: skip
        put(out / "dataset_description.json", {"SourceDatasets": [{"Version": EVIL}]})
        page = Page(write_participant_report(out, "01", errors=[EVIL]))
        assert "script" not in page.tags
        assert EVIL in page.words

    def test_a_synthetic_participant_is_marked(self, out):
        page = Page(write_participant_report(out, "01"))
        assert "synthetic: simulated signals" not in page.words
        put(out / "participants.tsv", "participant_id\tkind\tname\nsub-01\tsynthetic\tJane Doe\n")
        page = Page(write_participant_report(out, "01"))
        assert "synthetic: simulated signals" in page.words
        assert "Jane Doe" not in page.words

    def test_a_missing_alpha_increase_is_reported(self, out):
        for task, alpha in (("eyesopen", 0.4), ("eyesclosed", 0.2)):
            put(out / f"sub-01/eeg/sub-01_task-{task}_desc-eeg_qc.json",
                {"alpha_relative_occipital": alpha})  # fmt: skip
        page = Page(write_participant_report(out, "01"))
        assert "most people is absent. Check the task labels" in page.words

    def test_writing_twice_gives_the_same_bytes(self, out):
        first = write_participant_report(out, "01").read_bytes()
        assert write_participant_report(out, "01").read_bytes() == first


@pytest.mark.parametrize(
    ("quality", "measure", "text"),
    [
        ({"fd_mean_mm": 0.12345}, {"key": "fd_mean_mm", "form": "3"}, "0.123"),
        ({"share": 0.256}, {"key": "share", "form": "%"}, "26"),
        ({"n": 97, "n_all": 100}, {"key": "n", "form": "0", "total": "n_all"}, "97 of 100"),
        ({"x": None}, {"key": "x", "form": "2"}, "n/a"),
        ({"x": "text"}, {"key": "x", "form": "2"}, "n/a"),
        ({}, {"key": "x", "form": "2"}, "n/a"),
    ],
)
def test_measures_are_formatted(quality, measure, text):
    assert format_measure(quality, measure) == text


def test_citations_are_numbered_by_first_use():
    references = {}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("brainfm", "data/reports"), autoescape=True
    )
    marked = environment.from_string(
        '{% from "parts.html" import cite with context %}'
        'a{{ cite("power2012") }}. b{{ cite("friston1996", "power2012") }}.'
    ).render(references=references)
    assert re.findall(r"<a href=\"#reference-(\d)\">\1</a>", marked) == ["1", "2", "1"]
    assert list(references) == ["power2012", "friston1996"]


def test_references_are_listed_in_the_order_of_their_citations(evaluated):
    for path in (write_participant_report(evaluated, "01"), write_group_report(evaluated)):
        page = Page(path)
        cited = dict.fromkeys(link for link in page.links if link.startswith("#reference-"))
        assert list(cited) == [f"#reference-{number}" for number in range(1, len(cited) + 1)]
        assert [f"#{one}" for one in page.ids if one.startswith("reference-")] == list(cited)
        assert len(cited) >= 3


def eeg(participant, task, seed, alpha):
    rng = np.random.default_rng(seed)
    times = np.arange(6000) / 100
    signal = rng.normal(size=(6000, 3)) + alpha * np.sin(2 * np.pi * 10 * times)[:, None]
    return Recording.from_array(
        1e-5 * signal, sampling_hz=100, modality="eeg", participant=participant, task=task,
        positions=np.linspace(-0.08, 0.08, 9).reshape(3, 3), dataset=EVIL,
    )  # fmt: skip


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Output with an evaluation, a corpus and a pretrained model."""
    out = make_out(tmp_path_factory.mktemp("evaluated"))
    pair = [eeg("01", "eyesopen", 1, 0), eeg("01", "eyesclosed", 2, 1.5)]
    config = EvaluateConfig(contrast=("eyesopen", "eyesclosed"), n_permutations=20)
    evaluate_outputs(out, config, recordings=pair)
    columns = ["dataset", "participant", "site", "modality", "split", "n_times", "sampling_hz"]
    rows = [[EVIL, "01", None, "eeg", "train", 12000, 200.0]]
    (out / "group/corpus").mkdir()
    pd.DataFrame(rows, columns=columns).to_csv(
        out / "group/corpus/manifest.tsv", sep="\t", index=False, na_rep="n/a"
    )
    training = {"n_participants": 1, "participants": ["abc"]}
    put(out / "models/tiny/config.json", {"preset": "nano", "training": training})
    put(out / "models/tiny/history.json",
        [{"train_loss": 1 / n, "connectivity_eeg_explained": n / 10, "effective_rank": 5}
         for n in range(1, 4)])  # fmt: skip
    put(out / "models/tiny/README.md", f"# A card {EVIL}")
    write_participant_report(out, "01")
    return out


def test_evaluated_rows_are_mapped_and_coloured_by_columns(tmp_path):
    people = pd.DataFrame({
        "participant_id": [f"sub-{number:02d}" for number in range(10)],
        "group": ["a", "b"] * 5,
        "age": range(20, 30),
        "iq": range(95, 105),
        "remark": ["the same for all"] * 10,
    })  # fmt: skip
    recordings = [eeg(f"{number:02d}", "rest", number, number % 2) for number in range(10)]
    config = EvaluateConfig(target="group", n_splits=2, n_permutations=0, n_episodes=0)
    evaluate_outputs(
        tmp_path, config, recordings=recordings, participants=people, embedder=MeanPower()
    )
    write_group_report(tmp_path)
    numbers = pd.read_csv(tmp_path / "group/figures/maps.tsv", sep="\t")
    assert {"pc1", "pc2", "participant", "group", "age", "iq"} <= set(numbers)
    assert list(numbers["age"]) == list(range(20, 30))
    assert "remark" not in numbers
    titles = re.findall("<!-- (.*?) -->", (tmp_path / "group/figures/maps.svg").read_text())
    assert {"group", "age", "iq"} <= set(titles)


def test_classes_that_look_like_numbers_are_counted_in_the_figures(tmp_path):
    people = pd.DataFrame({
        "participant_id": [f"sub-{number:02d}" for number in range(12)],
        "cdr": [0, 0.5, 1] * 4,
    })  # fmt: skip
    recordings = [eeg(f"{number:02d}", "01", number, number % 3) for number in range(12)]
    config = EvaluateConfig(target="cdr", n_splits=2, n_permutations=0, n_episodes=0)
    evaluate_outputs(tmp_path, config, recordings=recordings, participants=people)
    write_group_report(tmp_path)
    counts = pd.read_csv(tmp_path / "group/figures/confusion.tsv", sep="\t").iloc[:, 1:]
    assert counts.to_numpy().sum() == 12


class TestGroup:
    def test_the_result_comes_first_and_all_sections_follow(self, evaluated):
        page = Page(write_group_report(evaluated))
        answer = page.words.index("eyesopen and eyesclosed can be distinguished from EEG with")
        assert answer < page.words.index("All methods on the same folds")
        for words in (
            "ROC AUC", "95 % interval", "not for unseen participants",
            "log band power", "Riemannian tangent space", "dummy estimator",
            "Scores by fold", "Permutation test", "Confusion matrix",
            "Embeddings of EEG, model tiny",
            "occipital alpha", "0.71", "1 recording, 0.02 h", "Pretraining of tiny",
            "A card", "n participants", "permutations of the labels",
        ):  # fmt: skip
            assert words in page.words, words
        assert "sub-01.html" in page.links

    def test_figures_are_written_with_their_data(self, evaluated):
        page = Page(write_group_report(evaluated))
        folder = evaluated / "group/figures"
        names = {path.stem for path in folder.glob("*.svg")}
        assert {"methods", "roc", "confusion", "folds", "permutation", "embedding_eeg"} <= names
        assert names == {path.stem for path in folder.glob("*.tsv")}
        linked = [link for link in page.links if link.endswith(".tsv")]
        assert linked
        assert all((evaluated / link).is_file() for link in linked)
        scores = pd.read_csv(folder / "methods.tsv", sep="\t")
        assert scores["value"].between(0, 1).all()

    def test_the_page_has_no_markup_from_the_data(self, evaluated):
        page = Page(write_group_report(evaluated))
        assert "script" not in page.tags
        assert EVIL in page.words
        assert all(source.startswith("data:image/") for source in page.sources)
        anchors = {link[1:] for link in page.links if link.startswith("#")}
        assert anchors <= set(page.ids)

    def test_writing_twice_gives_the_same_bytes(self, evaluated):
        first = write_group_report(evaluated).read_bytes()
        assert write_group_report(evaluated).read_bytes() == first

    def test_without_an_evaluation_the_options_are_named(self, out):
        page = Page(write_group_report(out))
        assert "Nothing was evaluated" in page.words
        assert "--contrast TASK TASK" in page.words

    def test_an_empty_output_gives_a_page(self, tmp_path):
        page = Page(write_group_report(tmp_path))
        assert "The output folder has no participants." in page.words

    def test_many_recordings_are_mapped_on_two_components(self, out):
        rng = np.random.default_rng(0)
        for number in range(10):
            stem = f"sub-{number:02d}/eeg/sub-{number:02d}_task-rest_desc-tiny_embedding"
            put(out / f"{stem}.json", {"ModelName": "tiny"})
            np.save(out / f"{stem}.npy", rng.normal(size=16).astype(np.float32))
        write_group_report(out)
        found = pd.read_csv(out / "group/figures/embedding_eeg.tsv", sep="\t")
        assert {"pc1", "pc2"} <= set(found)
        assert len(found) == 12

    def test_regression_and_three_classes_have_their_own_figures(self, tmp_path):
        recordings = [eeg(f"{i:02d}", "rest", i, i / 10) for i in range(12)]
        people = pd.DataFrame({
            "participant_id": [f"sub-{i:02d}" for i in range(12)],
            "age": np.arange(12) + 20.0,
            "group": np.repeat(["a", "b", "c"], 4),
        })  # fmt: skip
        put(tmp_path / "group/figures/roc.svg", "of an earlier evaluation")
        for target, title in (("age", "Predicted against true"), ("group", "Confusion matrix")):
            config = EvaluateConfig(target=target, n_splits=3, n_permutations=5)
            evaluate_outputs(tmp_path, config, recordings=recordings, participants=people)
            page = Page(write_group_report(tmp_path))
            assert title in page.words
            assert (tmp_path / "group/figures/confusion.svg").is_file()
            assert not (tmp_path / "group/figures/roc.svg").exists()
            assert "Estimated for unseen participants" in page.words


def test_values_and_units_are_not_separated_by_line_breaks(out):
    page = write_participant_report(out, "01").read_text(encoding="utf8")
    assert "LH_Limbic_2 (31\u00a0%)" in page
    assert "from 0.5 to 75\u00a0Hz" in page
    assert "60\u00a0s" in page
