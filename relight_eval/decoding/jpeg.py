"""JPEG: by Pillow; and Adobe RGB, which cameras say in the EXIF data and not with a profile (DCF 2.0)."""

from __future__ import annotations

import io
from dataclasses import replace

from PIL.ExifTags import IFD, Base, Interop
from PIL.JpegImagePlugin import jpeg_factory

from relight_eval.decoding import pillow
from relight_eval.decoding.samples import Samples
from relight_eval.decoding.spaces import ADOBE_RGB

_OPTION = "R03"  # the interoperability index of Adobe RGB
_ADOBE = 2  # the colour space for which some programs write that


def samples(content: bytes, max_pixels: int) -> Samples:
    """Levels of 255: grey, RGB, or CMYK where there is a profile for it. Raises ImageError, and what Pillow does."""
    found = pillow.samples(jpeg_factory, content, max_pixels)
    return replace(found, encoding=ADOBE_RGB, is_own=True) if _is_adobe_rgb(content) else found


def mask(content: bytes, max_pixels: int) -> Samples:
    return pillow.mask(jpeg_factory, content, max_pixels)


def _is_adobe_rgb(content: bytes) -> bool:
    try:
        exif = jpeg_factory(io.BytesIO(content)).getexif()
        index, space = exif.get_ifd(IFD.Interop).get(Interop.InteropIndex), exif.get_ifd(IFD.Exif).get(Base.ColorSpace)
    except Exception:  # of as many kinds as decoding; a note on the orientation says that they are damaged
        return False
    return index == _OPTION or space == _ADOBE
