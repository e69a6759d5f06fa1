"""Reading: what the file says and nothing rounded, or an ImageError that says why not. (Of deep files: decoding/.)

Expected pixels are arrays that the tests made. PNG files of kinds that Pillow cannot write, and TIFF files
with chosen tags, are written here byte by byte from their specifications; lossy files are compared with
torchvision's decoders.
"""

import contextlib
import hashlib
import io
import itertools
import os
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import torch
import torchvision

from relight_eval.decoding import Reading, formats
from relight_eval.errors import ImageError, UsageError
from relight_eval.images import check_same_size, read, read_mask

Array = npt.NDArray[np.uint8]
Save = Callable[[bytes], Path]

HEIGHT, WIDTH = 5, 7


def noise(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


RGB = noise(HEIGHT, WIDTH, 3)
GREY = noise(HEIGHT, WIDTH)
OPAQUE = np.full((HEIGHT, WIDTH), 255, np.uint8)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Writes one file, of no telling suffix: content decides."""
    number = itertools.count()

    def write(content: bytes) -> Path:
        path = tmp_path / f"a{next(number)}.png"
        path.write_bytes(content)
        return path

    return write


def pixels(path: Path, **settings: Any) -> Array:
    """(H, W, 3) of a file, after what holds for every image."""
    image = read(path, Reading(**settings))
    assert image.pixels.dtype == torch.uint8
    assert image.pixels.shape[0] == 3
    assert image.pixels.is_contiguous()
    array: Array = image.pixels.permute(1, 2, 0).numpy()
    return array


def grey3(grey: Array) -> Array:
    return np.repeat(grey[..., None], 3, axis=-1)


def encoded(image: PIL.Image.Image, kind: str, **settings: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


# PNG by hand (PNG specification, third edition)

PALETTE = noise(4, 3)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(rows: bytes, width: int, height: int, depth: int, colour: int, *chunks: bytes, interlace: int = 0) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


def rows_of(array: npt.NDArray[Any]) -> bytes:
    """Every row after its filter byte 0."""
    return b"".join(b"\0" + row.tobytes() for row in array)


def png8(array: Array, colour: int, *chunks: bytes) -> bytes:
    return png(rows_of(array), array.shape[1], array.shape[0], 8, colour, *chunks)


def packed(samples: Array, depth: int) -> bytes:
    """Rows of samples of 1, 2 or 4 bits, high bits first, padded to whole bytes."""
    bits = np.unpackbits(samples[..., None], axis=-1)[..., 8 - depth :].reshape(len(samples), -1)
    return rows_of(np.packbits(bits, axis=1))


def adam7(array: Array) -> bytes:
    starts = (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    )
    passes = (array[y::dy, x::dx] for y, x, dy, dx in starts)
    return b"".join(rows_of(part) for part in passes if part.size)


def palette(*alpha: int) -> tuple[bytes, ...]:
    chunks = (chunk(b"PLTE", PALETTE.tobytes()),)
    return (*chunks, chunk(b"tRNS", bytes(alpha))) if alpha else chunks


INDEX = noise(HEIGHT, WIDTH) % 4


def with_palette() -> PIL.Image.Image:
    picture = PIL.Image.frombytes("P", (WIDTH, HEIGHT), INDEX.tobytes())
    picture.putpalette(PALETTE.tobytes())
    return picture


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(png8(RGB, 2), RGB, id="rgb"),
        pytest.param(png8(GREY[..., None], 0), grey3(GREY), id="grey"),
        pytest.param(png8(np.dstack([RGB, OPAQUE]), 6), RGB, id="vidit-rgba-with-alpha-255"),
        pytest.param(png8(np.dstack([GREY, OPAQUE]), 4), grey3(GREY), id="grey-with-alpha-255"),
        pytest.param(png8(INDEX, 3, *palette()), PALETTE[INDEX], id="palette"),
        pytest.param(png8(INDEX, 3, *palette(255, 255)), PALETTE[INDEX], id="palette-all-opaque"),
        pytest.param(
            png8(INDEX.clip(0, 2), 3, *palette(255, 255, 255, 0)),
            PALETTE[INDEX.clip(0, 2)],
            id="palette-transparent-entry-not-used",
        ),
        pytest.param(png8(RGB | 1, 2, chunk(b"tRNS", bytes(6))), RGB | 1, id="colour-key-not-used"),
        pytest.param(png(adam7(RGB), WIDTH, HEIGHT, 8, 2, interlace=1), RGB, id="interlaced"),
        pytest.param(png8(RGB[:1, :1], 2), RGB[:1, :1], id="one-pixel"),
        *(
            pytest.param(
                png(packed(GREY >> (8 - depth), depth), WIDTH, HEIGHT, depth, 0),
                grey3((GREY >> (8 - depth)) * np.uint8(255 // (2**depth - 1))),
                id=f"grey-of-{depth}-bits",
            )
            for depth in (1, 2, 4)
        ),
        *(
            pytest.param(
                png(packed(INDEX % 2**depth, depth), WIDTH, HEIGHT, depth, 3, *palette()),
                PALETTE[INDEX % 2**depth],
                id=f"palette-of-{depth}-bits",
            )
            for depth in (1, 2, 4)
        ),
    ],
)
def test_png(save: Save, content: bytes, expected: Array) -> None:
    path = save(content)
    assert np.array_equal(pixels(path), expected)
    assert read(path).note == ""


# Transparency

HALF = np.where(np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 3, 255, noise(WIDTH, HEIGHT).T).astype(np.uint8)


def keyed(colour: Array, key: Array) -> Array:
    """Alpha of a colour-key image: 0 where a pixel has the key's colour."""
    return np.where((colour == key).all(axis=-1), 0, 255).astype(np.uint8)


GREY4 = GREY >> 4
TRANSPARENT = [
    pytest.param(png8(np.dstack([RGB, HALF]), 6), RGB, HALF, id="rgba"),
    pytest.param(png8(np.dstack([GREY, HALF]), 4), grey3(GREY), HALF, id="grey-alpha"),
    pytest.param(
        png8(INDEX, 3, *palette(255, 0, 255, 255)),
        PALETTE[INDEX],
        keyed(INDEX[..., None], [1]),
        id="palette-one",
    ),
    pytest.param(
        png8(INDEX, 3, *palette(9, 128, 77)),
        PALETTE[INDEX],
        np.uint8([9, 128, 77, 255])[INDEX],
        id="palette-many",
    ),
    pytest.param(
        png8(RGB, 2, chunk(b"tRNS", struct.pack(">HHH", *RGB[2, 3]))),
        RGB,
        keyed(RGB, RGB[2, 3]),
        id="rgb-key",
    ),
    pytest.param(
        png8(GREY[..., None], 0, chunk(b"tRNS", struct.pack(">H", GREY[2, 3]))),
        grey3(GREY),
        keyed(GREY[..., None], GREY[2, 3]),
        id="grey-key",
    ),
    *(
        pytest.param(
            png(
                packed(GREY >> (8 - depth), depth),
                WIDTH,
                HEIGHT,
                depth,
                0,
                chunk(b"tRNS", struct.pack(">H", GREY[2, 3] >> (8 - depth))),
            ),
            grey3((GREY >> (8 - depth)) * np.uint8(255 // (2**depth - 1))),
            keyed((GREY >> (8 - depth))[..., None], GREY[2, 3] >> (8 - depth)),
            id=f"grey-of-{depth}-bits-key",
        )
        for depth in (1, 2, 4)
    ),
    pytest.param(
        encoded(PIL.Image.fromarray(np.dstack([RGB, HALF])), "WEBP", lossless=True, exact=True),
        RGB,
        HALF,
        id="webp",
    ),
    pytest.param(encoded(PIL.Image.fromarray(np.dstack([RGB, HALF])), "TIFF"), RGB, HALF, id="tiff"),
    pytest.param(encoded(PIL.Image.fromarray(np.dstack([GREY, HALF])), "TIFF"), grey3(GREY), HALF, id="tiff-grey"),
]


def over(colour: Array, alpha: Array, background: int) -> Array:
    """Compositing from its definition, in float64."""
    share = alpha[..., None] / 255
    return np.rint(colour * share + background * (1 - share)).astype(np.uint8)


@pytest.mark.parametrize(("content", "colour", "alpha"), TRANSPARENT)
def test_transparency(save: Save, content: bytes, colour: Array, alpha: Array) -> None:
    path = save(content)
    see_through = int((alpha < 255).sum())
    assert see_through
    message = rf"a0\.png: has transparency \({see_through} of 35 pixels\).*--alpha drop, black or white"
    with pytest.raises(ImageError, match=message):
        read(path)
    assert np.array_equal(pixels(path, alpha="drop"), colour)
    assert np.array_equal(pixels(path, alpha="black"), over(colour, alpha, 0))
    assert np.array_equal(pixels(path, alpha="white"), over(colour, alpha, 255))


def test_compositing_is_right_to_the_nearest_level(save: Save) -> None:
    """Every level under every opacity, against the exact quotient in integers."""
    level, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    path = save(png8(np.dstack([level, alpha]), 4))
    exact = level.astype(int) * alpha
    for background, numerator in (("black", exact), ("white", exact + 255 * (255 - alpha.astype(int)))):
        got = pixels(path, alpha=background)[..., 0].astype(int)
        assert (2 * abs(255 * got - numerator) < 255).all()


def test_gif_transparency(save: Save) -> None:
    path = save(encoded(with_palette(), "GIF", transparency=2, optimize=False))
    assert np.array_equal(pixels(path, alpha="drop"), PALETTE[INDEX])
    with pytest.raises(ImageError, match=rf"transparency \({(INDEX == 2).sum()} of 35"):
        read(path)


def test_opaque_files_do_not_depend_on_alpha(save: Save) -> None:
    path = save(png8(np.dstack([RGB, OPAQUE]), 6))
    for alpha in ("refuse", "drop", "black", "white"):
        assert np.array_equal(pixels(path, alpha=alpha), RGB)


def test_unknown_alpha() -> None:
    with pytest.raises(UsageError, match='alpha "grey" is not one of refuse, drop, black, white'):
        Reading(alpha="grey")  # type: ignore[arg-type]


# Other formats


def cmyk_as_rgb(cmyk: Array) -> Array:
    """Without a profile: each ink and black multiply."""
    ink = 255 - cmyk.astype(float)
    return np.rint(ink[..., :3] * ink[..., 3:] / 255).astype(np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "DIB", "TIFF", "WEBP"])
def test_lossless_formats(save: Save, kind: str) -> None:
    settings = {"lossless": True} if kind == "WEBP" else {}
    assert np.array_equal(pixels(save(encoded(PIL.Image.fromarray(RGB), kind, **settings))), RGB)


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("array", [RGB, GREY], ids=["rgb", "grey"])
def test_tiff(save: Save, compression: str, array: Array) -> None:
    path = save(encoded(PIL.Image.fromarray(array), "TIFF", compression=compression))
    assert np.array_equal(pixels(path), array if array.ndim == 3 else grey3(array))


def test_big_tiff(save: Save) -> None:
    content = encoded(PIL.Image.fromarray(RGB), "TIFF", big_tiff=True)
    assert content[:4] == b"II+\0"
    assert np.array_equal(pixels(save(content)), RGB)


def test_gif_and_palette_bmp(save: Save) -> None:
    for kind in ("GIF", "BMP", "TIFF"):
        path = save(encoded(with_palette(), kind))
        assert np.array_equal(pixels(path), PALETTE[INDEX])
        assert read(path).note == ""


def test_bilevel_bmp(save: Save) -> None:
    dots = GREY > 127
    path = save(encoded(PIL.Image.fromarray(dots), "BMP"))
    assert np.array_equal(pixels(path), grey3(np.where(dots, 255, 0).astype(np.uint8)))


def test_cmyk(save: Save) -> None:
    cmyk = noise(HEIGHT, WIDTH, 4)
    path = save(encoded(PIL.Image.frombytes("CMYK", (WIDTH, HEIGHT), cmyk.tobytes()), "TIFF"))
    assert np.array_equal(pixels(path), cmyk_as_rgb(cmyk))
    assert read(path).note == "CMYK, converted to RGB without its colour profile"


def test_cmyk_jpeg_is_not_inverted(save: Save) -> None:
    cmyk = np.broadcast_to(np.uint8([200, 100, 30, 40]), (16, 16, 4)).copy()
    picture = PIL.Image.frombytes("CMYK", (16, 16), cmyk.tobytes())
    path = save(encoded(picture, "JPEG", quality=100))
    assert abs(pixels(path).astype(int) - cmyk_as_rgb(cmyk)).max() <= 2
    assert "CMYK" in read(path).note


SMOOTH = np.add.outer(np.arange(24) * 5, np.arange(40) * 3)[..., None].astype(np.uint8) + np.uint8([0, 9, 30])


def torchvision_decoded(content: bytes) -> torch.Tensor:
    """(3, H, W) by another program's decoder; torchvision 0.29 says that a later one will be without."""
    decode = getattr(torchvision.io, "decode_image", None)
    if decode is None:
        pytest.skip("this torchvision has no decoders")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        result: torch.Tensor = decode(torch.frombuffer(bytearray(content), dtype=torch.uint8), mode="RGB")
    return result


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"quality": 100, "subsampling": 0}, id="444"),
        pytest.param({"quality": 90, "subsampling": 2}, id="420"),
        pytest.param({"quality": 80, "progressive": True}, id="progressive"),
    ],
)
@pytest.mark.parametrize("grey", [False, True], ids=["rgb", "grey"])
def test_jpeg_agrees_with_torchvision(save: Save, settings: dict[str, Any], grey: bool) -> None:
    picture = PIL.Image.fromarray(SMOOTH[..., 0] if grey else SMOOTH)
    content = encoded(picture, "JPEG", **settings)
    other = torchvision_decoded(content)
    assert (read(save(content)).pixels.int() - other.int()).abs().max() <= 1


