"""Images and maps as files: their sizes, their bytes, and what those take in a page."""

from __future__ import annotations

import io
from collections.abc import Iterable

import numpy as np
import PIL.Image
import torch
from PIL.Image import Resampling
from torch import Tensor

from relight_eval.magma import COLOURS
from relight_eval.pictures.album import Size
from relight_eval.pictures.scales import Half, grey

FRAME_BYTES = 64  # what a page writes around an embedded file


def cost(files: Iterable[bytes]) -> int:
    """What files take in a page: as base64, and with the element around each."""
    return sum(4 * -(-len(file) // 3) + FRAME_BYTES for file in files)


def fitted(size: Size, most: Size) -> Size:
    """The largest size of the same shape that is neither more than `most` nor than it is."""
    scale = min(1.0, *(limit / max(1, side) for side, limit in zip(size, most, strict=True)))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def picture_file(pixels: Tensor, size: Size, *, quality: int = 90) -> bytes:
    """(3, H, W), levels of 255 or [0, 1], as WebP of this size."""
    if pixels.is_floating_point():
        pixels = (pixels * 255).round().to(torch.uint8)
    picture = PIL.Image.fromarray(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
    small = picture.resize((size[1], size[0]), Resampling.LANCZOS, reducing_gap=3.0)
    return _encoded(small, "WEBP", quality=quality, method=4)


def map_file(half: Half, high: float) -> bytes:
    """A map as WebP. (Without loss: a page reads the value back under the pointer. More effort gains 3 %.)"""
    return _encoded(PIL.Image.fromarray(grey(half, high)), "WEBP", lossless=True, quality=20, method=2)


def _encoded(picture: PIL.Image.Image, kind: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def map_png(half: Half, high: float) -> bytes:
    """A map as PNG in magma, the number of a colour being the grey level."""
    picture = PIL.Image.fromarray(grey(half, high))
    picture.putpalette(COLOURS.tobytes())
    return _encoded(picture, "PNG")
