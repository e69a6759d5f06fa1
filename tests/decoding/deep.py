"""Deep files written byte by byte from their specifications, so that a test knows every value in them.

OpenEXR 2 (scan lines, not compressed), Radiance HDR, TIFF 6.0 and BigTIFF (one strip or tile, not compressed), NPY.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from relight_eval.decoding import Planes, Reading, formats

Array = npt.NDArray[Any]


def decoded(content: bytes, **settings: Any) -> Planes:
    """In this process; whatever the settings, what holds for all planes."""
    planes = formats.decode(content, Reading(**settings))
    assert planes.values.dtype in (np.uint8, np.float32)
    assert planes.values.shape[0] == 3
    assert planes.values.flags.c_contiguous
    assert planes.values.flags.writeable
    assert planes.values.dtype == np.uint8 or (planes.values.min() >= 0 and planes.values.max() <= 1)
    return planes


def pixels(content: bytes, **settings: Any) -> Array:
    """(H, W, 3)."""
    return np.moveaxis(decoded(content, **settings).values, 0, -1)


def srgb_of(light: Array) -> Array:
    """IEC 61966-2-1, value by value in float64."""
    light = np.asarray(light, np.float64).clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.power(light, 1 / 2.4) - 0.055)


def grey3(grey: Array) -> Array:
    return np.repeat(grey[..., None], 3, axis=-1)


# NPY


def npy(array: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


# OpenEXR

_EXR_TYPES = {"uint32": 0, "float16": 1, "float32": 2}


def exr(
    channels: Mapping[str, Array],
    *,
    display: tuple[int, int, int, int] | None = None,
    origin: tuple[int, int] = (0, 0),
    sampling: Mapping[str, int] | None = None,
    chromaticities: Sequence[float] | None = None,
    size: tuple[int, int] | None = None,
) -> bytes:
    """Channels (H, W) of float16, float32 or uint32, not compressed.

    `origin` is x, y of the first stored pixel, `display` left, top, right and bottom of what is to be shown. A header
    that lies has another `size` (width, height).
    """
    names = sorted(channels)
    height, width = next(iter(channels.values())).shape
    told_width, told_height = size or (width, height)
    window = (*origin, origin[0] + told_width - 1, origin[1] + told_height - 1)
    step = sampling or {}
    listed = b"".join(
        name.encode()
        + b"\0"
        + struct.pack("<iB3xii", _EXR_TYPES[channels[name].dtype.name], 0, *[step.get(name, 1)] * 2)
        for name in names
    )
    attributes = [
        ("channels", "chlist", listed + b"\0"),
        ("compression", "compression", b"\0"),
        ("dataWindow", "box2i", struct.pack("<4i", *window)),
        ("displayWindow", "box2i", struct.pack("<4i", *(display or window))),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    ]
    if chromaticities is not None:
        attributes.append(("chromaticities", "chromaticities", struct.pack("<8f", *chromaticities)))
    header = b"\x76\x2f\x31\x01\x02\0\0\0" + b"".join(
        name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<i", len(data)) + data
        for name, kind, data in attributes
    )
    header += b"\0"
    lines = []
    for y in range(height):
        data = b"".join(channels[name][y].astype(channels[name].dtype.newbyteorder("<")).tobytes() for name in names)
        lines.append(struct.pack("<ii", origin[1] + y, len(data)) + data)
    starts = np.cumsum([len(header) + 8 * height, *map(len, lines)])[:-1]
    return header + struct.pack(f"<{height}Q", *starts) + b"".join(lines)


def exr_rgb(array: Array, **settings: Any) -> bytes:
    """(H, W, 1 | 2 | 3 | 4) as Y, YA, RGB or RGBA."""
    names = {1: "Y", 2: "YA", 3: "RGB", 4: "RGBA"}[array.shape[2]]
    return exr({name: array[..., i] for i, name in enumerate(names)}, **settings)


# Radiance HDR


def rgbe(mantissas: Array, exponents: Array) -> tuple[Array, Array]:
    """Stored (H, W, 4) bytes, and the light that they mean: m / 256 * 2 ** (e - 128), black where e is 0."""
    stored = np.dstack([mantissas, exponents]).astype(np.uint8)
    light = mantissas / 256 * 2.0 ** (exponents[..., None].astype(float) - 128)
    return stored, np.where(exponents[..., None] == 0, 0, light)


def hdr(stored: Array, *lines: str, runs: bool = False, size: str = "-Y {height} +X {width}") -> bytes:
    """`lines` are added to the header. `runs`: each colour of a row by itself, as runs of one value and of many."""
    height, width = stored.shape[:2]
    header = "\n".join(["#?RADIANCE", "# written by hand", "FORMAT=32-bit_rle_rgbe", *lines, "", ""])
    header += size.format(height=height, width=width) + "\n"
    if not runs:
        return header.encode() + stored.tobytes()
    start = bytes([2, 2, width >> 8, width & 255])
    rows = (start + b"".join(_runs(row[:, i].tolist()) for i in range(4)) for row in stored)
    return header.encode() + b"".join(rows)


def _runs(values: list[int]) -> bytes:
    out, at = b"", 0
    while at < len(values):
        same = 1
        while at + same < len(values) and same < 127 and values[at + same] == values[at]:
            same += 1
        out += bytes([128 + same, values[at]]) if same > 1 else bytes([1, values[at]])
        at += same
    return out


# TIFF

_SHORT, _LONG, _LONG8 = 3, 4, 16


def tiff(
    samples: Array,
    *,
    bits: int | None = None,
    kind: int | None = None,
    photometric: int | None = None,
    big: bool = False,
    order: str = "<",
    planar: bool = False,
    more: Mapping[int, Sequence[int]] | None = None,
    icc: bytes = b"",
) -> bytes:
    """`samples` (H, W, C) in one strip (one for each channel where `planar`), not compressed.

    `bits` other than those of the dtype are packed, high bits first. `more` are further tags of SHORTs.
    """
    height, width, channels = samples.shape
    bits = bits or 8 * samples.dtype.itemsize
    kinds = {"u": 1, "i": 2, "f": 3, "c": 6}
    images = [samples[..., i : i + 1] for i in range(channels)] if planar else [samples]
    strips = [_strip(image, bits, order) for image in images]
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (_LONG, [width]), 257: (_LONG, [height]), 258: (_SHORT, [bits] * channels), 259: (_SHORT, [1]),
        262: (_SHORT, [(2 if channels >= 3 else 1) if photometric is None else photometric]),
        273: (_LONG, [0] * len(strips)), 277: (_SHORT, [channels]), 278: (_LONG, [height]),
        279: (_LONG, list(map(len, strips))), 284: (_SHORT, [1 + planar]),
        339: (_SHORT, [kind or kinds[samples.dtype.kind]] * channels),
    }  # fmt: skip
    tags |= {number: (_SHORT, values) for number, values in (more or {}).items()}
    head = 16 if big else 8
    starts = np.cumsum([head, *map(len, strips)])[:-1].tolist()
    tags[273] = (_LONG, starts)
    blob = b"".join(strips)
    blob += b"\0" * (len(blob) % 2)
    entries = b""
    room, count, offset = (8, "Q", "Q") if big else (4, "I", "I")
    packed = {number: (form, len(values), _packed(form, values, order)) for number, (form, values) in tags.items()}
    if icc:
        packed[34675] = (7, len(icc), icc)
    for number, (form, length, data) in sorted(packed.items()):
        if len(data) > room:
            data, blob = struct.pack(order + offset, head + len(blob)), blob + data + b"\0" * (len(data) % 2)
        entries += struct.pack(f"{order}HH{count}", number, form, length) + data.ljust(room, b"\0")
    directory = struct.pack(f"{order}{'Q' if big else 'H'}", len(packed)) + entries + bytes(room)
    mark = b"II" if order == "<" else b"MM"
    first = (
        struct.pack(f"{order}HHHQ", 43, 8, 0, head + len(blob)) if big else struct.pack(f"{order}HI", 42, 8 + len(blob))
    )
    return mark + first + blob + directory


def _packed(form: int, values: Sequence[int], order: str) -> bytes:
    return struct.pack(f"{order}{len(values)}{'H' if form == _SHORT else 'I'}", *values)


def _strip(image: Array, bits: int, order: str) -> bytes:
    if bits == 8 * image.dtype.itemsize:
        return image.astype(image.dtype.newbyteorder(order)).tobytes()
    each = image.reshape(len(image), -1, 1) >> np.arange(bits - 1, -1, -1) & 1
    return np.packbits(each.reshape(len(image), -1).astype(np.uint8), axis=1).tobytes()
