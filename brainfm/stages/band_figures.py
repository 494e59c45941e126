"""Figures of what a prediction from EEG rests on: bands, and electrodes on the scalp."""

import mne
import numpy as np

from brainfm.stages.answer import score_name
from brainfm.stages.figures_eeg import head_sphere
from brainfm.stages.report_figures import BLUE, GREY, figure_svg

#: Fewer electrodes make no map.
_FEWEST_MAPPED = 8


def bands_figure(bands, evaluation):
    """Draw how much the score falls when the power in a band is exchanged.

    Parameters
    ----------
    bands : DataFrame
        ``bands.tsv``.

    Returns
    -------
    svg : str
    data : DataFrame
    """

    def draw(figure):
        axis = figure.subplots()
        places = np.arange(len(bands))[::-1]
        axis.barh(places, bands["drop"], xerr=bands["drop_sd"], height=0.6, color=BLUE,
                  error_kw={"ecolor": GREY, "elinewidth": 1.2})  # fmt: skip
        axis.set_yticks(places, bands["band"])
        axis.axvline(0, color=GREY, linewidth=1)
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel(f"fall of {score_name(evaluation['primary'])}")

    return figure_svg(draw, size=(8.5, 0.9 + 0.28 * len(bands))), bands


def sensors_figure(sensors):
    """Draw the pattern of each band on the scalp; None with fewer than eight electrodes.

    Parameters
    ----------
    sensors : DataFrame
        ``sensors.tsv``: ``channel``, ``band``, ``pattern``, and positions in metres of the head.

    Returns
    -------
    svg : str
    data : DataFrame
    """
    names = list(dict.fromkeys(sensors["channel"]))
    if len(names) < _FEWEST_MAPPED:
        return None
    places = sensors.drop_duplicates("channel")[["x", "y", "z"]].to_numpy(float)
    info = mne.create_info(names, 1.0, "eeg")
    info.set_montage(mne.channels.make_dig_montage(
        dict(zip(names, places, strict=True)), coord_frame="head"
    ))  # fmt: skip
    bands = list(dict.fromkeys(sensors["band"]))
    most = sensors["pattern"].abs().max() or 1.0

    def draw(figure):
        axes = figure.subplots(1, len(bands))
        for axis, band in zip(axes, bands, strict=True):
            values = sensors.loc[sensors["band"] == band, "pattern"].to_numpy(float)
            image, _ = mne.viz.plot_topomap(
                values, info, axes=axis, show=False, cmap="RdBu_r", vlim=(-most, most),
                sphere=head_sphere(info), contours=4,
            )  # fmt: skip
            axis.set_title(band)
        figure.colorbar(image, ax=axes, shrink=0.7, label="pattern")

    return figure_svg(draw, size=(11, 2.4)), sensors
