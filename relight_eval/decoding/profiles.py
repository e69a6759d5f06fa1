"""What the colours of a file mean: ICC profiles, what a PNG says of itself, primaries and curves.

A profile is judged by what it does, not by its name: one that takes every colour to where sRGB takes it, within half
a level of 255, leaves the values as stored. Under half a level, because then rounding would put each 8-bit value back;
HP's "sRGB IEC61966-2.1", the most used, differs by 0.45, the crudest one (20 points of a curve) by 0.48, and a plain
gamma of 2.2 by more than 8.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import PIL.ImageCms

from relight_eval.decoding.curves import to_srgb
from relight_eval.errors import ImageError

Values = npt.NDArray[np.float64]
Chromaticities = tuple[float, float, float, float, float, float, float, float]

REC709: Chromaticities = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
_HALF_A_LEVEL = 0.5 / 255
_MEND = "Convert the image to sRGB, or say what its values are with --space."


# ICC


_CHANNELS = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}
_SPACES = {1: "gray", 3: "rgb", 4: "cmyk"}
_CLASSES = {b"mntr", b"scnr", b"prtr", b"spac"}  # of a device or a space; the others hold no colours of an image
_LONGEST_NAME = 60
_MOST_BYTES = 1 << 24  # what 255 segments of a JPEG hold
_BEYOND_COLOUR = 1e4  # ProPhoto's green is at -13
_OF_FLOAT32 = 1e-6  # what Little CMS computes in, some steps of it


@dataclass(frozen=True)
class Profile:
    """An ICC profile of grey (1 channel), RGB (3) or CMYK (4), found to work.

    `name` is its own description: printable, 60 characters at most. `is_srgb` tells whether values under it may stay as
    stored. `of_levels` (channels, 256, 3) is the light that each level of 255 adds, where it is a sum; None: it is not.
    """

    data: bytes = field(repr=False)
    name: str
    channels: int
    is_srgb: bool
    of_levels: Values | None = field(repr=False, compare=False)

    @classmethod
    def of_icc(cls, data: bytes) -> Profile:
        """The profile in `data`; kept, for most images of a folder have the same. Safe in threads.

        Raises ImageError for one that is damaged, of another kind (a device link, named colours) or of a space
        other than grey, RGB and CMYK.
        """
        return _profile(data)

    def to_srgb(self, values: npt.NDArray[Any], white: float) -> Values:
        """`values` (H, W, channels), `white` being full, in sRGB: (H, W, 3), encoded, neither rounded nor clipped.

        So colours beyond sRGB lie outside [0, 1], unless the profile itself ends there (tables do). Grey values
        under an RGB profile are three equal channels; in CMYK full is full ink. A pixel that is not finite in some
        channel is NaN. Relative colorimetric with black point compensation: white stays white, black black.
        Raises ImageError where the values do not fit the profile.
        """
        if values.shape[-1] == 1 and self.channels == 3:
            values = np.broadcast_to(values, (*values.shape[:-1], 3))
        if values.shape[-1] != self.channels:
            held, expected = _SPACES.get(values.shape[-1], "other"), _SPACES[self.channels]
            raise ImageError(f'the colour profile "{self.name}" is for {expected}, but the pixels are {held}. {_MEND}')
        values = np.divide(values, white, dtype=np.float64)
        levels = np.rint(values.clip(0, 1) * 255)
        if self.of_levels is not None and np.array_equal(levels / 255, values):
            return to_srgb(_added(self.of_levels, levels.astype(np.uint8)))  # in a fraction of the time
        return to_srgb(_light(values, self.data))


@lru_cache(maxsize=8)
def _profile(data: bytes) -> Profile:
    channels = _checked_channels(data)
    probe = _probe(channels)
    try:
        description = PIL.ImageCms.ImageCmsProfile(io.BytesIO(data)).profile.profile_description
        light, of_levels = _light(probe, data), _light_of_levels(channels, data)
    except (MemoryError, ImportError):  # of which the profile is innocent
        raise
    except Exception as error:  # lcms only says that it could not
        raise _damaged("Little CMS cannot use it") from error
    seen = to_srgb(light)
    if not (abs(seen) < _BEYOND_COLOUR).all():
        raise _damaged("it takes colours to infinity")
    is_srgb = channels != 4 and bool((abs(seen.clip(0, 1) - probe) <= _HALF_A_LEVEL).all())
    added = _added(of_levels, np.rint(probe * 255).astype(np.uint8))
    is_sum = bool((abs(added - light) <= _OF_FLOAT32 * (1 + abs(light))).all())
    return Profile(data, _printable(description or ""), channels, is_srgb, of_levels if is_sum else None)


def _checked_channels(data: bytes) -> int:
    """How many channels a profile is for, by its header (ICC.1:2022, 7.2)."""
    if not data:
        raise _damaged("it is empty")
    if len(data) < 132 or data[36:40] != b"acsp":
        raise _damaged("it has no ICC header")
    size, kind, space = int.from_bytes(data[:4], "big"), data[12:16], data[16:20]
    if not 132 <= size <= len(data):
        raise _damaged(f"{len(data)} bytes, but its header says {size}")
    if kind not in _CLASSES:
        raise ImageError(f"the colour profile is of class {kind!r}, which describes no image. {_MEND}")
    if space not in _CHANNELS:
        raise ImageError(f"the colour profile is for {space!r}, expected one for grey, RGB or CMYK. {_MEND}")
    return _CHANNELS[space]


def _damaged(reason: str) -> ImageError:
    return ImageError(f"the colour profile is damaged or of a kind that cannot be read ({reason}). {_MEND}")


def _probe(channels: int) -> Values:
    """Colours over which a profile is judged, (1, N, channels) in [0, 1]: all greys, and a grid."""
    greys = np.repeat(np.arange(256)[:, None], channels, axis=1)
    axes = [np.arange(0, 256, 15 if channels < 4 else 85)] * channels
    grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, channels)
    return np.concatenate([greys, grid])[None] / 255


def _light(device: Values, data: bytes) -> Values:
    """`device` (H, W, channels) in [0, 1] through the profile `data`: (H, W, 3) light of sRGB's primaries."""
    channels = device.shape[-1]
    lost = ~np.isfinite(device).all(axis=-1, keepdims=True)
    device = np.where(lost, 0.0, device)  # lcms takes them for numbers
    light: Values = imagecodecs.cms_transform(
        device[..., 0] if channels == 1 else device * (100 if channels == 4 else 1),  # its ink is in percent
        data,
        _linear(),
        colorspace=_SPACES[channels],
        outcolorspace="rgb",
        planar=False,
        outplanar=False,
        intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
        flags=imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION,
    )
    return np.where(lost, math.nan, light)


