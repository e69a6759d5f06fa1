"""Every kind of JPEG is read as OpenCV reads it and near what was encoded, or refused.

OpenCV has its own build of libjpeg-turbo. Two right decoders may differ by one level where they round differently
(ITU-T T.83 asks for no more), and each rounds once more on the way from YCbCr, hence at most 2. That both are right is
seen from the picture: it is smooth, so at quality 100 every pixel comes back within a few levels.
"""

import io
from collections.abc import Callable
from typing import Any

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import torch

from relight_eval.errors import ImageError
from relight_eval.images import Image
from tests.decoding.writers import SRGB_CURVE, gamma_curve, icc, icc_of_inks, parametric, table_curve

Array = npt.NDArray[Any]
Read = Callable[..., Image]

ROUNDING = 2
SIZES = [(1, 1), (8, 8), (17, 33), (5, 40), (31, 2), (16, 16)]
SRGB = parametric(*SRGB_CURVE)


def smooth(height: int, width: int, channels: int = 3) -> Array:
    """Slopes, none of the channels alike, in the middle of the range, so that YCbCr clips nothing."""
    y, x = np.mgrid[:height, :width]
    slopes = [(2, 1, 60), (-1, 2, 90), (1, -2, 150), (2, 2, 40)]
    planes = [(down * y + right * x + base).clip(30, 225) for down, right, base in slopes[:channels]]
    return np.dstack(planes).astype(np.uint8)


def levels(image: Image) -> Array:
    """(H, W, 3), whole numbers of a file of 8 bits."""
    assert image.pixels.dtype == torch.uint8
    return image.pixels.permute(1, 2, 0).numpy().astype(int)


def by_opencv(content: bytes) -> Array:
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)).astype(int)


def by_pillow(array: Array, **settings: Any) -> bytes:
    file = io.BytesIO()
    PIL.Image.fromarray(array).save(file, "JPEG", quality=100, **settings)
    return file.getvalue()


def by_cv2(array: Array, *settings: int) -> bytes:
    bgr = np.ascontiguousarray(array[..., ::-1])
    return bytes(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 100, *settings])[1])


def sampled(subsampling: str) -> Callable[[Array], bytes]:
    return lambda array: bytes(imagecodecs.jpeg8_encode(array, level=100, subsampling=subsampling))


SAMPLINGS = ["444", "422", "420", "440", "411"]
WRITERS: dict[str, Callable[[Array], bytes]] = {
    **{subsampling: sampled(subsampling) for subsampling in SAMPLINGS},
    "progressive 444": lambda array: by_pillow(array, progressive=True, subsampling=0),
    "progressive 420": lambda array: by_pillow(array, progressive=True, subsampling=2),
    "tables of its own": lambda array: by_pillow(array, optimize=True, subsampling=0),
    "RGB": lambda array: by_pillow(array, keep_rgb=True),
    "restart after every block": lambda array: by_cv2(array, cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    "restart and progressive": lambda array: by_cv2(
        array, cv2.IMWRITE_JPEG_RST_INTERVAL, 2, cv2.IMWRITE_JPEG_PROGRESSIVE, 1
    ),
}
NEAR = {"444": 3, "progressive 444": 3, "tables of its own": 3, "RGB": 2}  # the others share colours between pixels


@pytest.mark.parametrize("writer", WRITERS)
def test_kinds(readback: Read, writer: str) -> None:
    for height, width in SIZES:
        array = smooth(height, width)
        content = WRITERS[writer](array)
        image = readback(content, strict=True)
        assert abs(levels(image) - by_opencv(content)).max() <= ROUNDING
        assert abs(levels(image) - array).max() <= NEAR.get(writer, 12)
        assert abs(levels(image) - array).mean() <= NEAR.get(writer, 5)
        assert (image.note, image.mistakes) == ("", ())


@pytest.mark.parametrize("progressive", [False, True], ids=["baseline", "progressive"])
def test_grey(readback: Read, progressive: bool) -> None:
    for height, width in SIZES:
        array = smooth(height, width, 1)[..., 0]
        content = by_pillow(array, progressive=progressive)
        image = readback(content, strict=True)
        assert abs(levels(image) - by_opencv(content)).max() <= ROUNDING
        assert abs(levels(image) - array[..., None]).max() <= 2
        assert image.note == ""


# 8x8, grey, and what djpeg makes of it. Written by jpegtran -arithmetic, both of libjpeg-turbo 2.1.5, 2026-11.
ARITHMETIC = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb0043000302020302020303030304030304050805050404050a070706080c0a0c0c0b0a"
    "0b0b0d0e12100d0e110e0b0b1016101113141515150c0f171816141812141514ffc9000b080008000801011100ffcc000600101005ffda0008"
    "010100003f00ff00b9694b4c2ec0e5855e288effd9"
)
ARITHMETIC_LEVELS = [
    [0, 8, 14, 20, 29, 36, 42, 50],
    [19, 27, 33, 40, 49, 55, 61, 69],
    [41, 48, 55, 61, 70, 76, 82, 90],
    [60, 67, 74, 80, 89, 95, 101, 109],
    [80, 88, 94, 100, 109, 116, 122, 130],
    [99, 107, 113, 120, 128, 135, 141, 149],
    [120, 128, 134, 141, 149, 156, 162, 170],
    [140, 147, 154, 160, 169, 175, 181, 189],
]


