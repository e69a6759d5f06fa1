"""Every kind of PNG, written value by value, is read to these values, or refused.

The kinds are those of PngSuite (www.schaik.com/pngsuite): colour type, depth, interlace, filters, transparency, chunks
of colour, odd sizes, many IDAT chunks, and files that no reader may take.
"""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from relight_eval.errors import ImageError
from relight_eval.images import Image, read_mask
from tests.decoding.writers import (
    CHANNELS,
    COLORANTS,
    DEPTHS,
    SIGNATURE,
    SRGB_CURVE,
    chrm,
    chunk,
    gama,
    icc,
    iccp,
    parametric,
    png,
)

Array = npt.NDArray[Any]
Read = Callable[..., Image]

KINDS = [(colour, depth) for colour, depths in DEPTHS.items() for depth in depths]
SIZES = [(1, 1), (1, 9), (9, 1), (7, 5), (2, 33), (4, 4)]  # height, width; of some passes of Adam7 nothing is left
KEYED = [(colour, depth) for colour, depth in KINDS if colour in (0, 2)]
WITH_ALPHA = [(colour, depth) for colour, depth in KINDS if colour in (4, 6)]


def samples(height: int, width: int, colour: int, depth: int) -> Array:
    """With the lowest and the highest value in them, alpha opaque."""
    values = np.random.default_rng(depth).integers(0, 2**depth, (height, width, CHANNELS[colour]))
    values[0, 0], values[-1, -1] = 0, 2**depth - 1
    if colour in (4, 6):
        values[..., -1] = 2**depth - 1
    return values


def palette(depth: int) -> Array:
    return np.random.default_rng(9).integers(0, 256, (2**depth, 3))


def around(colour: int, depth: int) -> list[bytes]:
    return [chunk(b"PLTE", palette(depth).astype(np.uint8).tobytes())] if colour == 3 else []


def meant(values: Array, colour: int, depth: int) -> Array:
    """(H, W, 3) in [0, 1], float64."""
    if colour == 3:
        return np.asarray(palette(depth)[values[..., 0]] / 255)
    seen = values if colour in (0, 2) else values[..., :-1]
    return np.asarray(np.broadcast_to(seen, (*seen.shape[:2], 3)) / (2**depth - 1))


def check(image: Image, expected: Array, depth: int) -> None:
    """Levels of 255 as they are, unless the file has more; then to the last bit of float32."""
    pixels = image.pixels.permute(1, 2, 0).numpy()
    assert pixels.shape == expected.shape
    assert image.pixels.is_contiguous()
    if depth == 16:
        assert image.pixels.dtype == torch.float32
        assert abs(pixels - expected).max() < 1e-7
    else:
        assert image.pixels.dtype == torch.uint8
        assert np.array_equal(pixels, np.rint(expected * 255))


@pytest.mark.parametrize("interlaced", [False, True], ids=["rows", "Adam7"])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
class TestKinds:
    def test_every_size(self, readback: Read, colour: int, depth: int, interlaced: bool) -> None:
        for height, width in SIZES:
            values = samples(height, width, colour, depth)
            content = png(values, depth, colour, before=around(colour, depth), interlaced=interlaced)
            image = readback(content, strict=True)
            check(image, meant(values, colour, depth), depth)
            assert (image.note, image.mistakes) == ("", ())

    def test_every_filter(self, readback: Read, colour: int, depth: int, interlaced: bool) -> None:
        values = samples(11, 13, colour, depth)
        for filters in ([1], [2], [3], [4], [4, 0, 3, 1, 2]):
            content = png(
                values, depth, colour, before=around(colour, depth), interlaced=interlaced, filters=filters, parts=3
            )
            check(readback(content), meant(values, colour, depth), depth)


def over(colour: Array, alpha: Array, background: float) -> Array:
    return colour * alpha[..., None] + background * (1 - alpha[..., None])


def check_see_through(readback: Read, content: bytes, colour: Array, alpha: Array, depth: int) -> None:
    """`colour` (H, W, 3) and `alpha` (H, W) in [0, 1]."""
    count = int((alpha < 1).sum())
    assert count
    with pytest.raises(ImageError, match=rf"has transparency \({count} of {alpha.size} pixels\)"):
        readback(content)
    check(readback(content, alpha="drop"), colour, depth)
    check(readback(content, alpha="black"), over(colour, alpha, 0), depth)
    check(readback(content, alpha="white"), over(colour, alpha, 1), depth)


