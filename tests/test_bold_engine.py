"""The built-in engine on a synthetic participant whose anatomy, motion and signals are known."""

import hashlib
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from identities import plant_identities, where_identities_show
from nilearn.interfaces.fmriprep import load_confounds, load_confounds_strategy

from brainfm.config import BoldConfig
from brainfm.demo.synthetic_participant import synthetic_participant
from brainfm.errors import DataError, MissingInput
from brainfm.files import read_json
from brainfm.signal.bold import clean_series, passed_components, reduce_confounds
from brainfm.signal.realign import rigid_matrices
from brainfm.stages.preprocess.bold import (
    NON_STEADY,
    REPLACED,
    align_bold,
    realign_bold,
    resample_bold,
)
from brainfm.stages.preprocess.bold_confounds import write_confounds
from brainfm.stages.preprocess.bold_qc import alignment_qc, bold_qc, draw_anatomy
from brainfm.stages.preprocess.t1w import (
    inverse_transform,
    normalise_t1w,
    prepare_t1w,
    segment_t1w,
    write_anatomy,
)
from brainfm.stages.report.collect import collect_outputs
from brainfm.stages.report.usual import notes_of
from brainfm.stages.standardise.parcellate import PreprocessedBold, standardise_bold
from brainfm.storage.bids.validate_mri import check_bold
from brainfm.storage.derivatives.confounds import plan_denoising
from brainfm.storage.images import read_image, read_transform, template, to_sitk, transform_grid
from brainfm.storage.templateflow import check_template

TR_S = 2.0
METADATA = {"RepetitionTime": TR_S, "TaskName": "rest"}
STEM = "sub-01_task-rest"


@pytest.fixture(scope="module")
def person():
    return synthetic_participant(0, seed=0, size="tiny")


@pytest.fixture(scope="module")
def folder(person, tmp_path_factory):
    root = tmp_path_factory.mktemp("engine")
    nib.save(person.t1w, root / "sub-01_T1w.nii.gz")
    nib.save(person.bold, root / f"{STEM}_bold.nii.gz")
    assert plant_identities(root) == 2
    return root


@pytest.fixture(scope="module")
def anatomy(folder):
    work = folder / "anat_work"
    work.mkdir()
    raw = folder / "sub-01_T1w.nii.gz"
    prepared = prepare_t1w(raw, work, sloppy=True)
    there, back = normalise_t1w(prepared, work, seed=0, sloppy=True)
    tissues = segment_t1w(prepared, back, work, sloppy=True)
    files = write_anatomy(raw, prepared, there, folder / "out")
    return {"prepared": prepared, "there": there, "back": back, "tissues": tissues, "files": files}


@pytest.fixture(scope="module")
def run(folder, anatomy):
    work, out = folder / "bold_work", folder / "out"
    work.mkdir()
    realigned = realign_bold(folder / f"{STEM}_bold.nii.gz", work, metadata=METADATA)
    prepared = anatomy["prepared"]
    way = align_bold(realigned, prepared.brain, prepared.mask, work, sloppy=True)
    names = {"out_dir": out, "source_file": folder / f"{STEM}_bold.nii.gz"}
    done = resample_bold(
        realigned, way, anatomy["there"], metadata=METADATA,
        t1w_file=folder / "sub-01_T1w.nii.gz", **names,
    )  # fmt: skip
    files = {"segmentation": anatomy["tissues"], "motion": realigned.motion,
             "flags": realigned.flags, "t1w_to_template": anatomy["there"]}  # fmt: skip
    confounds, tissues = write_confounds(
        done, files, work, repetition_time_s=TR_S, high_pass_hz=0.008, fd_threshold_mm=0.5, **names
    )
    return {"realigned": realigned, "way": way, "done": done, "tissues": tissues,
            "confounds": confounds}  # fmt: skip