def test_arithmetic_coding(readback: Read) -> None:
    got = levels(readback(ARITHMETIC))
    assert abs(got - np.array(ARITHMETIC_LEVELS)[..., None]).max() <= 1


# CMYK: Adobe's programs store 255 - ink, and all readers expect that


def inks(kind: str) -> tuple[bytes, Array]:
    """A file, and what is left of the light by each ink, (H, W, 4) in levels."""
    left = smooth(16, 24, 4)
    return bytes(imagecodecs.jpeg8_encode(left, level=100, colorspace="cmyk", outcolorspace=kind)), left


@pytest.mark.parametrize("kind", ["cmyk", "ycck"])
class TestCmyk:
    def test_without_a_profile_is_multiplied_and_said(self, readback: Read, kind: str) -> None:
        content, left = inks(kind)
        assert b"Adobe" in content
        image = readback(content)
        light = left.astype(float)
        expected = light[..., :3] * light[..., 3:] / 255
        assert abs(levels(image) - expected).max() <= 6
        assert abs(levels(image) - expected).mean() <= 1.5
        assert abs(levels(image) - by_opencv(content)).max() <= 3  # which rounds the product down
        assert image.note == "CMYK, converted to RGB without its colour profile"
        with pytest.raises(ImageError, match=r"CMYK.*--strict"):
            readback(content, strict=True)

    def test_with_a_profile_goes_through_it(self, readback: Read, kind: str) -> None:
        """Of a press whose inks are all grey: the more of it, the darker."""
        amount = np.indices((2, 2, 2, 2)).sum(axis=0) / 4
        lab = np.stack([100 - 100 * amount, 0 * amount, 0 * amount], axis=-1)
        content, left = inks(kind)
        image = readback(with_profile(content, icc_of_inks(lab, "Grey Press")))
        darkness = (1 - left / 255).mean(axis=-1)
        y = np.where(darkness < 0.92, ((116 - 100 * darkness) / 116) ** 3, (1 - darkness) / 9.033)
        expected = 1.055 * y ** (1 / 2.4) - 0.055
        assert 'converted from "Grey Press"' in image.note
        got = image.pixels.permute(1, 2, 0).numpy()
        assert got.dtype == np.float32
        assert abs(got - expected[..., None]).max() < 8 / 255