@pytest.mark.parametrize("interlaced", [False, True], ids=["rows", "Adam7"])
class TestTransparency:
    @pytest.mark.parametrize(("colour", "depth"), WITH_ALPHA)
    def test_alpha(self, readback: Read, colour: int, depth: int, interlaced: bool) -> None:
        values = np.random.default_rng(1).integers(0, 2**depth, (6, 7, CHANNELS[colour]))
        content = png(values, depth, colour, interlaced=interlaced)
        alpha = values[..., -1] / (2**depth - 1)
        check_see_through(readback, content, meant(values, colour, depth), alpha, depth)

    @pytest.mark.parametrize(("colour", "depth"), KEYED)
    def test_colour_key(self, readback: Read, colour: int, depth: int, interlaced: bool) -> None:
        values = samples(6, 7, colour, depth)
        key = values[3, 4]
        content = png(
            values, depth, colour, before=[chunk(b"tRNS", key.astype(">u2").tobytes())], interlaced=interlaced
        )
        alpha = 1.0 - (values == key).all(axis=-1)
        check_see_through(readback, content, meant(values, colour, depth), alpha, depth)

    def test_colour_key_that_differs_in_the_low_byte_only(self, readback: Read, interlaced: bool) -> None:
        values = np.array([[[0x1234], [0x1235], [0x1334]]])
        content = png(values, 16, 0, before=[chunk(b"tRNS", struct.pack(">H", 0x1235))], interlaced=interlaced)
        check_see_through(readback, content, meant(values, 0, 16), np.array([[1.0, 0.0, 1.0]]), 16)

    @pytest.mark.parametrize("depth", DEPTHS[3])
    @pytest.mark.parametrize("kind", ["one", "some", "all"])
    def test_palette(self, readback: Read, depth: int, kind: str, interlaced: bool) -> None:
        values = samples(6, 7, 3, depth)
        values[2, 3:5, 0] = 0, 1
        alphas = {"one": [0], "some": [255, 70], "all": [9, *range(2**depth - 1)]}[kind]
        table = np.array([*alphas, *[255] * (2**depth - len(alphas))])
        before = [*around(3, depth), chunk(b"tRNS", bytes(alphas))]
        content = png(values, depth, 3, before=before, interlaced=interlaced)
        check_see_through(readback, content, meant(values, 3, depth), table[values[..., 0]] / 255, depth)


# What a file says of its colours


SRGB_CHUNK = chunk(b"sRGB", b"\0")
REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)
# Of Display P3 to sRGB's primaries, in linear light (CSS Color 4).
P3_TO_SRGB = np.array(
    [
        [1.2249401762805598, -0.2249401762805601, 0.0],
        [-0.0420569547096881, 1.0420569547096881, 0.0],
        [-0.0196375545903344, -0.0786360455506319, 1.0982736001409663],
    ]
)
SRGB = parametric(*SRGB_CURVE)


def decoded(value: Array) -> Array:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def encoded(light: Array) -> Array:
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


IS_SRGB = {
    "sRGB": [SRGB_CHUNK],
    "gamma": [gama(0.45455)],
    "gamma and primaries": [gama(0.45455), chrm(REC709)],
    "sRGB over another gamma": [gama(1.0), SRGB_CHUNK],
    "cICP": [chunk(b"cICP", bytes([1, 13, 0, 1])), gama(1.0)],
    "a profile": [iccp(icc(SRGB))],
}
IS_NOT: dict[str, tuple[list[bytes], str, Callable[[Array], Array], float]] = {
    "linear": ([gama(1.0)], "linear light", encoded, 1e-6),
    "gamma of 0.35": ([gama(0.35)], "gamma 2.857", lambda v: encoded(v ** (1 / 0.35)), 1e-6),
    "gamma of 2.5": ([gama(2.5)], "gamma 0.4", lambda v: encoded(v**0.4), 1e-6),
    "primaries": ([chrm(P3)], "other primaries", lambda v: encoded(decoded(v) @ P3_TO_SRGB.T), 1e-6),
    "both": ([gama(1.0), chrm(P3)], "linear light of other primaries", lambda v: encoded(v @ P3_TO_SRGB.T), 1e-6),
    "cICP": (
        [chunk(b"cICP", bytes([12, 13, 0, 1]))], "other primaries", lambda v: encoded(decoded(v) @ P3_TO_SRGB.T), 1e-6
    ),
    "a profile": (
        [iccp(icc(SRGB, "Display P3", description="Display P3"))],
        '"Display P3"',
        lambda v: encoded(decoded(v) @ P3_TO_SRGB.T),
        2e-3,  # it is written to five digits, which is half a level near black
    ),
    "a profile of linear light": ([iccp(icc(parametric(1.0), description="Linear"))], '"Linear"', encoded, 2e-3),
}  # fmt: skip


