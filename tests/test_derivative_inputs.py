"""Derivatives as input: names of files, several datasets, missing files, comparisons."""

import json
import os
import shutil

import nibabel as nib
import numpy as np
import pytest
from nilearn.datasets import load_mni152_brain_mask
from preprocessed import confounds_table, write_preprocessed
from skeleton import write, write_eeg, write_mri, write_skeleton

from brainfm.config import BoldConfig, RunConfig, Settings
from brainfm.errors import MissingInput, UsageError
from brainfm.signal.motion import FRISTON24
from brainfm.stages.query.engine import read_derivatives
from brainfm.stages.query.validate import preflight
from brainfm.storage.derivatives.confounds import read_confounds
from brainfm.storage.derivatives.fmriprep import find_runs

RUN = "sub-01_task-rest"
ANNEX = "../../.git/annex/objects/x/SHA256E-s1--x.nii.gz"


@pytest.fixture
def raw(tmp_path):
    return write_skeleton(tmp_path / "raw", ("01",), eeg=False)


@pytest.fixture
def fmriprep(tmp_path):
    return tmp_path / "fmriprep"


def check(raw, *derivatives, engine="auto", bold=None, **run):
    run = RunConfig(derivatives=tuple(map(str, derivatives)), **run)
    bold = {"fmri_engine": engine, "min_minutes": 0.0, **(bold or {})}
    settings = Settings(run=run, bold=BoldConfig(**bold))
    return preflight(raw, raw.parent / "out", settings)


def texts(checks, label="01"):
    return [str(problem) for problem in checks.problems if problem.participant == label]


def names(checks):
    return [run.name for run in checks.runs if run.modality != "t1w"]


def annexed(path):
    """Turn a file into a link whose content was not fetched."""
    path.unlink()
    path.symlink_to(ANNEX)


class TestDatasets:
    def test_the_pipeline_is_named_by_the_dataset_unless_a_name_is_given(self, fmriprep, tmp_path):
        write_preprocessed(fmriprep, RUN)
        write(tmp_path / "old" / "dataset_description.json",
              {"PipelineDescription": {"Name": "fMRIPrep"}})  # fmt: skip
        words = [str(fmriprep), f"mine={tmp_path / 'old'}", str(tmp_path / "old")]
        found, errors = read_derivatives(words)
        assert found == {"fmriprep": fmriprep, "mine": tmp_path / "old"}
        assert not errors

    def test_two_datasets_of_one_pipeline_are_merged_over_participants(self, raw, tmp_path):
        write_mri(raw, "02")
        for label in ("01", "02"):
            write_preprocessed(tmp_path / label, f"sub-{label}_task-rest")
        checks = check(raw, f"fmriprep={tmp_path / '01'}", f"fmriprep={tmp_path / '02'}")
        assert checks.derivatives == {"fmriprep": tmp_path / "01", "fmriprep2": tmp_path / "02"}
        assert checks.participants == ["01", "02"]
        assert [run.root for run in checks.runs if run.modality == "bold"] == [
            tmp_path / "01", tmp_path / "02",
        ]  # fmt: skip

    def test_a_run_in_two_datasets_costs_its_participant(self, raw, tmp_path):
        write_preprocessed(tmp_path / "a", RUN)
        write_preprocessed(tmp_path / "b", RUN)
        write_preprocessed(tmp_path / "b", "sub-02_task-rest")
        checks = check(raw, tmp_path / "a", tmp_path / "b")
        (text,) = texts(checks)
        assert f"is in {tmp_path / 'a'} and in {tmp_path / 'b'}: give one of them" in text
        assert checks.participants == ["02"]

    @pytest.mark.parametrize("engine", ["auto", "derivatives"])
    def test_another_pipeline_is_named_when_it_holds_no_preprocessed_runs(
        self, raw, tmp_path, engine, monkeypatch
    ):
        monkeypatch.setenv("PATH", "")
        root = tmp_path / "xcp_d"
        write(root / "dataset_description.json",
              {"DatasetType": "derivative", "GeneratedBy": [{"Name": "xcp_d"}]})  # fmt: skip
        write(root / "sub-01" / "func" / f"{RUN}_space-fsLR_den-91k_desc-denoised_bold.json", {})
        with pytest.raises(MissingInput, match=r"\(xcp_d\) holds no preprocessed BOLD runs"):
            check(raw, root, engine=engine)

    def test_the_built_in_engine_is_not_combined_with_preprocessed_runs(self, raw, fmriprep):
        write_preprocessed(fmriprep, RUN)
        with pytest.raises(UsageError, match=r"builtin preprocesses raw images and does not use"):
            check(raw, fmriprep, engine="builtin")