@pytest.fixture(scope="module")
def series(folder, run):
    done = run["done"]
    preprocessed = PreprocessedBold(
        bold_file=done.bold,
        mask_file=done.mask,
        confounds_file=run["confounds"],
        repetition_time_s=TR_S,
        source_file=folder / f"{STEM}_bold.nii.gz",
    )
    return standardise_bold(preprocessed, folder / "out", BoldConfig())


def _inside_template():
    grid = template("mask", 4)
    return grid, np.asarray(grid.dataobj) > 0.5


def _apply(matrix, points):
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _template_points():
    grid, inside = _inside_template()
    return _apply(grid.affine, np.argwhere(inside))


class TestAnatomy:
    def test_the_normalised_brain_covers_the_template(self, anatomy):
        sidecar = json.loads(Path(str(anatomy["files"][1]).replace(".nii.gz", ".json")).read_text())
        assert sidecar["DiceTemplate"] >= 0.9

    def test_points_of_the_template_are_mapped_to_their_true_positions(self, person, anatomy):
        grid, inside = _inside_template()
        found = transform_grid(read_transform(anatomy["there"]), grid)[inside]
        error_mm = np.linalg.norm(
            found - _apply(person.template_to_t1w, _template_points()), axis=1
        )
        assert np.median(error_mm) < 3  # of voxels of 4 mm
        assert np.percentile(error_mm, 95) < 7

    def test_the_inverse_transform_is_the_inverse(self, anatomy):
        there, back = read_transform(anatomy["there"]), inverse_transform(anatomy["back"])
        for point in [(0.0, 0.0, 0.0), (-40.0, 20.0, 30.0), (30.0, 60.0, 10.0)]:
            again = back.TransformPoint(there.TransformPoint(point))
            assert np.linalg.norm(np.subtract(again, point)) < 1

    def test_tissues_lie_where_the_template_has_them(self, anatomy, run):
        labels = np.asarray(nib.load(run["tissues"]).dataobj)
        white = np.asarray(template("wm", 3).dataobj) > 0.8
        assert (labels[white] == 2).mean() > 0.8

    def test_the_same_image_gives_the_same_bytes(self, folder, anatomy):
        again = folder / "again"
        again.mkdir()
        prepared = prepare_t1w(folder / "sub-01_T1w.nii.gz", again, sloppy=True)
        there, _ = normalise_t1w(prepared, again, seed=0, threads=2, sloppy=True)
        pairs = [*zip(there, anatomy["there"], strict=True),
                 (prepared.brain, anatomy["prepared"].brain)]  # fmt: skip
        for one, other in pairs:
            assert _sha(one) == _sha(other), one

    def test_an_image_without_a_head_is_refused(self, tmp_path):
        noise = np.random.default_rng(0).normal(100, 1, (40, 40, 40)).astype(np.float32)
        nib.save(nib.Nifti1Image(noise, np.diag([4, 4, 4, 1])), tmp_path / "noise.nii.gz")
        with pytest.raises(DataError, match=r"resembles the T1w template .* is it a T1-weighted"):
            prepare_t1w(tmp_path / "noise.nii.gz", tmp_path, sloppy=True)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x, head: np.where(head, 1100 - x, 20), "is it a T1-weighted image"),
            (lambda x, head: 900.0 * _ball(x.shape, 21), "is it a T1-weighted image"),
            (lambda x, head: x[:, :, :30], r"holds \d+% of the brain; expected 90% or more"),
            (lambda x, head: 0 * x, "no head is found"),
        ],
        ids=["T2w", "phantom", "cropped", "zeros"],
    )
    def test_an_image_of_something_else_is_refused(self, person, tmp_path, change, message):
        data = np.asarray(person.t1w.dataobj, np.float32)
        path = tmp_path / "T1w.nii.gz"
        nib.save(nib.Nifti1Image(change(data, data > 100), person.t1w.affine), path)
        with pytest.raises(DataError, match=message):
            prepare_t1w(path, tmp_path, sloppy=True)

    def test_a_cropped_image_without_numbers_outside_the_head_is_used_and_told(
        self, person, tmp_path
    ):
        data = np.asarray(person.t1w.dataobj, np.float32)[:, :, :39]
        path = tmp_path / "T1w.nii.gz"
        data[data < 40] = np.nan
        nib.save(nib.Nifti1Image(data, person.t1w.affine), path)
        (note,) = prepare_t1w(path, tmp_path, sloppy=True).notes
        assert re.search(r"the field of view holds 9\d% of the brain", note)

    def test_a_truncated_image_is_refused_by_name(self, folder, tmp_path):
        whole = (folder / "sub-01_T1w.nii.gz").read_bytes()
        (tmp_path / "cut_T1w.nii.gz").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(DataError, match=r"cut_T1w.nii.gz cannot be read .* copy or convert"):
            prepare_t1w(tmp_path / "cut_T1w.nii.gz", tmp_path)

    def test_an_absent_image_is_refused(self, tmp_path):
        with pytest.raises(MissingInput, match="does not exist"):
            read_image(tmp_path / "nothing.nii.gz")


