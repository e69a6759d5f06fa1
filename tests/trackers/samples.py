"""What the tests of the trackers log: results made by hand, and pictures of one colour."""

from __future__ import annotations

import io

import PIL.Image

from relight_eval.gallery import Gallery, Picture
from relight_eval.results import Results
from relight_eval.trackers.entry import Entry, entry
from tests.runs import VERDICTS, run

RED, BLUE = (255, 0, 0), (0, 0, 255)


def webp(colour: tuple[int, int, int] | int, size: tuple[int, int]) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(file, "WEBP", lossless=True)
    return file.getvalue()


def gallery(*names: str, label: str = "", size: tuple[int, int] = (24, 16), level: int = 0) -> Gallery:
    """Red predictions of blue targets, with a map of this level everywhere, half as large."""
    maps = {label: {"ssim": webp(level, (size[0] // 2, size[1] // 2))}}
    picture = Picture(webp(BLUE, size), {label: webp(RED, size)}, None, maps)
    return Gallery(dict.fromkeys(names, picture), {}, {"ssim": (0.0, 0.5)}, {"ssim": "1 - ssim"})


def logged(step: int | None = None, results: Results | None = None) -> Entry:
    """Everything that there is to log, with pictures of two images."""
    return entry(results or run(verdicts=VERDICTS), gallery("a", "b10"), "", step, most=8)
