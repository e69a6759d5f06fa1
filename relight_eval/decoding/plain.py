"""Whole, plain PNG and JPEG files, fast, and without a process of their own.

imagecodecs takes two thirds of Pillow's time and no GIL, which Pillow takes again for every IDAT chunk of a PNG (mostly
8 KB), so that threads wait for each other. But Pillow stays the judge of what is read, and as what: only whole files go
this way, of kinds in which nothing but the pixels counts, and what imagecodecs refuses goes to it.
"""

from __future__ import annotations

import re
import struct
import zlib

import imagecodecs
import numpy as np

from relight_eval.decoding.profiles import PngColour, png_colour
from relight_eval.decoding.samples import Samples

# 8 bits of grey, RGB or RGBA, not interlaced.
_PNG_HEAD = re.compile(rb"\x89PNG\r\n\x1a\n\0\0\0\rIHDR.{8}\x08[\x00\x02\x06]\0\0\0", re.DOTALL)
# What may stand around the pixels, and the fewest bytes of it with which Pillow takes the file.
_PNG_ASIDE = {b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"pHYs": 9, b"sBIT": 0, b"bKGD": 0, b"tIME": 0, b"tEXt": 0}
_PNG_CHUNKS = re.compile(rb"IHDR(?:%b){0,99}(?:IDAT)+(?:%b){0,99}IEND" % ((b"|".join(_PNG_ASIDE),) * 2))
_MOST_CHUNKS = 1 << 17  # of 8 KB, as programs write them, a gigabyte
# A text can hold EXIF data, and under other names it changes how Pillow decodes. So only names that it has no
# use for: those of the PNG specification, Blender's, ImageMagick's, and those of programs for diffusion models.
_PNG_KEYWORDS = re.compile(
    rb"Title|Author|Description|Copyright|Creation Time|Software|Disclaimer|Warning|Source|Comment"
    rb"|File|Date|Time|Frame|Camera|Scene|RenderTime|cycles\.[\w. ]+|date:\w+|parameters|prompt|workflow"
)
# 8 bits of grey or YCbCr 4:4:4, 4:2:2 or 4:2:0, baseline or progressive; JFIF says that it is YCbCr.
_JPEG_FRAME = re.compile(rb"\x08.{4}(?:\x01.[\x11\x21\x22].|\x03.[\x11\x21\x22].(?:.\x11.){2})", re.DOTALL)
# Progressive ones have ten scans or so. Each takes as long as the whole image, and a short one may do that to harm.
_JPEG_MARKERS = re.compile(rb"\xe0[\xdb\xc4\xdd\xfe]*[\xc0\xc2][\xdb\xc4\xdd\xfe]*(?:\xda[\xc4\xdd\xfe]*){1,50}\xd9")
_MOST_MARKERS = 1000
_JPEG_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7]")


def samples(content: bytes, max_pixels: int) -> Samples | None:
    """What a plain PNG or JPEG of sRGB holds, in levels of 255.

    None for every other file, and for one that is not whole: the other decoders read it or say what is wrong.
    """
    try:
        if _PNG_HEAD.match(content) and _is_plain_png(content, max_pixels):
            pixels = imagecodecs.spng_decode(content)  # as fast as png_decode, which leaks where it fails
        elif content.startswith(b"\xff\xd8\xff\xe0") and _is_plain_jpeg(content, max_pixels):
            pixels = imagecodecs.jpeg8_decode(content)
        else:
            return None
    except Exception:  # of a codec, which says less than Pillow and may be missing from this imagecodecs
        return None
    planes = np.atleast_3d(pixels).transpose(2, 0, 1)
    opacity = planes[3] if len(planes) == 4 and planes[3].min() < 255 else None
    return Samples(planes[:3], white=255, opacity=opacity)


def _is_plain_png(content: bytes, max_pixels: int) -> bool:
    names, start, view = [], 8, memoryview(content)
    while start + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, start)
        names.append(name)
        end = start + 8 + length
        if len(names) > _MOST_CHUNKS or content[end : end + 4] != struct.pack(">I", zlib.crc32(view[start + 4 : end])):
            return False
        if name != b"IDAT" and not _PNG_ASIDE.get(name, 0) <= length < 1 << 16:  # Pillow has a limit for all texts
            return False
        if name == b"tEXt" and not _PNG_KEYWORDS.fullmatch(content[start + 8 : end].split(b"\0")[0]):
            return False
        start = end + 4
    width, height = struct.unpack_from(">II", content, 16)
    if start != len(content) or width * height > max_pixels or not _PNG_CHUNKS.fullmatch(b"".join(names)):
        return False
    return png_colour(content) == PngColour()


def _is_plain_jpeg(content: bytes, max_pixels: int) -> bool:
    """Looks at all markers to the end: where one is missing, imagecodecs makes up the rest of the pixels."""
    markers, start = [], 2
    while start + 4 <= len(content):
        ff, marker, length = struct.unpack_from(">BBH", content, start)
        markers.append(marker)
        data = content[start + 4 : start + 2 + length]
        if ff != 0xFF or len(data) != length - 2 or len(markers) > _MOST_MARKERS:
            return False
        if marker == 0xE0 and not (data.startswith(b"JFIF\0") and length >= 16):
            return False
        if marker in (0xC0, 0xC2) and not _is_plain_frame(data, max_pixels):
            return False
        start += 2 + length
        if marker == 0xDA:
            found = _JPEG_MARKER_IN_SCAN.search(content, start)
            if found is None:
                return False
            start = found.start()
    return content[start:] == b"\xff\xd9" and _JPEG_MARKERS.fullmatch(bytes([*markers, 0xD9])) is not None


def _is_plain_frame(data: bytes, max_pixels: int) -> bool:
    height, width = struct.unpack_from(">HH", data, 1)
    libjpeg_limit = 65500  # lifted in the libjpeg of imagecodecs
    small = max(height, width) <= libjpeg_limit and height * width <= max_pixels
    return small and _JPEG_FRAME.fullmatch(data) is not None