class TestBold:
    def test_motion_is_recovered_within_a_fifth_of_a_millimetre(self, person, run):
        found = np.load(run["realigned"].matrices)
        truth = rigid_matrices(person.motion, np.zeros(3))
        brain = np.asarray(nib.load(run["realigned"].mask).dataobj) > 0
        points = _apply(person.bold.affine, np.argwhere(brain)[::20])
        apart = np.stack([_apply(m, points) for m in found - truth])
        # Which volume counts as unmoved is a choice, the same for all volumes.
        error_mm = np.linalg.norm(apart - apart.mean(axis=0), axis=-1)
        assert np.sqrt((error_mm**2).mean()) < 0.2

    def test_bold_is_aligned_to_t1w(self, person, anatomy, run):
        points = _apply(person.template_to_t1w, _template_points())
        way = read_transform([run["way"]])
        flip = np.array([-1, -1, 1])
        found = np.array([way.TransformPoint((p * flip).tolist()) for p in points[::20]]) * flip
        error_mm = np.linalg.norm(found - _apply(person.t1w_to_bold, points[::20]), axis=1)
        assert np.median(error_mm) < 2  # of voxels of 6 mm

    def test_the_confounds_have_the_names_of_fmriprep(self, person, run):
        frame = pd.read_csv(run["confounds"], sep="\t", na_values="n/a")
        assert len(frame) == len(person.motion)
        wanted = {"trans_x", "rot_z_derivative1_power2", "framewise_displacement", "dvars",
                  "std_dvars", "white_matter", "csf", "global_signal", "a_comp_cor_00"}  # fmt: skip
        assert wanted <= set(frame)
        assert frame["framewise_displacement"].isna().tolist() == [True] + [False] * (
            len(frame) - 1
        )
        assert frame.iloc[1:].notna().all(axis=None)

    @pytest.mark.parametrize("strategy", ["simple", "scrubbing", "compcor"])
    def test_nilearn_reads_the_confounds_of_the_run(self, person, run, strategy):
        confounds, kept = load_confounds_strategy(str(run["done"].bold), strategy)
        assert len(confounds) == len(person.motion)
        assert confounds.notna().all(axis=None)
        assert {"trans_x", "rot_z_derivative1_power2", "cosine00"} <= set(confounds)
        own = [name for name in confounds if name.startswith("a_comp_cor_")]
        assert len(own) == (10 if strategy == "compcor" else 0)
        assert strategy != "scrubbing" or "csf_derivative1_power2" in confounds
        assert kept is None or len(kept) <= len(confounds)

    def test_components_of_white_matter_and_csf_are_named_by_their_mask(self, run):
        confounds, _ = load_confounds(
            str(run["done"].bold), ("motion", "high_pass", "compcor", "global_signal"),
            compcor="anat_separated", n_compcor=3, global_signal="full",
        )  # fmt: skip
        named = {f"{mask}_comp_cor_0{number}" for mask in "wc" for number in range(3)}
        assert named == {name for name in confounds if "_comp_cor_" in name}
        assert "global_signal_derivative1_power2" in confounds
        masks = read_json(run["confounds"].with_suffix(".json"))
        found = {name: masks[f"{name}_comp_cor_00"]["Mask"] for name in "acw"}
        assert found == {"a": "combined", "c": "CSF", "w": "WM"}

    def test_a_cosine_is_orthogonal_to_each_component(self, run):
        frame = pd.read_csv(run["confounds"], sep="\t", na_values="n/a")
        components = frame.filter(regex="_comp_cor_").to_numpy()
        assert np.abs(frame.filter(like="cosine").to_numpy().T @ components).max() < 1e-3

    def test_the_signals_of_parcels_are_recovered(self, person, run, series):
        path, facts = series
        found = pd.read_csv(path, sep="\t", na_values="n/a").to_numpy()
        band = {"sampling_hz": 1 / TR_S, "high_pass_hz": 0.008, "low_pass_hz": 0.1}
        confounds = plan_denoising(run["confounds"], BoldConfig(), TR_S).confounds.to_numpy(float)
        few = reduce_confounds(confounds, passed_components(len(found), **band) // 2)
        expected = clean_series(person.series, few, **band)
        alike = [np.corrcoef(found[:, k], expected[:, k])[0, 1] for k in range(100)]
        assert facts["n_parcels_covered"] >= 95
        assert np.nanmedian(alike) > 0.97

    def test_left_parcels_are_left(self, person, series):
        path, _ = series
        frame = pd.read_csv(path, sep="\t", na_values="n/a")
        found, n = frame.to_numpy(), 50
        own = [np.corrcoef(found[:, k], person.series[:, k])[0, 1] for k in range(n)]
        mirrored = [np.corrcoef(found[:, k], person.series[:, k + n])[0, 1] for k in range(n)]
        assert np.nanmean(own) > np.nanmean(mirrored) + 0.1

    def test_the_report_says_what_was_not_corrected_and_which_t1w_image_was_used(self, folder, run):
        notes = [
            note["text"]
            for one in collect_outputs(folder / "out", "01").of("bold")
            for note in notes_of(one)
        ]
        assert "Susceptibility distortion was not corrected." in notes
        assert "Normalised with sub-01_T1w.nii.gz." in notes

    def test_quality_and_figures_are_written(self, folder, anatomy, run, series):
        out, prepared = folder / "out", anatomy["prepared"]
        parts = {"head": prepared.brain, "mask": prepared.mask, "segmentation": anatomy["tissues"],
                 "t1w_to_template": anatomy["there"], "space": prepared.space}  # fmt: skip
        figures, source_file = out / "sub-01" / "figures", folder / f"{STEM}_bold.nii.gz"
        realigned, done = run["realigned"], run["done"]
        metrics = alignment_qc(
            realigned.reference, realigned.mask, run["way"], parts, out, source_file=source_file
        )
        draw_anatomy(folder / "sub-01_T1w.nii.gz", prepared, anatomy["files"][0], out)
        files = {"bold": done.bold, "mask": done.mask, "confounds": run["confounds"],
                 "timeseries": series[0], "tissues": run["tissues"]}  # fmt: skip
        path = bold_qc(
            files, {**metrics, **series[1]}, out_dir=out, source_file=source_file,
            repetition_time_s=TR_S, fd_threshold_mm=BoldConfig().fd_threshold_mm,
            engine="builtin",
        )  # fmt: skip
        quality = json.loads(path.read_text())
        assert quality["dice_template"] >= 0.9
        assert quality["dice_bold_t1w"] >= 0.85
        assert quality["fd_mean_mm"] < 0.5
        assert quality["n_volumes"] == 40
        drawn = sorted(p.name.split("desc-")[1] for p in figures.glob("*.png"))
        assert drawn == ["alignment_bold.png", "brain_T1w.png", "carpet_bold.png",
                         "connectivity_bold.png", "template_T1w.png"]  # fmt: skip
        for figure in figures.glob("*.png"):
            assert figure.stat().st_size < 300_000
            assert set(json.loads(figure.with_suffix(".json").read_text())) == {"title", "caption"}

    def test_slice_timing_is_corrected_when_the_sidecar_has_the_times(self, folder, tmp_path):
        n_slices = nib.load(folder / f"{STEM}_bold.nii.gz").shape[2]
        times = np.linspace(0, TR_S * 0.95, n_slices).tolist()
        metadata = {**METADATA, "SliceTiming": times, "SliceEncodingDirection": "k"}
        done = realign_bold(folder / f"{STEM}_bold.nii.gz", tmp_path, metadata=metadata)
        assert done.bold == tmp_path / "slice_timed.nii.gz"

    def test_volumes_before_the_steady_state_and_empty_ones_are_flagged_and_told(
        self, person, folder, tmp_path
    ):
        data = np.asarray(person.bold.dataobj, np.float32)[..., :24]
        clean = save_run(tmp_path / "clean.nii.gz", data, person)
        damaged = data * (1 + 0.4 * np.exp(-np.arange(24) / 1.5))
        damaged[data.min(axis=3) < 5] = np.nan  # outside the head
        damaged[..., 0], damaged[..., 20] = 0, np.nan
        damaged = save_run(tmp_path / "damaged.nii.gz", damaged, person)
        expected = realign_bold(clean, tmp_path, metadata=METADATA, n_dummy=0)
        expected = np.load(expected.motion)
        found = realign_bold(damaged, tmp_path, metadata=METADATA)
        flags = np.load(found.flags)
        n_dummy = int((flags == NON_STEADY).sum())
        assert 3 <= n_dummy <= 6
        assert np.flatnonzero(flags == REPLACED).tolist() == [20]
        assert found.notes == [
            f"{n_dummy} of 24 volumes, at the start, are not in steady state.",
            "1 of 24 volumes are empty and replaced by the nearest one: number 21.",
        ]
        assert found.bold.name == "repaired.nii.gz"
        apart = (np.load(found.motion) - expected)[flags == 0]
        assert np.abs(apart - apart.mean(axis=0))[:, :3].max() < 0.05

    def test_a_number_of_volumes_given_replaces_the_detection(self, person, tmp_path):
        data = np.asarray(person.bold.dataobj, np.float32)[..., :12]
        path = save_run(tmp_path / "run.nii.gz", data, person)
        found = realign_bold(path, tmp_path, metadata=METADATA, n_dummy=2)
        assert np.load(found.flags).tolist() == [NON_STEADY] * 2 + [0] * 10

    @pytest.mark.parametrize("shape", [(34, 40, 35, 1, 12), (34, 40, 35, 12, 1)])
    def test_an_axis_of_length_one_is_no_dimension(self, person, tmp_path, shape):
        data = np.asarray(person.bold.dataobj, np.float32)[..., :12].reshape(shape)
        path = save_run(tmp_path / "run.nii.gz", data, person)
        found = realign_bold(path, tmp_path, metadata=METADATA)
        assert np.load(found.motion).shape == (12, 6)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x: x - x.mean(axis=3, keepdims=True), "expected magnitudes: is it demeaned"),
            (lambda x: (x * 100).astype(np.int16), "an overflow of integers"),
            (lambda x: np.repeat(x[..., :1], 12, axis=3), "all 12 volumes are the same"),
            (lambda x: x * (np.arange(12) < 10), "2 of 12 volumes are empty"),
            (np.zeros_like, "all volumes are empty"),
        ],
        ids=["demeaned", "overflow", "constant", "many empty", "zeros"],
    )
    def test_a_run_that_is_no_series_of_magnitudes_is_refused(
        self, person, tmp_path, change, message
    ):
        data = np.asarray(person.bold.dataobj, np.float32)[..., :12]
        path = save_run(tmp_path / "bad_bold.nii.gz", change(data), person)
        with pytest.raises(DataError, match=rf"bad_bold\.nii\.gz: .*{message}"):
            realign_bold(path, tmp_path, metadata=METADATA)

    def test_a_run_without_time_is_refused(self, folder, tmp_path):
        with pytest.raises(DataError, match="expected four dimensions"):
            realign_bold(folder / "sub-01_T1w.nii.gz", tmp_path, metadata=METADATA)


