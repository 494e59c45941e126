"""Leave-one-site-out folds, and checks of classes confounded with sites."""

import numpy as np
import pandas as pd
from sklearn.model_selection import LeaveOneGroupOut

from brainfm.errors import DataError
from brainfm.evaluation.folds import Folds, independent_units
from brainfm.models.targets import check_target

_ONE_CLASS_EACH = (
    "every site has one class only, so classes and sites cannot be separated: add participants, "
    "or choose other classes."
)


def site_folds(y, groups, sites, *, task="classification", units=None):
    """Make one fold per site; rows are compared, and labels permuted, within sites only.

    Parameters
    ----------
    y : ndarray of str or float, shape (n_rows,)
    groups : ndarray of str, shape (n_rows,)
        Participant of each row.
    sites : ndarray of str, shape (n_rows,)
    task : {"classification", "regression"}
    units : ndarray of str, shape (n_rows,), optional
        Recording of each row; see :func:`brainfm.evaluation.folds.participant_folds`.

    Returns
    -------
    folds : Folds

    Raises
    ------
    DataError
        If the target is constant or missing, there is one site only, a participant is at two
        sites, a class is at one site only, or no site has two classes.
    """
    y, groups, sites = np.asarray(y), np.asarray(groups).astype(str), np.asarray(sites).astype(str)
    check_target(y, task)
    names = np.unique(sites)
    _check_sites(y, groups, sites, names, task)
    units, strata = independent_units(y, groups, units, sites)
    return Folds(
        pairs=tuple(LeaveOneGroupOut().split(y, groups=sites)),
        repeat=(0,) * len(names),
        kind="site",
        people=groups,
        units=units,
        strata=strata,
        sites=sites,
    )


def _check_sites(y, groups, sites, names, task):
    if len(names) < 2:
        raise DataError(
            f"all rows are of one site ({names[0]}): omit --groups, or choose a column with "
            "several values."
        )
    for person in np.unique(groups):
        where = np.unique(sites[groups == person])
        if len(where) > 1:
            raise DataError(
                f"{person} is at sites {' and '.join(where)}, which would put a participant in "
                "training and test of one fold: assign one site to each."
            )
    if task == "regression":
        return
    for label in np.unique(y):
        where = np.unique(sites[y == label])
        if len(where) == 1:
            raise DataError(
                f"all participants of class {label} are at site {where[0]}, so the class has no "
                "training row when that site is tested: add participants of other sites, or "
                "choose other classes."
            )
    if all(len(np.unique(y[sites == name])) == 1 for name in names):
        raise DataError(_ONE_CLASS_EACH)


def check_classes_at_sites(y, groups, sites):
    """Check that classes are not determined by the site.

    Parameters
    ----------
    y : ndarray of str, shape (n_rows,)
    groups : ndarray of str, shape (n_rows,)
        Participant of each row.
    sites : ndarray of object, shape (n_rows,)
        None or NaN where missing, which counts as a site.

    Raises
    ------
    DataError
        If several sites have two participants or more, and every site has one class only.
    """
    rows = pd.DataFrame({"y": y, "person": groups, "site": sites}).fillna({"site": "n/a"})
    at = rows.groupby("site").agg({"y": "nunique", "person": "nunique"})
    if (at["person"] > 1).sum() > 1 and (at["y"] == 1).all():
        raise DataError(_ONE_CLASS_EACH)
