"""Quality in the reports: usual ranges, outliers, tables of a group, exclusions and figures."""

import logging
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from test_reports import EVIL, PNG, Page, figure, put

from brainfm.cli.reports import write_reports
from brainfm.files import read_json, read_tsv
from brainfm.stages.report.collect import RecordingOutputs
from brainfm.stages.report.group import write_group_report
from brainfm.stages.report.outliers import outlier_sides
from brainfm.stages.report.participant import write_participant_report
from brainfm.stages.report.render import REPORTS
from brainfm.stages.report.usual import notes_of, quality_words, side_of, usual_text
from brainfm.storage.derivatives.exclusions import read_exclusions
from brainfm.storage.derivatives.labels import labels_of

USUAL = {
    "n_volumes": 200, "duration_s": 400.0, "repetition_time_s": 2.0, "fd_mean_mm": 0.12,
    "fd_max_mm": 0.6, "fd_share_above_threshold": 0.01, "dvars_mean": 30.0, "tsnr_median": 60.0,
    "dice_template": 0.96, "dice_bold_t1w": 0.92, "n_parcels": 100, "n_parcels_covered": 99,
    "connectivity_mean": 0.15,
}  # fmt: skip


def put_run(out, label, entities="task-rest", **quality):
    stem = f"sub-{label}_{entities}"
    put(out / f"sub-{label}/func/{stem}_desc-bold_qc.json", USUAL | quality)


@pytest.fixture
def group(tmp_path):
    return make_group(tmp_path)


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    """Folder and page of a group report."""
    out = make_group(tmp_path_factory.mktemp("reported"))
    return out, Page(write_group_report(out))


def make_group(tmp_path):
    """Twenty runs; sub-03 moves, sub-04 has fewer volumes, sub-05 an outlier within the range."""
    put(tmp_path / "dataset_description.json", {"Name": "a study", "DatasetType": "derivative"})
    changes = {
        3: {"fd_mean_mm": 0.82}, 4: {"n_volumes": 120, "duration_s": 240.0},
        5: {"tsnr_median": 25.0},
    }  # fmt: skip
    for number in range(1, 21):
        varied = {"fd_mean_mm": 0.1 + number / 400, "tsnr_median": 60 + number / 4}
        put_run(tmp_path, f"{number:02d}", **(varied | changes.get(number, {})))
    return tmp_path


