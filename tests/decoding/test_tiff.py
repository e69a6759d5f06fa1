"""TIFF of more than 8 bits, against the samples that the test wrote, and libtiff's decoder."""

from __future__ import annotations

import io
import struct
from typing import Any

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest
import tifffile

from relight_eval.decoding import formats
from relight_eval.errors import ImageError
from tests.decoding.deep import decoded, grey3, pixels, tiff
from tests.test_images import turned

Array = npt.NDArray[Any]


def levels(height: int = 11, width: int = 13, channels: int = 3, bits: int = 16) -> Array:
    return np.random.default_rng(bits).integers(0, 2**bits, (height, width, channels)).astype(np.uint16)


def floats(dtype: str, channels: int = 3) -> Array:
    return np.random.default_rng(1).random((11, 13, channels)).astype(dtype)


def seen(stored: Array, white: float = 65535) -> Array:
    return np.broadcast_to((stored / np.float64(white)).astype(np.float32), (*stored.shape[:2], 3))


def written(array: Array, **settings: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, array, **settings)
    return file.getvalue()


@pytest.mark.parametrize("big", [False, True], ids=["tiff", "bigtiff"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big-endian"])
@pytest.mark.parametrize("planar", [False, True], ids=["pixels", "planes"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits(channels: int, planar: bool, order: str, big: bool) -> None:
    stored = levels(channels=channels)
    content = tiff(stored, planar=planar, order=order, big=big)
    assert np.array_equal(pixels(content), seen(stored))
    assert decoded(content).notes == decoded(content).mistakes == ()


@pytest.mark.parametrize("channels", [1, 3])
def test_eight_bits_of_a_kind_that_pillow_does_not_know(channels: int) -> None:
    stored = levels(bits=8, channels=channels).astype(np.uint8)
    found = pixels(tiff(stored, order=">", big=True))
    assert found.dtype == np.uint8
    assert np.array_equal(found, np.broadcast_to(stored, (11, 13, 3)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big-endian"])
@pytest.mark.parametrize("channels", [1, 3])
def test_floats_are_srgb_by_default(channels: int, order: str, dtype: str) -> None:
    stored = floats(dtype, channels)
    assert np.array_equal(pixels(tiff(stored, order=order)), seen(stored, 1))


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
@pytest.mark.parametrize("channels", [1, 3])
def test_other_depths_are_of_their_own_white(bits: int, channels: int) -> None:
    """As the file says how many bits there are, no --white-level is needed."""
    stored = levels(bits=bits, channels=channels)
    found = decoded(tiff(stored, bits=bits))
    assert np.array_equal(np.moveaxis(found.values, 0, -1), seen(stored, 2**bits - 1))
    assert found.mistakes == ()


SETTINGS: dict[str, dict[str, Any]] = {
    "lzw": {"compression": "lzw"},
    "deflate": {"compression": "zlib"},
    "lzw-predictor": {"compression": "lzw", "predictor": True},
    "deflate-predictor": {"compression": "zlib", "predictor": True},
    "tiles": {"tile": (16, 16)},
    "tiles-deflate": {"tile": (16, 16), "compression": "zlib", "predictor": True},
    "strips": {"rowsperstrip": 3},
    "planes": {"planarconfig": "separate", "compression": "zlib"},
    "big-endian": {"byteorder": ">", "compression": "zlib", "predictor": True},
    "bigtiff": {"bigtiff": True, "compression": "lzw"},
}


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_compressions_and_layouts_agree_with_libtiff(settings: dict[str, Any], dtype: str) -> None:
    stored = levels(40, 37) if dtype == "uint16" else np.random.default_rng(1).random((40, 37, 3)).astype(dtype)
    apart = settings.get("planarconfig") == "separate"
    content = written(np.moveaxis(stored, -1, 0) if apart else stored, photometric="rgb", **settings)
    other = imagecodecs.tiff_decode(content)
    assert np.array_equal(other if not apart else np.moveaxis(other, 0, -1), stored)
    assert np.array_equal(pixels(content), seen(stored, 65535 if dtype == "uint16" else 1))


def test_white_is_zero() -> None:
    stored = levels(channels=1)
    assert np.array_equal(pixels(tiff(stored, photometric=0)), seen(65535 - stored))


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_straight_alpha(dtype: str) -> None:
    stored = levels(channels=4) if dtype == "uint16" else floats(dtype, 4)
    white = 65535 if dtype == "uint16" else 1
    content = tiff(stored, more={338: (2,)})
    colour, share = stored[..., :3] / np.float64(white), stored[..., 3:] / np.float64(white)
    with pytest.raises(ImageError, match=r"has transparency \(143 of 143 pixels\)"):
        pixels(content)
    assert abs(pixels(content, alpha="drop") - colour).max() < 1e-7
    assert abs(pixels(content, alpha="black") - colour * share).max() < 1e-7
    assert abs(pixels(content, alpha="white") - (colour * share + 1 - share)).max() < 1e-7


def test_premultiplied_alpha() -> None:
    stored = levels(channels=4)
    stored[..., :3] = stored[..., :3] * (stored[..., 3:] / 65535)
    content = tiff(stored, more={338: (1,)})
    colour, share = stored[..., :3] / 65535, stored[..., 3:] / 65535
    assert abs(pixels(content, alpha="black") - colour).max() < 1e-7
    assert abs(pixels(content, alpha="white") - (colour + 1 - share)).max() < 1e-7
    dropped = decoded(content, alpha="drop")
    assert abs(np.moveaxis(dropped.values, 0, -1) - colour).max() < 1e-7
    assert dropped.notes == ("premultiplied colours taken as stored, as over black",)


@pytest.mark.parametrize("kind", [1, 2], ids=["premultiplied", "straight"])
def test_opaque_alpha_is_dropped(kind: int) -> None:
    stored = levels(channels=4)
    stored[..., 3] = 65535
    assert np.array_equal(pixels(tiff(stored, more={338: (kind,)})), seen(stored[..., :3]))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [2, 4])
def test_channels_said_to_be_none_are_left_out_and_said(channels: int, bits: int) -> None:
    stored = levels(channels=channels).astype(f"uint{bits}")
    content = tiff(stored, photometric=2 if channels == 4 else 1, more={338: (0,)})
    found = decoded(content)
    expected = np.broadcast_to(stored[..., : channels - 1], (11, 13, 3))
    assert np.array_equal(np.moveaxis(found.values, 0, -1), expected if bits == 8 else seen(expected))
    assert found.notes == ("1 channel of no said meaning left out",)
    with pytest.raises(ImageError, match="1 channel of no said meaning left out: refused, as --strict says"):
        decoded(content, strict=True)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_fourth_channel_of_which_nothing_is_said_is_alpha(bits: int) -> None:
    """As OpenCV writes it."""
    stored = levels(channels=4).astype(f"uint{bits}")
    content = cv2.imencode(".tiff", stored[..., [2, 1, 0, 3]])[1].tobytes()
    with pytest.raises(ImageError, match="has transparency"):
        decoded(content)
    found = decoded(content, alpha="white")
    colour, share = stored[..., :3] / (2**bits - 1), stored[..., 3:] / (2**bits - 1)
    scale = 255 if bits == 8 else 1
    assert abs(np.moveaxis(found.values, 0, -1) / scale - (colour * share + 1 - share)).max() < 0.502 / 2**bits + 1e-7
    assert found.notes == ("alpha taken for straight, as the TIFF does not say",)
    stored[..., 3] = 2**bits - 1
    assert decoded(cv2.imencode(".tiff", stored)[1].tobytes()).notes == ()


def test_alpha_beside_other_channels() -> None:
    stored = levels(channels=5)
    found = decoded(tiff(stored, more={338: (0, 2)}), alpha="black")
    expected = stored[..., :3] / 65535 * (stored[..., 4:] / 65535)
    assert abs(np.moveaxis(found.values, 0, -1) - expected).max() < 1e-7
    with pytest.raises(ImageError, match="says nothing clear of its 5 channels"):
        decoded(tiff(stored, more={338: (2, 2)}))


def test_uncompressed_colour_of_fewer_pixels_is_refused() -> None:
    """Pillow would take four Y, one Cb and one Cr for two pixels. 2x2 is the default."""
    stored = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    for more in ({530: (2, 2)}, {530: (2, 1)}, {}):
        with pytest.raises(ImageError, match="uncompressed YCbCr TIFF, other than 4:4:4"):
            decoded(tiff(stored, photometric=6, more=more))
    assert decoded(tiff(stored, photometric=6, more={530: (1, 1)})).notes == ()


@pytest.mark.parametrize("compression", ["jpegxl", "jpeg2000", "lerc", "png", "webp"])
def test_compressions_of_eight_bits_that_pillow_does_not_know(compression: str) -> None:
    stored = levels(40, 37).astype(np.uint8)
    found = pixels(written(stored, photometric="rgb", compression=compression))
    assert found.dtype == np.uint8
    assert np.array_equal(found, stored)


@pytest.mark.parametrize("tag", [259, 262], ids=["compression", "colours"])
@pytest.mark.parametrize("bits", [8, 16])
def test_what_a_file_does_not_say_is_not_made_up(bits: int, tag: int) -> None:
    content = tiff(levels(channels=1).astype(f"uint{bits}"))
    entry = struct.pack("<H", tag) + struct.pack("<HI", 3, 1)
    assert content.count(entry) == 1
    with pytest.raises(ImageError, match="does not say how its pixels are compressed, or of what colour they are"):
        decoded(content.replace(entry, b"\xf0\xf0" + entry[2:]))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int) -> None:
    stored = levels()
    found = pixels(tiff(stored, more={274: (orientation,)}))
    assert np.array_equal(found, turned(seen(stored), orientation))


def test_first_of_several_pages() -> None:
    stored = levels()
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for page in (stored, 65535 - stored, stored):
            writer.write(page, photometric="rgb", contiguous=False)
    found = decoded(file.getvalue())
    assert found.notes == ("first of 3 frames",)
    assert np.array_equal(np.moveaxis(found.values, 0, -1), seen(stored))
    with pytest.raises(ImageError, match="first of 3 frames: refused, as --strict says"):
        decoded(file.getvalue(), strict=True)


def test_inks_without_a_profile() -> None:
    stored = levels(channels=4)
    found = decoded(tiff(stored, photometric=5))
    ink = 1 - stored / 65535
    assert abs(np.moveaxis(found.values, 0, -1) - ink[..., :3] * ink[..., 3:]).max() < 1e-7
    assert found.notes == ("CMYK, converted to RGB without its colour profile",)


@pytest.mark.parametrize("white", [1023, 4095])
def test_fewer_bits_than_the_file_says_look_like_a_mistake(white: int) -> None:
    stored = levels(bits=10 if white == 1023 else 12)
    stored[0, 0] = white
    content = tiff(stored)
    found = decoded(content)
    assert np.array_equal(np.moveaxis(found.values, 0, -1), seen(stored))
    bits = {1023: 10, 4095: 12}[white]
    said = f"no value is above {white}: {bits} bits in a 16-bit file? then say --white-level {white}"
    assert found.mistakes == (said,)
    found = decoded(content, white_level=white)
    assert np.array_equal(np.moveaxis(found.values, 0, -1), seen(stored, white))
    assert found.mistakes == ()


def test_a_dark_file_is_no_mistake() -> None:
    assert decoded(tiff(levels(bits=8))).mistakes == ()


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_cut_short_it_is_refused_or_whole(settings: dict[str, Any]) -> None:
    stored = levels(40, 37)
    apart = settings.get("planarconfig") == "separate"
    content = written(np.moveaxis(stored, -1, 0) if apart else stored, photometric="rgb", **settings)
    whole = decoded(content).values
    for length in range(9, len(content), len(content) // 25):
        try:
            found = decoded(content[:length]).values
        except ImageError:
            continue
        assert np.array_equal(found, whole)


def test_pieces_that_are_not_there_are_not_black() -> None:
    """tifffile makes zeros of strips without bytes."""
    content = bytearray(written(levels(40, 37), photometric="rgb", rowsperstrip=10, compression="zlib"))
    with tifffile.TiffFile(io.BytesIO(bytes(content))) as file:
        tag = file.pages.first.tags[279]
        at = tag.valueoffset
    content[at : at + 2] = b"\0\0"
    with pytest.raises(ImageError, match="damaged or cut short: not all of its pixels are there"):
        decoded(bytes(content))


def test_mask_of_any_numbers() -> None:
    inside = levels(channels=1)[..., 0] > 40000
    for dtype in ("uint16", "int16", "int32", "uint32", "float32", "float64"):
        found = formats.decode_mask(written(inside.astype(dtype)), 1000)
        assert np.array_equal(found, inside)
    assert np.array_equal(formats.decode_mask(tiff(grey3(inside).astype(np.uint16)), 1000), inside)


def test_mask_whose_white_is_0() -> None:
    """tifffile says so of each array of bool, and stores True as 1. Of a fax it is what is meant."""
    inside = levels(channels=1)[..., 0] > 40000
    with pytest.raises(ImageError, match="says that 0 is white and 1 is black, which masks seldom mean"):
        formats.decode_mask(written(inside), 1000)
    file = io.BytesIO()
    PIL.Image.fromarray(inside).save(file, "TIFF", compression="group4")
    assert np.array_equal(formats.decode_mask(file.getvalue(), 1000), inside)