def _ball(shape, radius):
    centre = np.array(shape).reshape(3, 1, 1, 1) / 2
    return ((np.indices(shape) - centre) ** 2).sum(axis=0) < radius**2


def save_run(path, data, person):
    nib.save(nib.Nifti1Image(data, person.bold.affine), path)
    return path


OTHER_SPACE = "MNI152NLin2009cAsym"


@pytest.fixture
def templateflow(tmp_path, monkeypatch):
    """A home folder of TemplateFlow with the maps of a template, those of nilearn."""
    folder = tmp_path / "home" / f"tpl-{OTHER_SPACE}"
    folder.mkdir(parents=True)
    for kind, name in (("t1w", "T1w"), ("mask", "desc-brain_mask"), ("gm", "label-GM_probseg"),
                       ("wm", "label-WM_probseg")):  # fmt: skip
        nib.save(template(kind, 4), folder / f"tpl-{OTHER_SPACE}_res-01_{name}.nii.gz")
    monkeypatch.setenv("TEMPLATEFLOW_HOME", str(tmp_path / "home"))


def test_a_template_of_templateflow_is_registered_to_and_names_the_space(
    folder, templateflow, tmp_path
):
    check_template(OTHER_SPACE)
    raw = folder / "sub-01_T1w.nii.gz"
    prepared = prepare_t1w(raw, tmp_path, space=OTHER_SPACE, sloppy=True)
    there, _ = normalise_t1w(prepared, tmp_path, seed=0, sloppy=True)
    _, mask = write_anatomy(raw, prepared, there, tmp_path / "out")
    assert mask.name == f"sub-01_space-{OTHER_SPACE}_desc-brain_mask.nii.gz"
    assert read_json(mask.with_name(mask.name.replace(".nii.gz", ".json")))["DiceTemplate"] > 0.9


