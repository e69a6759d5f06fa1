"""Sound files, broken as accident and malice break them: each result depends on the generator alone."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random

from tests.fuzz.seeds import chunk

Bytes = bytearray
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LARGE = (0, 1, 2, 7, 8, 15, 16, 127, 128, 255, 256, 30_000, 32_767, 32_768, 65_535, 65_536, 1 << 24, (1 << 31) - 1,
          1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip


def mutated(content: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """`content` after one to four accidents; of a PNG mostly such that its checksums hold again."""
    data = Bytes(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if rng.random() < 0.1:
            data = _spliced(data, rng, others)
        else:
            data = rng.choice([*_ANYWHERE, *_of_kind(data)])(data, rng)
    return mended(bytes(data)) if data.startswith(_SIGNATURE) and rng.random() < 0.7 else bytes(data)


def plainly_mutated(content: bytes, rng: Random) -> bytes:
    """A plain PNG or JPEG of which only the compressed pixels, or what says how to read them, is broken."""
    accidents = _PLAIN_PNG if content.startswith(_SIGNATURE) else _PLAIN_JPEG
    data = Bytes(content)
    for _ in range(rng.randint(1, 3)):
        data = rng.choice(accidents)(data, rng)
    return mended(bytes(data)) if content.startswith(_SIGNATURE) else bytes(data)


def mended(content: bytes) -> bytes:
    """A PNG whose chunks have the checksums of what they hold now, as far as they can be followed."""
    chunks = _chunks(content)
    rest = 8 + sum(12 + len(data) for _, data in chunks)
    return content[:8] + b"".join(chunk(name, data) for name, data in chunks) + content[rest:]


# Anywhere


def _bits(data: Bytes, rng: Random) -> Bytes:
    for _ in range(rng.choice((1, 1, 2, 8, 32))):
        if data:
            data[_place(data, rng)] ^= 1 << rng.randrange(8)
    return data


def _number(data: Bytes, rng: Random) -> Bytes:
    """An interesting number in place of what stands there, in either order of bytes."""
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice(_LARGE) % (1 << 8 * size)
    start = _place(data, rng)
    data[start : start + size] = number.to_bytes(size, rng.choice(("little", "big")))
    return data


def _cut(data: Bytes, rng: Random) -> Bytes:
    return data[: _place(data, rng)]


def _removed(data: Bytes, rng: Random) -> Bytes:
    start = _place(data, rng)
    del data[start : start + rng.choice((1, 2, 4, 16, 100))]
    return data


def _repeated(data: Bytes, rng: Random) -> Bytes:
    start = _place(data, rng)
    part = data[start : start + rng.choice((1, 4, 16, 100))]
    data[start:start] = part * rng.choice((1, 2, 50))
    return data


def _noise(data: Bytes, rng: Random) -> Bytes:
    start = _place(data, rng)
    length = rng.choice((1, 4, 16, 100))
    data[start : start + length] = rng.randbytes(length)
    return data


def _digits(data: Bytes, rng: Random) -> Bytes:
    """Another number where one is written out, as in the headers of HDR and NPY."""
    found = list(re.finditer(rb"\d+", data[:400]))
    if found:
        start, end = rng.choice(found).span()
        data[start:end] = b"%d" % (rng.choice(_LARGE) * rng.choice((1, -1)))
    return data


def _spliced(data: Bytes, rng: Random, others: Sequence[bytes]) -> Bytes:
    other = rng.choice(others)
    start = _place(other, rng)
    here = _place(data, rng)
    return data[:here] + other[start : start + rng.choice((16, 200, len(other)))] + data[here:]


def _place(data: bytes | Bytes, rng: Random) -> int:
    """A position; in the header as likely as anywhere."""
    return rng.randrange(min(len(data), rng.choice((64, 256, len(data), len(data)))) or 1)


# Where the format has something to break


def _of_kind(data: Bytes) -> Sequence[Callable[[Bytes, Random], Bytes]]:
    if data.startswith(_SIGNATURE):
        return (_chunk_broken, _chunk_broken, _bomb, _pixels)
    if data.startswith((b"II", b"MM")):
        return (_tag, _tag, _tag)
    if data.startswith(b"\xff\xd8"):
        return (_segment, _segment)
    return ()


def _chunks(content: bytes | Bytes) -> list[tuple[bytes, bytes]]:
    chunks, start = [], 8
    while start + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, start)
        if start + 12 + length > len(content):
            break
        chunks.append((bytes(name), bytes(content[start + 8 : start + 8 + length])))
        start += 12 + length
    return chunks


def _chunk_broken(data: Bytes, rng: Random) -> Bytes:
    """One chunk twice, gone, in another place, or with other contents."""
    chunks = _chunks(data)
    if not chunks:
        return data
    at = rng.randrange(len(chunks))
    name, inside = chunks.pop(at)
    kind = rng.randrange(5)
    if kind == 0:
        chunks[at:at] = [(name, inside)] * rng.choice((2, 40))
    elif kind == 1:
        chunks.insert(rng.randrange(len(chunks) + 1), (name, inside))
    elif kind == 2:
        chunks.insert(at, (rng.choice((b"tRNS", b"PLTE", b"iCCP", b"sBIT", b"acTL", b"fdAT", b"eXIf")), inside))
    elif kind == 3:
        chunks.insert(at, (name, bytes(rng.choice(_INSIDE)(Bytes(inside), rng))))
    return _joined(chunks)


def _bomb(data: Bytes, rng: Random) -> Bytes:
    """A text, or a profile, that swells when it is unpacked."""
    swollen = zlib.compress(bytes(rng.choice((1 << 16, 1 << 21, 1 << 26))), 9)
    name, head = rng.choice(((b"zTXt", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"iCCP", b"a\0\0")))
    chunks = _chunks(data)
    return _joined([*chunks[:1], (name, head + swollen), *chunks[1:]])


def _pixels(data: Bytes, rng: Random) -> Bytes:
    """Other numbers under the compression: filters that do not exist, too many rows or too few."""
    chunks = _chunks(data)
    try:
        rows = zlib.decompress(b"".join(inside for name, inside in chunks if name == b"IDAT"))
    except zlib.error:
        return data
    packed = zlib.compress(bytes(rng.choice((_bits, _number, _cut, _repeated, _noise))(Bytes(rows), rng)))
    first = next((at for at, (name, _) in enumerate(chunks) if name == b"IDAT"), len(chunks))
    others = [one for one in chunks if one[0] != b"IDAT"]
    return _joined([*others[:first], (b"IDAT", packed), *others[first:]])


def _compressed(data: Bytes, rng: Random) -> Bytes:
    """Broken where the pixels are compressed."""
    chunks = _chunks(data)
    places = [at for at, (name, _) in enumerate(chunks) if name == b"IDAT"]
    if not places:
        return data
    at = rng.choice(places)
    chunks[at] = (b"IDAT", bytes(rng.choice(_INSIDE)(Bytes(chunks[at][1]), rng)))
    return _joined(chunks)


def _header(data: Bytes, rng: Random) -> Bytes:
    """Another size than the pixels have, or another kind of colour."""
    chunks = _chunks(data)
    if not chunks or len(chunks[0][1]) != 13:
        return data
    width, height, depth, colour = struct.unpack_from(">IIBB", chunks[0][1])
    width, height = width % (1 << 31), height % (1 << 31)
    width, height = rng.choice(((width + 1, height), (width, height + 1), (max(0, width - 1), height), (1, height),
                                   (width, 1), (3000, height), (width, 3000), (height, width), (0, 0)))  # fmt: skip
    colour = rng.choice((colour, colour, 0, 2, 6))
    return _joined([(b"IHDR", struct.pack(">IIBB", width, height, depth, colour) + b"\0\0\0"), *chunks[1:]])


def _joined(chunks: list[tuple[bytes, bytes]]) -> Bytes:
    return Bytes(_SIGNATURE + b"".join(chunk(name, data) for name, data in chunks))


def _tag(data: Bytes, rng: Random) -> Bytes:
    """Another number, kind, count or value in the first directory of a TIFF."""
    order = "<" if data.startswith(b"II") else ">"
    big = len(data) > 2 and data[2] == 43
    try:
        (start,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", data, 8 if big else 4)
        (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", data, start)
    except (struct.error, OverflowError):
        return data
    size, first = (20, 8) if big else (12, 2)
    entry = start + first + size * rng.randrange(max(1, min(count, 40)) + 1)  # one more: the next directory
    at, of = rng.choice(((0, 2), (2, 2), (4, 8 if big else 4), (size - (8 if big else 4), 8 if big else 4)))
    number = rng.choice((*_LARGE, start, 258, 259, 262, 273, 277, 278, 279, 322, 339, 34675, 34712))
    if entry + at + of <= len(data):
        data[entry + at : entry + at + of] = (number % (1 << 8 * of)).to_bytes(of, "little" if order == "<" else "big")
    return data


# A plain JPEG


def _segments(data: Bytes) -> list[tuple[int, int, int]]:
    """Marker, and where what it holds starts and ends, up to the first scan."""
    found, start = [], 2
    while start + 4 <= len(data) and data[start] == 0xFF:
        marker, length = struct.unpack_from(">BH", data, start + 1)
        found.append((marker, start + 4, min(start + 2 + length, len(data))))
        start += 2 + length
        if marker == 0xDA:
            break
    return found


def _segment(data: Bytes, rng: Random) -> Bytes:
    """What one segment holds, in its length: tables of Huffman codes, of quantisation, the frame, the scan."""
    segments = [one for one in _segments(data) if one[1] < one[2]]
    if not segments:
        return data
    _, start, end = rng.choice(segments)
    for _ in range(rng.choice((1, 1, 3, 10))):
        data[rng.randrange(start, end)] = rng.choice((0, 1, 2, 3, 16, 63, 64, 127, 128, 254, rng.randrange(255)))
    return data


def _scan(data: Bytes, rng: Random) -> Bytes:
    """Other bits of the pixels, without a marker among them that was not there."""
    segments = _segments(data)
    if not segments or segments[-1][2] >= len(data) - 2:
        return data
    start, end = segments[-1][2], len(data) - 2
    for _ in range(rng.choice((1, 3, 20))):
        at = rng.randrange(start, end)
        if 0xFF not in (data[at], data[at - 1]):
            data[at] = rng.randrange(255)
    if rng.random() < 0.3:
        at = rng.randrange(start, end)
        del data[at : min(end, at + rng.choice((1, 4, 40)))]
    elif rng.random() < 0.2:
        data[start:start] = bytes(rng.randrange(255) for _ in range(rng.choice((1, 10, 3000))))
    return data


def _frame(data: Bytes, rng: Random) -> Bytes:
    """Another size, or another sampling, than the pixels have."""
    for marker, start, end in _segments(data):
        if marker in (0xC0, 0xC2) and end - start >= 6:
            at = rng.choice((1, 3))
            if rng.random() < 0.6:
                data[start + at : start + at + 2] = struct.pack(">H", rng.choice((1, 8, 16, 17, 33, 300, 3000)))
            elif end - start > 7:
                data[start + 7] = rng.choice((0x11, 0x21, 0x22, 0x12, 0x41))
    return data


_ANYWHERE = (_bits, _bits, _number, _number, _cut, _removed, _repeated, _noise, _digits)
_INSIDE = (_bits, _number, _cut, _removed, _repeated, _noise)
_PLAIN_PNG = (_compressed, _compressed, _pixels, _pixels, _header)
_PLAIN_JPEG = (_segment, _scan, _scan, _frame)
