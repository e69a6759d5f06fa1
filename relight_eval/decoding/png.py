"""PNG: up to 8 bits by Pillow, 16 by libpng (imagecodecs), as Pillow makes 8 of them in silence; and what it says of
colour. Both libraries must find a file whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import imagecodecs
import numpy as np
from PIL.PngImagePlugin import PngImageFile

from relight_eval.decoding import pillow
from relight_eval.decoding.profiles import PngColour, chromaticities_matrix, png_colour
from relight_eval.decoding.samples import Samples
from relight_eval.decoding.spaces import Encoding
from relight_eval.errors import ImageError

_DEPTH = 24  # where the header says it


def samples(content: bytes, max_pixels: int) -> Samples:
    """Levels of 255, or of 65535. Raises ImageError, and whatever the libraries do."""
    return _meant(_stored(content, max_pixels, pillow.samples), png_colour(content))


def mask(content: bytes, max_pixels: int) -> Samples:
    return _stored(content, max_pixels, pillow.mask)


def _stored(content: bytes, max_pixels: int, by_pillow: Callable[[pillow.Reader, bytes, int], Samples]) -> Samples:
    if _is_deep(content):
        return _sixteen_bits(content, max_pixels)
    found = by_pillow(PngImageFile, content, max_pixels)
    imagecodecs.png_decode(content)  # fails on wrong checksums and missing rows, which Pillow lets pass
    return replace(found, icc=b"")


def _is_deep(content: bytes) -> bool:
    return content[_DEPTH : _DEPTH + 1] == b"\x10"


def _sixteen_bits(content: bytes, max_pixels: int) -> Samples:
    picture = pillow.opened(PngImageFile, content, max_pixels)
    picture.load()  # says what is wrong with a damaged file, which a codec may not notice
    pixels = np.atleast_3d(imagecodecs.png_decode(content))  # (H, W, C), a transparent colour turned into alpha
    if pixels.dtype != np.uint16 or pixels.shape[:2] != (picture.height, picture.width):
        raise ImageError("the 16-bit PNG was not decoded in full; write or copy it again.")
    turn = pillow.turning(picture)
    planes = turn.turned(pixels.transpose(2, 0, 1))
    has_alpha = len(planes) in (2, 4)
    opacity = planes[-1] if has_alpha and planes[-1].min() < 65535 else None
    return Samples(
        planes[:-1] if has_alpha else planes,
        white=65535,
        opacity=opacity,
        converted=(*turn.notes, *pillow.frames_note(picture)),
    )


def _meant(found: Samples, said: PngColour) -> Samples:
    """`found` with the meaning that the file gives its values."""
    if said.icc is not None:
        return replace(found, icc=said.icc)
    if said.gamma is None and said.chromaticities is None:
        return found
    matrix = None if said.chromaticities is None else chromaticities_matrix(said.chromaticities)
    parts = [] if said.gamma is None else [f"gamma {said.gamma:.4g}" if said.gamma != 1 else "linear light"]
    name = " of ".join([*parts, *([] if matrix is None else ["other primaries"])])
    return replace(found, encoding=Encoding(name, said.gamma, matrix), is_own=True)
