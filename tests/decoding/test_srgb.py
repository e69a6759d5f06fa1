"""From what a file stores to sRGB: profiles, gammas, spaces, ranges, and what --strict refuses."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import PIL.Image
import pytest

from relight_eval.decoding import Planes, srgb
from relight_eval.errors import ImageError
from tests.decoding.deep import decoded, npy, pixels, srgb_of, tiff
from tests.decoding.writers import (
    COLORANTS,
    SRGB_CURVE,
    chrm,
    chunk,
    gama,
    gamma_curve,
    icc,
    icc_of_inks,
    iccp,
    parametric,
    png,
)

Array = npt.NDArray[Any]

LEVELS = np.random.default_rng(0).integers(0, 256, (11, 13, 3), dtype=np.uint8)
SRGB = icc(parametric(*SRGB_CURVE))
P3 = icc(parametric(*SRGB_CURVE), "Display P3", description="Display P3")
GAMMA_1_8 = icc(gamma_curve(1.8), description="Gamma 1.8")
GREY_GAMMA = icc(gamma_curve(1.8), None, description="Grey 1.8")
P3_XY = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)


def saved(array: Array, kind: str, profile: bytes, mode: str | None = None) -> bytes:
    file = io.BytesIO()
    settings: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {}
    height, width = array.shape[:2]
    mode = mode or ("L" if array.ndim == 2 else "RGB")
    PIL.Image.frombytes(mode, (width, height), array.tobytes()).save(file, kind, icc_profile=profile, **settings)
    return file.getvalue()


def of_p3(levels: Array) -> Array:
    """Display P3 in sRGB, from the makers' colorants (both are relative to D50), clipped."""
    value = levels / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_xyz = np.transpose(COLORANTS["Display P3"])
    from_xyz = np.linalg.inv(np.transpose(COLORANTS["sRGB"]))
    return srgb_of(light @ (from_xyz @ to_xyz).T)


def seen(planes: Planes) -> Array:
    return np.moveaxis(planes.values, 0, -1)


# Profiles


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_profile_that_is_srgb_leaves_the_values_as_stored(kind: str) -> None:
    found = decoded(saved(LEVELS, kind, SRGB))
    assert found.values.dtype == np.uint8
    assert np.array_equal(seen(found), LEVELS)
    assert found.notes == ()
    assert decoded(saved(LEVELS, kind, SRGB), strict=True).notes == ()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_another_profile_is_converted_and_said(kind: str) -> None:
    content = saved(LEVELS, kind, P3)
    found = decoded(content)
    assert found.values.dtype == np.float32
    assert abs(seen(found) - of_p3(LEVELS)).max() < 2e-3
    assert found.notes[0] == 'converted from "Display P3"'
    assert "of 429 values above 1" in found.notes[1]  # pure P3 colours are beyond sRGB
    with pytest.raises(ImageError, match=r'converted from "Display P3": refused, as --strict says'):
        decoded(content, strict=True)


def test_a_profile_of_jpeg() -> None:
    grey = np.full((16, 16, 3), 100, np.uint8)
    found = decoded(saved(grey, "JPEG", GAMMA_1_8))
    assert abs(seen(found) - srgb_of((100 / 255) ** 1.8)).max() < 1e-3
    assert found.notes == ('converted from "Gamma 1.8"',)


@pytest.mark.parametrize("profile", [GREY_GAMMA, GAMMA_1_8], ids=["grey", "rgb"])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_a_profile_of_grey(kind: str, profile: bytes) -> None:
    grey = LEVELS[..., 0]
    found = decoded(saved(grey, kind, profile))
    assert abs(found.values - srgb_of((grey / 255) ** 1.8)).max() < 1e-3


def test_a_profile_of_inks() -> None:
    """White paper, and black of full ink; in between as the profile's table says."""
    lab = np.zeros((2, 2, 2, 2, 3))
    lab[0, 0, 0, 0] = [100, 0, 0]
    inks = np.array([[[0, 0, 0, 0], [255, 255, 255, 255]]], np.uint8)
    found = decoded(saved(inks, "TIFF", icc_of_inks(lab, "Paper"), "CMYK"))
    assert abs(found.values[:, 0, 0] - 1).max() < 1e-3
    assert abs(found.values[:, 0, 1]).max() < 1e-3
    assert found.notes[0] == 'converted from "Paper"'


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_profile_of_deep_tiff(dtype: str) -> None:
    stored = (LEVELS * np.uint16(257)) if dtype == "uint16" else (LEVELS / 255).astype(np.float32)
    assert abs(pixels(tiff(stored, icc=P3)) - of_p3(LEVELS)).max() < 2e-3
    assert np.array_equal(pixels(tiff(stored, icc=SRGB)), (LEVELS / 255).astype(np.float32))


def test_a_profile_of_deep_png() -> None:
    stored = LEVELS * np.uint16(257)
    found = decoded(png(stored, 16, 2, before=[iccp(P3)]))
    assert abs(seen(found) - of_p3(LEVELS)).max() < 2e-3
    assert found.notes[0] == 'converted from "Display P3"'


def test_alpha_is_laid_over_before_the_profile() -> None:
    rgba = np.dstack([LEVELS, np.full(LEVELS.shape[:2], 128, np.uint8)])
    content = png(rgba, 8, 6, before=[iccp(P3)])
    front = LEVELS * (128 / 255)
    assert abs(pixels(content, alpha="black") - of_p3(front)).max() < 2e-3
    assert abs(pixels(content, alpha="white") - of_p3(front + 127)).max() < 2e-3