def test_lossy_webp_agrees_with_torchvision(save: Save) -> None:
    content = encoded(PIL.Image.fromarray(SMOOTH), "WEBP", quality=80)
    assert torch.equal(read(save(content)).pixels, torchvision_decoded(content))


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".exr", ".npy", ""])
def test_content_decides_not_the_suffix(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(png8(RGB, 2))
    assert np.array_equal(pixels(path), RGB)


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_name_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    with pytest.raises(ImageError, match=r"caf\\udce9\.png: no such file") as caught:
        read(path)
    assert str(caught.value).encode("utf-8")


# Orientation


def turned(array: Array, orientation: int) -> Array:
    """The array as it is to be seen: EXIF 2.3 says where its row 0 and its column 0 lie."""
    row, column = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    seen = array if row in ("top", "bottom") else array.swapaxes(0, 1)
    if "bottom" in (row, column):
        seen = seen[::-1]
    if "right" in (row, column):
        seen = seen[:, ::-1]
    return seen


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(save: Save, kind: str, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    settings = {"lossless": True} if kind == "WEBP" else {}
    plain = pixels(save(encoded(PIL.Image.fromarray(RGB), kind, **settings)))
    path = save(encoded(PIL.Image.fromarray(RGB), kind, exif=exif, **settings))
    assert np.array_equal(pixels(path), turned(plain, orientation))


def test_orientation_outside_1_to_8_is_none(save: Save) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 99
    assert np.array_equal(pixels(save(encoded(PIL.Image.fromarray(RGB), "PNG", exif=exif))), RGB)


def test_orientation_with_transparency(save: Save) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    path = save(encoded(PIL.Image.fromarray(np.dstack([RGB, HALF])), "PNG", exif=exif))
    assert np.array_equal(pixels(path, alpha="white"), turned(over(RGB, HALF, 255), 6))


def test_damaged_exif_costs_a_note_not_the_image(save: Save) -> None:
    path = save(png8(RGB, 2, chunk(b"eXIf", b"no TIFF header")))
    assert np.array_equal(pixels(path), RGB)
    assert read(path).note == "EXIF data damaged, so no orientation applied"


# Several frames


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_of_several_frames(save: Save, kind: str) -> None:
    frames = [PIL.Image.fromarray(np.full((HEIGHT, WIDTH, 3), 20 * i, np.uint8)) for i in range(12)]
    settings = {"lossless": True} if kind == "WEBP" else {}
    path = save(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **settings))
    assert not pixels(path).any()
    assert read(path).note == "first of 12 frames"


def test_frames_that_are_cut_off_cost_a_note(save: Save) -> None:
    frames = [PIL.Image.fromarray(np.full((64, 64), 20 * i, np.uint8)) for i in range(3)]
    content = encoded(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    path = save(content[:-100])
    assert not pixels(path).any()
    assert "frame" in read(path).note


# TIFF by hand (TIFF 6.0): one strip


def tiff(
    raw: bytes,
    width: int,
    bits: tuple[int, ...],
    *,
    photometric: int,
    more: dict[int, tuple[int, ...]] | None = None,
) -> bytes:
    """One row of pixels; every tag is SHORT, values that do not fit lie after the pixels."""
    tags = {256: (width,), 257: (1,), 258: bits, 259: (1,), 262: (photometric,), 273: (8,)}
    tags |= {277: (len(bits),), 278: (1,), 279: (len(raw),), **(more or {})}
    blob, entries = raw + b"\0" * (len(raw) % 2), b""
    for tag, values in sorted(tags.items()):
        data = struct.pack(f"<{len(values)}H", *values)
        if len(data) > 4:
            data, blob = struct.pack("<I", 8 + len(blob)), blob + data
        entries += struct.pack("<HHI", tag, 3, len(values)) + data.ljust(4, b"\0")
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(blob)) + blob + directory


def test_tiff_by_hand_is_read(save: Save) -> None:
    """So that the refusals below are not about a broken writer."""
    assert np.array_equal(pixels(save(tiff(RGB[:1].tobytes(), WIDTH, (8, 8, 8), photometric=2))), RGB[:1])


def test_ycbcr_tiff(save: Save) -> None:
    more = {530: (1, 1)}  # no subsampling
    path = save(tiff(RGB[:1].tobytes(), WIDTH, (8, 8, 8), photometric=6, more=more))
    y, cb, cr = np.moveaxis(RGB[:1].astype(float), -1, 0) - np.reshape([0, 128, 128], (3, 1, 1))
    expected = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    assert abs(pixels(path) - expected.clip(0, 255)).max() <= 1


def test_tiff_with_premultiplied_alpha(save: Save) -> None:
    kind: dict[str, Any] = {"photometric": 2, "more": {338: (1,)}}
    opaque = np.dstack([RGB[:1], OPAQUE[:1]]).tobytes()
    assert np.array_equal(pixels(save(tiff(opaque, WIDTH, (8, 8, 8, 8), **kind))), RGB[:1])
    path = save(tiff(bytes([9, 9, 9, 100] * 2), 2, (8, 8, 8, 8), **kind))
    with pytest.raises(ImageError, match="has transparency"):
        read(path)
    for alpha, expected in (("drop", 9), ("black", 9), ("white", 9 + 155)):
        assert abs(read(path, Reading(alpha=alpha)).pixels.numpy() * 255 - expected).max() < 1e-4


# What is refused because nobody can know what it means


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(tiff(bytes(8), 2, (32,), photometric=1), "32-bit unsigned TIFF (minisblack)", id="32"),
        pytest.param(tiff(bytes(4), 2, (16,), photometric=0, more={339: (3,)}), "16-bit float TIFF", id="half-white-0"),
        pytest.param(tiff(bytes(2), 2, (8,), photometric=1, more={339: (2,)}), "8-bit signed TIFF", id="signed"),
        pytest.param(tiff(bytes(4), 2, (16,), photometric=1, more={339: (2,)}), "16-bit signed TIFF", id="signed-16"),
        pytest.param(tiff(bytes(16), 2, (64,), photometric=1, more={339: (6,)}), "64-bit complex TIFF", id="complex"),
        pytest.param(tiff(bytes(12), 2, (16,) * 3, photometric=8), "16-bit unsigned TIFF (cielab)", id="lab"),
        pytest.param(tiff(bytes(12), 2, (16,) * 3, photometric=6), "16-bit unsigned TIFF (ycbcr)", id="ycbcr"),
    ],
)
def test_numbers_without_a_meaning_are_refused(save: Save, content: bytes, what: str) -> None:
    with pytest.raises(ImageError, match=rf"a0\.png: {re.escape(what)}.* cannot be read"):
        read(save(content))