def with_profile(content: bytes, profile: bytes, *, pieces: int = 1, left_out: int | None = None) -> bytes:
    """ICC.1:2022, annex B.4: in APP2 segments, numbered from 1. Put first, where every writer puts them."""
    size = -(-len(profile) // pieces)
    segments = b""
    for number in range(pieces):
        data = b"ICC_PROFILE\0" + bytes([number + 1, pieces]) + profile[number * size : (number + 1) * size]
        if number != left_out:
            segments += b"\xff\xe2" + (len(data) + 2).to_bytes(2, "big") + data
    start = 2
    while content[start + 1] in (0xE0, 0xEE):  # JFIF and Adobe stay in front
        start += 2 + int.from_bytes(content[start + 2 : start + 4], "big")
    return content[:start] + segments + content[start:]


PICTURE = sampled("444")(smooth(9, 14))


class TestProfiles:
    def test_srgb_stays_as_stored(self, readback: Read) -> None:
        image = readback(with_profile(PICTURE, icc(SRGB)), strict=True)
        assert np.array_equal(levels(image), levels(readback(PICTURE)))
        assert image.note == ""

    @pytest.mark.parametrize("pieces", [1, 2, 5])
    def test_linear_light_is_encoded(self, readback: Read, pieces: int) -> None:
        content = with_profile(PICTURE, icc(parametric(1.0), description="Linear"), pieces=pieces)
        image = readback(content)
        stored = levels(readback(PICTURE)) / 255
        expected = 1.055 * stored ** (1 / 2.4) - 0.055
        assert abs(image.pixels.permute(1, 2, 0).numpy() - expected).max() < 5e-4
        assert image.note.startswith('converted from "Linear"')
        with pytest.raises(ImageError, match=r'converted from "Linear".*--strict'):
            readback(content, strict=True)

    def test_longer_than_a_segment(self, readback: Read) -> None:
        table = table_curve(np.linspace(0, 1, 4096))
        profile = icc(table, description="Long") + bytes(100_000)
        image = readback(with_profile(PICTURE, profile, pieces=3))
        assert image.note.startswith('converted from "Long"')

    def test_of_grey(self, readback: Read) -> None:
        grey = by_pillow(smooth(9, 14, 1)[..., 0])
        image = readback(with_profile(grey, icc(gamma_curve(1.0), None, description="Grey")))
        expected = 1.055 * (levels(readback(grey)) / 255) ** (1 / 2.4) - 0.055
        assert abs(image.pixels.permute(1, 2, 0).numpy() - expected).max() < 5e-4

    def test_damaged(self, readback: Read) -> None:
        with pytest.raises(ImageError, match="colour profile is damaged"):
            readback(with_profile(PICTURE, icc(SRGB)[:-1]))

    @pytest.mark.parametrize("left_out", [0, 1, 2])
    def test_a_missing_piece_is_not_passed_over(self, readback: Read, left_out: int) -> None:
        """(Pillow then takes the file for one without a profile.)"""
        content = with_profile(PICTURE, icc(parametric(1.0)), pieces=3, left_out=left_out)
        with pytest.raises(ImageError, match="colour profile"):
            readback(content)


class TestRefused:
    def test_twelve_bits(self, readback: Read) -> None:
        content = bytes(imagecodecs.jpeg8_encode(smooth(9, 14).astype(np.uint16) * 16, level=95, bitspersample=12))
        with pytest.raises(ImageError, match="JPEG"):
            readback(content)

    @pytest.mark.parametrize("predictor", [1, 4, 7])
    def test_lossless(self, readback: Read, predictor: int) -> None:
        """Or read to the last level."""
        array = smooth(9, 14)
        content = bytes(imagecodecs.jpeg8_encode(array, lossless=True, predictor=predictor))
        try:
            image = readback(content)
        except ImageError as error:
            assert "JPEG" in str(error)  # noqa: PT017 (either is right)
        else:
            assert np.array_equal(levels(image), array)

    def test_jpeg_ls(self, readback: Read) -> None:
        """Which begins as JPEG does."""
        content = bytes(imagecodecs.jpegls_encode(smooth(9, 14)))
        assert content[:3] == b"\xff\xd8\xff"
        with pytest.raises(ImageError, match="JPEG"):
            readback(content)

    def test_jpeg_xl(self, readback: Read) -> None:
        content = bytes(imagecodecs.jpegxl_encode(smooth(9, 14)))
        with pytest.raises(ImageError, match=r"not an image that can be read|JPEG XL"):
            readback(content)

    def test_no_lines(self, readback: Read) -> None:
        """A height of 0 is to be given by a DNL marker, which next to no reader knows."""
        frame = PICTURE.index(b"\xff\xc0")
        content = PICTURE[: frame + 5] + b"\0\0" + PICTURE[frame + 7 :]
        with pytest.raises(ImageError, match="JPEG"):
            readback(content)


def test_bytes_behind_its_end_change_nothing(readback: Read) -> None:
    image = readback(PICTURE + b"\0" * 100, strict=True)
    assert np.array_equal(levels(image), levels(readback(PICTURE)))


def test_a_thumbnail_in_exif_is_not_the_image(readback: Read) -> None:
    """Its JPEG stands inside APP1, before that of the picture."""
    small = by_pillow(np.zeros((8, 8, 3), np.uint8))
    data = b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0\0\0" + small
    content = PICTURE[:2] + b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data + PICTURE[2:]
    assert np.array_equal(levels(readback(content)), levels(readback(PICTURE)))
