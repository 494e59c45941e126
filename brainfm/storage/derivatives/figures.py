"""Figures on disk: a small PNG, and a JSON with its title and caption beside it."""

from pathlib import Path

from PIL import Image

from brainfm.files import atomic, write_json

_DPI = 100
_COLOURS = 160


def write_figure(figure, path, *, title, caption):
    """Write a figure and what the report says about it.

    The PNG has few colours, which makes it a third of the size; a report holds many of them.

    Parameters
    ----------
    figure : matplotlib Figure
    path : path
        ``<out>/sub-*/figures/{stem}_desc-<what>_{bold|eeg|T1w}.png``.
    title, caption : str

    Returns
    -------
    path : Path
    """
    path = Path(path)
    with atomic(path) as partial:
        figure.savefig(partial, dpi=_DPI, metadata={"Software": None})
        with Image.open(partial) as image:
            small = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        small.save(partial, optimize=True)
    write_json(path.with_suffix(".json"), {"title": title, "caption": caption})
    return path