def test_colours_other_than_rgb_are_refused(save: Save) -> None:
    path = save(tiff(bytes(6), 2, (8, 8, 8), photometric=8))
    with pytest.raises(ImageError, match=r"TIFF of pixel mode LAB cannot be read\. Convert both"):
        read(path)


# Files that are no images


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", r"the file is empty \(0 bytes\), expected an image; write or copy it again", id="empty"),
        pytest.param(b"hello, world", r"its content is none of PNG, JPEG, WebP, BMP, TIFF, GIF, OpenEXR", id="text"),
        pytest.param(b"<!DOCTYPE html>", "not an image but a web page", id="web-page"),
        pytest.param(b"\x93NUMPY\x01\0", "the NPY is damaged", id="npy-head-only"),
        pytest.param(b"\x76\x2f\x31\x01\x02\0\0\0" + bytes(40), "the OpenEXR is damaged", id="exr-head-only"),
        pytest.param(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "the Radiance HDR is damaged", id="hdr-head-only"),
        pytest.param(b"PK\x03\x04" + bytes(30), "a ZIP archive", id="npz"),
        pytest.param(b"\x80\x04\x95" + bytes(30), "a Python pickle, which is never loaded", id="pickle"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer", id="lfs"),
        pytest.param(encoded(PIL.Image.fromarray(RGB), "PPM"), "its content is none of PNG", id="ppm"),
        pytest.param(b"\0\0\0\x20ftypavif" + bytes(20), "AVIF and HEIF cannot be read", id="avif"),
        pytest.param(b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000 cannot be read", id="jpeg-2000"),
        pytest.param(png(b"", 0, 4, 8, 2), "has no pixels", id="no-columns"),
        pytest.param(png(b"", 4, 0, 8, 2), "has no pixels", id="no-rows"),
        pytest.param(png(b"\0\0", 1, 1, 8, 3), "the PNG is damaged", id="palette-missing"),
        pytest.param(png(b"", 4, 4, 8, 2), r"the PNG is damaged.*; write or copy it again", id="no-data"),
        pytest.param(png(b"", 4, 4, 7, 2), "the PNG is damaged", id="unknown-depth"),
        pytest.param(b"\xff\xd8\xff\xe0" + bytes(30), "the JPEG is damaged", id="jpeg-head-only"),
        pytest.param(b"GIF89a", "the GIF is damaged", id="gif-head-only"),
        pytest.param(b"BM" + bytes(60), "the BMP is damaged", id="bmp-head-only"),
        pytest.param(b"II*\0\xff\xff\xff\0", "the TIFF is damaged", id="tiff-head-only"),
        pytest.param(b"RIFF\x10\0\0\0WEBPVP8 ", "the WebP is damaged", id="webp-head-only"),
    ],
)
def test_not_an_image(save: Save, content: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=rf"/a0\.png: .*{message}"):
        read(save(content))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png: no such file\.$"):
        read(tmp_path / "gone.png")
    (tmp_path / "link.png").symlink_to("gone.png")
    with pytest.raises(ImageError, match=r"link\.png: no such file\.$"):
        read(tmp_path / "link.png")
    (tmp_path / "itself.png").symlink_to("itself.png")
    with pytest.raises(ImageError, match=r"itself\.png: cannot be opened \(.+\)\.$"):
        read(tmp_path / "itself.png")


