"""Figures for the quality control of anatomy, alignment, motion and connectivity."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
from matplotlib.figure import Figure
from niworkflows.viz.plots import plot_carpet

from brainfm.storage.derivatives.figures import STYLE, write_figure

_CONTOUR, _LINE, _WARN = "#e67e22", "#1f4e79", "#c0392b"
_VIEWS = {"sagittal": 0, "coronal": 1, "axial": 2}
_SLICES = 7
_MOST_VOXELS = 400


def draw_overlay(image, contour, path, *, title, caption):
    """Draw sagittal, coronal and axial slices of an image with the contour of a mask.

    Parameters
    ----------
    image, contour : nibabel image, 3-D, on the same grid
        The contour is drawn at 0.5.
    path, title, caption
        See :func:`brainfm.storage.derivatives.figures.write_figure`.

    Returns
    -------
    path : Path
    """
    image, contour = nib.as_closest_canonical(image), nib.as_closest_canonical(contour)
    data = np.nan_to_num(np.asarray(image.dataobj, dtype=float))
    inside = np.asarray(contour.dataobj, dtype=float)
    zooms = nib.affines.voxel_sizes(image.affine)
    bright = np.percentile(data[inside > 0.5], 99) if (inside > 0.5).any() else data.max()
    figure = Figure(figsize=(11, 5), facecolor="black", layout="constrained")
    axes = figure.subplots(len(_VIEWS), _SLICES)
    for row, (view, axis) in zip(axes, _VIEWS.items(), strict=True):
        aspect = np.delete(zooms, axis)[1] / np.delete(zooms, axis)[0]
        for ax, index in zip(row, _slices_through(inside, axis), strict=True):
            ax.imshow(data.take(index, axis).T, cmap="gray", origin="lower", vmin=0,
                      vmax=bright or 1, aspect=aspect)  # fmt: skip
            outline = inside.take(index, axis).T
            if outline.min() < 0.5 < outline.max():
                ax.contour(outline, levels=[0.5], colors=_CONTOUR, linewidths=0.9)
            ax.axis("off")
        row[0].set_title(view, color="white", loc="left", fontsize=9)
    return write_figure(figure, path, title=title, caption=caption)


def draw_motion(confounds, voxels, path, *, repetition_time_s, fd_threshold_mm):
    """Draw motion, DVARS and the carpet plot of one run over one time axis.

    Parameters
    ----------
    confounds : DataFrame
        As in ``*_desc-confounds_timeseries.tsv``.
    voxels : dict of str to ndarray of float, shape (n_times, n_voxels)
        Voxels of each tissue, of which every n-th is drawn.
    path : path
    repetition_time_s, fd_threshold_mm : float

    Returns
    -------
    path : Path

    References
    ----------
    .. [1] Power, 2017, NeuroImage 154. https://doi.org/10.1016/j.neuroimage.2016.08.009
    """
    time_s = np.arange(len(confounds)) * repetition_time_s
    with mpl.rc_context(STYLE):
        figure = plt.figure(figsize=(11, 8))  # pyplot: plot_carpet draws on its current figure
        grid = figure.add_gridspec(5, 1, height_ratios=[1, 1, 1, 1, 3], hspace=0.15, left=0.07,
                                   right=0.99, top=0.96, bottom=0.11)  # fmt: skip
        axes = [figure.add_subplot(row) for row in list(grid)[:4]]
        motions = (("trans", 1, "mm"), ("rot", 180 / np.pi, "degrees"))
        for ax, (kind, factor, unit) in zip(axes, motions, strict=False):
            for letter, colour in zip("xyz", (_LINE, "#7f8c8d", _CONTOUR), strict=True):
                values = confounds[f"{kind}_{letter}"] * factor
                ax.plot(time_s, values, color=colour, linewidth=1, label=letter)
            ax.set_ylabel(unit)
        axes[0].set_title("translation (above) and rotation of the head", fontsize=10)
        axes[0].legend(loc="upper left", ncols=3, frameon=False, fontsize=8)
        displacement = confounds["framewise_displacement"]
        axes[2].plot(time_s, displacement, color=_LINE, linewidth=1)
        axes[2].axhline(fd_threshold_mm, color=_WARN, linewidth=0.8, linestyle="--")
        axes[2].set_ylabel("FD (mm)")
        axes[3].plot(time_s, confounds["std_dvars"], color=_LINE, linewidth=1)
        axes[3].set_ylabel("std. DVARS")
        for ax in axes:
            ax.set_xlim(-repetition_time_s / 2, time_s[-1] + repetition_time_s / 2)
            ax.tick_params(labelbottom=False)
        _draw_carpet(grid[4], voxels, repetition_time_s)
        for ax in figure.axes[4:]:
            if ax.images:
                ax.set_xlim(-0.5, len(confounds) - 0.5)
    n_above = int((displacement > fd_threshold_mm).sum())
    caption = (
        f"Mean framewise displacement {displacement.mean():.3f} mm, largest "
        f"{displacement.max():.2f} mm; {n_above} of {len(confounds)} frames above "
        f"{fd_threshold_mm:g} mm (dashed). The carpet plot shows one voxel per row, by "
        "tissue, standardised after removing the linear trend: vertical bands across all tissues "
        "follow motion or breathing."
    )
    plt.close(figure)
    return write_figure(figure, path, title="Motion and carpet plot", caption=caption)


def draw_connectivity(matrix, networks, path):
    """Draw the correlations between parcels, ordered by network.

    Parameters
    ----------
    matrix : ndarray of float, shape (n_parcels, n_parcels)
        NaN where there is no data.
    networks : sequence of str
        Network of each parcel.
    path : path

    Returns
    -------
    path : Path
    """
    order = np.argsort(np.asarray(networks), kind="stable")
    names = np.asarray(networks)[order]
    shown = np.array(matrix, dtype=float)[np.ix_(order, order)]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7, 6), layout="constrained")
        ax = figure.subplots()
        colours = mpl.colormaps["RdBu_r"].with_extremes(bad="#d9d9d9")
        drawn = ax.imshow(shown, cmap=colours, vmin=-1, vmax=1)
        borders = np.flatnonzero(names[1:] != names[:-1]) + 1
        for border in borders:
            ax.axhline(border - 0.5, color="black", linewidth=0.5)
            ax.axvline(border - 0.5, color="black", linewidth=0.5)
        edges = np.concatenate([[0], borders, [len(names)]])
        ax.set_yticks((edges[:-1] + edges[1:] - 1) / 2, names[edges[:-1]])
        ax.set_xticks([])
        figure.colorbar(drawn, ax=ax, label="Pearson correlation", shrink=0.8)
    n_missing = int(np.isnan(np.diag(shown)).sum())
    grey = f"Grey: {n_missing} outside the field of view."
    caption = (
        f"Correlation between the denoised signals of {len(shown)} parcels, ordered by network. "
        f"{grey if n_missing else 'Every parcel is covered.'}"
    )
    return write_figure(figure, path, title="Connectivity between parcels", caption=caption)


def _draw_carpet(cell, voxels, repetition_time_s):
    step = max(sum(part.shape[1] for part in voxels.values()) // _MOST_VOXELS, 1)
    shown = {tissue: part[:, ::step].T for tissue, part in voxels.items() if part.size}
    rows = np.concatenate(list(shown.values())).astype(float)
    ends = np.cumsum([len(part) for part in shown.values()])
    segments = dict(zip(shown, np.split(np.arange(len(rows)), ends[:-1]), strict=True))
    plot_carpet(rows, segments, tr=repetition_time_s, subplot=cell, sort_rows=None)


def _slices_through(inside, axis):
    others = tuple(other for other in range(3) if other != axis)
    found = np.flatnonzero((inside > 0.5).any(axis=others))
    low, high = (found[0], found[-1]) if len(found) else (0, inside.shape[axis] - 1)
    return np.linspace(low, high, _SLICES + 2)[1:-1].round().astype(int)
