"""Pictures of results for the documentation; see script/docs-pictures."""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tasks.figures import draw
from tasks.report import render_report
from tasks.results import open_results
from tasks.view import View

FOLDER = Path("docs/img")
COLOURS = 96  # enough for flat colours and letters, at a third of the size
WIDTHS = {"desktop": 960, "phone": 390}  # of the windows, in pixels
HEIGHT, MARGIN, GREY = 1260, 16, "#8a8f96"


def main(child: str, nation: str) -> None:
    """Draw all pictures and say how large they are."""
    comsa = open_results(child)
    _keep("csmf-comsa-child", _opened(draw(comsa, "csmf")[0].png(140)))
    _keep("strata-simulated", _opened(draw(open_results(nation), "strata")[0].png(140)))
    _keep("report", _side_by_side(render_report(View(comsa))))


def _keep(name: str, picture: Image.Image) -> None:
    path = FOLDER / f"{name}.png"
    picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB, {picture.width} x {picture.height}")


def _opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def _side_by_side(page: str) -> Image.Image:
    """The first screens of a page, as a desktop and as a phone show them."""
    width = sum(WIDTHS.values()) + MARGIN * (len(WIDTHS) + 1)
    sheet = Image.new("RGB", (width, HEIGHT + 2 * MARGIN), GREY)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "report.html")
        source.write_text(page, encoding="utf-8")
        left = MARGIN
        for device, wide in WIDTHS.items():
            sheet.paste(_screenshot(source, Path(folder, f"{device}.png"), wide), (left, MARGIN))
            left += wide + MARGIN
    return sheet


def _screenshot(page: Path, picture: Path, width: int) -> Image.Image:
    """The upper part of a page. Chromium's window is never narrower than 500 pixels; a frame is."""
    frame = page.with_name(f"frame-{width}.html")
    style = f"border:0;width:{width}px;height:{HEIGHT}px"
    frame.write_text(
        f'<body style="margin:0"><iframe src="{page.name}" style="{style}"></iframe></body>', encoding="utf-8"
    )
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--hide-scrollbars", f"--window-size={max(width, 500)},{HEIGHT}", f"--screenshot={picture}",
        frame.as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return Image.open(picture).crop((0, 0, width, HEIGHT))


if __name__ == "__main__":
    main(*sys.argv[1:])