def test_folder_in_place_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder, expected an image"):
        read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a\.png: is no regular file, expected an image"):
        read(tmp_path / "a.png")


def test_permission_denied(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(png8(RGB, 2))

    def refuse(self: Path) -> bytes:  # instead of chmod, which does not stop root
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ImageError, match=r"a0\.png: cannot be opened \(permission denied\)"):
        read(path)


def refuse_memory(*_: object) -> None:
    raise MemoryError


def test_out_of_memory_while_reading(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(png8(RGB, 2))
    monkeypatch.setattr(Path, "read_bytes", refuse_memory)
    with pytest.raises(ImageError, match=r"a0\.png: not enough memory to read the file; use fewer --workers"):
        read(path)


def test_out_of_memory_while_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.Image.Image, "convert", refuse_memory)
    with pytest.raises(ImageError, match=r"^not enough memory to decode this PNG; use fewer --workers"):
        formats.decode(png8(INDEX, 3, *palette()), Reading())


def test_interrupt_is_not_an_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PIL.Image.Image, "convert", interrupt)
    with pytest.raises(KeyboardInterrupt):
        formats.decode(png8(INDEX, 3, *palette()), Reading())


def test_a_file_larger_than_any_image_is_not_read(save: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(b"")
    with path.open("r+b") as file:
        file.truncate((64 << 20) + 16 * 35 + 1)  # of nothing: the disk holds no byte of it
    monkeypatch.setattr(Path, "read_bytes", refuse_memory)
    with pytest.raises(ImageError, match=r"a0\.png: its 67109425 bytes are more than 35 pixels need.*--max-pixels"):
        read(path, Reading(max_pixels=35))


@pytest.mark.parametrize("content", [png8(RGB, 2), png8(INDEX, 3, *palette())], ids=["in-this-process", "apart"])
def test_the_content_is_hashed(save: Save, content: bytes) -> None:
    path = save(content)
    assert read(path).sha256 == read_mask(path).sha256 == hashlib.sha256(content).hexdigest()


FILES = {
    "png": png8(noise(40, 40, 3), 2),
    "interlaced-png": png(adam7(noise(40, 40, 3)), 40, 40, 8, 2, interlace=1),
    "jpeg": encoded(PIL.Image.fromarray(noise(40, 40, 3)), "JPEG"),
    "progressive-jpeg": encoded(PIL.Image.fromarray(noise(40, 40, 3)), "JPEG", progressive=True),
    "webp": encoded(PIL.Image.fromarray(noise(40, 40, 3)), "WEBP", lossless=True),
    "bmp": encoded(PIL.Image.fromarray(noise(40, 40, 3)), "BMP"),
    "tiff": encoded(PIL.Image.fromarray(noise(40, 40, 3)), "TIFF"),
    "lzw-tiff": encoded(PIL.Image.fromarray(noise(40, 40, 3)), "TIFF", compression="tiff_lzw"),
    "gif": encoded(PIL.Image.fromarray(noise(40, 40)), "GIF"),
}


@pytest.mark.parametrize("kind", FILES)
def test_truncated_anywhere(save: Save, kind: str) -> None:
    """Cut short, a file is refused, or (only its tail missing) read to the same pixels; never half of it."""
    content = FILES[kind]
    whole = pixels(save(content))
    for length in sorted({1, 3, 5, 9, 17, 33, *range(40, len(content), max(1, len(content) // 60))}):
        path = save(content[:length])
        if length < 0.9 * len(content):
            with pytest.raises(ImageError, match=re.escape(f"{path}: ")):
                read(path)
            continue
        with contextlib.suppress(ImageError):
            assert np.array_equal(pixels(path), whole)


def test_truncated_says_so(save: Save) -> None:
    message = r"a0\.png: the JPEG is damaged, cut short .*truncated.*; write or copy it again"
    with pytest.raises(ImageError, match=message):
        read(save(FILES["jpeg"][:700]))


@pytest.mark.parametrize("kind", FILES)
def test_damaged_bytes_never_escape_as_other_errors(save: Save, kind: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        content = bytearray(FILES[kind])
        for place in rng.integers(0, min(len(content), 300), 4):
            content[place] = rng.integers(0, 256)
        with contextlib.suppress(ImageError):
            pixels(save(bytes(content)), alpha="drop")


# Sizes


def test_decompression_bomb(save: Save) -> None:
    path = save(png(b"\0", 30000, 30000, 8, 2))
    with pytest.raises(ImageError, match=r"a0\.png: 30000x30000 is more than the limit of \d+ pixels, .*bomb"):
        read(path)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "GIF", "WEBP", "JPEG"])
def test_limit_is_an_option(save: Save, kind: str) -> None:
    path = save(encoded(PIL.Image.fromarray(GREY), kind))
    assert read(path, Reading(max_pixels=35)).pixels.shape == (3, HEIGHT, WIDTH)
    with pytest.raises(ImageError, match=r"7x5 is more than the limit of 34 pixels.*bomb.*--max-pixels"):
        read(path, Reading(max_pixels=34))


def test_8k_is_read(save: Save) -> None:
    path = save(png(bytes((7680 + 1) * 4320), 7680, 4320, 8, 0))
    assert read(path).pixels.shape == (3, 4320, 7680)


def test_sizes_of_a_pair() -> None:
    small, large = torch.zeros(3, 4, 6), torch.zeros(3, 8, 5)
    check_same_size(small, small, Path("out/a.png"), Path("gt/a.png"))
    message = r"^out/a\.png is 6x4 but gt/a\.png is 5x8; the images of a pair must have one size\.$"
    with pytest.raises(ImageError, match=message):
        check_same_size(small, large, Path("out/a.png"), Path("gt/a.png"))
    with pytest.raises(ImageError, match=r"2x3 .* 3x2"):
        check_same_size(torch.zeros(3, 3, 2), torch.zeros(3, 2, 3), Path("a"), Path("b"))


# Warnings and threads

WARNS = tiff(bytes(6), 2, (8, 8, 8), photometric=2, more={306: (0,) * 9}).replace(
    struct.pack("<HHI", 306, 3, 9), struct.pack("<HHI", 306, 3, 60000)
)


def test_pillow_warns_of_this_file() -> None:
    with pytest.warns(UserWarning, match=r"Skipping tag|Truncated"):
        PIL.Image.open(io.BytesIO(WARNS)).load()


@pytest.mark.parametrize("action", ["error", "always"])
def test_pillows_warnings_do_not_reach_the_user(action: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter(action)
        assert not formats.decode(WARNS, Reading()).values.any()
    assert caught == []


def test_other_warnings_still_reach_the_user() -> None:
    formats.decode(png8(RGB, 2), Reading())
    with pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", stacklevel=1)


def test_sixteen_threads_read_what_one_reads(save: Save) -> None:
    contents = [*FILES.values(), WARNS, *(case.values[0] for case in TRANSPARENT), png8(RGB, 2), b"no image"]
    paths = [save(content) for content in contents if isinstance(content, bytes)] * 8

    def outcome(path: Path) -> bytes | str:
        try:
            image = read(path, Reading(alpha="white"))
        except ImageError as error:
            return str(error)
        return image.pixels.numpy().tobytes() + image.note.encode()

    alone = [outcome(path) for path in paths]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(outcome, paths))
    assert together == alone


def test_images_of_one_file_are_separate(save: Save) -> None:
    """Writing into one result changes neither the file nor a second reading."""
    path = save(png8(RGB, 2))
    first = read(path)
    first.pixels.zero_()
    assert np.array_equal(pixels(path), RGB)


# Masks

INSIDE = np.zeros((HEIGHT, WIDTH), bool)
INSIDE[1, 2:6] = INSIDE[3, 0] = True
ONE = INSIDE.astype(np.uint8)


def indexed(levels: Array) -> PIL.Image.Image:
    """Number 7 is red, 9 and 0 are black."""
    image = PIL.Image.fromarray(np.where(levels > 0, 7, 9).astype(np.uint8), "P")
    image.putpalette([0, 0, 0] * 7 + [200, 0, 0] + [0, 0, 0] * 248)
    return image


def float_mask() -> Array:
    values = np.where(INSIDE, 1e-6, 0).astype(np.float32)
    values[0, :3] = np.nan, -1, -np.inf
    return values  # type: ignore[return-value]


def colour(array: Array) -> PIL.Image.Image:
    return PIL.Image.fromarray(grey3(array))


MASKS: dict[str, tuple[PIL.Image.Image, str, dict[str, object]]] = {
    "grey 0 and 1": (PIL.Image.fromarray(ONE), "PNG", {}),
    "grey 0 and 255": (PIL.Image.fromarray(ONE * 255), "PNG", {}),
    "1 bit": (PIL.Image.fromarray(INSIDE), "PNG", {}),
    "RGB": (colour(ONE), "PNG", {}),
    "one channel of RGB": (PIL.Image.fromarray(np.dstack([0 * ONE, 0 * ONE, ONE])), "PNG", {}),
    "RGBA, opaque": (PIL.Image.fromarray(np.dstack([ONE, ONE, ONE, OPAQUE])), "PNG", {}),
    "RGBA, seen through": (PIL.Image.fromarray(np.dstack([ONE, ONE, ONE, 0 * OPAQUE])), "PNG", {}),
    "LA": (PIL.Image.fromarray(np.dstack([ONE, OPAQUE]), "LA"), "PNG", {}),
    "palette": (indexed(ONE), "PNG", {}),
    "palette with transparency": (indexed(ONE), "PNG", {"transparency": 9}),
    "GIF": (indexed(ONE), "GIF", {}),
    "BMP": (PIL.Image.fromarray(ONE * 255), "BMP", {}),
    "WebP": (colour(ONE * 255), "WEBP", {"lossless": True}),
    "16 bits, PNG": (PIL.Image.fromarray(INSIDE.astype(np.uint16)), "PNG", {}),
    "16 bits, TIFF": (PIL.Image.fromarray(INSIDE.astype(np.uint16)), "TIFF", {}),
    "32 bits, TIFF": (PIL.Image.fromarray(INSIDE.astype(np.int32)), "TIFF", {}),
    "float with NaN": (PIL.Image.fromarray(float_mask()), "TIFF", {}),
    "float, packed": (PIL.Image.fromarray(float_mask()), "TIFF", {"compression": "tiff_lzw"}),
    "RGB, packed": (colour(ONE), "TIFF", {"compression": "tiff_lzw"}),
    "CMYK, in which 0 is white": (colour(ONE * 255).convert("CMYK"), "TIFF", {}),
    "YCbCr, in which black is 0, 128, 128": (colour(ONE * 255).convert("YCbCr"), "TIFF", {}),
    "RGB and a channel without meaning": (PIL.Image.fromarray(np.dstack([ONE, ONE, ONE, OPAQUE]), "RGBX"), "TIFF", {}),
}  # fmt: skip


@pytest.mark.parametrize(("image", "kind", "settings"), MASKS.values(), ids=MASKS)
def test_inside_a_mask_is_what_is_more_than_0(
    save: Save, image: PIL.Image.Image, kind: str, settings: dict[str, object]
) -> None:
    found = read_mask(save(encoded(image, kind, **settings))).inside
    assert found.dtype == torch.bool
    assert found.is_contiguous()
    assert np.array_equal(found.numpy(), INSIDE)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_mask_is_applied_once(save: Save, kind: str, orientation: int) -> None:
    """(Pillow turns a TIFF by itself, others not.)"""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    settings = {"lossless": True} if kind == "WEBP" else {}
    found = read_mask(save(encoded(colour(ONE * 255), kind, exif=exif, **settings))).inside
    assert np.array_equal(found.numpy(), turned(INSIDE, orientation))  # type: ignore[arg-type]


def npy(array: npt.NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(png(rows_of(grey3(ONE).astype(">u2")), WIDTH, HEIGHT, 16, 2), id="png-16-rgb"),
        pytest.param(tiff(grey3(ONE[1:2]).astype("<u2").tobytes(), WIDTH, (16,) * 3, photometric=2), id="tiff-16-rgb"),
        pytest.param(npy(INSIDE), id="npy-bool"),
        pytest.param(npy(ONE.astype(np.int64)), id="npy-int64"),
        pytest.param(npy(float_mask()), id="npy-float"),
    ],
)
def test_a_deep_mask_is_read_as_it_is(save: Save, content: bytes) -> None:
    """(Pillow would take the upper byte of 16-bit colour, and 1 would be 0.)"""
    found = read_mask(save(content)).inside.numpy()
    assert np.array_equal(found, INSIDE if len(found) > 1 else INSIDE[1:2])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"hello", "not an image that can be read", id="text"),
        pytest.param(b"<html>", "not an image but a web page", id="web page"),
        pytest.param(
            encoded(PIL.Image.fromarray(ONE), "PNG")[:50], "the PNG is damaged, cut short or of a kind", id="cut short"
        ),
        pytest.param(b"\x89PNG\r\n\x1a\n" + b"x" * 40, "the PNG is damaged, cut short or of a kind", id="no PNG"),
        pytest.param(b"II*\0\xff\xff\xff\xff", "the TIFF is damaged, cut short or of a kind", id="no TIFF"),
        pytest.param(
            encoded(PIL.Image.merge("LA", [PIL.Image.fromarray(0 * ONE), PIL.Image.fromarray(ONE)]), "PNG"),
            "the mask is in the alpha channel",
            id="black with alpha",
        ),
        pytest.param(
            encoded(PIL.Image.merge("LA", [PIL.Image.fromarray(0 * ONE + 9), PIL.Image.fromarray(ONE)]), "PNG"),
            "the mask is in the alpha channel",
            id="grey with alpha",
        ),
    ],
)
def test_a_mask_that_cannot_be_read_says_why(save: Save, content: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=rf"a0\.png: {said}"):
        read_mask(save(content))


