"""Files of up to 8 bits per channel, by Pillow.

Its classes are called by themselves, not through PIL.Image.open, which tries every format it knows (some start other
programs) and hides why the right one failed.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL.ImageFile import ImageFile

from relight_eval.decoding import orientation
from relight_eval.decoding.samples import GREY, RGB, Samples, check_size
from relight_eval.errors import ImageError

Levels = npt.NDArray[np.uint8]
Reader = Callable[[io.BytesIO], ImageFile]

_CONVERT = "Convert both images of the pair to PNG."
_GREY_MODES = {"1", "L", "LA"}
_MODES = _GREY_MODES | {"P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
# In which 0 is black and everything else is not: a mask of them is read as it is.
_MASK_MODES = {"1", "L", "LA", "RGB", "RGBA", "I", "I;16", "I;16L", "I;16B", "F"}


def samples(reader: Reader, content: bytes, max_pixels: int) -> Samples:
    """Levels of 255: grey, RGB, or CMYK where there is a profile for it. Raises ImageError, and what Pillow does."""
    picture = opened(reader, content, max_pixels)
    if picture.mode not in _MODES:
        raise ImageError(f"{picture.format} of pixel mode {picture.mode} cannot be read. {_CONVERT}")
    rawmode = _rawmode(picture)
    picture.load()  # a TIFF turns itself here
    _mend_transparent_grey(picture, rawmode)
    _check_palette(picture)
    icc = picture.info.get("icc_profile") or _pieces_of_profile(picture)
    if picture.mode == "CMYK" and icc:
        values, opacity = _bands(picture), None
    else:
        values, opacity = _colour(picture)
    naive = ("CMYK, converted to RGB without its colour profile",) if picture.mode == "CMYK" and not icc else ()
    turn = turning(picture)
    return Samples(
        turn.turned(values),
        white=255,
        opacity=None if opacity is None else turn.turned(opacity),
        icc=icc,
        converted=(*naive, *turn.notes, *frames_note(picture)),
    )


def mask(reader: Reader, content: bytes, max_pixels: int) -> Samples:
    """As `samples`, of modes that hold more than 8 bits too, as they are. CMYK and the like count as RGB."""
    picture = opened(reader, content, max_pixels)
    if picture.mode not in _MODES | _MASK_MODES:
        raise ImageError(f"{picture.format} of pixel mode {picture.mode} cannot be read; save the mask in grey.")
    picture.load()
    _check_palette(picture)
    colour = picture if picture.mode in _MASK_MODES else picture.convert("RGB")
    values = np.atleast_3d(np.asarray(colour)).transpose(2, 0, 1)
    values = turning(picture).turned(values)
    return Samples(values[:-1], 255, values[-1]) if colour.mode in ("LA", "RGBA") else Samples(values, 255)


def opened(reader: Reader, content: bytes, max_pixels: int) -> ImageFile:
    """The file, not decoded yet. Raises ImageError for one that is too large, and whatever Pillow does."""
    picture = reader(io.BytesIO(content))
    check_size(picture.width, picture.height, max_pixels)
    return picture


@dataclass(frozen=True)
class Turning:
    """How a picture is to be turned, and what is to be said where that cannot be known."""

    orientation: object = 1
    notes: tuple[str, ...] = ()

    def turned(self, array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return orientation.turned(array, self.orientation)


def turning(picture: ImageFile) -> Turning:
    try:
        return Turning(picture.getexif().get(orientation.TAG, 1))
    except Exception:  # of as many kinds as decoding; the pixels themselves are whole
        return Turning(notes=("EXIF data damaged, so no orientation applied",))


def frames_note(picture: ImageFile) -> tuple[str, ...]:
    try:
        count = getattr(picture, "n_frames", 1)
    except Exception:  # of as many kinds as decoding; the first frame is read
        return ("first frame of an animation whose other frames are damaged",)
    return (f"first of {count} frames",) if count > 1 else ()


def _pieces_of_profile(picture: ImageFile) -> bytes:
    """What there is of the colour profile of a JPEG that lacks some of it; Pillow takes it for none."""
    mark = b"ICC_PROFILE\0"
    pieces = [data for name, data in getattr(picture, "applist", []) if name == "APP2" and data.startswith(mark)]
    return b"".join(piece[len(mark) + 2 :] or b"?" for piece in pieces)


def _check_palette(picture: ImageFile) -> None:
    """Raises ImageError where pixels have no colour, of which Pillow makes black."""
    if picture.mode == "P" and picture.palette is not None:
        colours = len(picture.palette.palette) // len(picture.palette.mode)
        largest = int(np.asarray(picture).max())
        if largest >= colours:
            raise ImageError(f"some pixels have colour {largest} of a palette of {colours}; write the file again.")


def _rawmode(picture: ImageFile) -> str:
    args = picture.tile[0].args if picture.tile else ""
    return str(args[0] if isinstance(args, tuple) else args)


def _colour(picture: ImageFile) -> tuple[Levels, Levels | None]:
    """Grey (1, H, W) or RGB (3, H, W), and the opacity (H, W) where some pixel is not opaque."""
    bands = _bands(picture.convert("RGBA" if picture.has_transparency_data else "RGB"))
    colour = bands[:GREY] if picture.mode in _GREY_MODES else bands[:RGB]
    opacity = bands[RGB] if len(bands) > RGB and bands[RGB].min() < 255 else None
    return colour, opacity


def _bands(picture: PIL.Image.Image) -> Levels:
    """(C, H, W). Band by band is five times faster than interleaved pixels, and what the metrics want."""
    bands = picture.split()
    planes = np.empty((len(bands), picture.height, picture.width), np.uint8)
    for plane, band in zip(planes, bands, strict=True):
        plane[:] = np.asarray(band)
    return planes


def _mend_transparent_grey(picture: ImageFile, rawmode: str) -> None:
    """Brings the transparent grey of a 2 or 4-bit PNG to the range of the decoded pixels; Pillow does not."""
    step = {"L;2": 85, "L;4": 17}.get(rawmode, 1)
    grey = picture.info.get("transparency")
    if isinstance(grey, int) and grey < 16:  # more: it is in that range already
        picture.info["transparency"] = grey * step