class TestUsualRanges:
    def test_each_range_has_an_order_and_a_source_that_exists(self):
        citations = read_json(REPORTS / "citations.json")
        measures = [one for kind in ("T1w", "bold", "eeg") for one in quality_words()[kind]]
        ranges = [one["usual"] for one in measures if "usual" in one]
        assert len(ranges) > 10
        for kind in ("T1w", "bold", "eeg"):
            keys = [one["key"] for one in quality_words()[kind]]
            assert len(keys) == len(set(keys))
        assert all(low is not None or high is not None for low, high in ranges)
        assert all(low < high for low, high in ranges if None not in (low, high))
        assert {one["source"] for one in measures if "source" in one} <= set(citations)

    @pytest.mark.parametrize(
        ("value", "side"), [(0.5, ""), (0.501, "high"), (-1, ""), (None, ""), (np.nan, "")]
    )
    def test_the_limit_itself_is_usual_and_a_missing_value_is_not_judged(self, value, side):
        measure = {"key": "x", "form": "2", "unit": "mm", "usual": [None, 0.5]}
        assert side_of({"x": value}, measure) == side
        assert usual_text(measure) == "at most 0.5 mm"

    def test_a_count_is_compared_as_a_share_of_its_total(self):
        measure = {"key": "n", "total": "all", "form": "0", "unit": "", "usual": [0.9, None]}
        assert side_of({"n": 44, "all": 50}, measure) == "low"
        assert side_of({"n": 88, "all": 90}, measure) == ""
        assert side_of({"n": 0, "all": 0}, measure) == ""
        assert usual_text(measure) == "at least 90 %"

    def test_a_value_outside_is_marked_in_words_and_colour_with_range_and_source(self, tmp_path):
        put_run(tmp_path, "01", fd_mean_mm=0.82, n_parcels_covered=80)
        page = Page(write_participant_report(tmp_path, "01"))
        html = page.html.replace("\u00a0", " ")
        assert '<td class="num outside">0.820 <b>high</b></td>' in html
        assert '<td class="num outside">80 of 100 <b>low</b></td>' in html
        assert html.count('class="num outside"') == 2
        assert "at most 0.5 mm" in html
        assert "Spurious but systematic correlations" in html
        assert "at least 90 % <small>(convention)</small>" in html
        assert "mean framewise displacement (FD) 0.820 mm (usual: at most 0.5 mm)" in html

    def test_nothing_is_marked_when_all_is_usual(self, tmp_path):
        put_run(tmp_path, "01")
        page = Page(write_participant_report(tmp_path, "01"))
        assert "num outside" not in page.html
        assert "Outside the usual range" not in page.words

    def test_the_log_names_what_is_outside(self, tmp_path, caplog):
        put_run(tmp_path, "01", fd_mean_mm=0.82)
        put_run(tmp_path, "02")
        job = SimpleNamespace(output_dir=tmp_path, log=logging.getLogger("brainfm.test"))
        with caplog.at_level(logging.WARNING, logger="brainfm.test"):
            write_reports(job, ["01", "02"], changed=["01", "02"], errors={})
        (message,) = caplog.messages
        assert "sub-01_task-rest_bold: mean framewise displacement (FD) 0.820 mm" in message


class TestNotes:
    @pytest.fixture
    def words(self, monkeypatch):
        notes = [
            {"key": "n_dropped", "text": "{n_dropped} of {n_all} volumes dropped."},
            {"key": "is_corrected", "when": False, "text": "No correction.", "is_warning": True},
        ]
        words = {"notes": {"bold": notes}, "lists": []}
        monkeypatch.setattr("brainfm.stages.report.usual.quality_words", lambda: words)

    @pytest.mark.parametrize(
        ("quality", "sidecar", "texts"),
        [
            ({}, {}, []),
            ({"n_dropped": 0}, {"is_corrected": True}, []),
            ({"n_dropped": 4, "n_all": 90}, {}, ["4 of 90 volumes dropped."]),
            ({}, {"n_dropped": 4}, ["4 of n/a volumes dropped."]),
            ({}, {"is_corrected": False}, ["No correction."]),
        ],
    )
    def test_values_of_quality_and_sidecars_become_sentences(self, words, quality, sidecar, texts):
        run = RecordingOutputs(stem="sub-01", suffix="bold", quality=quality, sidecar=sidecar)
        assert [note["text"] for note in notes_of(run)] == texts

    def test_sentences_of_sidecars_and_the_chosen_t1w_image_are_shown(self, tmp_path):
        put_run(tmp_path, "01")
        stem = "sub-01/func/sub-01_task-rest"
        put(tmp_path / f"{stem}_desc-preproc_bold.json",
            {"Notes": ["2 volumes are empty."],
             "Sources": ["bids:raw:sub-01/func/sub-01_task-rest_bold.nii.gz",
                         "bids:raw:sub-01/anat/sub-01_run-2_T1w.nii.gz"]})  # fmt: skip
        put(tmp_path / f"{stem}_atlas-A_desc-denoised_timeseries.json",
            {"Sources": ["bids::x"],
             "Denoising": {"Notes": ["One component is missing."]}})  # fmt: skip
        page = Page(write_participant_report(tmp_path, "01"))
        assert "2 volumes are empty." in page.words
        assert "One component is missing." in page.words
        assert "Normalised with sub-01_run-2_T1w.nii.gz." in page.words

    def test_volumes_removed_and_censored_are_shown_with_the_time_left(self, tmp_path):
        put_run(tmp_path, "01", n_dropped=4, n_censored=30, n_kept=166, minutes_kept=3.5)
        page = Page(write_participant_report(tmp_path, "01"))
        assert "4 volumes at the start were removed" in page.words
        assert "30 motion outliers were censored" in page.words
        assert '<td class="num outside">3.5 <b>low</b></td>' in page.html

    def test_notes_stand_in_both_reports(self, group):
        put(group / "sub-01/func/sub-01_task-rest_desc-preproc_bold.json",
            {"SliceTimingCorrected": False})  # fmt: skip
        text = "Slice timing was not corrected."
        assert text in Page(write_participant_report(group, "01")).words
        assert f"{text} (1 of 20 recordings)" in Page(write_group_report(group)).words