def test_a_mask_that_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        read_mask(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="is a folder, expected an image"):
        read_mask(tmp_path)


def test_a_mask_of_too_many_pixels_is_not_decoded(save: Save) -> None:
    path = save(encoded(PIL.Image.fromarray(ONE), "PNG"))
    assert read_mask(path, max_pixels=35).inside.shape == (HEIGHT, WIDTH)
    with pytest.raises(ImageError, match=f"{WIDTH}x{HEIGHT} is more than the limit of 34 pixels"):
        read_mask(path, max_pixels=34)


def test_a_mask_cut_off_anywhere_is_an_image_error_or_whole(save: Save) -> None:
    for image, kind, settings in (MASKS["RGB"], MASKS["float, packed"], MASKS["GIF"], MASKS["WebP"]):
        content = encoded(image, kind, **settings)
        for end in range(0, len(content), 7):
            with contextlib.suppress(ImageError):
                assert read_mask(save(content[:end])).inside.shape == (HEIGHT, WIDTH)


def test_a_mask_that_does_not_fit_the_memory_is_not_called_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PIL.PngImagePlugin.PngImageFile, "load", refuse_memory)
    with pytest.raises(ImageError, match="not enough memory to decode this PNG; use fewer --workers"):
        formats.decode_mask(encoded(PIL.Image.fromarray(ONE), "PNG"), 35)