def test_a_damaged_profile_is_refused_unless_the_user_says_what_counts() -> None:
    content = saved(LEVELS, "TIFF", P3[:150])
    with pytest.raises(ImageError, match=r"colour profile is damaged.*--space"):
        decoded(content)
    found = decoded(content, space="srgb")
    assert np.array_equal(seen(found), LEVELS)
    assert found.notes == ("read as sRGB, as --space says, not as the file says",)


# What a PNG says without a profile


@pytest.mark.parametrize("depth", [8, 16])
def test_linear_gamma_of_png(depth: int) -> None:
    stored = LEVELS if depth == 8 else LEVELS * np.uint16(257)
    content = png(stored, depth, 2, before=[gama(1.0)])
    found = decoded(content)
    assert abs(seen(found) - srgb_of(LEVELS / 255)).max() < 1e-7
    assert found.notes == ("converted from linear light",)
    with pytest.raises(ImageError, match="converted from linear light: refused, as --strict says"):
        decoded(content, strict=True)


def test_gamma_and_primaries_of_png() -> None:
    found = decoded(png(LEVELS, 8, 2, before=[gama(1 / 1.8), chrm(P3_XY)]))
    assert found.notes[0] == "converted from gamma 1.8 of other primaries"
    found = decoded(png(LEVELS, 8, 2, before=[chrm(P3_XY)]))
    assert abs(seen(found) - of_p3(LEVELS)).max() < 2e-3
    assert found.notes[0] == "converted from other primaries"


def test_srgb_chunk_of_png_counts_more() -> None:
    found = decoded(png(LEVELS, 8, 2, before=[chunk(b"sRGB", b"\0"), gama(1.0), chrm(P3_XY)]))
    assert np.array_equal(seen(found), LEVELS)


# The space that the user says


@pytest.mark.parametrize(("space", "gamma"), [("linear", 1.0), ("gamma2.2", 2.2)])
def test_levels_in_another_space_are_converted_and_not_rounded(space: str, gamma: float) -> None:
    found = decoded(png(LEVELS, 8, 2), space=space)
    assert abs(seen(found) - srgb_of((LEVELS / 255) ** gamma)).max() < 1e-7
    assert found.notes == ({"linear": "linear light", "gamma2.2": "gamma 2.2"}[space] + ", encoded as sRGB",)
    assert decoded(png(LEVELS, 8, 2), space=space, strict=True).notes == found.notes


def test_it_counts_more_than_what_the_file_says() -> None:
    found = decoded(png(LEVELS, 8, 2, before=[iccp(P3)]), space="linear")
    assert np.array_equal(found.values, decoded(png(LEVELS, 8, 2), space="linear").values)
    assert found.notes[0] == "read as linear light, as --space says, not as the file says"


def test_light_is_encoded_to_the_nearest_float() -> None:
    light = np.concatenate([np.linspace(0, 1, 4000), [0.0031308, 0.00313081, 1e-9]])[None]
    assert np.array_equal(pixels(npy(light))[0, :, 0], srgb_of(light[0]).astype(np.float32))


def test_bands_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = np.random.default_rng(0).random((37, 23, 4)) * 1.2 - 0.1
    whole = decoded(npy(stored), alpha="white")
    monkeypatch.setattr(srgb, "_BAND_PIXELS", 60)
    bands = decoded(npy(stored), alpha="white")
    assert np.array_equal(whole.values, bands.values)
    assert whole.notes == bands.notes


# Ranges


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        pytest.param(np.linspace(-1, 1, 300), "an image in [-1, 1]? then save it in [0, 1]", id="minus-one-to-one"),
        pytest.param(np.linspace(0, 254.7, 300), "an image in [0, 255]? then divide it by 255", id="to-255"),
        pytest.param(
            np.linspace(0, 4.2, 300), "values up to 4.2 in sRGB: linear light? then say --space linear", id="hdr"
        ),
    ],
)
def test_ranges_that_look_like_a_mistake(stored: Array, said: str) -> None:
    (mistake,) = decoded(npy(stored.reshape(10, 30)), space="srgb").mistakes
    assert said in mistake


@pytest.mark.parametrize(
    "stored", [np.linspace(0, 1, 300), np.linspace(-0.1, 1.1, 300), np.zeros(300), np.ones(300)], ids=str
)
def test_ranges_that_do_not(stored: Array) -> None:
    assert decoded(npy(stored.reshape(10, 30)), space="srgb").mistakes == ()


def test_rounding_is_not_said_to_be_clipped() -> None:
    assert decoded(npy(np.full((2, 2), np.nextafter(np.float32(1), 2))), space="srgb").notes == ()


def test_strict_takes_what_is_as_it_should_be() -> None:
    for content in (png(LEVELS, 8, 2), png(LEVELS * np.uint16(257), 16, 2), npy(LEVELS / 255)):
        assert np.array_equal(decoded(content, strict=True).values, decoded(content).values)


def test_white_level_does_not_touch_eight_bits() -> None:
    assert np.array_equal(pixels(png(LEVELS, 8, 2), white_level=100), LEVELS)


def test_values_above_the_white_level_are_clipped_and_said() -> None:
    stored = np.array([[[0], [500], [1000], [1001], [2000]]], np.uint16)
    found = decoded(tiff(stored), white_level=1000)
    assert np.array_equal(found.values[0, 0], np.float32([0, 0.5, 1, 1, 1]))
    assert found.notes == ("2 of 5 values above 1 (up to 2), clipped",)
