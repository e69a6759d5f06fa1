"""One picture to look at in a tracker: prediction, target and a map of the errors, side by side."""

from __future__ import annotations

import io
from dataclasses import dataclass

import PIL.Image

from relight_eval.gallery import Gallery, Picture
from relight_eval.magma import COLOURS
from relight_eval.text import exact

SIDE = 512  # of each part, at most; a tracker shows it no larger, and keeps it for every step
GAP = 4


@dataclass(frozen=True)
class Shot:
    """A JPEG file, and what is to be seen on it. `name` is that of the image."""

    name: str
    caption: str
    file: bytes
    width: int
    height: int

    def image(self) -> PIL.Image.Image:
        return PIL.Image.open(io.BytesIO(self.file))


def shot(name: str, picture: Picture, label: str, gallery: Gallery) -> Shot:
    """The prediction of the run of this label, the target, and the first map there is, in magma."""
    parts, said = [_opened(picture.predictions[label]), _opened(picture.target)], ["prediction", "target"]
    for map_name, error in list(picture.maps.get(label, {}).items())[:1]:
        parts.append(_coloured(_opened(error)))
        low, high = gallery.scales[map_name]
        said.append(f"{map_name} error, {exact(low)} to {exact(high)}")
    sheet = _beside(parts)
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=90, subsampling=0)
    return Shot(name, f"{name}: {' | '.join(said)}", file.getvalue(), *sheet.size)


def _opened(file: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(file))


def _coloured(grey: PIL.Image.Image) -> PIL.Image.Image:
    """(A WebP file has no grey: all its channels are the level.)"""
    levels = grey.getchannel(0)
    levels.putpalette(COLOURS.tobytes())
    return levels.convert("RGB")


def _beside(parts: list[PIL.Image.Image]) -> PIL.Image.Image:
    """All in the size of the first, but no side longer than SIDE, on white."""
    width, height = parts[0].size
    scale = min(1.0, SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    sheet = PIL.Image.new("RGB", (len(parts) * (size[0] + GAP) - GAP, size[1]), "white")
    for i, part in enumerate(parts):
        sheet.paste(part.convert("RGB").resize(size), (i * (size[0] + GAP), 0))
    return sheet
