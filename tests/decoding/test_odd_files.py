"""Files that are seldom seen and easily read wrongly: of one bit, turned, of several pages, of another colour space.

Each is read to the values that its writer was given, or refused with a reason. TIFF of more than 8 bits is written by
tifffile, of 8 bits and less by Pillow and libtiff; and what `strict` refuses is read with a note without it.
"""

import io
import struct
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import tifffile
import torch

from relight_eval.errors import ImageError
from relight_eval.images import Image
from tests.decoding.writers import SRGB_CURVE, chunk, gamma_curve, icc, icc_of_inks, iccp, parametric, png

Array = npt.NDArray[Any]
Read = Callable[..., Image]

HEIGHT, WIDTH = 6, 9
SRGB = icc(parametric(*SRGB_CURVE))
LINEAR = icc(parametric(1.0), description="Linear")


def noise(dtype: Any, *shape: int) -> Array:
    """Over the whole range of `dtype`, floats in [0, 1)."""
    random = np.random.default_rng(sum(shape))
    if np.dtype(dtype).kind == "f":
        return random.random(shape).astype(dtype)
    values = random.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)
    values.flat[0], values.flat[-1] = 0, np.iinfo(dtype).max
    return values


def pixels(image: Image) -> Array:
    """(H, W, 3)."""
    assert image.pixels.is_contiguous()
    return image.pixels.permute(1, 2, 0).numpy()


def by_pillow(array: Array | PIL.Image.Image, kind: str, **settings: Any) -> bytes:
    file = io.BytesIO()
    picture = array if isinstance(array, PIL.Image.Image) else PIL.Image.fromarray(array)
    picture.save(file, kind, **settings)
    return file.getvalue()


def by_tifffile(array: Array, **settings: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, metadata=None, **settings)
    return file.getvalue()


def grey3(array: Array) -> Array:
    return np.repeat(array[..., None], 3, axis=-1)


def encoded(light: Array) -> Array:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


RGB8, GREY8 = noise(np.uint8, HEIGHT, WIDTH, 3), noise(np.uint8, HEIGHT, WIDTH)
RGB16, GREY16 = noise(np.uint16, HEIGHT, WIDTH, 3), noise(np.uint16, HEIGHT, WIDTH)
RGB32 = noise(np.float32, HEIGHT, WIDTH, 3)
DOTS = GREY8 > 127


# One bit


ONE_BIT = {
    "PNG": by_pillow(DOTS, "PNG"),
    "BMP": by_pillow(DOTS, "BMP"),
    "GIF": by_pillow(DOTS, "GIF"),
    "TIFF": by_pillow(DOTS, "TIFF"),
    "fax TIFF": by_pillow(DOTS, "TIFF", compression="group4"),
    "older fax TIFF": by_pillow(DOTS, "TIFF", compression="group3"),
    "TIFF, white is 0": by_tifffile(~DOTS, photometric="miniswhite"),
    "TIFF, black is 0": by_tifffile(DOTS, photometric="minisblack"),
}


@pytest.mark.parametrize("content", ONE_BIT.values(), ids=ONE_BIT)
def test_one_bit(readback: Read, content: bytes) -> None:
    image = readback(content, strict=True)
    assert np.array_equal(pixels(image), grey3(np.where(DOTS, 255, 0)))
    assert image.note == ""


# TIFF


LAYOUTS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "in tiles": {"tile": (16, 16)},
    "a row to the strip": {"rowsperstrip": 1},
    "LZW": {"compression": "lzw"},
    "deflate, differences": {"compression": "deflate", "predictor": True},
    "ZSTD": {"compression": "zstd"},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
class TestLayouts:
    @pytest.mark.parametrize("planar", ["contig", "separate"])
    @pytest.mark.parametrize("array", [RGB8, RGB16, RGB32], ids=["8 bits", "16 bits", "float"])
    def test_rgb(self, readback: Read, array: Array, planar: str, layout: dict[str, Any]) -> None:
        stored = array if planar == "contig" else np.ascontiguousarray(np.moveaxis(array, -1, 0))
        content = by_tifffile(stored, photometric="rgb", planarconfig=planar, **layout)
        image = readback(content, strict=True)
        check(image, array)

    @pytest.mark.parametrize("array", [GREY8, GREY16], ids=["8 bits", "16 bits"])
    @pytest.mark.parametrize("white_is_0", [False, True])
    def test_grey(self, readback: Read, array: Array, white_is_0: bool, layout: dict[str, Any]) -> None:
        stored, kind = (array.max() - array, "miniswhite") if white_is_0 else (array, "minisblack")
        assert array.max() == np.iinfo(array.dtype).max
        check(readback(by_tifffile(stored, photometric=kind, **layout), strict=True), grey3(array))


