"""Validation of what is predicted."""

import numpy as np
import pandas as pd

from brainfm.errors import DataError


def check_target(y, task):
    """Refuse a target that nothing can be learned from.

    Parameters
    ----------
    y : ndarray, shape (n_rows,)
    task : {"classification", "regression"}

    Raises
    ------
    DataError
        If values are missing, or there is one value only.
    """
    y = np.asarray(y)
    missing = pd.isna(y) | np.isin(y.astype(str), ("", "n/a", "nan"))
    if missing.any():
        raise DataError(
            f"the target is missing in {missing.sum()} of {len(y)} rows: leave those rows out "
            "first."
        )
    if y.dtype.kind == "f" and np.isinf(y).any():
        raise DataError(f"the target is infinite in {np.isinf(y).sum()} of {len(y)} rows: mend it.")
    values = np.unique(y)
    if len(values) < 2:
        what = "class" if task == "classification" else "value"
        shown = f"{values[0]}" if len(values) else "no row"
        raise DataError(
            f"the target has one {what} only ({shown}): there is nothing to tell apart; choose "
            "another column, or tasks or participants that differ."
        )