class TestColour:
    @pytest.mark.parametrize("chunks", IS_SRGB.values(), ids=IS_SRGB)
    @pytest.mark.parametrize("depth", [8, 16])
    def test_srgb_is_left_as_stored(self, readback: Read, chunks: list[bytes], depth: int) -> None:
        values = samples(6, 7, 2, depth)
        image = readback(png(values, depth, 2, before=chunks), strict=True)
        check(image, meant(values, 2, depth), depth)
        assert image.note == ""

    @pytest.mark.parametrize(("chunks", "name", "convert", "within"), IS_NOT.values(), ids=IS_NOT)
    @pytest.mark.parametrize("depth", [8, 16])
    def test_the_rest_is_converted_and_said(
        self,
        readback: Read,
        chunks: list[bytes],
        name: str,
        convert: Callable[[Array], Array],
        within: float,
        depth: int,
    ) -> None:
        values = samples(6, 7, 2, depth)
        content = png(values, depth, 2, before=chunks)
        image = readback(content)
        assert image.pixels.dtype == torch.float32
        assert abs(image.pixels.permute(1, 2, 0).numpy() - convert(meant(values, 2, depth))).max() < within
        assert f"converted from {name}" in image.note
        with pytest.raises(ImageError, match=f"converted from {name}.* --strict"):
            readback(content, strict=True)

    @pytest.mark.parametrize(("chunks", "name", "convert", "within"), IS_NOT.values(), ids=IS_NOT)
    def test_what_the_user_says_wins(
        self, readback: Read, chunks: list[bytes], name: str, convert: Callable[[Array], Array], within: float
    ) -> None:
        values = samples(6, 7, 2, 8)
        image = readback(png(values, 8, 2, before=chunks), space="srgb")
        assert abs(image.pixels.permute(1, 2, 0).numpy() - meant(values, 2, 8) * 255).max() == 0
        assert "--space" in image.note

    def test_colours_of_a_palette_are_converted_too(self, readback: Read) -> None:
        values = samples(6, 7, 3, 4)
        image = readback(png(values, 4, 3, before=[gama(1.0), *around(3, 4)]))
        assert abs(image.pixels.permute(1, 2, 0).numpy() - encoded(meant(values, 3, 4))).max() < 1e-6

    def test_grey_is_converted_too(self, readback: Read) -> None:
        values = samples(6, 7, 0, 2)
        for chunks in ([gama(1.0)], [gama(1.0), chrm(P3)], [iccp(icc(parametric(1.0), None))]):
            image = readback(png(values, 2, 0, before=chunks))
            assert abs(image.pixels.permute(1, 2, 0).numpy() - encoded(meant(values, 0, 2))).max() < 1e-4

    def test_what_lies_beyond_srgb_is_counted(self, readback: Read) -> None:
        """Display P3's green has less red and blue than any colour of sRGB."""
        values = np.array([[[0, 255, 0], [128, 128, 128]]])
        image = readback(png(values, 8, 2, before=[chrm(P3)]))
        assert "1 of 6 values above 1" in image.note
        assert "2 of 6 values below 0" in image.note

    @pytest.mark.parametrize(
        ("chunks", "said"),
        [
            pytest.param([chunk(b"cICP", bytes([9, 16, 0, 1]))], "HDR with PQ", id="PQ"),
            pytest.param([chunk(b"cICP", bytes([9, 18, 0, 1]))], "HDR with HLG", id="HLG"),
            pytest.param([iccp(icc(SRGB)[:-1])], "colour profile is damaged", id="half a profile"),
            pytest.param([iccp(icc(SRGB, space=b"Lab "))], "for b'Lab '", id="Lab profile"),
            pytest.param([gama(0.5)[:-1] + b"?"], "gAMA|damaged", id="checksum"),
        ],
    )
    def test_that_cannot_be_scored(self, readback: Read, chunks: list[bytes], said: str) -> None:
        with pytest.raises(ImageError, match=said):
            readback(png(samples(6, 7, 2, 8), 8, 2, before=chunks))

    def test_primaries_of_the_writer_are_those_of_the_matrix(self) -> None:
        """So that the profile above is Display P3: its colorants are sRGB's, after the matrix."""
        assert abs(P3_TO_SRGB.T @ np.array(COLORANTS["sRGB"]) - COLORANTS["Display P3"]).max() < 3e-4


# Files that are odd but right, and files that no reader may take


VALUES = samples(6, 7, 2, 8)


def body(header: bytes, *chunks: bytes) -> bytes:
    return SIGNATURE + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def header(width: int = 7, height: int = 6, depth: int = 8, colour: int = 2, *rest: int) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, colour, *(rest or (0, 0, 0)))


def rows(array: Array, kind: int = 0) -> bytes:
    return b"".join(bytes([kind]) + row.astype(np.uint8).tobytes() for row in array)


