"""The fast way through imagecodecs gives what Pillow gives: pixels, notes, and the verdict on damaged files.

Each case also says whether its file goes the fast way, so that none passes because all of them go to Pillow.
Expected pixels of PNG are the arrays that were written here, byte by byte; those of JPEG are Pillow's.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest import mock

import imagecodecs
import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import pytest

from relight_eval import images
from relight_eval.decoding import Planes, Reading, apart, formats, plain, srgb
from relight_eval.decoding.reading import MAX_PIXELS
from relight_eval.errors import ImageError
from tests.test_images import Array, adam7, chunk, encoded, grey3, noise, png, png8, turned, with_palette

Outcome = tuple[bytes, tuple[int, ...], str] | str
SIZES = [(1, 1), (1, 9), (9, 1), (7, 5), (33, 17), (64, 40)]  # width x height


def outcome(content: bytes, alpha: Any = "drop") -> Outcome:
    """What a file with this content is read as: pixels and note, or the message that refuses it."""
    samples = plain.samples(content, MAX_PIXELS)
    return by_pillow(content, alpha) if samples is None else told(srgb.planes, samples, alpha)


def by_pillow(content: bytes, alpha: Any = "drop") -> Outcome:
    return told(formats.decode, content, alpha)


def told(decode: Callable[[Any, Reading], Planes], given: object, alpha: Any) -> Outcome:
    try:
        planes = decode(given, Reading(alpha=alpha))
    except ImageError as error:
        return str(error)
    assert planes.values.flags.c_contiguous
    return planes.values.tobytes(), planes.values.shape, "; ".join(planes.notes)


def read_as(array: Array) -> Outcome:
    """The outcome of a file that holds these (H, W, 3) pixels, without a note."""
    planes = np.ascontiguousarray(array.transpose(2, 0, 1))
    return planes.tobytes(), planes.shape, ""


def goes_fast(content: bytes) -> bool:
    return plain.samples(content, MAX_PIXELS) is not None


# PNG: pixels


def photo() -> Array:
    path = min((Path(__file__).parents[1] / "sample_images" / "input").glob("*.png"))
    with PIL.Image.open(path) as picture:
        return np.asarray(picture.convert("RGBA"))[40:80, 30:94]


def content_of(kind: str, width: int, height: int) -> Array:
    """(height, width, 4) of one kind of content."""
    y, x = np.mgrid[:height, :width]
    array = {
        "noise": noise(height, width, 4),
        "flat": np.full((height, width, 4), 77, np.uint8),
        "gradient": np.stack([3 * x, 5 * y, x + y, 255 - x], axis=-1).astype(np.uint8),
        "photo": np.resize(photo()[:height, :width], (height, width, 4)),
    }[kind]
    return array


def filtered(rows: Array, kinds: list[int]) -> bytes:
    """Rows (H, W * bytes per pixel as the last axis) after the five filters of the PNG specification, in turn."""
    bpp = rows.shape[2]
    flat = rows.reshape(len(rows), -1).astype(int)
    left = np.pad(flat, ((0, 0), (bpp, 0)))[:, :-bpp]
    up = np.pad(flat, ((1, 0), (0, 0)))[:-1]
    corner = np.pad(left, ((1, 0), (0, 0)))[:-1]
    distance = [abs(left + up - corner - near) for near in (left, up, corner)]
    paeth = np.where(
        (distance[0] <= distance[1]) & (distance[0] <= distance[2]),
        left,
        np.where(distance[1] <= distance[2], up, corner),
    )
    predicted = [np.zeros_like(flat), left, up, (left + up) // 2, paeth]
    return b"".join(
        bytes([kind]) + ((flat[row] - predicted[kind][row]) % 256).astype(np.uint8).tobytes()
        for row in range(len(flat))
        for kind in [kinds[row % len(kinds)]]
    )


def png_of(
    array: Array,
    *,
    kinds: list[int] | None = None,
    piece: int = 1 << 16,
    before: tuple[bytes, ...] = (),
    after: tuple[bytes, ...] = (),
    stream: Callable[[bytes], bytes] = zlib.compress,
) -> bytes:
    """An 8-bit PNG of (H, W, 1, 3 or 4), its IDAT chunks of `piece` bytes, with chunks before and after them."""
    colour = {1: 0, 3: 2, 4: 6}[array.shape[2]]
    header = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 8, colour, 0, 0, 0)
    data = stream(filtered(array, kinds or [0, 1, 2, 3, 4]))
    pieces = [chunk(b"IDAT", data[start : start + piece]) for start in range(0, len(data), piece)]
    body = (chunk(b"IHDR", header), *before, *pieces, *after, chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def expected_of(array: Array) -> Array:
    return grey3(array[..., 0]) if array.shape[2] == 1 else array[..., :3]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kinds", [[0], [1], [2], [3], [4], [4, 2, 0, 3, 1]], ids=str)
@pytest.mark.parametrize("what", ["noise", "flat", "gradient", "photo"])
def test_png_pixels(what: str, kinds: list[int], channels: int) -> None:
    for width, height in SIZES:
        array = content_of(what, width, height)[..., :channels]
        for piece in (1, 100, 8192):
            content = png_of(array, kinds=kinds, piece=piece)
            assert goes_fast(content)
            assert outcome(content) == by_pillow(content) == read_as(expected_of(array))


@pytest.mark.parametrize("level", [0, 1, 9])
def test_png_of_pillow(level: int) -> None:
    array = content_of("photo", 64, 40)
    content = encoded(PIL.Image.fromarray(array), "PNG", compress_level=level)
    assert goes_fast(content)
    assert outcome(content) == by_pillow(content) == read_as(array[..., :3])


@pytest.mark.parametrize("alpha", ["refuse", "drop", "black", "white"])
def test_alpha(alpha: str) -> None:
    array = content_of("noise", 33, 17)
    content = png_of(array)
    assert goes_fast(content)
    assert outcome(content, alpha) == by_pillow(content, alpha)
    array[..., 3] = 255
    content = png_of(array)
    assert goes_fast(content)
    assert outcome(content, alpha) == by_pillow(content, alpha) == read_as(array[..., :3])
    array[-1, -1, 3] = 254
    assert outcome(png_of(array), alpha) == by_pillow(png_of(array), alpha)
    assert isinstance(outcome(png_of(array), "refuse"), str)


# PNG: chunks around the pixels

ARRAY = content_of("photo", 7, 5)[..., :3]
PLAIN_CHUNKS = {
    "gamma": chunk(b"gAMA", struct.pack(">I", 45455)),
    "primaries": chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
    "srgb": chunk(b"sRGB", b"\0"),
    "resolution": chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
    "significant-bits": chunk(b"sBIT", b"\5\6\5"),
    "background": chunk(b"bKGD", struct.pack(">3H", 9, 99, 199)),
    "time": chunk(b"tIME", struct.pack(">H5B", 2024, 2, 29, 12, 0, 0)),
    "software": chunk(b"tEXt", b"Software\0Matplotlib version3.9.2, https://matplotlib.org/"),
    "blender": chunk(b"tEXt", b"RenderTime\x0000:01.23"),
    "cycles": chunk(b"tEXt", b"cycles.View Layer.samples\x00128"),
    "imagemagick": chunk(b"tEXt", b"date:create\x002024-02-29T12:00:00+00:00"),
    "comfyui": chunk(b"tEXt", b'prompt\0{"3": {"inputs": {"seed": 1}}}'),
}
EXIF = PIL.Image.Exif()
EXIF[0x0112] = 6
TIFF = EXIF.tobytes()[6:]  # without "Exif\0\0"
HEX = b"\nexif\n" + b"%8d\n" % len(EXIF.tobytes()) + EXIF.tobytes().hex().encode() + b"\n"
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
TURNING_CHUNKS = {
    "exif": chunk(b"eXIf", TIFF),
    "text-exif": chunk(b"tEXt", b"exif\0" + EXIF.tobytes()),
    "raw-profile": chunk(b"tEXt", b"Raw profile type exif\0" + HEX),
    "compressed-raw-profile": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(HEX)),
    "xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP),
    "compressed-xmp": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)),
    "text-xmp": chunk(b"tEXt", b"XML:com.adobe.xmp\0" + XMP),
}
COLOUR_CHUNKS = {
    "linear-gamma": chunk(b"gAMA", struct.pack(">I", 100000)),
    "other-primaries": chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
}
OTHER_CHUNKS = {
    "colour-profile": chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(128))),
    "colour-key": chunk(b"tRNS", struct.pack(">3H", *ARRAY[2, 3])),
    "suggested-palette": chunk(b"PLTE", bytes(30)),
    "animation": chunk(b"acTL", struct.pack(">II", 1, 0)),
    "unknown": chunk(b"abCd", b"x"),
    "unknown-critical": chunk(b"ABCD", b"x"),
    "short-gamma": chunk(b"gAMA", b"\0\0\1"),
    "short-primaries": chunk(b"cHRM", bytes(31)),
    "short-resolution": chunk(b"pHYs", bytes(8)),
    "no-srgb": chunk(b"sRGB", b""),
    # Names under which Pillow keeps its own findings: they change how it decodes.
    "text-interlace": chunk(b"tEXt", b"interlace\x001"),
    "text-transparency": chunk(b"tEXt", b"transparency\x001"),
    "text-box": chunk(b"tEXt", b"bbox\x001"),
    "text-without-name": chunk(b"tEXt", b"\0no name"),
    "long-text": chunk(b"tEXt", b"Comment\0" + bytes(1 << 16)),
    "second-header": chunk(b"IHDR", struct.pack(">IIBBBBB", 7, 5, 8, 2, 0, 0, 0)),
}


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("extra", PLAIN_CHUNKS.values(), ids=PLAIN_CHUNKS)
def test_plain_chunks_do_not_change_pixels(extra: bytes, place: str) -> None:
    content = png_of(ARRAY, **{place: (extra,)})  # type: ignore[arg-type]
    assert goes_fast(content)
    assert outcome(content) == by_pillow(content) == read_as(ARRAY)
    wrong_checksum = content.replace(extra, extra[:-1] + bytes([extra[-1] ^ 1]))
    assert not goes_fast(wrong_checksum)
    assert outcome(wrong_checksum) == by_pillow(wrong_checksum)


def test_many_chunks() -> None:
    content = png_of(ARRAY, before=tuple(PLAIN_CHUNKS.values()), after=tuple(PLAIN_CHUNKS.values()))
    assert goes_fast(content)
    assert outcome(content) == by_pillow(content) == read_as(ARRAY)


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("extra", TURNING_CHUNKS.values(), ids=TURNING_CHUNKS)
def test_orientation_of_png_is_left_to_pillow(extra: bytes, place: str) -> None:
    content = png_of(ARRAY, **{place: (extra,)})  # type: ignore[arg-type]
    assert not goes_fast(content)
    assert outcome(content) == read_as(turned(ARRAY, 6))


@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("extra", OTHER_CHUNKS.values(), ids=OTHER_CHUNKS)
def test_other_chunks_are_left_to_pillow(extra: bytes, place: str) -> None:
    content = png_of(ARRAY, **{place: (extra,)})  # type: ignore[arg-type]
    assert not goes_fast(content)
    assert outcome(content) == by_pillow(content)


@pytest.mark.parametrize("extra", COLOUR_CHUNKS.values(), ids=COLOUR_CHUNKS)
def test_colours_other_than_srgb_go_the_slow_way(extra: bytes) -> None:
    content = png_of(ARRAY, before=(extra,))
    assert not goes_fast(content)
    assert outcome(content) == by_pillow(content) != read_as(ARRAY)
    said_otherwise = png_of(ARRAY, before=(PLAIN_CHUNKS["srgb"], extra))
    assert goes_fast(said_otherwise)
    assert outcome(said_otherwise) == by_pillow(said_otherwise) == read_as(ARRAY)


def animated(kind: str) -> bytes:
    frames = [PIL.Image.fromarray(np.full((5, 7, 3), 20 * i, np.uint8)) for i in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(png(adam7(ARRAY), 7, 5, 8, 2, interlace=1), id="interlaced"),
        pytest.param(png8(ARRAY[..., :2], 4), id="grey-with-alpha"),
        pytest.param(encoded(with_palette(), "PNG"), id="palette"),
        pytest.param(encoded(PIL.Image.fromarray(ARRAY[..., 0] > 99), "PNG"), id="1-bit"),
        pytest.param(encoded(PIL.Image.fromarray(ARRAY[..., 0] * np.uint16(200)), "PNG"), id="16-bit"),
        pytest.param(animated("PNG"), id="apng"),
        pytest.param(png_of(ARRAY) + b"\n", id="something-after-the-end"),
        pytest.param(encoded(PIL.Image.fromarray(ARRAY), "BMP"), id="bmp"),
        pytest.param(encoded(PIL.Image.fromarray(ARRAY), "WEBP", lossless=True), id="webp"),
    ],
)
def test_other_kinds_are_left_to_pillow(content: bytes) -> None:
    assert not goes_fast(content)
    assert outcome(content) == by_pillow(content)


# JPEG


def jpeg(array: Array = ARRAY, **settings: Any) -> bytes:
    return encoded(PIL.Image.fromarray(array), "JPEG", **settings)


JPEG_SETTINGS: dict[str, dict[str, Any]] = {
    "444": {"subsampling": 0},
    "422": {"subsampling": 1},
    "420": {"subsampling": 2},
    "quality-100": {"quality": 100},
    "quality-5": {"quality": 5},
    "optimized": {"optimize": True},
    "restart-markers": {"restart_marker_blocks": 1},
    "restart-rows": {"restart_marker_rows": 1, "subsampling": 2},
    "comment": {"comment": b"by hand"},
    "resolution": {"dpi": (300, 300)},
}


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
@pytest.mark.parametrize("grey", [False, True], ids=["rgb", "grey"])
@pytest.mark.parametrize("settings", JPEG_SETTINGS.values(), ids=JPEG_SETTINGS)
def test_jpeg_pixels(settings: dict[str, Any], grey: bool, progressive: bool) -> None:
    for what in ("noise", "flat", "gradient", "photo"):
        for width, height in SIZES:
            array = content_of(what, width, height)
            content = jpeg(array[..., 0] if grey else array[..., :3], progressive=progressive, **settings)
            assert goes_fast(content)
            assert outcome(content) == by_pillow(content)
            assert isinstance(outcome(content), tuple)


def app(number: int, data: bytes) -> bytes:
    return bytes([0xFF, 0xE0 + number]) + struct.pack(">H", len(data) + 2) + data


def with_segment(segment: bytes, content: bytes | None = None) -> bytes:
    """A JPEG with one more segment, after that of JFIF."""
    content = jpeg() if content is None else content
    return content[:20] + segment + content[20:]


def without_jfif(content: bytes) -> bytes:
    return content[:2] + content[20:]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_jpeg_is_left_to_pillow(orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    content = jpeg(exif=exif)
    assert not goes_fast(content)
    pixels = np.asarray(PIL.Image.open(io.BytesIO(jpeg())))
    assert outcome(content) == read_as(turned(pixels, orientation))
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + XMP.replace(b"6", b"%d" % orientation)
    content = with_segment(app(1, xmp))
    assert not goes_fast(content)
    assert outcome(content) == read_as(turned(pixels, orientation))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(jpeg(subsampling=2).replace(b"\x03\x01\x22", b"\x03\x01\x41"), id="411"),
        pytest.param(jpeg(keep_rgb=True), id="stored-as-rgb"),
        pytest.param(encoded(PIL.Image.fromarray(noise(16, 16, 4), "CMYK"), "JPEG"), id="cmyk"),
        pytest.param(jpeg(icc_profile=bytes(128)), id="colour-profile"),
        pytest.param(animated("MPO"), id="several-pictures"),
        pytest.param(with_segment(app(14, b"Adobe\0d\0\0\0\0\1")), id="adobe-ycc"),
        pytest.param(with_segment(app(14, b"Adobe\0d\0\0\0\0\0")), id="adobe-rgb"),
        pytest.param(with_segment(app(13, b"Photoshop 3.0\x008BIM")), id="photoshop"),
        pytest.param(without_jfif(jpeg()), id="no-jfif"),
        pytest.param(jpeg() + b"\0", id="something-after-the-end"),
        pytest.param(jpeg() + jpeg(), id="two-files"),
        pytest.param(jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"), id="12-bit"),
        pytest.param(jpeg().replace(b"\xff\xc0", b"\xff\xc1"), id="extended"),
        pytest.param(jpeg().replace(b"\xff\xc0", b"\xff\xc9"), id="arithmetic"),
        pytest.param(jpeg()[:-2], id="end-marker-missing"),
        pytest.param(jpeg().replace(b"\0\x05\0\x07\x03", b"\0\x05\xff\xfe\x03"), id="65534-wide"),
    ],
)
def test_other_kinds_of_jpeg_are_left_to_pillow(content: bytes) -> None:
    assert not goes_fast(content)
    assert outcome(content) == by_pillow(content)


# Damaged files

SMALL: dict[str, bytes] = {
    "png-rgb": png_of(ARRAY, before=(PLAIN_CHUNKS["gamma"], PLAIN_CHUNKS["software"])),
    "png-rgba-pieces": png_of(content_of("noise", 5, 4), piece=16, after=(PLAIN_CHUNKS["time"],)),
    "png-of-pillow": encoded(PIL.Image.fromarray(content_of("photo", 9, 9)), "PNG"),
    "jpeg": jpeg(content_of("photo", 33, 17)[..., :3]),
    "jpeg-progressive": jpeg(content_of("photo", 33, 17)[..., :3], progressive=True),
    "jpeg-restart": jpeg(content_of("noise", 33, 17)[..., :3], restart_marker_blocks=1, subsampling=2),
    "jpeg-grey": jpeg(content_of("photo", 33, 17)[..., 0]),
}


@pytest.mark.parametrize("kind", SMALL)
def test_truncated_anywhere(kind: str) -> None:
    content = SMALL[kind]
    assert goes_fast(content)
    for length in range(1, len(content)):
        assert not goes_fast(content[:length])
        assert outcome(content[:length]) == by_pillow(content[:length])


def damaged(content: bytes, count: int) -> Iterator[bytes]:
    rng = np.random.default_rng(len(content))
    for number in range(count):
        copy = bytearray(content)
        for place in rng.integers(0, len(copy), 1 + number % 3):
            copy[place] = rng.integers(0, 256) if number % 2 else copy[place] ^ 1 << rng.integers(0, 8)
        yield bytes(copy)


@pytest.mark.parametrize("kind", SMALL)
def test_damaged_bytes(kind: str) -> None:
    """JPEG has no checksums, so that much damage is read, as other pixels: the same by either way."""
    fast = 0
    for content in damaged(SMALL[kind], 400):
        fast += goes_fast(content)
        assert outcome(content) == by_pillow(content)
    assert fast > 60 if kind.startswith("jpeg") else fast < 60  # the last of a PNG's data may be damaged


@pytest.mark.parametrize("kind", [kind for kind in SMALL if kind.startswith("jpeg")])
def test_jpeg_with_pieces_lost_or_markers_put_in(kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        content = bytearray(SMALL[kind])
        place = int(rng.integers(2, len(content)))
        if rng.integers(0, 2):
            del content[place : place + int(rng.integers(1, 40))]
        else:
            content[place : place + 2] = bytes([0xFF, rng.choice([0xD9, 0xD0, 0xDA, 0xC4, 0xDB, 0xFE, 0xFF, 0xDD])])
        assert outcome(bytes(content)) == by_pillow(bytes(content))


@pytest.mark.parametrize("content", [png_of(ARRAY), encoded(with_palette(), "PNG")], ids=["plain", "palette"])
def test_a_wrong_checksum_of_png_is_refused(content: bytes) -> None:
    """Pillow does not look at that of the pixels."""
    at = content.index(b"IEND") - 5  # in the last byte of the chunk before
    assert isinstance(outcome(content), tuple)
    assert "the PNG is damaged" in str(outcome(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]))


PIXELS = content_of("photo", 33, 17)


def pixel_stream(change: Callable[[bytearray], None]) -> Callable[[bytes], bytes]:
    """A compressor of rows that were changed before."""

    def stream(rows: bytes) -> bytes:
        changed = bytearray(rows)
        change(changed)
        return zlib.compress(bytes(changed))

    return stream


def set_filter_of_row_3(rows: bytearray) -> None:
    rows[3 * (1 + 4 * 33)] = 5


def cut_last_byte(rows: bytearray) -> None:
    del rows[-1]


def add_a_row(rows: bytearray) -> None:
    rows += bytes(1 + 4 * 33)


@pytest.mark.parametrize("piece", [1, 100, 1 << 16])
@pytest.mark.parametrize(
    ("stream", "fast"),
    [
        pytest.param(pixel_stream(set_filter_of_row_3), False, id="unknown-filter"),
        pytest.param(pixel_stream(cut_last_byte), False, id="byte-missing"),
        pytest.param(pixel_stream(add_a_row), True, id="row-too-many"),
        pytest.param(lambda rows: zlib.compress(rows) + b"more", True, id="more-after-the-stream"),
        pytest.param(lambda rows: zlib.compress(rows)[:-40], False, id="cut"),
        pytest.param(lambda rows: b"\x78\x9d" + zlib.compress(rows)[2:], False, id="not-zlib"),
        pytest.param(lambda rows: zlib.compress(rows, 0), True, id="stored"),
        pytest.param(lambda rows: b"", False, id="empty"),
    ],
)
def test_png_with_a_strange_stream(stream: Callable[[bytes], bytes], fast: bool, piece: int) -> None:
    """Checksums of chunks in order, but not what is in them."""
    content = png_of(PIXELS, stream=stream, piece=piece)
    assert goes_fast(content) == fast
    assert outcome(content) == by_pillow(content)


@pytest.mark.parametrize("piece", [1, 100, 1 << 16])
def test_png_whose_stream_lacks_only_its_end(piece: int) -> None:
    """The one difference: all pixels are there, but the checksum after them is cut off or wrong.

    No damage makes such a file, as the checksums of its chunks are right. Pillow reads it or refuses it by how
    the stream was cut into chunks; the fast way sometimes reads what Pillow refuses, to the pixels written.
    """
    for lost in range(1, 5):
        for end in (b"", b"nope"):
            content = png_of(PIXELS, stream=lambda rows: zlib.compress(rows)[:-lost] + end, piece=piece)  # noqa: B023
            assert outcome(content) in (by_pillow(content), read_as(PIXELS[..., :3]))


def test_damage_inside_png_chunks() -> None:
    """As if its program had written it so: checksums of the damaged chunks are made right again."""
    rng = np.random.default_rng(0)
    rows = filtered(PIXELS, [0, 1, 2, 3, 4])
    fast = 0
    for number in range(600):
        data = bytearray(zlib.compress(rows))
        data[rng.integers(0, len(data) - 6)] = rng.integers(0, 256)
        content = png_of(PIXELS, stream=lambda _, data=data: bytes(data), piece=[37, 1 << 16][number % 2])  # type: ignore[misc]
        if goes_fast(content):
            fast += 1
            slow = by_pillow(content)
            assert outcome(content) == slow or "the PNG is damaged" in slow  # of the checksum, as above
    assert fast > 10


# The rest


@pytest.mark.parametrize("content", [png_of(ARRAY), png_of(ARRAY[..., :1]), jpeg()], ids=["png", "grey-png", "jpeg"])
def test_size_is_looked_at_before_decoding(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert plain.samples(content, 35) is not None
    for codec in ("spng_decode", "jpeg8_decode"):
        monkeypatch.setattr(imagecodecs, codec, lambda _: pytest.fail("decoded"))
    assert plain.samples(content, 34) is None
    with pytest.raises(pytest.fail.Exception):
        plain.samples(content, 35)


@pytest.mark.parametrize("error", [RuntimeError("a codec's own"), ImportError("not in this build"), MemoryError()])
def test_what_imagecodecs_cannot_do_goes_to_pillow(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagecodecs, "spng_decode", mock.Mock(side_effect=error))
    assert outcome(png_of(ARRAY)) == read_as(ARRAY)


def test_plain_files_are_decoded_in_this_process_and_others_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = mock.Mock(return_value=Planes(np.zeros((3, 5, 7), np.uint8), ("apart",)))
    monkeypatch.setattr(apart, "decode", asked)
    path = tmp_path / "a.png"
    for content, space, note in [
        (png_of(ARRAY), None, ""),
        (png_of(ARRAY), "srgb", ""),
        (png_of(ARRAY), "linear", "apart"),
        (png_of(ARRAY, before=(COLOUR_CHUNKS["linear-gamma"],)), None, "apart"),
        (jpeg(), None, ""),
        (jpeg(icc_profile=bytes(128)), None, "apart"),
        (encoded(PIL.Image.fromarray(ARRAY), "TIFF"), None, "apart"),
    ]:
        path.write_bytes(content)
        assert images.read(path, Reading(space=space)).note == note  # type: ignore[arg-type]


def test_sixteen_threads_read_what_one_reads() -> None:
    contents = [png_of(content_of("photo", 64, 40)), *SMALL.values(), *damaged(SMALL["jpeg"], 20)] * 8

    def values(content: bytes) -> bytes | None:
        samples = plain.samples(content, MAX_PIXELS)
        return None if samples is None else samples.values.tobytes()

    alone = [values(content) for content in contents]
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(values, contents)) == alone