def check(image: Image, expected: Array) -> None:
    """(H, W, 3) as stored: levels of 255, or to the last bit of float32."""
    if expected.dtype == np.uint8:
        assert image.pixels.dtype == torch.uint8
        assert np.array_equal(pixels(image), expected)
    else:
        white = 65535 if expected.dtype == np.uint16 else 1
        assert image.pixels.dtype == torch.float32
        assert abs(pixels(image) - expected.astype(np.float64) / white).max() < 1e-7
    assert image.mistakes == ()


class TestOtherSpaces:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_cmyk(self, readback: Read, dtype: Any) -> None:
        ink = noise(dtype, HEIGHT, WIDTH, 4)
        image = readback(by_tifffile(ink, photometric="separated"))
        left = 1 - ink / np.iinfo(dtype).max
        expected = left[..., :3] * left[..., 3:]
        got = pixels(image) / (255 if dtype == np.uint8 else 1)
        assert abs(got - expected).max() < (0.51 / 255 if dtype == np.uint8 else 1e-6)
        assert image.note == "CMYK, converted to RGB without its colour profile"

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_cmyk_with_a_profile(self, readback: Read, dtype: Any) -> None:
        amount = np.indices((2, 2, 2, 2)).sum(axis=0) / 4
        profile = icc_of_inks(np.stack([100 - 100 * amount, 0 * amount, 0 * amount], axis=-1), "Grey Press")
        ink = np.array([[[0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]]]) * np.iinfo(dtype).max
        image = readback(by_tifffile(ink.astype(dtype), photometric="separated", iccprofile=profile))
        expected = encoded(np.array([1, ((75 + 16) / 116) ** 3, ((50 + 16) / 116) ** 3, 0]))
        assert abs(pixels(image)[0] - expected[:, None]).max() < 0.01
        assert 'converted from "Grey Press"' in image.note

    @pytest.mark.parametrize("kind", ["cielab", "icclab"])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_lab_is_refused(self, readback: Read, dtype: Any, kind: str) -> None:
        with pytest.raises(ImageError, match="TIFF"):
            readback(by_tifffile(noise(dtype, HEIGHT, WIDTH, 3), photometric=kind))

    def test_lab_of_pillow_is_refused(self, readback: Read) -> None:
        with pytest.raises(ImageError, match="TIFF of pixel mode LAB cannot be read"):
            readback(by_pillow(PIL.Image.fromarray(RGB8, "LAB"), "TIFF"))

    def test_ycbcr_under_jpeg_compression(self, readback: Read) -> None:
        y, x = np.mgrid[:32, :48]
        smooth = np.dstack([2 * y + x + 60, 150 - y + x, 90 + y - x]).astype(np.uint8)
        content = by_tifffile(smooth, photometric="rgb", compression="jpeg", compressionargs={"level": 100})
        image = readback(content, strict=True)
        assert abs(pixels(image).astype(int) - smooth).max() <= 4
        other = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        assert abs(pixels(image).astype(int) - other).max() <= 1

    def test_palette(self, readback: Read) -> None:
        colours = noise(np.uint16, 3, 256)
        content = by_tifffile(GREY8, photometric="palette", colormap=colours)
        got = pixels(readback(content))
        assert abs(got - np.moveaxis(colours[:, GREY8], 0, -1) / 257).max() < 1  # 16 bits of a palette, read as 8

    @pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint32, np.int32, np.complex64])
    def test_other_numbers_are_refused(self, readback: Read, dtype: Any) -> None:
        with pytest.raises(ImageError, match="TIFF"):
            readback(by_tifffile(np.ones((HEIGHT, WIDTH), dtype), photometric="minisblack"))


