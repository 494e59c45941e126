"""Figures for the quality control of a cleaned EEG."""

import pickle
import textwrap
from collections import Counter
from pathlib import Path

import matplotlib as mpl
import mne
import numpy as np
from matplotlib.figure import Figure

from brainfm.signal.eeg import BANDS_HZ
from brainfm.signal.montage import fit_sphere, flatten_head
from brainfm.storage.bids.electrodes import electrode_positions
from brainfm.storage.derivatives.figures import STYLE, write_figure
from brainfm.storage.derivatives.names import derivative_path

_BEFORE, _AFTER, _BAD = "#b8b8b8", "#1f4e79", "#c0392b"
_MOST_COMPONENTS = 8
_MOST_TRACES = 20
_FEWEST_MAPPED = 4
#: Outline of the head, in radii of the sphere through the electrodes.
_HEAD = 1.15


def draw_eeg_figures(summary_file, out_dir):
    """Draw all figures of one run, each with a JSON of its title and caption beside it.

    Parameters
    ----------
    summary_file : path
        See :func:`brainfm.stages.preprocess.eeg_qc.write_summary`.
    out_dir : path
        Root of the derivative dataset.

    Returns
    -------
    list of Path
        ``<out>/sub-*/figures/{stem}_desc-{psd,components,bands,sensors,traces}_eeg.png``.
    """
    summary = pickle.loads(Path(summary_file).read_bytes())  # noqa: S301
    drawn = {
        "psd": ("Power spectra before and after", _draw_psd),
        "traces": ("Signal before and after", _draw_traces),
        "components": ("Independent components removed", _draw_components),
        "sensors": ("Electrodes and bad channels", _draw_sensors),
        "bands": ("Band power on the scalp", _draw_bands),
    }
    files = []
    with mpl.rc_context(STYLE):
        for name, (title, draw) in drawn.items():
            figure, caption = draw(summary)
            path = derivative_path(
                out_dir, f"{summary.stem}_eeg.vhdr",
                datatype="figures", desc=name, suffix="eeg", extension=".png",
            )  # fmt: skip
            files.append(write_figure(figure, path, title=title, caption=caption))
    return files


def _draw_psd(summary):
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    shown = summary.occipital or slice(None)
    for axis, name, colour in ((axes[0], "before", _BEFORE), (axes[1], "after", _AFTER)):
        frequencies_hz, density = summary.spectra[name]
        axis.plot(frequencies_hz, _decibel(density), color=_AFTER, alpha=0.35, linewidth=0.7)
        axis.set_title(f"{name} cleaning, {density.shape[1]} channels")
        mean = _decibel(density[:, shown]).mean(axis=1)
        axes[2].plot(frequencies_hz, mean, color=colour, linewidth=2, label=name)
    axes[2].axvspan(*BANDS_HZ["alpha"], color="#f2e6c9", zorder=0, label="alpha")
    where = ", ".join(summary.info.ch_names[index] for index in summary.occipital)
    axes[2].set_title(f"mean of {where or 'all channels'}")
    axes[2].legend(frameon=False, loc="upper right")
    for axis in axes:
        axis.axvline(summary.line_hz, color=_BAD, linestyle=":", linewidth=1)
        axis.set_xlabel("frequency (Hz)")
        axis.set_xlim(0, min(100, summary.spectra["before"][0][-1]))
    axes[0].set_ylabel("power (dB re 1 µV²/Hz)")
    axes[0].set_ylim(_range_of(summary))
    caption = (
        f"Spectra of the raw and of the cleaned recording. The red dotted line is the line "
        f"frequency ({summary.line_hz:g} Hz). Band-pass {summary.filters['high_pass_hz']:g} to "
        f"{summary.filters['low_pass_hz']:g} Hz. With eyes closed, a peak of the occipital "
        "channels in the alpha band (8 to 13 Hz) is expected."
    )
    return figure, caption


def _decibel(density):
    return 10 * np.log10(np.maximum(density * 1e12, 1e-8))


def _range_of(summary):
    """Return limits that show the pass band; stop bands may be cut off."""
    frequencies_hz, density = summary.spectra["after"]
    inside = (frequencies_hz >= 1) & (frequencies_hz <= summary.filters["low_pass_hz"])
    away = np.abs(frequencies_hz - summary.line_hz) > 3
    low = np.percentile(_decibel(density[inside & away]), 0.5)
    high = max(_decibel(d[(f >= 1)]).max() for f, d in summary.spectra.values())
    return low - 12, high + 4