@lru_cache(maxsize=1)
def _linear() -> bytes:
    """sRGB without its curve, which a profile holds in four digits; `to_srgb` has them all."""
    primaries = [coordinate for i in (0, 2, 4) for coordinate in (*REC709[i : i + 2], 1.0)]
    profile: bytes = imagecodecs.cms_profile("rgb", whitepoint=(*REC709[6:], 1.0), primaries=primaries, gamma=1.0)
    return profile


def _light_of_levels(channels: int, data: bytes) -> Values:
    """(channels, 256, 3): the light of each level where the other channels are 0; black counts with the first."""
    alone = np.zeros((channels, 256, channels))
    for channel in range(channels):
        alone[channel, :, channel] = np.arange(256) / 255
    light = _light(alone, data)
    light[1:] -= light[0, 0]
    return light


def _added(of_levels: Values, levels: npt.NDArray[np.uint8]) -> Values:
    """The light of `levels` (H, W, channels) under a profile of curves and primaries, which only add up: (H, W, 3)."""
    light: Values = of_levels[0].take(levels[..., 0], axis=0)
    for channel in range(1, len(of_levels)):
        light += of_levels[channel].take(levels[..., channel], axis=0)
    return light


def _printable(description: str) -> str:
    """A description as one short line that is safe on a terminal."""
    words = "".join(letter if letter.isprintable() else " " for letter in description).split()
    name = " ".join(words) or "unnamed"
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


# PNG


