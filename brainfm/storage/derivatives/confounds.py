"""Confounds tables of fMRIPrep and of the built-in engine: columns, dummy volumes, censoring."""

import fnmatch
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from nilearn.interfaces.fmriprep import load_confounds, load_confounds_strategy

from brainfm.config import DENOISING
from brainfm.errors import DataError
from brainfm.files import read_json, read_tsv, write_json, write_tsv
from brainfm.signal.motion import PARAMETERS, framewise_displacement

#: Our own strategies in the words of nilearn's ``load_confounds``.
_STRATEGIES = {
    "24P+aCompCor": {"strategy": ("motion", "high_pass", "compcor")},
    "24P+8P": {"strategy": ("motion", "high_pass", "wm_csf"), "wm_csf": "full"},
    "24P+8P+GSR": {
        "strategy": ("motion", "high_pass", "wm_csf", "global_signal"),
        "wm_csf": "full",
        "global_signal": "full",
    },
}
_NOT_CENSORED = ("simple", "compcor", "ica_aroma")
_EXPANDED = (*PARAMETERS, "csf", "white_matter", "global_signal")
_OLD_NAMES = {
    "X": "trans_x", "Y": "trans_y", "Z": "trans_z", "RotX": "rot_x", "RotY": "rot_y",
    "RotZ": "rot_z", "FramewiseDisplacement": "framewise_displacement", "stdDVARS": "std_dvars",
    "non-stdDVARS": "dvars", "CSF": "csf", "WhiteMatter": "white_matter",
    "GlobalSignal": "global_signal", "aCompCor": "a_comp_cor_", "tCompCor": "t_comp_cor_",
    "Cosine": "cosine", "NonSteadyStateOutlier": "non_steady_state_outlier",
}  # fmt: skip
_FULL_SEGMENT = 5  # of the strategy scrubbing


@dataclass(frozen=True, kw_only=True)
class Denoising:
    """What is regressed out of one run, and which of its volumes take part.

    Parameters
    ----------
    confounds : DataFrame of n_times rows
        Columns to regress out, from the first volume in steady state; NaN for ``n/a``.
    n_dropped : int
        Volumes before the first row.
    kept : ndarray of bool, shape (n_times,)
        False for censored volumes.
    notes : tuple of str
        What the user should know.
    """

    confounds: pd.DataFrame
    n_dropped: int
    kept: np.ndarray
    notes: tuple[str, ...] = ()

    def minutes(self, repetition_time_s):
        """Return the minutes that are left after censoring.

        Parameters
        ----------
        repetition_time_s : float

        Returns
        -------
        minutes : float
        """
        return float(self.kept.sum() * repetition_time_s / 60)


def read_confounds(path):
    """Read a confounds table, and add what other columns of it give.

    Parameters
    ----------
    path : path
        ``*_desc-confounds_timeseries.tsv`` or ``*_desc-confounds_regressors.tsv``; columns of
        fMRIPrep 1.0 and 1.1 (``*_bold_confounds.tsv``) are renamed.

    Returns
    -------
    confounds : DataFrame
        NaN for ``n/a``. Temporal derivatives and squares of motion and tissue signals, and
        framewise displacement (mm), are computed where the table does not have them.

    Raises
    ------
    MissingInput, DataError
        If it cannot be read.
    """
    table = read_tsv(path).rename(columns=_new_name)
    more = {}
    for name in [name for name in _EXPANDED if name in table]:
        change = table.get(f"{name}_derivative1", table[name].diff())
        more |= {
            f"{name}_derivative1": change,
            f"{name}_power2": table[name] ** 2,
            f"{name}_derivative1_power2": change**2,
        }
    if all(name in table for name in PARAMETERS):
        motion = table[list(PARAMETERS)].to_numpy(float)
        more["framewise_displacement"] = framewise_displacement(motion)
    added = pd.DataFrame({name: more[name] for name in more if name not in table})
    return pd.concat([table, added], axis=1)