class TestOpacity:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_straight_alpha(self, readback: Read, dtype: Any, channels: int) -> None:
        values = noise(dtype, HEIGHT, WIDTH, channels + 1)
        kind = "rgb" if channels == 3 else "minisblack"
        content = by_tifffile(values, photometric=kind, extrasamples=["unassalpha"], planarconfig="contig")
        white = np.iinfo(dtype).max
        share, colour = values[..., -1:] / white, values[..., :-1] / white
        scale = 255 if dtype == np.uint8 else 1
        within = 0.501 if dtype == np.uint8 else 1e-6
        with pytest.raises(ImageError, match="has transparency"):
            readback(content)
        for alpha, background in (("black", 0), ("white", 1)):
            expected = np.broadcast_to(colour * share + background * (1 - share), (HEIGHT, WIDTH, 3)) * scale
            assert abs(pixels(readback(content, alpha=alpha)) - expected).max() < within

    def test_of_a_palette(self, readback: Read) -> None:
        picture = PIL.Image.fromarray(GREY8 % 4, "P")
        colours = noise(np.uint8, 4, 3)
        picture.putpalette(colours.tobytes())
        for kind in ("PNG", "GIF"):
            content = by_pillow(picture, kind, transparency=2, optimize=False)
            with pytest.raises(ImageError, match=rf"transparency \({(GREY8 % 4 == 2).sum()} of {GREY8.size}"):
                readback(content)
            assert np.array_equal(pixels(readback(content, alpha="drop")), colours[GREY8 % 4])


# BMP


def bmp(rows: bytes, bits: int = 24, kind: bytes = b"", profile: bytes = b"") -> bytes:
    """4x2 pixels, from below, under a header of version 5."""
    header = struct.pack("<IiiHHIIiiII", 124, 4, 2, 1, bits, 0, len(rows), 0, 0, 0, 0) + bytes(16)
    header += (kind or b"BGRs") + bytes(48) + struct.pack("<4I", 4, 124 + len(rows), len(profile), 0)
    return b"BM" + struct.pack("<IHHI", 138 + len(rows) + len(profile), 0, 0, 138) + header + rows + profile


def test_a_profile_of_bmp(readback: Read) -> None:
    array = noise(np.uint8, 2, 4, 3)
    rows = array[::-1, :, ::-1].tobytes()
    assert np.array_equal(pixels(readback(bmp(rows), strict=True)), array)
    image = readback(bmp(rows, kind=b"DEBM", profile=LINEAR))
    assert abs(pixels(image) - encoded(array / 255)).max() < 0.5 / 255
    assert image.note == 'converted from "Linear"'
    for kind, profile in ((b"KNIL", b"c:\\press.icc\0"), (b"DEBM", b"")):
        with pytest.raises(ImageError, match="the colour profile is damaged"):
            readback(bmp(rows, kind=kind, profile=profile))


def test_five_bits_of_bmp_are_refused(readback: Read) -> None:
    """255 levels do not hold them, and Pillow cuts off."""
    with pytest.raises(ImageError, match="BMP of 16 bits a pixel, 5 or 6 a colour, cannot be read"):
        readback(bmp(bytes(16), bits=16))


# JPEG of cameras


def camera(index: bytes, space: int) -> bytes:
    """EXIF data: a directory with a directory with the colour space, and the directory of interoperability."""
    first = struct.pack(">HHHIII", 1, 0x8769, 4, 1, 26, 0)
    second = struct.pack(">HHHIHHHHIII", 2, 0xA001, 3, 1, space, 0, 0xA005, 4, 1, 56, 0)
    return b"Exif\0\0MM\0*\0\0\0\x08" + first + second + struct.pack(">HHHI4sI", 1, 1, 2, 4, index, 0)


def test_adobe_rgb_of_cameras_is_converted_and_said(readback: Read) -> None:
    flat = np.full((16, 16, 3), (120, 160, 140), np.uint8)
    primaries = [[1.39836, 0, 0], [-0.39836, 1, -0.04293], [0, 0, 1.04293]]  # of light, red to blue
    for index, space in ((b"R03\0", 65535), (b"R98\0", 2)):
        content = by_pillow(flat, "JPEG", quality=100, exif=camera(index, space))
        image = readback(content)
        stored = pixels(readback(content, space="srgb", strict=True))
        assert abs(stored.astype(int) - flat).max() <= 1
        assert abs(pixels(image) - encoded((stored / 255) ** (563 / 256) @ primaries)).max() < 1e-4
        assert image.note == "converted from Adobe RGB"
        with pytest.raises(ImageError, match=r"converted from Adobe RGB.*--strict"):
            readback(content, strict=True)
    content = by_pillow(flat, "JPEG", quality=100, exif=camera(b"R98\0", 1))
    assert readback(content, strict=True).note == ""


# Orientation, of the formats that are not Pillow's; the others are in tests/test_images.py