class TestWithoutRaw:
    def test_the_derivatives_may_be_the_input(self, fmriprep):
        write_preprocessed(fmriprep, RUN)
        checks = check(fmriprep)
        assert checks.engine == "derivatives"
        assert names(checks) == [f"{RUN}_bold"]
        assert checks.runs[0].metadata["RepetitionTime"] == 2
        assert not checks.problems
        assert names(check(fmriprep, f"fmriprep={fmriprep}")) == [f"{RUN}_bold"]

    @pytest.mark.parametrize("content", ["link", "pointer", "nothing", "absent"])
    def test_raw_images_without_content_do_not_matter(self, raw, fmriprep, content):
        write_preprocessed(fmriprep, RUN)
        for path in raw.rglob("*.nii.gz"):
            path.unlink()
            if content == "link":
                path.symlink_to(ANNEX)
            elif content != "absent":
                path.write_text("/annex/objects/x.nii.gz\n" if content == "pointer" else "")
        checks = check(raw, fmriprep)
        assert names(checks) == [f"{RUN}_bold"]
        assert not checks.problems

    def test_labels_and_filters_select_runs_without_raw_images(self, fmriprep, tmp_path):
        for stem in (RUN, "sub-01_task-film", "sub-02_ses-1_task-rest_run-01"):
            write_preprocessed(fmriprep, stem)
        assert len(names(check(fmriprep))) == 3
        assert names(check(fmriprep, task_label=("film",))) == ["sub-01_task-film_bold"]
        assert len(names(check(fmriprep, run_label=("1",)))) == 1
        write(tmp_path / "filter.json", {"bold": {"session": None, "suffix": "bold"}})
        found = names(check(fmriprep, bids_filter_file=tmp_path / "filter.json"))
        assert found == ["sub-01_task-film_bold", f"{RUN}_bold"]

    def test_the_header_gives_a_repetition_time_that_no_sidecar_has(self, fmriprep):
        write_preprocessed(fmriprep, RUN, repetition_time_s=None, header_s=1.5)
        assert check(fmriprep).runs[0].metadata["RepetitionTime"] == 1.5
        write_preprocessed(fmriprep, "sub-02_task-rest", repetition_time_s=None, header_s=1)
        assert "RepetitionTime is absent" in texts(check(fmriprep), "02")[0]

    def test_eeg_of_the_raw_dataset_is_processed_beside_them(self, raw, fmriprep):
        write_eeg(raw, "01")
        write_preprocessed(fmriprep, RUN)
        assert names(check(raw, fmriprep)) == [f"{RUN}_bold", f"{RUN}_eeg"]


