"""Confounds by strategy, dummy volumes and censoring, against nilearn and known truths."""

import json

import numpy as np
import pandas as pd
import pytest
from nilearn.interfaces.fmriprep import load_confounds_strategy

from brainfm.config import BoldConfig, Settings
from brainfm.errors import DataError, UsageError
from brainfm.signal.motion import FRISTON24, PARAMETERS, framewise_displacement
from brainfm.storage.derivatives.confounds import plan_denoising, read_confounds

TR_S, N = 2.0, 100
NO_FILTER = {"high_pass_hz": 0.0, "low_pass_hz": 0.0}


def _table(n=N, seed=0):
    """Confounds of a person who lies still, with the columns of fMRIPrep."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(0.001 * rng.standard_normal((n, 6)), columns=PARAMETERS)
    for name in ("csf", "white_matter", "global_signal"):
        table[name] = rng.uniform(900, 1000, n)
    for name in list(table):
        change = table[name].diff()
        table[f"{name}_derivative1"], table[f"{name}_power2"] = change, table[name] ** 2
        table[f"{name}_derivative1_power2"] = change**2
    table["framewise_displacement"] = np.r_[np.nan, rng.uniform(0.05, 0.1, n - 1)]
    table["std_dvars"] = np.r_[np.nan, rng.uniform(0.9, 1.1, n - 1)]
    for number in range(3):
        table[f"cosine{number:02d}"] = np.cos(np.pi * (number + 1) * np.arange(n) / n)
    return table


def _add_components(table, names):
    rng = np.random.default_rng(1)
    return table.assign(**{name: rng.standard_normal(len(table)) for name in names})


def _write(folder, table, sidecar=None, name="sub-01_task-rest_desc-confounds_timeseries"):
    path = folder / f"{name}.tsv"
    table.to_csv(path, sep="\t", index=False, na_rep="n/a")
    if sidecar is not None:
        path.with_suffix(".json").write_text(json.dumps(sidecar))
    return path


def _plan(path, **settings):
    return plan_denoising(path, BoldConfig(**settings), TR_S)


def _components(plan):
    return [name for name in plan.confounds if "comp_cor" in name]


@pytest.fixture
def separate(tmp_path):
    """Table of fMRIPrep 20.2: one numbering for three masks, with a gap in the combined ones."""
    masks = {f"a_comp_cor_{n:02d}": ("CSF", "WM", "combined")[n // 6] for n in range(18)}
    sidecar = {name: {"Mask": mask, "Retained": True} for name, mask in masks.items()}
    sidecar["a_comp_cor_13"]["Retained"] = False
    sidecar["dropped_0"] = {"Mask": "combined", "Retained": False}
    return _write(tmp_path, _add_components(_table(), masks), sidecar)


class TestComponents:
    def test_components_of_the_combined_mask_are_chosen_by_the_sidecar(self, separate):
        plan = _plan(separate, n_acompcor=4)
        assert sorted(_components(plan)) == [f"a_comp_cor_{n}" for n in (12, 14, 15, 16)]
        assert set(plan.confounds) - set(_components(plan)) == set(FRISTON24)
        assert not plan.notes
        expected = read_confounds(separate)["a_comp_cor_14"]
        np.testing.assert_array_equal(plan.confounds["a_comp_cor_14"], expected)

    def test_the_strategy_compcor_takes_all_that_are_retained(self, separate):
        assert len(_components(_plan(separate, denoising="compcor"))) == 5

    def test_since_fmriprep_21_the_prefix_names_the_mask(self, tmp_path):
        names = [f"{mask}_comp_cor_{n:02d}" for mask in "acw" for n in range(8)]
        plan = _plan(_write(tmp_path, _add_components(_table(), names)))
        assert sorted(_components(plan)) == names[:5]
        assert not plan.notes

    def test_without_masks_all_components_are_taken_and_it_is_said(self, tmp_path):
        names = [f"a_comp_cor_{n:02d}" for n in range(9)]
        plan = _plan(_write(tmp_path, _add_components(_table(), names)))
        assert sorted(_components(plan)) == names
        assert "timeseries.json does not say the Mask" in plan.notes[0]
        assert not _plan(_write(tmp_path, _table()), n_acompcor=0).notes

    def test_masks_of_csf_and_white_matter_give_components_of_each(self, tmp_path):
        sidecar = {f"a_comp_cor_{n:02d}": {"Mask": ("CSF", "WM")[n // 4]} for n in range(8)}
        path = _write(tmp_path, _add_components(_table(), sidecar), sidecar)
        expected = [f"a_comp_cor_0{n}" for n in (0, 1, 4, 5)]
        assert sorted(_components(_plan(path, n_acompcor=2))) == expected

    def test_a_table_without_components_is_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"lacks confounds of --bold-denoising 24P\+aCompCor"):
            _plan(_write(tmp_path, _table()))


class TestStrategies:
    @pytest.mark.parametrize("name", ["simple", "scrubbing", "compcor", "ica_aroma"])
    def test_strategies_of_nilearn_give_its_columns_and_volumes(self, name, tmp_path):
        masks = {f"a_comp_cor_{n:02d}": {"Mask": "combined", "Retained": True} for n in range(6)}
        table = _add_components(_table(), masks)
        table.loc[[40, 43], "framewise_displacement"] = 0.9
        path = _write(tmp_path, table, masks)
        kind = "smoothAROMAnonaggr" if name == "ica_aroma" else "preproc"
        image = tmp_path / f"sub-01_task-rest_desc-{kind}_bold.nii.gz"
        confounds, kept = load_confounds_strategy(str(image), denoise_strategy=name)
        plan = _plan(path, denoising=name, **NO_FILTER)
        assert set(plan.confounds) == set(confounds)
        expected = range(N) if kept is None else kept
        assert np.flatnonzero(plan.kept).tolist() == list(expected)
        assert plan.kept.sum() == (N - 4 if name == "scrubbing" else N)

    def test_cosines_are_left_out_where_the_filter_removes_drifts(self, tmp_path):
        path = _write(tmp_path, _table())
        drifts = {f"cosine{n:02d}" for n in range(3)}
        assert not drifts & set(_plan(path, denoising="simple").confounds)
        assert drifts < set(_plan(path, denoising="simple", **NO_FILTER).confounds)

    def test_the_strategies_with_tissue_signals_have_32_and_36_columns(self, tmp_path):
        path = _write(tmp_path, _table().assign(Other=1.0))
        with_gsr = _plan(path, denoising="24P+8P+GSR").confounds
        assert len(set(with_gsr)) == 36
        assert set(with_gsr) - set(_plan(path, denoising="24P+8P").confounds) == {
            "global_signal", "global_signal_derivative1", "global_signal_power2",
            "global_signal_derivative1_power2",
        }  # fmt: skip

    def test_columns_are_chosen_by_name_and_pattern(self, tmp_path):
        path = _write(tmp_path, _table().assign(Other=1.0))
        plan = _plan(path, denoising="custom", confounds=("csf", "cosine*", "trans_?"))
        wanted = ["csf", "cosine00", "cosine01", "cosine02", "trans_x", "trans_y", "trans_z"]
        assert list(plan.confounds) == wanted
        with pytest.raises(DataError, match=r"has no column csv; expected one for each"):
            _plan(path, denoising="custom", confounds=("csv", "csf"))

    def test_columns_without_the_strategy_custom_are_refused(self):
        for bold in ({"denoising": "custom"}, {"confounds": ("csf",)}):
            with pytest.raises(UsageError, match=r"columns with --bold-denoising custom, and only"):
                Settings(bold=BoldConfig(**bold))

    def test_a_table_that_lacks_tissue_signals_is_refused_by_the_name_of_the_strategy(
        self, tmp_path
    ):
        path = _write(tmp_path, _table().drop(columns=["csf", "white_matter"]).iloc[:, :24])
        with pytest.raises(DataError, match=r"lacks confounds of --bold-denoising simple .*wm_csf"):
            _plan(path, denoising="simple")

    def test_what_other_columns_give_is_computed(self, tmp_path):
        table = _table()
        whole = read_confounds(_write(tmp_path, table))
        basic = [*PARAMETERS, "csf", "white_matter", "global_signal"]
        found = read_confounds(_write(tmp_path, table[basic]))
        for name in set(whole) & set(found) - {"framewise_displacement"}:
            np.testing.assert_allclose(found[name], whole[name], atol=1e-12)
        expected = framewise_displacement(table[list(PARAMETERS)].to_numpy())
        np.testing.assert_allclose(found["framewise_displacement"], expected)
        assert len(set(_plan(_write(tmp_path, table[basic]), denoising="24P+8P").confounds)) == 32


class TestVolumes:
    def _unsteady(self, volumes):
        flags = {f"non_steady_state_outlier{n:02d}": np.arange(N) == v
                 for n, v in enumerate(volumes)}  # fmt: skip
        return _table().assign(**{name: flag.astype(float) for name, flag in flags.items()})

    def test_flagged_volumes_are_dropped_at_the_start(self, tmp_path):
        path = _write(tmp_path, self._unsteady(range(3)))
        plan = _plan(path, denoising="simple")
        assert plan.n_dropped == 3
        assert len(plan.confounds) == len(plan.kept) == N - 3
        assert plan.kept.all()
        expected = read_confounds(path)["csf"].to_numpy()[3:]
        np.testing.assert_array_equal(plan.confounds["csf"], expected)

    def test_the_larger_of_flagged_and_given_volumes_is_dropped(self, tmp_path):
        path = _write(tmp_path, self._unsteady(range(3)))
        assert _plan(path, denoising="simple", n_dummy=5).n_dropped == 5
        assert _plan(path, denoising="simple", n_dummy=1).n_dropped == 3

    def test_a_volume_flagged_later_is_censored(self, tmp_path):
        plan = _plan(_write(tmp_path, self._unsteady([0, 50])), denoising="simple")
        assert plan.n_dropped == 1
        assert np.flatnonzero(~plan.kept).tolist() == [49]

    def test_volumes_that_were_empty_are_censored_whatever_the_thresholds(self, tmp_path):
        table = _table().assign(empty_volume00=(np.arange(N) == 33).astype(float))
        plan = _plan(_write(tmp_path, table), denoising="simple", censoring="off")
        assert np.flatnonzero(~plan.kept).tolist() == [33]

    def test_outliers_by_displacement_and_dvars_are_censored(self, tmp_path):
        table = _table()
        table.loc[20, "framewise_displacement"], table.loc[60, "std_dvars"] = 0.6, 1.6
        path = _write(tmp_path, table)
        ours = {"denoising": "24P+8P"}
        assert np.flatnonzero(~_plan(path, **ours).kept).tolist() == [20, 60]
        assert np.flatnonzero(~_plan(path, std_dvars_threshold=0, **ours).kept).tolist() == [20]
        assert np.flatnonzero(~_plan(path, fd_threshold_mm=0.7, **ours).kept).tolist() == [60]
        assert _plan(path, censoring="off", **ours).kept.all()
        assert _plan(path, denoising="simple").kept.all()
        assert (~_plan(path, denoising="simple", censoring="on").kept).sum() == 2

    def test_short_segments_between_outliers_are_censored_on_request(self, tmp_path):
        table = _table()
        table.loc[[20, 24, 60], "framewise_displacement"] = 0.6
        plan = _plan(_write(tmp_path, table), denoising="24P+8P", min_segment=4)
        assert np.flatnonzero(~plan.kept).tolist() == [20, 21, 22, 23, 24, 60]

    def test_measures_of_motion_are_optional(self, tmp_path):
        table = _table()
        table.loc[30, "trans_x"] = 2.0
        path = _write(tmp_path, table.drop(columns=["framewise_displacement", "std_dvars"]))
        assert np.flatnonzero(~_plan(path, denoising="24P+8P").kept).tolist() == [30, 31]
        table = table[["csf"]].assign(motion_outlier00=(np.arange(N) == 7).astype(float))
        plan = _plan(_write(tmp_path, table), denoising="custom", confounds=("csf",))
        assert np.flatnonzero(~plan.kept).tolist() == [7]

    def test_too_little_time_left_is_refused_with_the_minutes(self, tmp_path):
        table = _table()
        table.loc[10:75, "framewise_displacement"] = 0.6
        path = _write(tmp_path, table)
        assert _plan(path, denoising="24P+8P").minutes(TR_S) == pytest.approx(34 * TR_S / 60)
        with pytest.raises(DataError, match=r"of 100 volumes, 34 \(1.1 min\) are left .* 4 min or"):
            _plan(path, denoising="24P+8P", min_minutes=4)
        table["framewise_displacement"] = 9.0
        with pytest.raises(DataError, match=r"of 100 volumes, 0 \(0.0 min\) are left"):
            _plan(_write(tmp_path, table), denoising="24P+8P")

    def test_more_dummy_volumes_than_rows_are_refused(self, tmp_path):
        with pytest.raises(DataError, match="has 100 rows, and 100 volumes are to be removed"):
            _plan(_write(tmp_path, _table()), denoising="simple", n_dummy=100)