class TestOutliers:
    def test_only_values_beyond_the_fences_of_tukey_are_outliers(self):
        values = pd.Series([*np.linspace(10, 12, 21), 15.1, 14.9, 6.0, np.nan])
        first, third = values.quantile([0.25, 0.75])
        beyond = (values < first - 1.5 * (third - first)) | (values > third + 1.5 * (third - first))
        sides = outlier_sides(values)
        assert list(sides[beyond]) == ["high", "high", "low"]
        assert (sides[~beyond] == "").all()

    def test_few_values_and_equal_quartiles_have_no_outliers(self):
        assert (outlier_sides(pd.Series([1.0] * 8 + [100.0])) == "").all()
        assert (outlier_sides(pd.Series([0.0] * 30 + [1.0] * 3)) == "").all()

    def test_a_protocol_that_differs_from_most_runs_is_an_outlier(self):
        sides = outlier_sides(pd.Series([200.0] * 11 + [180.0, 210.0]), is_protocol=True)
        assert list(sides[-3:]) == ["", "low", "high"]


class TestGroup:
    def test_the_table_has_one_row_per_run_with_all_labels_and_measures(self, group):
        put_run(group, "01", "ses-2_task-rest_acq-fast_dir-AP_run-02", tsnr_median=41.0)
        write_group_report(group)
        table = read_tsv(group / "group_bold.tsv", dtype=str, keep_default_na=False)
        assert len(table) == 21
        row = table[table["bids_name"] == "sub-01_ses-2_task-rest_acq-fast_dir-AP_run-02_bold"]
        found = row.iloc[0].to_dict()
        labels = {"participant_id": "sub-01", "session_id": "ses-2", "task": "rest",
                  "acquisition": "fast", "direction": "AP", "run": "02"}  # fmt: skip
        assert found.items() >= labels.items()
        assert {key: float(found[key]) for key in USUAL} == USUAL | {"tsnr_median": 41.0}

    def test_the_sidecar_describes_every_column(self, reported):
        group, _ = reported
        columns = read_json(group / "group_bold.json")
        assert list(columns) == list(read_tsv(group / "group_bold.tsv"))
        assert all(len(one["Description"]) > 3 for one in columns.values())
        assert columns["fd_mean_mm"]["Units"] == "mm"
        assert columns["fd_mean_mm"]["UsualRange"]["Maximum"] == 0.5
        assert "Power" in columns["fd_mean_mm"]["UsualRange"]["Source"]
        assert columns["n_parcels_covered"]["UsualRange"]["ShareOf"] == "n_parcels"

    def test_who_is_outside_and_of_what_stands_in_the_table_and_on_the_page(self, reported):
        group, page = reported
        table = read_tsv(group / "group_bold.tsv", index_col="participant_id")
        outside, outlier = table["outside_usual"].dropna(), table["outlier"].dropna()
        assert outside.to_dict() == {"sub-03": "fd_mean_mm high", "sub-04": "duration_s low"}
        assert outlier.to_dict() == {
            "sub-03": "fd_mean_mm high", "sub-04": "n_volumes low; duration_s low",
            "sub-05": "tsnr_median low",
        }  # fmt: skip
        assert "2 of 20 recordings outside a usual range, 2 otherwise an outlier" in page.words
        assert "outside mean framewise displacement (FD) 0.820 mm" in page.words
        assert '<td class="num outlier">25.0 <b>outlier</b></td>' in page.html

    def test_runs_outside_are_proposed_for_exclusion_and_nothing_is_excluded(self, reported):
        group, page = reported
        proposed = read_tsv(group / "group/proposed_exclusions.tsv", index_col="participant_id")
        assert proposed["reason"].to_dict() == {
            "sub-03": "mean framewise displacement (FD) above 0.5 mm",
            "sub-04": "duration below 300 s",
        }
        assert set(proposed["modality"]) == {"bold"}
        assert "2 recordings are outside a usual range and not excluded" in page.words
        assert not (group / "group/excluded.tsv").exists()

    def test_the_proposal_is_an_exclusion_list_that_matches_the_runs_it_names(self, reported):
        group, _ = reported
        rows = read_exclusions(group / "group/proposed_exclusions.tsv")
        names = [f"sub-{number:02d}_task-rest_atlas-A_timeseries.tsv" for number in range(1, 21)]
        labels = [labels_of(group / name.partition("_")[0] / "func" / name) for name in names]
        matched = [one["participant"] for one in labels
                   if any(row.matches(one | {"modality": "bold"}) for row in rows)]  # fmt: skip
        assert matched == ["03", "04"]

    def test_a_protocol_that_most_runs_share_is_no_reason_to_exclude_them(self, tmp_path):
        for number in range(1, 5):
            put_run(tmp_path, f"0{number}", duration_s=240.0 if number < 4 else 200.0)
        write_group_report(tmp_path)
        proposed = read_tsv(tmp_path / "group/proposed_exclusions.tsv")
        assert list(proposed["participant_id"]) == ["sub-04"]

    def test_an_excluded_run_is_shown_with_its_reason_and_not_proposed_again(self, group):
        rows = [("a study", "03", "rest", "bold", "moved"), ("another", "04", "rest", "bold", "x"),
                ("a study", "04", "nback", "bold", "x")]  # fmt: skip
        names = ["dataset", "participant", "task", "modality", "reason"]
        (group / "group").mkdir()
        pd.DataFrame(rows, columns=names).to_csv(
            group / "group/excluded.tsv", sep="\t", index=False
        )
        page = Page(write_group_report(group))
        table = read_tsv(group / "group_bold.tsv", index_col="participant_id")
        assert table["excluded"].dropna().to_dict() == {"sub-03": "moved"}
        assert "1 left out by the exclusion list" in page.words
        proposed = read_tsv(group / "group/proposed_exclusions.tsv")
        assert list(proposed["participant_id"]) == ["sub-04"]

    def test_files_of_measures_that_are_gone_are_removed(self, group):
        write_group_report(group)
        for path in group.glob("sub-*/func/*_qc.json"):
            path.unlink()
        page = Page(write_group_report(group))
        assert not list(group.glob("group_*"))
        assert not (group / "group/proposed_exclusions.tsv").exists()
        assert 'id="quality"' not in page.html

    def test_a_damaged_list_of_excluded_runs_does_not_prevent_the_report(self, group):
        put(group / "group/excluded.tsv", b"\xff\xfe\x00")
        assert "outside a usual range" in Page(write_group_report(group)).words