def _new_name(name):
    """Return the name that a column of fMRIPrep 1.0 or 1.1 has had since 1.2."""
    stem, number = re.fullmatch(r"(.*?)(\d*)", name).groups()
    return _OLD_NAMES.get(stem, stem) + number


def is_censored(config):
    """Return whether motion outliers are censored.

    Parameters
    ----------
    config : brainfm.config.BoldConfig

    Returns
    -------
    censored : bool
        With the setting ``auto``, as nilearn does for its strategies, and always for others.
    """
    automatic = config.denoising not in _NOT_CENSORED
    return {"on": True, "off": False}.get(config.censoring, automatic)


def plan_denoising(confounds_file, config, repetition_time_s):
    """Choose the confounds of one run, its first volume and its censored volumes.

    Named strategies and motion outliers are those of
    :func:`nilearn.interfaces.fmriprep.load_confounds`. Cosines are left out when the run is
    high-pass filtered, and aCompCor components are those of the combined mask.

    Parameters
    ----------
    confounds_file : path
    config : brainfm.config.BoldConfig
    repetition_time_s : float

    Returns
    -------
    Denoising

    Raises
    ------
    DataError
        If the table lacks what the strategy needs, or too little time is left.
    """
    path = Path(confounds_file)
    table = read_confounds(path)
    unsteady = _flagged(table, "non_steady_state")
    n_flagged = int(np.argmin(np.append(unsteady, False)))  # before the first steady volume
    n_dropped = max(config.n_dummy or 0, n_flagged)
    if n_dropped >= len(table):
        raise DataError(
            f"{path.name} has {len(table)} rows, and {n_dropped} volumes are to be removed at the "
            "start: expected a longer run or a smaller --bold-n-dummy."
        )
    table = table.iloc[n_dropped:].reset_index(drop=True)
    columns, kept, notes = _select(table, path, config)
    kept &= ~unsteady[n_dropped:] & ~_flagged(table, "empty_volume")
    plan = Denoising(confounds=table[columns], n_dropped=n_dropped, kept=kept, notes=notes)
    if plan.minutes(repetition_time_s) < config.min_minutes:
        raise DataError(
            f"{path.name}: of {len(table)} volumes, {kept.sum()} "
            f"({plan.minutes(repetition_time_s):.1f} min) are left after censoring; expected "
            f"{config.min_minutes:g} min or more (--bold-min-minutes). Leave the run out, or "
            f"censor less, for example with a --bold-fd-threshold-mm above "
            f"{config.fd_threshold_mm:g}."
        )
    return plan


def _flagged(table, kind):
    """Return the volumes that have a column of their own, such as non_steady_state_outlier00."""
    return (table.filter(like=kind).to_numpy(float) > 0).any(axis=1)


def _select(table, path, config):
    """Return the names of the columns to regress out, the volumes to keep, and notes."""
    components, notes = _acompcor(table, path, config)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # all volumes censored: refused later
        kept = _kept(folder, table, config)
        if config.denoising == "custom":
            return _custom(table, path, config.confounds), kept, ()
        try:
            found = _columns(folder, table, components, config)
        except (ValueError, KeyError) as error:
            raise DataError(
                f"{path.name} lacks confounds of --bold-denoising {config.denoising} ({error}): "
                "expected the columns of fMRIPrep. Choose another strategy, or the columns "
                "themselves with --bold-denoising custom --bold-confounds."
            ) from error
    columns = [components[int(name[11:])] if name.startswith("a_comp_cor_") else name
               for name in found]  # fmt: skip
    return columns, kept, notes if set(components) & set(columns) else ()


