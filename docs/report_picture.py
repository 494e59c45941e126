"""Make the picture of the landing page from the reports of the demo: needs Chromium and Pillow.

python docs/report_picture.py out/demo/brainfm docs/_static/report.webp
"""

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image, ImageOps

#: Report, and the first pixel row and the height that are shown of it.
PARTS = (("sub-bold01.html", 1350, 1150), ("group.html", 0, 1150))
WIDTH = 880


def main():
    """Take a screenshot of each report and put both side by side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shots = [
            screenshot(arguments.reports / name, Path(folder) / f"{name}.png", top, height)
            for name, top, height in PARTS
        ]
    gap = 40
    picture = Image.new("RGB", (sum(s.width for s in shots) + gap, shots[0].height), "#eef1f4")
    for number, shot in enumerate(shots):
        picture.paste(shot, (number * (shot.width + gap), 0))
    picture.save(arguments.picture, quality=80, method=6)
    print(arguments.picture, f"{arguments.picture.stat().st_size / 1e3:.0f} kB")


def screenshot(page, path, top, height):
    """Return a page as it is drawn by headless Chromium, from pixel row ``top``."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    subprocess.run(
        [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         f"--window-size={WIDTH},{top + height}", f"--screenshot={path}",
         page.absolute().as_uri()],
        check=True, capture_output=True,
    )  # fmt: skip
    image = Image.open(path).convert("RGB").crop((0, top, WIDTH, top + height))
    return ImageOps.expand(image, 2, "#c9d1d9")


if __name__ == "__main__":
    main()