class TestFigurePage:
    @pytest.fixture
    def drawn(self, group):
        for number in (1, 2, 3):
            folder = group / f"sub-0{number}/figures"
            figure(folder, f"sub-0{number}_desc-template_T1w", "T1w on the template")
            figure(folder, f"sub-0{number}_task-rest_desc-alignment_bold", "BOLD on T1w")
        put(group / "sub-03/figures/sub-03_task-rest_desc-carpet_bold.svg",
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 320"/>')  # fmt: skip
        return group

    def test_the_figures_of_all_participants_are_on_one_page_and_load_lazily(self, drawn):
        report = Page(write_group_report(drawn))
        page = Page(drawn / "group_figures.html")
        assert "group_figures.html" in report.links
        assert len(page.sources) == 7
        assert all((drawn / unquote(source)).is_file() for source in page.sources)
        assert page.html.count('loading="lazy"') == 7
        assert page.html.count('width="1" height="1"') == 6
        assert 'width="640" height="320"' in page.html
        assert page.words.index("T1w on the template") < page.words.index("BOLD on T1w")
        assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)
        assert len(page.html) < 20_000

    def test_what_is_outside_stands_at_the_figure(self, drawn):
        write_group_report(drawn)
        page = Page(drawn / "group_figures.html")
        assert "sub-03 rest outside mean framewise displacement (FD) 0.820 mm" in page.words

    def test_text_and_names_from_the_data_never_become_markup(self, drawn):
        folder = drawn / "sub-01/figures"
        figure(folder, "sub-01_task-rest_desc-alignment_bold", EVIL)
        (folder / 'sub-01_task-a"b_desc-carpet_bold.png').write_bytes(PNG)
        write_group_report(drawn)
        page = Page(drawn / "group_figures.html")
        assert "script" not in page.tags
        assert EVIL in page.words
        assert all((drawn / unquote(source)).is_file() for source in page.sources)