def test_a_template_that_templateflow_does_not_hold_is_refused(templateflow):
    with pytest.raises(MissingInput, match=r"holds no tpl-MNI152NLin6Asym_res-01_T1w\.nii\.gz"):
        check_template("MNI152NLin6Asym")


def test_no_name_and_no_date_of_a_header_reaches_the_result(folder, series):
    assert where_identities_show(folder)
    assert not where_identities_show(folder / "out")


class TestChecks:
    def test_a_header_that_disagrees_with_the_sidecar_is_reported(self, folder):
        path = folder / f"{STEM}_bold.nii.gz"
        assert check_bold(path, METADATA) == []
        (problem,) = check_bold(path, {"RepetitionTime": 2.5})
        assert "2.5 s in the sidecar but 2 s in the header" in problem

    def test_geometry_is_preserved_by_the_conversion_to_itk(self):
        affine = np.array([[-3, 0.1, 0, 9], [0.1, 3, -0.7, -8], [0, 0.7, 3, 7], [0, 0, 0, 1.0]])
        image = nib.Nifti1Image(np.zeros((3, 4, 5), np.float32), affine)
        point = to_sitk(image).TransformContinuousIndexToPhysicalPoint([1.0, 2.0, 3.0])
        np.testing.assert_allclose(
            np.array(point) * [-1, -1, 1], _apply(affine, [1, 2, 3]), atol=0.1
        )


def _sha(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
