"""Figure of the effects of motion on connectivity."""

import numpy as np
import pandas as pd

from brainfm.stages.report.figures.style import BLUE, GREY, OCHRE, axes_svg

_N_BINS = 15
_FEWEST_IN_BIN = 5


def qc_fc_figure(data, names):
    """Draw the correlations of edges with motion: their distribution, and over distance.

    Parameters
    ----------
    data : DataFrame
        ``distance_mm``, and the correlations of each stage; one row per edge.
    names : dict of str to str
        Name of each stage, by column.

    Returns
    -------
    svg : str
    data : DataFrame
    """
    colours = dict(zip(names, (OCHRE, BLUE) if len(names) > 1 else (BLUE,), strict=True))
    limit = max(0.1, np.nanmax(np.abs(data[list(names)].to_numpy())))

    def draw(axes):
        for column, name in names.items():
            values = data[column].dropna()
            axes[0].hist(values, np.linspace(-limit, limit, 60), histtype="step", density=True,
                         color=colours[column], label=name, linewidth=1.5)  # fmt: skip
            if data["distance_mm"].notna().any():
                _draw_over_distance(axes[1], data["distance_mm"], data[column], colours[column])
        axes[0].axvline(0, color=GREY, linestyle=":", linewidth=1)
        axes[1].axhline(0, color=GREY, linestyle=":", linewidth=1)
        axes[0].legend(frameon=False, fontsize=8, loc="upper left")
        axes[0].set(xlabel="correlation of an edge with mean FD", ylabel="density of edges")
        axes[1].set(xlabel="distance between parcels (mm)", ylabel="correlation with mean FD")

    return axes_svg(draw, size=(9, 3.4), grid=(1, 2)), data


def _draw_over_distance(axis, distance_mm, correlations, colour):
    """Draw median and quartiles of the correlations in bins of distance."""
    bins = pd.cut(distance_mm, _N_BINS)
    groups = correlations.groupby(bins, observed=True)
    quartiles = groups.quantile([0.25, 0.5, 0.75]).unstack()[groups.count() >= _FEWEST_IN_BIN]
    middle = [interval.mid for interval in quartiles.index]
    axis.fill_between(middle, quartiles[0.25], quartiles[0.75], color=colour, alpha=0.15, lw=0)
    axis.plot(middle, quartiles[0.5], "o-", color=colour, markersize=3.5, linewidth=1.5)