def _draw_traces(summary):
    excerpt, names = summary.excerpt, summary.info.ch_names
    shown = _spread_channels(summary)
    figure = Figure(figsize=(11, 0.6 + 0.3 * len(shown)), layout="constrained")
    axis = figure.subplots()
    scale = 6 * np.percentile(excerpt["after"][:, shown].std(axis=0), 70)
    ticks = -np.arange(len(shown)) * scale
    times_s = excerpt["times_s"]
    axis.plot(times_s, excerpt["before"][:, shown] + ticks, color="#e08e79", linewidth=0.9)
    axis.plot(times_s, excerpt["after"][:, shown] + ticks, color="#1b1b1b", linewidth=0.6)
    axis.set_yticks(ticks, [names[index] for index in shown])
    for label in axis.get_yticklabels():
        label.set_color(_BAD if label.get_text() in summary.bad else "black")
    axis.set_ylim(ticks[-1] - scale, scale)
    axis.set_xlim(times_s[0], times_s[-1])
    axis.set_xlabel("time (s)")
    bar = _round_down(scale * 1e6)
    axis.plot([times_s[-1]] * 2, [0, bar * 1e-6], color="black", linewidth=3, clip_on=False)
    axis.text(times_s[-1], bar * 1e-6, f" {bar:g} µV", va="center", clip_on=False)
    handles = [
        mpl.lines.Line2D([], [], color="#e08e79", label="filtered"),
        mpl.lines.Line2D([], [], color="#1b1b1b", label="components removed, bad interpolated"),
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=2, frameon=False)
    caption = (
        f"The {times_s[-1] - times_s[0]:.0f} s that the preprocessing changed most, "
        f"{len(shown)} of {len(names)} channels, average reference. Red names are bad channels. "
        "The black lines should show brain rhythms, without blinks and muscle bursts."
    )
    return figure, caption


