"""BMP: by Pillow, which passes over the colour profile of one, and cuts off what it makes of 5 bits."""

from __future__ import annotations

import struct
from dataclasses import replace

from PIL.BmpImagePlugin import BmpImageFile

from relight_eval.decoding import pillow
from relight_eval.decoding.samples import Samples
from relight_eval.errors import ImageError

_HEADER = 14  # where it begins, behind that of the file
_VERSION_5 = 124  # how long that one is which may have a profile
_PROFILES = (b"DEBM", b"KNIL")  # in the file, or the name of another file: no profile, so refused


def samples(content: bytes, max_pixels: int) -> Samples:
    """Levels of 255. Raises ImageError, and whatever Pillow does."""
    if content[_HEADER + 14 : _HEADER + 16] == b"\x10\0":
        raise ImageError("BMP of 16 bits a pixel, 5 or 6 a colour, cannot be read; save it with 8 bits a colour.")
    return replace(pillow.samples(BmpImageFile, content, max_pixels), icc=_profile(content[_HEADER:]))


def _profile(info: bytes) -> bytes:
    """What a header of version 5, and what follows it, has of a profile; where that is missing, no valid one."""
    if len(info) < _VERSION_5 or info[:4] != struct.pack("<I", _VERSION_5) or info[56:60] not in _PROFILES:
        return b""
    start, length = struct.unpack_from("<II", info, 112)
    return info[start : start + length] or b"?"
