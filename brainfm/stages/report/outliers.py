"""Outliers among the runs of a group."""

import pandas as pd

from brainfm.stages.report.usual import quality_words, value_of

#: Quartiles of fewer runs say little about what is usual in a group.
FEWEST_FOR_OUTLIERS = 10


def find_outliers(runs):
    """Find the measures of each run that are outliers among the runs of the same task.

    Parameters
    ----------
    runs : list of brainfm.stages.report.collect.RecordingOutputs
        Of one kind of recording.

    Returns
    -------
    outliers : list of dict of str to {"low", "high"}
        Side by the key of the measure. If only one side of the usual range has a limit, outliers
        on the other side are left out, such as a small displacement.
    """
    tasks = pd.Series([run.task or "" for run in runs])
    found = [{} for _ in runs]
    for measure in quality_words()[runs[0].suffix] if runs else ():
        values = pd.Series([value_of(run.quality, measure) for run in runs], dtype=float)
        bounds = dict(zip(("low", "high"), measure.get("usual", (0, 0)), strict=True))
        for _, own in values.groupby(tasks):
            sides = outlier_sides(own, is_protocol=measure.get("is_protocol", False))
            for index, side in sides[sides != ""].items():
                if bounds[side] is not None:
                    found[index][measure["key"]] = side
    return found


def outlier_sides(values, *, is_protocol=False):
    """Find outliers beyond the fences of Tukey, or values that differ from the most frequent one.

    Parameters
    ----------
    values : Series of float
        NaN is no outlier.
    is_protocol : bool
        Whether all values should be the same, such as the number of volumes.

    Returns
    -------
    sides : Series of {"", "low", "high"}
        All empty with fewer than :data:`FEWEST_FOR_OUTLIERS` values, and if the quartiles are
        equal, as for counts that are nearly all 0.
    """
    sides = pd.Series("", index=values.index)
    if values.notna().sum() < FEWEST_FOR_OUTLIERS:
        return sides
    first, third = values.quantile([0.25, 0.75])
    low, high = first - 1.5 * (third - first), third + 1.5 * (third - first)
    if is_protocol:
        low = high = values.mode()[0]
    elif first == third:
        return sides
    return sides.mask(values < low, "low").mask(values > high, "high")