def turned(array: Array, orientation: int) -> Array:
    """As it is to be seen: EXIF 2.3 says at which sides row 0 and column 0 lie."""
    sides = [
        "top left",
        "top right",
        "bottom right",
        "bottom left",
        "left top",
        "right top",
        "right bottom",
        "left bottom",
    ]
    row, column = sides[orientation - 1].split()
    seen = array if row in ("top", "bottom") else array.swapaxes(0, 1)
    if "bottom" in (row, column):
        seen = seen[::-1]
    return seen[:, ::-1] if "right" in (row, column) else seen


def exif(orientation: int) -> bytes:
    """A TIFF of the one tag."""
    return b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + bytes(4)


TURNED: dict[str, tuple[Callable[[int], bytes], Array]] = {
    "PNG of 16 bits": (lambda number: png(RGB16, 16, 2, before=[chunk(b"eXIf", exif(number))]), RGB16),
    "grey PNG of 16 bits": (
        lambda number: png(GREY16[..., None], 16, 0, before=[chunk(b"eXIf", exif(number))]),
        grey3(GREY16),
    ),
    "PNG, behind its pixels": (lambda number: png(RGB8, 8, 2, after=[chunk(b"eXIf", exif(number))]), RGB8),
    "interlaced PNG": (lambda number: png(RGB8, 8, 2, before=[chunk(b"eXIf", exif(number))], interlaced=True), RGB8),
    "TIFF of 16 bits": (lambda number: by_tifffile(RGB16, photometric="rgb", extratags=[orientation(number)]), RGB16),
    "grey TIFF of 16 bits": (lambda number: by_tifffile(GREY16, extratags=[orientation(number)]), grey3(GREY16)),
    "float TIFF": (lambda number: by_tifffile(RGB32, photometric="rgb", extratags=[orientation(number)]), RGB32),
    "TIFF of 8 bits": (lambda number: by_tifffile(RGB8, photometric="rgb", extratags=[orientation(number)]), RGB8),
}  # fmt: skip


def orientation(number: int) -> tuple[int, str, int, int, bool]:
    return (274, "H", 1, number, True)


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize(("write", "array"), TURNED.values(), ids=TURNED)
def test_orientation(readback: Read, write: Callable[[int], bytes], array: Array, number: int) -> None:
    check(readback(write(number), strict=True), turned(array, number))


def test_orientation_goes_with_alpha(readback: Read) -> None:
    values = noise(np.uint16, HEIGHT, WIDTH, 4)
    content = png(values, 16, 6, before=[chunk(b"eXIf", exif(6))])
    share = values[..., 3:] / 65535
    expected = turned(values[..., :3] / 65535 * share + 1 - share, 6)
    assert abs(pixels(readback(content, alpha="white")) - expected).max() < 1e-6


def test_orientation_goes_with_a_profile(readback: Read) -> None:
    content = png(RGB8, 8, 2, before=[iccp(LINEAR), chunk(b"eXIf", exif(8))])
    assert abs(pixels(readback(content)) - turned(encoded(RGB8 / 255), 8)).max() < 0.5 / 255


# Profiles, of the formats besides PNG and JPEG


TAGGED: dict[str, tuple[Callable[[bytes], bytes], Array]] = {
    "TIFF of 8 bits": (lambda profile: by_tifffile(RGB8, photometric="rgb", iccprofile=profile), RGB8),
    "TIFF of 16 bits": (lambda profile: by_tifffile(RGB16, photometric="rgb", iccprofile=profile), RGB16),
    "float TIFF": (lambda profile: by_tifffile(RGB32, photometric="rgb", iccprofile=profile), RGB32),
    "TIFF by Pillow": (lambda profile: by_pillow(RGB8, "TIFF", icc_profile=profile), RGB8),
    "WebP": (lambda profile: by_pillow(RGB8, "WEBP", lossless=True, icc_profile=profile), RGB8),
}


@pytest.mark.parametrize(("write", "array"), TAGGED.values(), ids=TAGGED)
class TestProfiles:
    def test_srgb_stays_as_stored(self, readback: Read, write: Callable[[bytes], bytes], array: Array) -> None:
        image = readback(write(SRGB), strict=True)
        check(image, array)
        assert image.note == ""

    def test_others_are_converted_and_said(self, readback: Read, write: Callable[[bytes], bytes], array: Array) -> None:
        content = write(LINEAR)
        image = readback(content)
        white = {np.uint8: 255, np.uint16: 65535}.get(array.dtype.type, 1)
        assert abs(pixels(image) - encoded(array.astype(np.float64) / white)).max() < 0.5 / 255
        assert image.note.startswith('converted from "Linear"')
        with pytest.raises(ImageError, match=r'converted from "Linear".*--strict'):
            readback(content, strict=True)

    def test_a_damaged_one_is_not_passed_over(
        self, readback: Read, write: Callable[[bytes], bytes], array: Array
    ) -> None:
        with pytest.raises(ImageError, match="colour profile is damaged"):
            readback(write(SRGB[:-1]))

    def test_what_the_user_says_wins(self, readback: Read, write: Callable[[bytes], bytes], array: Array) -> None:
        for profile in (LINEAR, SRGB[:-1]):
            image = readback(write(profile), space="srgb")
            assert "--space" in image.note
            check(image, array)