class TestMotion:
    """Motion raises the connectivity of near parcels before denoising only."""

    def put_matrices(self, out, label, fd_mm, rng):
        positions = np.random.default_rng(1).uniform(-60, 60, (12, 3))
        names = [f"parcel {number}" for number in range(12)]
        near = np.linalg.norm(positions[:, None] - positions[None], axis=2) < 60
        stem = f"sub-{label}_task-rest_space-MNI_atlas-A"
        put_run(out, label, fd_mean_mm=fd_mm)
        put(out / f"sub-{label}/func/{stem}_desc-denoised_timeseries.json",
            {"Positions": dict(zip(names, positions.tolist(), strict=True))})  # fmt: skip
        for desc, effect in (("preproc", 1.0), ("pearson", 0.0)):
            noise = rng.normal(scale=0.02, size=(12, 12))
            matrix = 0.2 + effect * fd_mm * near + (noise + noise.T) / 2
            table = pd.DataFrame(matrix, columns=names)
            table.insert(0, "Node", names)
            path = out / f"sub-{label}/func/{stem}_desc-{desc}_relmat.tsv"
            table.to_csv(path, sep="\t", index=False)

    def fill(self, out, n_participants):
        rng = np.random.default_rng(0)
        put(out / "dataset_description.json", {"Name": "a study"})
        for number, fd_mm in enumerate(np.linspace(0.05, 0.4, n_participants)):
            self.put_matrices(out, f"{number:02d}", float(fd_mm), rng)

    def test_qc_fc_before_and_after_denoising_is_shown_with_its_numbers(self, tmp_path):
        self.fill(tmp_path, 30)
        page = Page(write_group_report(tmp_path))
        edges = read_tsv(tmp_path / "group/figures/qc_fc.tsv")
        near = edges["distance_mm"] < 60
        assert edges["preproc"][near].median() > 0.9
        assert edges[["preproc", "pearson"]][~near].abs().median().max() < 0.3
        assert edges["pearson"][near].abs().median() < 0.3
        assert "over 30 participants (task rest)" in page.words
        for stage in ("before", "after"):
            assert f'{stage} denoising</th><td class="num">30</td>' in page.html

    def test_too_few_participants_are_named_with_the_number_that_is_needed(self, tmp_path):
        self.fill(tmp_path, 9)
        page = Page(write_group_report(tmp_path))
        assert "(QC-FC) needs 10 or more participants" in page.words
        assert "there are 9." in page.words
        assert not (tmp_path / "group/figures/qc_fc.tsv").exists()
