"""Figure files: a small PNG, and a JSON sidecar with title and caption."""

from pathlib import Path

from PIL import Image

from brainfm.files import atomic, write_json

#: Settings of Matplotlib for the figures of participants.
STYLE = {"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}
_DPI = 100
_COLOURS = 160


def write_figure(figure, path, *, title, caption):
    """Write a figure with its title and caption.

    The PNG has 160 colours, which makes it a third of the size; a report embeds many of them.

    Parameters
    ----------
    figure : matplotlib Figure
    path : path
        Of the PNG; see :func:`brainfm.storage.derivatives.names.derivative_path`.
    title, caption : str

    Returns
    -------
    path : Path

    Raises
    ------
    CannotCreateOutput, ReadWriteFailed
        If it cannot be written.
    """
    path = Path(path)
    with atomic(path) as partial:
        figure.savefig(partial, dpi=_DPI, metadata={"Software": None})
        with Image.open(partial) as image:
            small = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
        small.save(partial, optimize=True)
    write_json(path.with_suffix(".json"), {"title": title, "caption": caption})
    return path
