"""Files written byte by byte from their specifications, so that a test knows every value in them.

PNG (third edition): every colour type, depth, interlace and filter. ICC (ICC.1:2022): matrix profiles of version 2 and
4, grey and RGB.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# PNG

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each colour type
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    samples: Array,
    depth: int,
    colour: int,
    *,
    before: Iterable[bytes] = (),
    after: Iterable[bytes] = (),
    interlaced: bool = False,
    filters: Iterable[int] = (0,),
    parts: int = 1,
) -> bytes:
    """A PNG of `samples` (H, W, C), whole numbers of `depth` bits.

    `before` are whole chunks in front of the pixels, `after` behind them. `filters` are used by one row after another;
    `parts` is the number of IDAT chunks.
    """
    height, width, channels = samples.shape
    assert channels == CHANNELS[colour]
    assert depth in DEPTHS[colour]
    kinds = _endless(list(filters))
    images = _passes(samples) if interlaced else [samples]
    rows = b"".join(_filtered(image, depth, kinds) for image in images if image.size)
    packed = zlib.compress(rows)
    size = -(-len(packed) // parts)
    pieces = (packed[start : start + size] for start in range(0, len(packed), size))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    return b"".join([SIGNATURE, header, *before, *(chunk(b"IDAT", p) for p in pieces), *after, chunk(b"IEND", b"")])


def _endless(kinds: list[int]) -> Iterator[int]:
    while True:
        yield from kinds


def _passes(samples: Array) -> list[Array]:
    """Adam7."""
    return [samples[y::down, x::right] for y, x, down, right in _PASSES]


def _filtered(samples: Array, depth: int, kinds: Iterator[int]) -> bytes:
    """The rows of an image, each filtered (clause 9) and behind the number of its filter."""
    rows = _packed(samples, depth)  # (H, bytes of a row)
    step = max(1, depth * samples.shape[2] // 8)  # bytes to the pixel on the left
    before = np.zeros_like(rows[0])
    out = []
    for row in rows:
        kind = next(kinds)
        left, corner = (np.concatenate([np.zeros(step, np.uint8), line])[: len(row)] for line in (row, before))
        out.append(bytes([kind]) + (row - _predicted(kind, left, before, corner)).astype(np.uint8).tobytes())
        before = row
    return b"".join(out)


def _packed(samples: Array, depth: int) -> npt.NDArray[np.uint8]:
    """Each row as bytes: high bits and high bytes first."""
    if depth == 16:
        return np.frombuffer(samples.astype(">u2").tobytes(), np.uint8).reshape(len(samples), -1)
    bits = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., 8 - depth :]
    return np.packbits(bits.reshape(len(samples), -1), axis=1)


def _predicted(kind: int, left: Array, above: Array, corner: Array) -> Array:
    a, b, c = (line.astype(int) for line in (left, above, corner))
    if kind == 4:  # Paeth: the nearest to a + b - c; of equals a, then b
        far_a, far_b, far_c = abs(b - c), abs(a - c), abs(a + b - 2 * c)
        return np.where((far_a <= far_b) & (far_a <= far_c), a, np.where(far_b <= far_c, b, c)).astype(np.uint8)
    return (0 * a, a, b, (a + b) // 2)[kind].astype(np.uint8)


def iccp(profile: bytes) -> bytes:
    return chunk(b"iCCP", b"test\0\0" + zlib.compress(profile))


def gama(exponent: float) -> bytes:
    """gAMA of values that were encoded with `exponent`."""
    return chunk(b"gAMA", struct.pack(">I", round(exponent * 100_000)))


def chrm(xy: tuple[float, ...]) -> bytes:
    """cHRM of x, y of red, green, blue, white."""
    return chunk(b"cHRM", struct.pack(">8I", *(round(number * 100_000) for number in (*xy[6:], *xy[:6]))))


# ICC

# XYZ of the primaries, adapted to D50, as the makers publish them (rows: red, green, blue).
COLORANTS = {
    "sRGB": ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)),
    "Display P3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
    "Adobe RGB (1998)": ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    "ProPhoto RGB": ((0.79767, 0.28804, 0.0), (0.13519, 0.71188, 0.0), (0.03134, 0.00009, 0.82491)),
}
SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)  # g, a, b, c, d of parametric type 3


def fixed(*numbers: float) -> bytes:
    """s15Fixed16 numbers."""
    return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))


def parametric(*parameters: float) -> bytes:
    """A `para` curve: a gamma alone, or the five numbers of type 3."""
    return b"para\0\0\0\0" + struct.pack(">HH", {1: 0, 5: 3}[len(parameters)], 0) + fixed(*parameters)


def gamma_curve(gamma: float) -> bytes:
    """A `curv` of one number, which is a gamma."""
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def table_curve(table: Array) -> bytes:
    """A `curv` of light at equal steps of the value, in [0, 1]."""
    levels = np.rint(np.asarray(table) * 65535).astype(">u2")
    data: bytes = levels.tobytes()
    return b"curv\0\0\0\0" + struct.pack(">I", len(levels)) + data


def icc(
    curve: bytes,
    primaries: str | None = "sRGB",
    *,
    description: str = "test",
    version: int = 4,
    kind: bytes = b"mntr",
    space: bytes | None = None,
) -> bytes:
    """A profile of `curve` and `primaries`, or (None) a grey one."""
    white = b"XYZ \0\0\0\0" + fixed(0.9642, 1.0, 0.8249)
    tags = {b"desc": _text(description, version), b"wtpt": white}
    if primaries is None:
        tags[b"kTRC"] = curve
    else:
        for letter, colour in zip(b"rgb", COLORANTS[primaries], strict=True):
            tags[bytes([letter]) + b"XYZ"] = b"XYZ \0\0\0\0" + fixed(*colour)
            tags[bytes([letter]) + b"TRC"] = curve
    return _profile(tags, version, kind, space or (b"GRAY" if primaries is None else b"RGB "), b"XYZ ")


def icc_of_inks(lab: Array, description: str = "inks") -> bytes:
    """A CMYK profile: a table of the Lab (2, 2, 2, 2, 3) of no and full ink of each, and in between straight lines."""
    levels = np.rint(np.asarray(lab) * [2.55, 1, 1] + [0, 128, 128]).astype(np.uint8)
    straight = bytes(range(256))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    table += straight * 4 + levels.tobytes() + straight * 3
    return _profile({b"desc": _text(description, 2), b"A2B0": table}, 2, b"prtr", b"CMYK", b"Lab ")


def _profile(tags: dict[bytes, bytes], version: int, kind: bytes, space: bytes, connection: bytes) -> bytes:
    table, data = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", start + len(data), len(content))
        data += padded
    header = struct.pack(">I4xBB2x4s4s4s", start + len(data), version, 0, kind, space, connection)
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + data


def _text(description: str, version: int) -> bytes:
    if version < 4:
        text = description.encode("ascii") + b"\0"
        return b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)
    text = description.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(text), 28) + text
