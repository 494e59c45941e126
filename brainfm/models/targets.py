"""Validation of prediction targets."""

import numpy as np
import pandas as pd

from brainfm.errors import DataError


def check_target(y, task):
    """Check that a target has no missing values and varies.

    Parameters
    ----------
    y : array-like of str or float, shape (n_rows,)
    task : {"classification", "regression"}

    Raises
    ------
    DataError
        If values are missing or infinite, or there is one value only.
    """
    y = np.asarray(y)
    missing = pd.isna(y) | np.isin(y.astype(str), ("", "n/a", "nan"))
    if missing.any():
        raise DataError(
            f"the target is missing in {missing.sum()} of {len(y)} rows: exclude those rows."
        )
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise DataError(
            f"the target is infinite in {np.isinf(y).sum()} of {len(y)} rows: exclude them."
        )
    values = np.unique(y)
    if len(values) < 2:
        what = "class" if task == "classification" else "value"
        shown = f"{values[0]}" if len(values) else "no row"
        raise DataError(
            f"the target has one {what} only ({shown}): choose another column, or tasks or "
            "participants that differ."
        )
