"""Figures of feature importance: networks and edges of fMRI, bands and electrodes of EEG."""

import mne
import numpy as np
from nilearn.plotting import plot_connectome

from brainfm.stages.evaluate.summary_text import score_name
from brainfm.stages.preprocess.eeg_figures import head_sphere
from brainfm.stages.report.figures.style import BLUE, GREY, axes_svg, name_rows

_MOST_PAIRS, _MOST_EDGES = 15, 30
#: With fewer electrodes no scalp map is interpolated.
_FEWEST_MAPPED = 8


def pairs_figure(pairs, evaluation):
    """Draw the permutation importance of pairs of networks.

    Parameters
    ----------
    pairs : DataFrame
        ``networks.tsv``; the first 15 pairs are drawn.
    evaluation : dict
        Content of ``evaluation.json``.

    Returns
    -------
    svg : str
    data : DataFrame
    """
    data = pairs.head(_MOST_PAIRS)
    names = data["network"] + " – " + data["other"]
    names = names.where(data["network"] != data["other"], "within " + data["network"])
    return _importance(names, data, evaluation), data


def bands_figure(bands, evaluation):
    """Draw the permutation importance of frequency bands.

    Parameters
    ----------
    bands : DataFrame
        ``bands.tsv``.
    evaluation : dict
        Content of ``evaluation.json``.

    Returns
    -------
    svg : str
    data : DataFrame
    """
    return _importance(bands["band"], bands, evaluation), bands


def _importance(names, data, evaluation):
    def draw(axis):
        heights = name_rows(axis, names)
        axis.barh(heights, data["drop"], xerr=data["drop_sd"], height=0.6, color=BLUE,
                  error_kw={"ecolor": GREY, "elinewidth": 1.2})  # fmt: skip
        axis.axvline(0, color=GREY, linewidth=1)
        axis.set_xlabel(f"decrease of {score_name(evaluation['primary'])}")

    return axes_svg(draw, size=(8.5, 0.9 + 0.28 * len(data)))


def edges_figure(edges):
    """Draw the edges with the strongest patterns on a glass brain.

    Parameters
    ----------
    edges : DataFrame
        ``edges.tsv``: ``parcel``, ``other``, ``pattern`` and positions in MNI millimetres.

    Returns
    -------
    svg : str
    data : DataFrame
        The 30 edges that are drawn.
    """
    strongest = edges["pattern"].abs().sort_values(ascending=False).index[:_MOST_EDGES]
    data = edges.loc[strongest].reset_index(drop=True)
    ends = [data[["parcel", "parcel_x", "parcel_y", "parcel_z"]].to_numpy(),
            data[["other", "other_x", "other_y", "other_z"]].to_numpy()]  # fmt: skip
    positions = {row[0]: row[1:].astype(float) for row in np.vstack(ends)}
    names = list(positions)
    matrix = np.zeros((len(names), len(names)))
    for row in data.itertuples():
        one, other = names.index(row.parcel), names.index(row.other)
        matrix[one, other] = matrix[other, one] = row.pattern

    def draw(axis):
        axis.figure.set_layout_engine("none")
        plot_connectome(
            matrix, np.array(list(positions.values())), figure=axis.figure, axes=(0, 0, 1, 1),
            node_size=18, node_color=GREY, edge_cmap="RdBu_r", colorbar=True,
        )  # fmt: skip
        axis.remove()

    return axes_svg(draw, size=(8.5, 3)), data


def sensors_figure(sensors):
    """Draw the pattern of each frequency band on the scalp.

    Parameters
    ----------
    sensors : DataFrame
        ``sensors.tsv``: ``channel``, ``band``, ``pattern``, and positions ``x``, ``y``, ``z`` in
        head coordinates (metres).

    Returns
    -------
    svg : str
    data : DataFrame
        None is returned instead of both with fewer than 8 electrodes.
    """
    names = list(dict.fromkeys(sensors["channel"]))
    if len(names) < _FEWEST_MAPPED:
        return None
    positions = sensors.drop_duplicates("channel")[["x", "y", "z"]].to_numpy(float)
    info = mne.create_info(names, 1.0, "eeg")
    info.set_montage(mne.channels.make_dig_montage(
        dict(zip(names, positions, strict=True)), coord_frame="head"
    ))  # fmt: skip
    bands = list(dict.fromkeys(sensors["band"]))
    limit = sensors["pattern"].abs().max() or 1.0

    def draw(axes):
        for axis, band in zip(axes, bands, strict=True):
            values = sensors.loc[sensors["band"] == band, "pattern"].to_numpy(float)
            image, _ = mne.viz.plot_topomap(
                values, info, axes=axis, show=False, cmap="RdBu_r", vlim=(-limit, limit),
                sphere=head_sphere(info), contours=4,
            )  # fmt: skip
            axis.set_title(band)
        axes[0].figure.colorbar(image, ax=axes, shrink=0.7, label="pattern")

    return axes_svg(draw, size=(11, 2.4), grid=(1, len(bands))), sensors