def _spread_channels(summary):
    """Select channels evenly from front to back, with all bad channels."""
    names = summary.info.ch_names
    order = np.argsort(-electrode_positions(summary.info)[:, 1], kind="stable")
    bad = [index for index in order if names[index] in summary.bad][: _MOST_TRACES // 2]
    rest = [index for index in order if index not in bad]
    n_rest = min(len(rest), _MOST_TRACES - len(bad))
    picked = [rest[k] for k in np.linspace(0, len(rest) - 1, n_rest).round().astype(int)]
    return [index for index in order if index in {*bad, *picked}]


def _round_down(value):
    step = 10 ** np.floor(np.log10(value))
    return max(k * step for k in (1, 2, 5) if k * step <= value)


def _draw_components(summary):
    components = summary.components
    if components["skipped"]:
        return _text_figure(
            f"ICA was skipped: {components['skipped']}. Eye and muscle activity remains."
        )
    counts = Counter(component["Label"] for component in components["described"])
    listed = ", ".join(f"{count} {label}" for label, count in sorted(counts.items()))
    found = f"ICLabel on {counts.total()} components: {listed}."
    removed = [component for component in components["described"] if component["Removed"]]
    if not removed:
        return _text_figure(
            f"No component is an artefact with a probability above the threshold. {found}"
        )
    shown = removed[:_MOST_COMPONENTS]
    figure = Figure(figsize=(11, 2.5 * np.ceil(len(shown) / 2)), layout="constrained")
    axes = figure.subplots(-(-len(shown) // 2), 4, squeeze=False).reshape(-1, 2)
    for (head, spectrum), component in zip(axes, shown, strict=False):
        _draw_component(head, spectrum, components, component)
    for axis in axes[len(shown) :].flat:
        axis.set_axis_off()
    more = len(removed) - len(shown)
    caption = (
        f"Number of components removed: {len(removed)}"
        f"{f', {more} of them not drawn' if more else ''}. Topography, label with its probability, "
        f"and spectrum of each. {found}"
    )
    return figure, caption


def _draw_component(head, spectrum, components, component):
    index = component["Component"]
    mne.viz.plot_topomap(
        components["maps"][:, index], components["info"], axes=head, show=False, sensors=False,
        sphere=head_sphere(components["info"]), cmap="RdBu_r",
    )  # fmt: skip
    head.set_title(f"{index}: {component['Label']}, {component['Probability']:.2f}")
    frequencies_hz, density = components["spectra"]
    shown = (frequencies_hz >= 1) & (frequencies_hz <= 45)
    spectrum.plot(frequencies_hz[shown], 10 * np.log10(density[shown, index] + 1e-12), color=_AFTER)
    spectrum.set_xlabel("frequency (Hz)")
    spectrum.set_ylabel("power (dB)")


def _draw_sensors(summary):
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    axis = figure.subplots()
    names = summary.info.ch_names
    flat = flatten_head(electrode_positions(summary.info))
    _draw_head(axis)
    crowded = len(names) > 70
    for name, (x, y) in zip(names, flat, strict=True):
        is_bad = name in summary.bad
        axis.plot(x, y, "o", markersize=9 if crowded else 21, markeredgecolor=_AFTER,
                  color=_BAD if is_bad else "#dde8f2", linewidth=0)  # fmt: skip
        axis.text(x, y, name, ha="center", va="center", fontsize=5 if crowded else 7.5,
                  color="white" if is_bad else "black")  # fmt: skip
    axis.set_aspect("equal")
    axis.set_axis_off()
    bad = ", ".join(f"{name} ({reason})" for name, reason in summary.bad.items()) or "none"
    missing = ", ".join(summary.without_position) or "none"
    caption = (
        f"{len(names)} electrodes, seen from above with the nose at the top. "
        f"Bad and interpolated (red): {bad}. Excluded, without position: {missing}."
    )
    return figure, caption


def _draw_head(axis):
    style = {"color": "#888888", "linewidth": 1.2, "zorder": 0}
    turn, half = np.linspace(0, 2 * np.pi, 200), np.linspace(0, np.pi, 50)
    axis.plot(_HEAD * np.cos(turn), _HEAD * np.sin(turn), **style)
    axis.plot([-0.12, 0, 0.12], [_HEAD - 0.01, _HEAD + 0.14, _HEAD - 0.01], **style)
    for side in (-1, 1):
        axis.plot(side * (_HEAD + 0.08 * np.sin(half)), 0.16 * np.cos(half), **style)


def head_sphere(info):
    """Fit the sphere that MNE draws as the head outline.

    Parameters
    ----------
    info : mne.Info

    Returns
    -------
    sphere : tuple of 4 floats or None
        Centre and radius in metres; None if no sphere fits.
    """
    centre, radius = fit_sphere(electrode_positions(info))
    return None if radius is None else (*centre, _HEAD * radius)


def _draw_bands(summary):
    drawn = np.flatnonzero(np.isfinite(summary.band_share).all(axis=1))
    if len(drawn) < _FEWEST_MAPPED:
        return _text_figure(f"{len(drawn)} channels are too few for a scalp map.")
    info = mne.pick_info(summary.info, drawn)
    figure = Figure(figsize=(11, 2.6), layout="constrained")
    axes = figure.subplots(1, len(BANDS_HZ))
    for axis, (name, (low, high)), share in zip(
        axes, BANDS_HZ.items(), summary.band_share[drawn].T, strict=True
    ):
        image, _ = mne.viz.plot_topomap(
            100 * share, info, axes=axis, show=False, cmap="viridis", sensors=True,
            sphere=head_sphere(info),
            vlim=(100 * np.nanmin(share), 100 * np.nanmax(share)), contours=4,
        )  # fmt: skip
        axis.set_title(f"{name}\n{low:g} to {high:g} Hz")
        bar = figure.colorbar(image, ax=axis, shrink=0.7, orientation="horizontal")
        bar.ax.tick_params(labelsize=8)
        bar.set_label("% of power", fontsize=8)
    caption = (
        "Share of each band in the power from 1 to 45 Hz of the cleaned signal; each map has its "
        "own scale. Alpha is expected to be strongest at the back of the head, most with "
        "eyes closed."
    )
    return figure, caption


def _text_figure(text):
    """Return a figure of a text, which is also its caption."""
    figure = Figure(figsize=(11, 1.2))
    figure.text(0.02, 0.5, "\n".join(textwrap.wrap(text, 120)), va="center")
    return figure, text