def test_a_grey_profile_of_grey(readback: Read) -> None:
    profile = icc(gamma_curve(1.0), None, description="Grey")
    for array, white in ((GREY8, 255), (GREY16, 65535)):
        image = readback(by_tifffile(array, photometric="minisblack", iccprofile=profile))
        assert abs(pixels(image) - grey3(encoded(array / white))).max() < 0.5 / 255


# Several images in a file: the first, and it is said


FRAMES = [np.full((HEIGHT, WIDTH, 3), 40 * number, np.uint8) for number in range(1, 5)]


def in_sequence(kind: str, **settings: Any) -> bytes:
    pictures = [PIL.Image.fromarray(frame) for frame in FRAMES]
    return by_pillow(pictures[0], kind, save_all=True, append_images=pictures[1:], **settings)


SEVERAL: dict[str, bytes] = {
    "GIF": in_sequence("GIF"),
    "APNG": in_sequence("PNG"),
    "WebP": in_sequence("WEBP", lossless=True),
    "TIFF": in_sequence("TIFF"),
    "TIFF of 16 bits": by_tifffile(np.stack(FRAMES).astype(np.uint16) * 257, photometric="rgb"),
    "float TIFF": by_tifffile(np.stack(FRAMES).astype(np.float32) / 255, photometric="rgb"),
}


@pytest.mark.parametrize("content", SEVERAL.values(), ids=SEVERAL)
def test_several_images(readback: Read, content: bytes) -> None:
    image = readback(content)
    expected = 40 if image.pixels.dtype == torch.uint8 else 40 / 255
    assert pixels(image).shape == (HEIGHT, WIDTH, 3)
    assert abs(pixels(image) - expected).max() < 1e-7
    assert "first of 4" in image.note
    with pytest.raises(ImageError, match=r"first of 4.*--strict"):
        readback(content, strict=True)


def test_the_picture_of_an_apng_that_is_not_in_its_animation(readback: Read) -> None:
    """What a reader without animation shows is what is scored."""
    content = in_sequence("PNG", default_image=True)
    image = readback(content)
    assert (pixels(image) == 40).all()
    with pytest.raises(ImageError, match="--strict"):
        readback(content, strict=True)


def test_two_pictures_of_a_camera(readback: Read) -> None:
    """MPO: whole JPEG files one behind the other, of two eyes, or the second of a gain map."""
    pictures = [PIL.Image.fromarray(np.full((16, 16, 3), level, np.uint8)) for level in (60, 200)]
    content = by_pillow(pictures[0], "MPO", save_all=True, append_images=pictures[1:], quality=100)
    image = readback(content)
    assert abs(pixels(image).astype(int) - 60).max() <= 1
    assert "first of" in image.note
    with pytest.raises(ImageError, match=r"first of .*--strict"):
        readback(content, strict=True)


def test_a_thumbnail_in_a_tiff_is_no_page(readback: Read) -> None:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        writer.write(RGB16, photometric="rgb", subifds=1, metadata=None)
        writer.write(RGB16[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
    image = readback(file.getvalue(), strict=True)
    check(image, RGB16)


# GIF and WebP canvases


def test_a_first_frame_smaller_than_its_canvas(readback: Read) -> None:
    """What it leaves free has no colour: refused, unless the user says what is behind."""
    small = PIL.Image.fromarray(np.full((2, 3), 5, np.uint8), "P")
    small.putpalette(bytes(range(100, 118)))
    content = bytearray(by_pillow(small, "GIF", optimize=False))
    content[6:10] = struct.pack("<HH", 6, 4)  # the canvas
    try:
        image = readback(bytes(content))
    except ImageError as error:
        assert "transparency" in str(error) or "GIF" in str(error)  # noqa: PT017 (either is right)
    else:
        assert pixels(image).shape in ((4, 6, 3), (2, 3, 3))
        assert (pixels(image)[:2, :3] == [115, 116, 117]).all()
