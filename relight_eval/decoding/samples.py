"""What a decoder hands over: a file's own numbers, not yet sRGB, and what the file says that they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from relight_eval.decoding.spaces import SRGB, Encoding
from relight_eval.errors import ImageError

GREY, RGB, CMYK = 1, 3, 4


@dataclass(frozen=True, eq=False)
class Samples:
    """The numbers of one image as stored: `values` (GREY | RGB | CMYK, H, W), of which `white` means 1.

    `opacity` (H, W) is on the same scale; None where every pixel is opaque. `premultiplied` says that the colours are
    stored as they look over black. What they mean is the profile `icc`, where there is one, else `encoding`; None: only
    the user can know. `is_own` says that the file itself gives that encoding, and not its format. `notes` are for the
    reader of the score; `converted` too, but of what `Reading.strict` refuses.
    """

    values: npt.NDArray[Any]
    white: float
    opacity: npt.NDArray[Any] | None = None
    premultiplied: bool = False
    encoding: Encoding | None = SRGB
    is_own: bool = False
    icc: bytes = b""
    notes: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raises ImageError for an image that is not to be decoded: of no pixels, or of too many."""
    if width < 1 or height < 1:
        raise ImageError(f"it is {width}x{height} and has no pixels; write it again.")
    if width * height > max_pixels:
        raise ImageError(
            f"{width}x{height} is more than the limit of {max_pixels} pixels, beyond which a file is taken for a "
            "decompression bomb; scale or crop both images of the pair, or raise --max-pixels."
        )