_CICP_PRIMARIES: dict[int, Chromaticities | None] = {  # ITU-T H.273, table 2
    1: None,
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290),  # Rec. 2020
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290),  # Display P3
}
_CICP_GAMMA = {4: 2.2, 5: 2.8, 8: 1.0, 13: None}  # table 3; 13 is sRGB's own curve
_CICP_HDR = {16: "PQ", 18: "HLG"}
_COLOUR_CHUNKS = {b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM"}


@dataclass(frozen=True)
class PngColour:
    """What a PNG says of its colours; where it says it more than once, what counts (PNG third edition, 4.3).

    `icc`: a profile, and then nothing else. `gamma`: light is value ** gamma; None: sRGB's curve. `chromaticities`: x
    and y of red, green, blue and white; None: those of sRGB. So PngColour() is sRGB, said or by default.
    """

    icc: bytes | None = field(default=None, repr=False)
    gamma: float | None = None
    chromaticities: Chromaticities | None = None


def png_colour(content: bytes) -> PngColour:
    """What the chunks of a PNG file before its pixels say of its colours.

    Raises ImageError for a damaged chunk, and for colours that cannot be scored as sRGB (HDR, limited range).
    """
    found = dict(reversed(list(_colour_chunks(content))))  # of two of a name the first
    if b"cICP" in found:
        return _of_cicp(found[b"cICP"])
    if b"iCCP" in found:
        return PngColour(icc=_inflated(found[b"iCCP"]))
    if b"sRGB" in found:
        return PngColour()
    return PngColour(gamma=_gamma(found.get(b"gAMA")), chromaticities=_chromaticities(found.get(b"cHRM")))


def _colour_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    start, name = 8, b""
    while start + 12 <= len(content) and name != b"IDAT":
        length, name = struct.unpack_from(">I4s", content, start)
        if name in _COLOUR_CHUNKS:
            data, check = content[start + 8 : start + 8 + length], content[start + 8 + length : start + 12 + length]
            if check != zlib.crc32(name + data).to_bytes(4, "big"):
                raise _damaged_chunk(name, "its checksum is wrong")
            yield name, data
        start += 12 + length


def _damaged_chunk(name: bytes, reason: str) -> ImageError:
    return ImageError(f"the {name.decode()} chunk of the PNG is damaged ({reason}); write or copy the file again.")


def _of_cicp(data: bytes) -> PngColour:
    if len(data) != 4:
        raise _damaged_chunk(b"cICP", f"{len(data)} bytes, expected 4")
    primaries, transfer, matrix, full_range = data
    if primaries not in _CICP_PRIMARIES or transfer not in _CICP_GAMMA or (matrix, full_range) != (0, 1):
        said = "-".join(map(str, data)) + (f", HDR with {_CICP_HDR[transfer]}" if transfer in _CICP_HDR else "")
        raise ImageError(
            f"its colours (cICP {said}) cannot be scored as sRGB; expected full range RGB with the primaries of sRGB, "
            f"Display P3 or Rec. 2020, in the curve of sRGB, a gamma or linear light. {_MEND}"
        )
    return PngColour(None, _CICP_GAMMA[transfer], _CICP_PRIMARIES[primaries])


def _inflated(data: bytes) -> bytes:
    """The profile of an iCCP chunk: a name, 0, the method 0, a zlib stream."""
    _, end, packed = data.partition(b"\0")
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(packed[1:], _MOST_BYTES)
    except zlib.error as error:
        raise _damaged_chunk(b"iCCP", str(error)) from error
    if not end or packed[:1] != b"\0" or not inflate.eof:
        raise _damaged_chunk(b"iCCP", f"its profile is cut short, or longer than {_MOST_BYTES} bytes")
    return profile


def _gamma(data: bytes | None) -> float | None:
    """None where the chunk means sRGB's curve: 1/2.2, as programs round it, to two digits or more."""
    if data is None:
        return None
    if len(data) != 4:
        raise _damaged_chunk(b"gAMA", f"{len(data)} bytes, expected 4")
    stored = int.from_bytes(data, "big")
    if not 10_000 <= stored <= 1_000_000:
        raise _damaged_chunk(b"gAMA", f"{stored}, expected 45455 or so")
    return None if 45_000 <= stored <= 46_000 else 100_000 / stored


def _chromaticities(data: bytes | None) -> Chromaticities | None:
    """None where the chunk means sRGB's primaries."""
    if data is None:
        return None
    if len(data) != 32:
        raise _damaged_chunk(b"cHRM", f"{len(data)} bytes, expected 32")
    white_x, white_y, *primaries = (number / 100_000 for number in struct.unpack(">8I", data))
    red_x, red_y, green_x, green_y, blue_x, blue_y = primaries
    xy = (red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y)
    return None if chromaticities_matrix(xy) is None else xy


# Primaries


_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
_ROUNDED = 0.000_51  # to three digits, which is how sRGB's primaries are mostly given


def chromaticities_matrix(xy: Chromaticities) -> Values | None:
    """(3, 3): linear RGB of the primaries and white `xy` to linear RGB of sRGB's; white goes to white (Bradford).

    `xy` is x and y of red, green, blue and white. None where these are sRGB's own, within rounding to three digits.
    Raises ImageError where they span no colours.
    """
    if all(abs(given - own) <= _ROUNDED for given, own in zip(xy, REC709, strict=True)):
        return None
    try:
        with np.errstate(divide="raise", invalid="raise", over="raise"):
            ours, theirs = _to_xyz(REC709), _to_xyz(xy)
            cones = (_BRADFORD @ ours).sum(axis=1) / (_BRADFORD @ theirs).sum(axis=1)  # of the whites
        adapted = np.linalg.solve(_BRADFORD, cones[:, None] * (_BRADFORD @ theirs))
        matrix: Values = np.asarray(np.linalg.solve(ours, adapted), np.float64)
    except (np.linalg.LinAlgError, FloatingPointError) as error:
        raise _no_colours(xy) from error
    if not (abs(matrix) < _BEYOND_COLOUR).all():
        raise _no_colours(xy)
    return matrix


def _no_colours(xy: Chromaticities) -> ImageError:
    numbers = ", ".join(f"{number:g}" for number in xy)
    return ImageError(f"its chromaticities (red, green, blue, white: {numbers}) span no colours. {_MEND}")


def _to_xyz(xy: Chromaticities) -> Values:
    """(3, 3): linear RGB to XYZ, Y of white being 1."""
    x, y = np.reshape(np.array(xy), (4, 2)).T
    columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
    primaries, white = columns[:, :3], columns[:, 3]
    matrix: Values = primaries * np.linalg.solve(primaries, white)
    return matrix