PACKED = zlib.compress(rows(VALUES))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(png(VALUES, 8, 2, parts=200), id="a byte in each IDAT"),
        pytest.param(
            body(header(), chunk(b"IDAT", b""), chunk(b"IDAT", PACKED), chunk(b"IDAT", b"")), id="IDAT of nothing"
        ),
        pytest.param(png(VALUES, 8, 2, before=[chunk(b"PLTE", bytes(9))]), id="a palette suggested"),
        pytest.param(png(VALUES, 8, 2, before=[chunk(b"sBIT", b"\5\6\5")]), id="significant bits"),
        pytest.param(png(VALUES, 8, 2, before=[chunk(b"bKGD", b"\0\1\0\2\0\3")]), id="background"),
        pytest.param(png(VALUES, 8, 2, before=[chunk(b"pHYs", b"\0\0\0\1\0\0\0\4\0")]), id="oblong pixels"),
        pytest.param(png(VALUES, 8, 2, before=[chunk(b"vpAg", bytes(9))]), id="an unknown chunk"),
        pytest.param(png(VALUES, 8, 2, after=[chunk(b"tEXt", b"Title\0x"), chunk(b"tIME", bytes(7))]), id="text after"),
        pytest.param(png(VALUES, 8, 2, before=[chunk(b"zTXt", b"Title\0\0" + zlib.compress(b"x"))]), id="packed text"),
        pytest.param(png(VALUES, 8, 2) + b"more", id="bytes behind its end"),
        *(
            pytest.param(body(header(), chunk(b"IDAT", zlib.compress(rows(VALUES), level))), id=f"packed at {level}")
            for level in (0, 1, 9)
        ),
    ],
)  # fmt: skip
def test_odd_but_right(readback: Read, content: bytes) -> None:
    image = readback(content, strict=True)
    check(image, VALUES / 255, 8)
    assert image.note == ""


WRONG = {
    "colour type 1": body(header(7, 6, 8, 1), chunk(b"IDAT", PACKED)),
    "colour type 5": body(header(7, 6, 8, 5), chunk(b"IDAT", PACKED)),
    "colour type 9": body(header(7, 6, 8, 9), chunk(b"IDAT", PACKED)),
    "depth 0": body(header(7, 6, 0, 2), chunk(b"IDAT", PACKED)),
    "depth 3": body(header(7, 6, 3, 0), chunk(b"IDAT", PACKED)),
    "depth 99": body(header(7, 6, 99, 2), chunk(b"IDAT", PACKED)),
    "4 bits of RGB": body(header(7, 6, 4, 2), chunk(b"IDAT", PACKED)),
    "16 bits of a palette": body(header(7, 6, 16, 3), chunk(b"PLTE", bytes(9)), chunk(b"IDAT", PACKED)),
    "another packing": body(header(7, 6, 8, 2, 1, 0, 0), chunk(b"IDAT", PACKED)),
    "other filters": body(header(7, 6, 8, 2, 0, 1, 0), chunk(b"IDAT", PACKED)),
    "another interlace": body(header(7, 6, 8, 2, 0, 0, 2), chunk(b"IDAT", PACKED)),
    "filter 5": body(header(), chunk(b"IDAT", zlib.compress(rows(VALUES, 5)))),
    "no IDAT": body(header()),
    "no zlib stream": body(header(), chunk(b"IDAT", b"nothing of the sort")),
    "a row too few": body(header(), chunk(b"IDAT", zlib.compress(rows(VALUES[:-1])))),
    "checksum of the header": png(VALUES, 8, 2).replace(chunk(b"IHDR", header()), chunk(b"IHDR", header())[:-1] + b"?"),
    "checksum inside the zlib stream": body(header(), chunk(b"IDAT", PACKED[:-1] + b"?")),
    "signature turned by a mail program": png(VALUES, 8, 2).replace(b"\r\n", b"\n", 1),
    "no palette": body(header(7, 6, 8, 3), chunk(b"IDAT", zlib.compress(rows(VALUES[..., 0])))),
    "beyond its palette": png(np.full((2, 2, 1), 7), 8, 3, before=[chunk(b"PLTE", bytes(9))]),
    "no columns": body(header(0, 6), chunk(b"IDAT", PACKED)),
    "2 ** 31 columns": body(header(1 << 31, 6), chunk(b"IDAT", PACKED)),
}


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_no_reader_may_take(readback: Read, content: bytes) -> None:
    with pytest.raises(ImageError, match=r"\.bin: "):
        readback(content)


@pytest.mark.parametrize("content", WRONG.values(), ids=WRONG)
def test_no_mask_either(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"mask\.png: "):
        read_mask(path)


def test_a_wrong_checksum_of_the_pixels(readback: Read) -> None:
    """The checksum inside the zlib stream is right, and so are the pixels: both answers are."""
    content = body(header(), chunk(b"IDAT", PACKED)[:-1] + b"?")
    try:
        image = readback(content)
    except ImageError:
        return
    check(image, VALUES / 255, 8)
