"""Radiance HDR, against the bytes that the test wrote and what its specification says that they mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from relight_eval.decoding import formats
from relight_eval.errors import ImageError
from tests.decoding.deep import decoded, hdr, pixels, rgbe, srgb_of

Array = npt.NDArray[Any]


def picture(height: int = 11, width: int = 13) -> tuple[Array, Array]:
    """Stored bytes, and their light: up to 1, some black."""
    rng = np.random.default_rng(width)
    mantissas = rng.integers(0, 256, (height, width, 3))
    exponents = rng.choice([0, 120, 126, 127, 128], (height, width))
    mantissas[2:6] = mantissas[2:3, :1]  # runs
    return rgbe(mantissas, exponents)


@pytest.mark.parametrize("runs", [False, True], ids=["flat", "run-lengths"])
@pytest.mark.parametrize("width", [8, 13, 300])
def test_linear_light_becomes_srgb(width: int, runs: bool) -> None:
    stored, light = picture(width=width)
    found = decoded(hdr(stored, runs=runs))
    assert abs(np.moveaxis(found.values, 0, -1) - srgb_of(light)).max() < 1e-7
    assert found.notes == ("linear light, encoded as sRGB",)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 9), (9, 1), (5, 7)])
def test_small_ones_are_flat(height: int, width: int) -> None:
    stored, light = picture(height, width)
    assert abs(pixels(hdr(stored)) - srgb_of(light)).max() < 1e-7


def test_bright_values_are_clipped_and_counted() -> None:
    stored, light = rgbe(np.full((2, 3, 3), 200), np.full((2, 3), 131))
    assert light.max() == 6.25
    found = decoded(hdr(stored))
    assert (found.values == 1).all()
    assert found.notes[1] == "18 of 18 values above 1 (up to 6.25), clipped"


@pytest.mark.parametrize(
    ("lines", "gain"),
    [
        (["EXPOSURE=2"], [2, 2, 2]),
        (["EXPOSURE= 0.5 ", "EXPOSURE=8"], [4, 4, 4]),
        (["COLORCORR=1 2 4"], [1, 2, 4]),
        (["EXPOSURE=2", "COLORCORR=1 2 4", "PIXASPECT=1", "SOFTWARE=x"], [2, 4, 8]),
    ],
)
def test_exposure_is_undone(lines: list[str], gain: list[float]) -> None:
    stored, light = picture()
    assert abs(pixels(hdr(stored, *lines)) - srgb_of(light / gain)).max() < 1e-7


def test_that_exposure_was_undone_is_said() -> None:
    """Other readers pass over it."""
    notes = decoded(hdr(picture()[0], "EXPOSURE=2", "COLORCORR=1 2 4")).notes
    assert notes[0] == "light divided by the exposure that the header says (2, 4, 8)"
    assert decoded(hdr(picture()[0], "EXPOSURE=1")).notes == decoded(hdr(picture()[0])).notes


def test_headers_of_other_programs() -> None:
    """HDR Shop writes primaries of 0; others lines of DOS, after which the pixels may hold empty lines."""
    stored, light = picture()
    stored[0, 0], light[0, 0] = 10, 10 / 256 * 2.0 ** (10 - 128)
    for content in (
        hdr(stored, "GAMMA=1.000000", "PRIMARIES=0 0 0 0 0 0 0 0"),
        hdr(stored).replace(b"_rgbe\n\n", b"_rgbe\r\n\r\n"),
    ):
        assert abs(pixels(content) - srgb_of(light)).max() < 1e-6


def test_primaries() -> None:
    stored, light = picture()
    own = "PRIMARIES=0.64 0.33 0.30 0.60 0.15 0.06 0.3127 0.3290"
    assert decoded(hdr(stored, own)).notes == ("linear light, encoded as sRGB",)
    found = decoded(hdr(stored, "PRIMARIES=0.680 0.320 0.265 0.690 0.150 0.060 0.3127 0.3290"))
    assert found.notes[0] == "converted from linear light of other primaries"
    grey = (light[..., 0] == light[..., 1]) & (light[..., 0] == light[..., 2])
    assert abs(np.moveaxis(found.values, 0, -1) - srgb_of(light))[grey].max() < 1e-6


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(hdr(picture()[0]).replace(b"_rgbe", b"_xyze"), "format 32-bit_rle_xyze cannot be read", id="xyze"),
        pytest.param(hdr(picture()[0], size="+Y {height} +X {width}"), r'orientation "\+Y 11 \+X 13"', id="upwards"),
        pytest.param(hdr(picture()[0], size="+X {width} -Y {height}"), r'orientation "\+X 13 -Y 11"', id="columns"),
        pytest.param(hdr(picture()[0], size="-Y 0 +X 13"), "13x0 and has no pixels", id="no-rows"),
        pytest.param(hdr(picture()[0], size="-Y 30000 +X 30000"), "30000x30000 is more than the limit", id="bomb"),
        pytest.param(hdr(picture()[0])[:-1], "is cut short, or of run lengths", id="cut"),
        pytest.param(hdr(picture()[0], runs=True)[:-1], "the Radiance HDR is damaged", id="cut-run-lengths"),
        pytest.param(hdr(picture()[0], "EXPOSURE=0"), "exposed with 0 or less", id="no-exposure"),
        pytest.param(hdr(picture()[0], "EXPOSURE=nan"), 'says "EXPOSURE=nan", expected 1 numbers', id="nan"),
        pytest.param(hdr(picture()[0], "COLORCORR=1 2"), 'says "COLORCORR=1 2", expected 3 numbers', id="two"),
        pytest.param(hdr(picture()[0], "GAMMA=2.2"), "with a gamma of 2.2 cannot be read", id="gamma"),
        pytest.param(b"#?RADIANCE\n" + b"x" * 70000, "its header does not end", id="endless-header"),
    ],
)
def test_refused(content: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        decoded(content)


def test_old_run_lengths_are_refused_and_not_taken_for_pixels() -> None:
    """1, 1, 1, n: the pixel before, n times."""
    stored = np.array([[[10, 20, 30, 128], [1, 1, 1, 12]]], np.uint8)
    content = hdr(stored).replace(b"-Y 1 +X 2\n", b"-Y 1 +X 13\n")
    with pytest.raises(ImageError, match="run lengths as programs wrote them before 1991"):
        decoded(content)


def test_mask() -> None:
    stored, light = picture()
    assert np.array_equal(formats.decode_mask(hdr(stored), 1000), (light > 0).any(axis=-1))