def _acompcor(table, path, config):
    """Return the aCompCor columns to choose from, and a note where their mask is not known.

    Up to fMRIPrep 20.2, one numbering has the components of CSF, white matter and both combined.
    """
    sidecar = path.with_suffix(".json")
    known = read_json(sidecar) if sidecar.is_file() else {}
    names = [name for name in table if name.startswith("a_comp_cor_")]
    facts = {name: known[name] for name in names if isinstance(known.get(name), dict)}
    masks = {name: fact.get("Mask") for name, fact in facts.items() if fact.get("Retained", True)}
    n_wanted = config.n_acompcor if config.denoising == DENOISING[0] else None
    for wanted in (("combined",), ("WM", "CSF")):
        if set(wanted) & set(masks.values()):
            groups = [[name for name in masks if masks[name] == mask] for mask in wanted]
            return [name for group in groups for name in group[:n_wanted]], ()
    if any(name.startswith(("c_comp_cor_", "w_comp_cor_")) for name in table):
        return names[:n_wanted], ()  # since fMRIPrep 21, a_ is the combined mask only
    if not names or n_wanted == 0:
        return [], ()
    note = (
        f"{sidecar.name} does not say the Mask of the aCompCor components: all {len(names)} are "
        "regressed out"
    )
    return names, (note,)


def _columns(folder, table, components, config):
    """Return the names of the columns of a strategy; components are numbered as given.

    Two rows are enough. nilearn expects components of one mask without gaps in their numbers.
    """
    unwanted = ["_comp_cor_", "motion_outlier", "non_steady_state", "empty_volume"]
    unwanted += ["cosine"] * (config.high_pass_hz > 0)  # the filter removes slow drifts
    names = [name for name in table if not any(part in name for part in unwanted)]
    names = [name for name in names if name.islower()]  # nilearn refuses "Unnamed: 0"
    numbered = {f"a_comp_cor_{n:02d}": table[name] for n, name in enumerate(components)}
    staged = pd.concat([table[names], pd.DataFrame(numbered)], axis=1).iloc[:2]
    kind = "smoothAROMAnonaggr" if config.denoising == "ica_aroma" else "preproc"
    image = _write_for_nilearn(folder, staged, kind)
    if config.denoising not in _STRATEGIES:
        return list(load_confounds_strategy(image, denoise_strategy=config.denoising)[0])
    options = dict(_STRATEGIES[config.denoising])
    if config.n_acompcor == 0:
        options["strategy"] = tuple(part for part in options["strategy"] if part != "compcor")
    return list(load_confounds(image, motion="full", **options)[0])


def _kept(folder, table, config):
    """Return which volumes are no motion outliers, by the measures that the table has."""
    if not is_censored(config):
        return np.ones(len(table), bool)
    flagged = np.where(_flagged(table, "motion_outlier"), np.inf, 0)
    measures = {
        "framewise_displacement": table.get("framewise_displacement", flagged),
        "std_dvars": table.get("std_dvars", np.zeros(len(table))),
    }
    image = _write_for_nilearn(folder, pd.DataFrame(measures), "preproc")
    default = _FULL_SEGMENT if config.denoising == "scrubbing" else 0
    sample_mask = load_confounds(
        image,
        strategy=("scrub",),
        scrub=default if config.min_segment is None else config.min_segment,
        fd_threshold=config.fd_threshold_mm or np.inf,
        std_dvars_threshold=config.std_dvars_threshold or np.inf,
    )[1]
    times = np.arange(len(table))
    return np.isin(times, times if sample_mask is None else sample_mask)


def _write_for_nilearn(folder, table, kind):
    """Write a table where nilearn finds it by the name of an image, and return that name."""
    stem = f"{folder}/sub-any_task-any_desc"
    masks = {name: {"Mask": "combined"} for name in table if "_comp_cor_" in name}
    write_tsv(f"{stem}-confounds_timeseries.tsv", table)
    write_json(f"{stem}-confounds_timeseries.json", masks)
    return f"{stem}-{kind}_bold.nii.gz"


def _custom(table, path, patterns):
    """Return the columns that match names or shell patterns such as ``cosine*``."""
    found = {pattern: fnmatch.filter(table, pattern) for pattern in patterns}
    absent = [pattern for pattern in found if not found[pattern]]
    if absent:
        raise DataError(
            f"{path.name} has no column {', '.join(absent)}; expected one for each of "
            f"--bold-confounds. It has {', '.join(list(table)[:8])} and {len(table.columns)} in "
            "all."
        )
    return list(dict.fromkeys(name for names in found.values() for name in names))