class TestNames:
    @pytest.mark.parametrize(
        ("bold", "mask", "confounds"),
        [("bold_space-MNI152NLin2009cAsym_preproc", "bold_space-MNI152NLin2009cAsym_brainmask",
          "bold_confounds"),
         ("space-MNI152NLin2009cAsym_desc-preproc_bold",
          "space-MNI152NLin2009cAsym_desc-brain_mask", "desc-confounds_regressors"),
         ("space-MNI152NLin6Asym_res-2_desc-preproc_bold",
          "space-MNI152NLin6Asym_res-2_desc-brain_mask", "desc-confounds_timeseries"),
         ("part-mag_space-MNI152NLin6Asym_desc-preproc_bold",
          "part-mag_space-MNI152NLin6Asym_desc-brain_mask", "part-mag_desc-confounds_timeseries"),
         ("echo-1_space-MNI152NLin2009cAsym_desc-preproc_bold",
          "echo-1_space-MNI152NLin2009cAsym_desc-brain_mask", "desc-confounds_timeseries")],
    )  # fmt: skip
    def test_files_of_old_and_new_versions_are_found(self, fmriprep, bold, mask, confounds):
        folder = write_preprocessed(fmriprep, RUN, bold=bold, mask=mask, confounds=confounds)
        (run,) = find_runs(fmriprep, "01")
        assert run.files == {
            "bold": folder / f"{RUN}_{bold}.nii.gz",
            "mask": folder / f"{RUN}_{mask}.nii.gz",
            "confounds": folder / f"{RUN}_{confounds}.tsv",
        }
        assert not check(fmriprep).problems

    def test_among_resolutions_the_coarsest_is_taken_with_its_own_mask(self, fmriprep):
        for res in ("", "_res-1", "_res-2"):
            name = f"space-MNI152NLin6Asym{res}"
            write_preprocessed(
                fmriprep, RUN, bold=f"{name}_desc-preproc_bold", mask=f"{name}_desc-brain_mask"
            )
        write_preprocessed(fmriprep, RUN, bold="space-T1w_desc-preproc_bold")
        (run,) = find_runs(fmriprep, "01")
        assert "_res-2_" in run.bold.name
        assert "_res-2_" in run.mask.name

    def test_the_mask_of_the_t1w_image_is_taken_where_the_run_has_none(self, fmriprep):
        folder = write_preprocessed(fmriprep, "sub-01_ses-1_task-rest")
        (mask,) = folder.glob("*_mask.nii.gz")
        anatomical = fmriprep / "sub-01" / "anat" / "sub-01_space-MNI152NLin2009cAsym_desc-brain"
        anatomical.parent.mkdir()
        mask.rename(f"{anatomical}_mask.nii.gz")
        assert find_runs(fmriprep, "01")[0].mask.parent == anatomical.parent
        assert not check(fmriprep).problems

    def test_run_1_of_derivatives_is_run_01_of_the_raw_data(self, raw, fmriprep):
        (path,) = (raw / "sub-01" / "func").glob("*.nii.gz")
        path.rename(path.with_name(f"{RUN}_run-01_bold.nii.gz"))
        write_preprocessed(fmriprep, f"{RUN}_run-1")
        checks = check(raw, fmriprep)
        assert names(checks) == [f"{RUN}_run-1_bold"]
        assert not checks.problems

    def test_both_directions_of_a_run_keep_their_own_files(self, raw, fmriprep):
        shutil.rmtree(raw / "sub-01" / "func")
        for direction in ("AP", "PA"):
            write_preprocessed(fmriprep, f"{RUN}_dir-{direction}_run-1")
        checks = check(raw, fmriprep)
        assert names(checks) == [f"{RUN}_dir-AP_run-1_bold", f"{RUN}_dir-PA_run-1_bold"]
        assert [f"dir-{one}" in run.files.bold.name for one, run in zip(
            ("AP", "PA"), checks.runs[-2:], strict=True)] == [True, True]  # fmt: skip

    def test_two_images_of_one_run_and_space_are_refused(self, fmriprep):
        folder = write_preprocessed(fmriprep, RUN)
        (image,) = folder.glob("*_bold.nii.gz")
        shutil.copy(image, image.with_name(image.name.replace("_space", "_hash-1_space")))
        assert "one image instead of" in texts(check(fmriprep))[0]


