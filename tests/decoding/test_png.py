"""PNG of 16 bits, against the samples that the test wrote. (Of 8 bits and fewer: test_png_matrix.)"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

from relight_eval.errors import ImageError
from tests.decoding.deep import decoded, grey3, pixels
from tests.decoding.writers import CHANNELS, chunk, png

SIZES = [(1, 1), (1, 9), (9, 1), (7, 5), (13, 11)]  # height, width
DEEP = [0, 2, 4, 6]  # the colour types that have 16 bits


def samples_of(height: int, width: int, colour: int) -> npt.NDArray[np.uint16]:
    """Noise of 16 bits; where there is alpha, opaque."""
    shape = (height, width, CHANNELS[colour])
    found = np.random.default_rng(height + width).integers(0, 65536, shape, dtype=np.uint16)
    if colour in (4, 6):
        found[..., -1] = 65535
    return found


@pytest.mark.parametrize("interlaced", [False, True], ids=["rows", "adam7"])
@pytest.mark.parametrize("colour", DEEP)
def test_every_kind(colour: int, interlaced: bool) -> None:
    for height, width in SIZES:
        stored = samples_of(height, width, colour)
        expected = stored[..., :3] if colour in (2, 6) else grey3(stored[..., 0])
        found = decoded(png(stored, 16, colour, interlaced=interlaced, filters=range(5)))
        assert np.array_equal(np.moveaxis(found.values, 0, -1), (expected / 65535).astype(np.float32))
        assert found.notes == found.mistakes == ()


def test_sixteen_bits_are_all_kept() -> None:
    """Each of the 65,536 levels becomes a number of its own: its quotient, to the nearest float32."""
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    found = pixels(png(levels, 16, 0))[..., 0].ravel()
    assert np.array_equal(found, (np.arange(65536) / 65535).astype(np.float32))
    assert len(np.unique(found)) == 65536


@pytest.mark.parametrize("parts", [1, 7])
def test_sixteen_bits_in_several_chunks(parts: int) -> None:
    stored = samples_of(13, 11, 6)
    assert np.array_equal(pixels(png(stored, 16, 6, parts=parts)), (stored[..., :3] / 65535).astype(np.float32))


@pytest.mark.parametrize("interlaced", [False, True], ids=["rows", "adam7"])
@pytest.mark.parametrize("colour", [4, 6])
def test_sixteen_bits_with_alpha(colour: int, interlaced: bool) -> None:
    stored = samples_of(13, 11, colour)
    stored[2:5, 3:7, -1] = [0, 1, 40000, 65534]
    content = png(stored, 16, colour, interlaced=interlaced)
    front, share = stored[..., :-1] / 65535, stored[..., -1:] / 65535
    front = np.broadcast_to(front, (13, 11, 3))
    with pytest.raises(ImageError, match=r"has transparency \(12 of 143 pixels\)"):
        pixels(content)
    assert np.array_equal(pixels(content, alpha="drop"), front.astype(np.float32))
    assert np.array_equal(pixels(content, alpha="black"), (front * share).astype(np.float32))
    assert abs(pixels(content, alpha="white") - (front * share + 1 - share)).max() < 1e-7


@pytest.mark.parametrize("interlaced", [False, True], ids=["rows", "adam7"])
@pytest.mark.parametrize("colour", [0, 2])
def test_sixteen_bits_with_a_transparent_colour(colour: int, interlaced: bool) -> None:
    """All 16 bits of it count: a colour that differs in the last is opaque."""
    stored = samples_of(7, 5, colour)
    key = stored[2, 3].copy()
    stored[4, 4] = key ^ 1
    before = [chunk(b"tRNS", struct.pack(f">{len(key)}H", *key))]
    content = png(stored, 16, colour, before=before, interlaced=interlaced)
    with pytest.raises(ImageError, match=r"has transparency \(1 of 35 pixels\)"):
        pixels(content)
    found = pixels(content, alpha="black")
    assert not found[2, 3].any()
    assert np.array_equal(found[4, 4], np.broadcast_to((stored[4, 4] / 65535).astype(np.float32), 3))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_sixteen_bits(orientation: int) -> None:
    stored = samples_of(7, 5, 2)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    found = pixels(png(stored, 16, 2, before=[chunk(b"eXIf", exif.tobytes()[6:])]))
    picture = PIL.Image.fromarray((stored >> 8).astype(np.uint8))
    turns = [None, None, 0, 3, 1, 5, 4, 6, 2]  # Pillow's numbers of what undoes it
    turn = turns[orientation]
    eight_bits = np.asarray(picture if turn is None else picture.transpose(PIL.Image.Transpose(turn)))
    assert np.array_equal((found * 65535).round().astype(int) >> 8, eight_bits)


def test_animation_of_sixteen_bits() -> None:
    stored = samples_of(7, 5, 0)
    control = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 5, 7, 0, 0, 1, 1, 0, 0))
    later = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 1, 5, 7, 0, 0, 1, 1, 0, 0))
    frame = chunk(b"fdAT", struct.pack(">I", 2) + b"x")
    before = [chunk(b"acTL", struct.pack(">II", 2, 0)), control]
    found = decoded(png(stored, 16, 0, before=before, after=[later, frame]))
    assert found.notes == ("first of 2 frames",)
    assert np.array_equal(found.values[0], (stored[..., 0] / 65535).astype(np.float32))


@pytest.mark.parametrize("colour", DEEP)
def test_cut_short_it_is_refused_or_whole(colour: int) -> None:
    stored = samples_of(13, 11, colour)
    content = png(stored, 16, colour, parts=3)
    whole = decoded(content).values
    for length in range(30, len(content), 9):
        try:
            found = decoded(content[:length]).values
        except ImageError:
            continue
        assert np.array_equal(found, whole)
        assert length > 0.9 * len(content)
