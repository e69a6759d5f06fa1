"""TIFF: up to 8 bits by Pillow; more, floats and further channels by tifffile.

Pillow rounds some of those, and does not know all.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL.TiffImagePlugin import COMPRESSION_INFO, ImageFileDirectory_v2, TiffImageFile
from tifffile import TiffFile, TiffPage

from relight_eval.decoding import orientation, pillow
from relight_eval.decoding.samples import CMYK, GREY, RGB, Samples, check_size
from relight_eval.errors import ImageError
from relight_eval.text import counted

_BITS_PER_SAMPLE, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _SAMPLES_PER_PIXEL = 258, 259, 262, 274, 277  # tags
_SAMPLE_FORMAT, _ICC = 339, 34675
_YCBCR_COEFFICIENTS, _YCBCR_SUBSAMPLING, _BLACK_AND_WHITE = 529, 530, 532
_WHITE_IS_ZERO, _YCBCR = 0, 6  # what the tag PhotometricInterpretation says
_OF_JPEG = (0, 255, 128, 255, 128, 255)  # what the tag ReferenceBlackWhite says
_UNCOMPRESSED, _FAX, _WEBP = 1, (2, 3, 4), 50001  # what the tag Compression says
_CHANNELS = {_WHITE_IS_ZERO: GREY, 1: GREY, 2: RGB, 5: CMYK}
_KINDS = {1: "unsigned", 2: "signed", 3: "float", 5: "complex", 6: "complex"}  # of the tag SampleFormat
_PREMULTIPLIED, _STRAIGHT = 1, 2  # what the tag ExtraSamples says
_ALPHA = {_PREMULTIPLIED, _STRAIGHT}
_SAVE = "Save both images of the pair with 8 or 16 bits, or as float."


def samples(content: bytes, max_pixels: int) -> Samples:
    """Levels of 255 or of the depth that the file says (9 to 16 bits), or floats. Raises ImageError, and others."""
    if _is_for_pillow(content):
        return pillow.samples(TiffImageFile, content, max_pixels)
    with TiffFile(io.BytesIO(content)) as file:
        page = _first(file)
        white = _white(page)
        planes, opacity = _planes(page, content, max_pixels)
        if page.photometric == _WHITE_IS_ZERO:
            planes = planes.dtype.type(white) - planes
        is_opaque = opacity is None or bool((opacity >= white).all())
        return Samples(
            planes,
            white,
            opacity=None if is_opaque else opacity,
            premultiplied=_PREMULTIPLIED in page.extrasamples and not is_opaque,
            icc=bytes(page.tags.valueof(_ICC) or b""),
            notes=() if is_opaque or page.extrasamples else ("alpha taken for straight, as the TIFF does not say",),
            converted=(*_channels_note(page), *_pages_note(file)),
        )


def mask(content: bytes, max_pixels: int) -> Samples:
    """As `samples`, but of numbers of any kind."""
    if _is_for_pillow(content):
        tags = TiffImageFile(io.BytesIO(content)).tag_v2
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO and tags.get(_COMPRESSION) not in _FAX:
            raise ImageError(  # as it is by default when tifffile writes an array of bool, where 1 is meant as True
                "the TIFF says that 0 is white and 1 is black, which masks seldom mean; save the mask as PNG."
            )
        return pillow.mask(TiffImageFile, content, max_pixels)
    with TiffFile(io.BytesIO(content)) as file:
        page = _first(file)
        if page.dtype is None or page.dtype.kind not in "uif" or page.photometric == _WHITE_IS_ZERO:
            raise ImageError(f"{_described(page)} cannot be read; save the mask in grey.")
        planes, opacity = _planes(page, content, max_pixels)
        return Samples(planes, 1, opacity)


def _is_for_pillow(content: bytes) -> bool:
    """By its directory of tags, before its own look at the file. (It knows no big-endian BigTIFF.)"""
    if content.startswith(b"MM\0+"):
        return False
    directory = ImageFileDirectory_v2(content[: 16 if content[2] == 43 else 8])  # 43: a BigTIFF
    file = io.BytesIO(content)
    file.seek(directory.next)
    directory.load(file)
    if len(directory) and not {_COMPRESSION, _PHOTOMETRIC} <= set(directory):  # both libraries would make them up
        raise ImageError(
            "the TIFF does not say how its pixels are compressed, or of what colour they are: it is damaged; "
            "write or copy it again."
        )
    kinds = {_KINDS.get(number, "unsigned") for number in directory.get(_SAMPLE_FORMAT, (1,))}
    channels, colours = directory.get(_SAMPLES_PER_PIXEL, 1), _CHANNELS.get(directory.get(_PHOTOMETRIC, 1))
    if (
        max(directory.get(_BITS_PER_SAMPLE, (1,))) > 8
        or kinds != {"unsigned"}
        or colours not in (None, channels)  # of further ones it rounds some, and passes over others
        or directory.get(_COMPRESSION, _UNCOMPRESSED) not in COMPRESSION_INFO.keys() - {_WEBP}  # which some lack
    ):
        return False
    _check_ycbcr(directory)
    return True


def _check_ycbcr(directory: ImageFileDirectory_v2) -> None:
    """Raises ImageError for what Pillow takes for pixels of three bytes each, in the colours of a JPEG."""
    if directory.get(_PHOTOMETRIC) != _YCBCR or directory.get(_COMPRESSION) != _UNCOMPRESSED:
        return
    is_whole = directory.get(_YCBCR_SUBSAMPLING, (2, 2)) == (1, 1)
    is_of_jpeg = directory.get(_BLACK_AND_WHITE, _OF_JPEG) == _OF_JPEG and _YCBCR_COEFFICIENTS not in directory
    if not (is_whole and is_of_jpeg):
        raise ImageError("uncompressed YCbCr TIFF, other than 4:4:4 as of JPEG, cannot be read; save it as RGB.")


def _first(file: TiffFile) -> TiffPage:
    page = file.pages.first
    assert isinstance(page, TiffPage)  # a first page is whole, later ones may be outlines
    return page


def _white(page: TiffPage) -> int:
    """The value that means 1. Raises ImageError for numbers that have none."""
    bits, kind = int(page.bitspersample), _KINDS.get(int(page.sampleformat), "unknown")
    if kind == "unsigned" and 8 <= bits <= 16 and page.dtype in (np.uint8, np.uint16):
        return (1 << bits) - 1
    if kind == "float" and bits in (16, 32, 64) and page.photometric != _WHITE_IS_ZERO:
        return 1
    raise ImageError(f"{_described(page)} cannot be read. {_SAVE}")


def _described(page: TiffPage) -> str:
    kind = _KINDS.get(int(page.sampleformat), "unknown")
    photometric = getattr(page.photometric, "name", str(page.photometric)).lower()
    return f"{page.bitspersample}-bit {kind} TIFF ({photometric})"


def _planes(page: TiffPage, content: bytes, max_pixels: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    """The colours (C, H, W) and the opacity (H, W), turned as the file says."""
    check_size(page.imagewidth, page.imagelength, max_pixels)
    colours = _CHANNELS.get(int(page.photometric))
    if colours is None or page.axes not in ("YX", "YXS", "SYX"):
        raise ImageError(f"{_described(page)} cannot be read; save it as grey or RGB.")
    kinds = _further_channels(page, colours)
    if len(kinds) != page.samplesperpixel - colours or sum(kind in _ALPHA for kind in kinds) > 1:
        raise ImageError(
            f"{_described(page)} says nothing clear of its {page.samplesperpixel} channels; save it as RGB."
        )
    _check_whole(page, len(content))
    stored = page.asarray(maxworkers=1)
    if page.axes != "SYX":
        stored = np.moveaxis(np.atleast_3d(stored), -1, 0)
    planes = orientation.turned(stored, page.tags.valueof(_ORIENTATION, 1))
    opacities = [plane for plane, kind in zip(planes[colours:], kinds, strict=True) if kind in _ALPHA]
    return planes[:colours], opacities[0] if opacities else None


def _further_channels(page: TiffPage, colours: int) -> tuple[int, ...]:
    """What each channel behind the colours is. OpenCV does not say it of the alpha that it writes."""
    return tuple(map(int, page.extrasamples)) or (_STRAIGHT,) * (page.samplesperpixel - colours)


def _channels_note(page: TiffPage) -> tuple[str, ...]:
    count = sum(kind not in _ALPHA for kind in page.extrasamples)
    return (f"{counted(count, 'channel')} of no said meaning left out",) if count else ()


def _check_whole(page: TiffPage, size_bytes: int) -> None:
    """Raises ImageError where strips or tiles are missing, of which tifffile makes zeros."""
    pieces = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    if len(pieces) < np.prod(page.chunked) or any(count < 1 or at + count > size_bytes for at, count in pieces):
        raise ImageError("the TIFF is damaged or cut short: not all of its pixels are there; write or copy it again.")


def _pages_note(file: TiffFile) -> tuple[str, ...]:
    try:
        count = len(file.pages)
    except Exception:  # of as many kinds as decoding; the first page is read
        return ("first of several pages, of which others are damaged",)
    return (f"first of {count} frames",) if count > 1 else ()