class TestEchoes:
    @pytest.fixture
    def echoes(self, raw):
        (path,) = (raw / "sub-01" / "func").glob("*.nii.gz")
        for echo in (1, 2, 3):
            shutil.copy(path, path.with_name(f"{RUN}_echo-{echo}_bold.nii.gz"))
        path.unlink()
        return raw

    def test_echoes_are_one_run_where_they_were_combined(self, echoes, fmriprep):
        write_preprocessed(fmriprep, RUN)
        for echo in (1, 2, 3):
            name = f"echo-{echo}_desc-preproc_bold"
            write_preprocessed(fmriprep, RUN, bold=name, mask=None, confounds=None)
        checks = check(echoes, fmriprep)
        assert names(checks) == [f"{RUN}_bold"]
        assert len(checks.runs[-1].raw) == 3
        assert not checks.problems

    def test_echoes_that_were_not_combined_are_chosen_by_a_filter(self, echoes, fmriprep, tmp_path):
        for echo in (1, 2):
            names_of = {"bold": f"echo-{echo}_space-MNI152Lin_desc-preproc_bold",
                        "mask": f"echo-{echo}_space-MNI152Lin_desc-brain_mask"}  # fmt: skip
            write_preprocessed(fmriprep, RUN, **names_of)
        assert "has several echoes that are not combined" in texts(check(echoes, fmriprep))[0]
        write(tmp_path / "filter.json", {"bold": {"echo": 2}})
        checks = check(echoes, fmriprep, bids_filter_file=tmp_path / "filter.json")
        assert names(checks) == [f"{RUN}_echo-2_bold"]
        assert not checks.problems

    def test_fmriprep_makes_one_run_of_echoes_and_parts(self, echoes, monkeypatch, tmp_path):
        (tmp_path / "fmriprep").write_text("#!/bin/sh\n")
        (tmp_path / "fmriprep").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        (tmp_path / "licence.txt").write_text("x")
        monkeypatch.setenv("FS_LICENSE", str(tmp_path / "licence.txt"))
        checks = check(echoes, engine="fmriprep")
        assert names(checks) == [f"{RUN}_bold"]
        assert not checks.problems
        annexed(echoes / "sub-01" / "func" / f"{RUN}_echo-2_bold.nii.gz")
        assert "broken link" in texts(check(echoes, engine="fmriprep"))[0]


class TestMissing:
    @pytest.mark.parametrize("kind", ["bold", "mask", "confounds"])
    def test_a_missing_file_costs_one_participant(self, fmriprep, kind):
        write_preprocessed(fmriprep, RUN, **{kind: None})
        write_preprocessed(fmriprep, "sub-02_task-rest")
        checks = check(fmriprep)
        lost = {
            "bold": "desc-preproc_bold",
            "mask": "desc-brain_mask",
            "confounds": "timeseries.tsv",
        }
        assert lost[kind] in texts(checks)[0].partition("; found")[0]
        assert checks.participants == ["02"]
        assert checks.exit_code == 66

    @pytest.mark.parametrize("ending", ["_bold.nii.gz", "_mask.nii.gz", "_timeseries.tsv"])
    def test_a_broken_link_costs_one_participant(self, fmriprep, ending):
        annexed(next(write_preprocessed(fmriprep, RUN).glob(f"*{ending}")))
        write_preprocessed(fmriprep, "sub-02_task-rest")
        checks = check(fmriprep)
        (text,) = texts(checks)
        assert f"{ending} is a broken link: fetch its content (datalad get)" in text
        assert checks.participants == ["02"]

    def test_a_raw_run_that_was_not_preprocessed_is_named(self, raw, fmriprep):
        write_mri(raw, "01", task="film")
        write_preprocessed(fmriprep, RUN)
        (text,) = texts(check(raw, fmriprep))
        assert "sub-01_task-film_bold.nii.gz; found no file of this run" in text
        assert "leave the run out of the selection" in text
        assert not check(raw, fmriprep, task_label=("rest",)).problems

    @pytest.mark.parametrize(
        "name", ["space-fsLR_den-91k_bold.dtseries.nii", "hemi-L_space-fsaverage5_bold.func.gii"]
    )
    def test_surfaces_alone_are_refused_with_the_space_to_ask_for(self, fmriprep, name):
        folder = write_preprocessed(fmriprep, RUN, bold=None, mask=None)
        (folder / f"{RUN}_{name}").write_bytes(b"x")
        (text,) = texts(check(fmriprep))
        assert name in text
        assert "Surfaces cannot be averaged by the atlas, which is a volume" in text
        assert "--output-spaces MNI152NLin2009cAsym" in text

    @pytest.mark.parametrize("space", ["T1w", "MNIPediatricAsym_cohort-3", "MNI305"])
    def test_other_spaces_are_refused(self, fmriprep, space):
        names_of = {"bold": f"space-{space}_desc-preproc_bold", "mask": f"space-{space}_desc-brain"}
        write_preprocessed(fmriprep, RUN, **names_of)
        assert (
            f"found {RUN}_desc-confounds_timeseries.tsv, {RUN}_space-{space}"
            in (texts(check(fmriprep))[0])
        )

    def test_a_damaged_image_is_named(self, fmriprep):
        image = next(write_preprocessed(fmriprep, RUN).glob("*_bold.nii.gz"))
        image.write_bytes(image.read_bytes()[:-300])
        assert f"{image} is a damaged or truncated gzip file" in texts(check(fmriprep))[0]

    def test_an_image_of_five_dimensions_is_named(self, fmriprep):
        path = next(write_preprocessed(fmriprep, RUN).glob("*_bold.nii.gz"))
        image = nib.load(path)
        data = np.asarray(image.dataobj)[:, :, :, None]
        nib.save(nib.Nifti1Image(data, image.affine), path)
        (text,) = texts(check(fmriprep))
        assert "has shape (6, 6, 6, 1, 12); expected 4 dimensions" in text


class TestComparisons:
    def test_columns_of_the_confounds_are_read_before_work_starts(self, fmriprep):
        write_preprocessed(fmriprep, RUN, table=confounds_table(12).drop(columns="trans_x"))
        write_preprocessed(fmriprep, "sub-02_task-rest", confounds=None)
        (fmriprep / "sub-02/func/sub-02_task-rest_desc-confounds_timeseries.tsv").write_text("")
        checks = check(fmriprep)
        assert "lacks confounds of --bold-denoising" in texts(checks)[0]
        assert "trans_x" in texts(checks)[0]
        assert "is empty (0 bytes)" in texts(checks, "02")[0]

    def test_columns_of_the_first_versions_have_the_names_of_today(self, fmriprep):
        new = confounds_table(12).filter(regex="^(trans|rot)_.$|comp")
        old = new.rename(columns=lambda name: name.replace("trans_x", "X").replace("trans_y", "Y")
                         .replace("trans_z", "Z").replace("rot_x", "RotX").replace("rot_y", "RotY")
                         .replace("rot_z", "RotZ").replace("a_comp_cor_", "aCompCor"))  # fmt: skip
        folder = write_preprocessed(fmriprep, RUN, table=old, confounds="bold_confounds")
        assert not check(fmriprep).problems
        table = read_confounds(folder / f"{RUN}_bold_confounds.tsv")
        assert {*FRISTON24, "framewise_displacement", "a_comp_cor_05"} <= set(table)
        np.testing.assert_allclose(table["rot_z"], new["rot_z"])

    def test_a_run_with_too_little_time_left_costs_its_participant(self, fmriprep):
        table = confounds_table(12).assign(std_dvars=2.0)
        write_preprocessed(fmriprep, RUN, table=table)
        (text,) = texts(check(fmriprep, bold={"min_minutes": 0.3}))
        assert "of 12 volumes, 0 (0.0 min) are left after censoring; expected 0.3 min" in text
        assert not check(fmriprep, bold={"min_minutes": 0.3, "censoring": "off"}).problems

    def test_ica_aroma_takes_the_image_that_it_cleaned(self, raw, fmriprep):
        table = confounds_table(12).assign(csf=1.0, white_matter=1.0)
        names = {"bold": "space-MNI152NLin6Asym_desc-smoothAROMAnonaggr_bold",
                 "mask": "space-MNI152NLin6Asym_desc-brain_mask"}  # fmt: skip
        write_preprocessed(fmriprep, RUN, table=table)
        (text,) = texts(check(fmriprep, bold={"denoising": "ica_aroma"}))
        assert "desc-smoothAROMAnonaggr_bold.nii.gz, and the image is missing" in text
        write_preprocessed(fmriprep, RUN, table=table, **names)
        checks = check(fmriprep, bold={"denoising": "ica_aroma"})
        assert not checks.problems
        (run,) = checks.runs
        files = run.files.files_for("ica_aroma")
        assert files["bold"].name == f"{RUN}_{names['bold']}.nii.gz"
        assert files["mask"].name == f"{RUN}_{names['mask']}.nii.gz"
        assert run.files.files["bold"].name.endswith("2009cAsym_desc-preproc_bold.nii.gz")
        with pytest.raises(UsageError, match="ica_aroma needs derivatives of fMRIPrep"):
            check(raw, engine="builtin", bold={"denoising": "ica_aroma"})

    def test_measures_of_motion_are_optional_columns(self, fmriprep):
        assert "framewise_displacement" not in confounds_table(12)
        write_preprocessed(fmriprep, RUN)
        assert not check(fmriprep).problems

    @pytest.mark.parametrize(
        "options", [{"repetition_time_s": 1.0, "header_s": 1.0}, {"header_s": 2.5}]
    )
    def test_repetition_times_that_differ_are_named(self, raw, fmriprep, options):
        write_preprocessed(fmriprep, RUN, **options)
        (text,) = texts(check(raw, fmriprep))
        assert "the repetition time is" in text
        assert "2 s in the JSON of sub-01_task-rest_bold.nii.gz" in text

    @pytest.mark.parametrize(
        ("n_times", "n_rows"), [(12, 11), (13, 13), (11, 11)], ids=["rows", "longer", "shorter"]
    )
    def test_numbers_of_volumes_that_differ_are_named(self, raw, fmriprep, n_times, n_rows):
        table = confounds_table(n_rows)
        write_preprocessed(fmriprep, RUN, n_times=n_times, table=table)
        (text,) = texts(check(raw, fmriprep))
        assert f"the numbers of volumes differ: {n_times} in sub-01_task-rest_space" in text
        assert f"12 in {RUN}_bold.nii.gz, {n_rows} in {RUN}_desc-confounds_timeseries.tsv" in text

    def test_derivatives_that_were_cut_on_purpose_are_read_on_their_own(self, raw, fmriprep):
        write_preprocessed(fmriprep, RUN, n_times=11)
        assert check(raw, fmriprep).problems
        assert not check(fmriprep).problems


def test_a_preprocessed_run_becomes_parcel_series_named_after_its_entities(brainfm, tmp_path):
    grid = load_mni152_brain_mask(resolution=10)
    data = 1000 + np.random.default_rng(0).standard_normal((*grid.shape, 40), np.float32)
    root, stem = tmp_path / "fp", f"{RUN}_dir-AP"
    image = nib.Nifti1Image(data, grid.affine)
    write_preprocessed(root, stem, n_times=40, image=image)
    assert brainfm(data=root) == 0
    (series,) = (brainfm.out / "sub-01" / "func").glob("*_desc-denoised_timeseries.tsv")
    assert series.name.startswith(f"{stem}_space-MNI152NLin2009cAsym_atlas-")
    sources = json.loads(series.with_suffix(".json").read_text())["Sources"]
    assert f"bids:fmriprep:sub-01/func/{stem}_desc-confounds_timeseries.tsv" in sources
    links = json.loads((brainfm.out / "dataset_description.json").read_text())["DatasetLinks"]
    assert links == {"fmriprep": "../fp"}
