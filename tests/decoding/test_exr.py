"""OpenEXR, against the values that the test wrote byte by byte; the library itself only where it must pack them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenEXR
import pytest

from relight_eval.decoding import formats
from relight_eval.errors import ImageError
from tests.decoding.deep import decoded, exr, exr_rgb, grey3, pixels, srgb_of

Array = npt.NDArray[Any]
P3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)
REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
# Linear Display P3 to linear sRGB, as the CSS Color Module Level 4 prints it.
P3_TO_SRGB = [[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]]


def light(channels: int = 3, dtype: str = "float32", height: int = 11, width: int = 13) -> Array:
    return np.random.default_rng(channels).random((height, width, channels)).astype(dtype)


def packed(compression: Any, channels: dict[str, Array], **header: Any) -> bytes:
    file = io.BytesIO()
    OpenEXR.File({"compression": compression, "type": OpenEXR.scanlineimage, **header}, channels).write(file)
    return file.getvalue()


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_linear_light_becomes_srgb(channels: int, dtype: str) -> None:
    stored = light(channels, dtype)
    found = decoded(exr_rgb(stored))
    expected = np.broadcast_to(srgb_of(stored), (11, 13, 3))
    assert abs(np.moveaxis(found.values, 0, -1) - expected).max() < 1e-7
    assert found.notes == ("linear light, encoded as sRGB",)
    assert found.mistakes == ()


def test_every_half_is_right() -> None:
    """All 15,361 halfs of [0, 1], of which no two become one number."""
    halfs = np.arange(0x3C01, dtype=np.uint16).view(np.float16)[None, :, None]
    found = pixels(exr_rgb(halfs))[0, :, 0]
    assert np.array_equal(found, srgb_of(halfs[0, :, 0]).astype(np.float32))
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("name", ["RLE", "ZIPS", "ZIP", "PIZ"])
def test_lossless_compressions(name: str) -> None:
    stored = light()
    content = packed(getattr(OpenEXR, f"{name}_COMPRESSION"), {"RGB": stored})
    assert np.array_equal(pixels(content), pixels(exr_rgb(stored)))


def test_tiles() -> None:
    stored = light(height=50, width=70)
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    content = packed(OpenEXR.ZIP_COMPRESSION, {"RGB": stored}, type=OpenEXR.tiledimage, tiles=tiles)
    assert np.array_equal(pixels(content), pixels(exr_rgb(stored)))


@pytest.mark.parametrize("space", ["srgb", "gamma2.2"])
def test_space_of_the_user_counts(space: str) -> None:
    stored = light()
    found = decoded(exr_rgb(stored), space=space)
    expected = stored if space == "srgb" else srgb_of(stored.astype(np.float64) ** 2.2)
    assert abs(np.moveaxis(found.values, 0, -1) - expected).max() < 1e-7
    assert found.notes == (() if space == "srgb" else ("gamma 2.2, encoded as sRGB",))


def test_values_outside_the_range_are_clipped_and_counted() -> None:
    stored = light()
    stored[0, 0] = [4.25, 1.5, -0.01]
    stored[1, 0] = [np.inf, -np.inf, 0.5]
    found = decoded(exr_rgb(stored))
    assert np.array_equal(found.values[:, 0, 0], [1, 1, 0])
    assert np.array_equal(found.values[:2, 1, 0], [1, 0])
    said = (
        "3 of 429 values above 1 (up to infinity) and 2 of 429 values below 0 (down to -infinity), 2 infinite, clipped"
    )
    assert found.notes == ("linear light, encoded as sRGB", said)
    stored[1, 0] = 0
    said = "2 of 429 values above 1 (up to 4.25) and 1 of 429 values below 0 (down to -0.01), clipped"
    assert decoded(exr_rgb(stored)).notes[1] == said
    assert decoded(exr_rgb(stored), strict=True).notes[1] == said


def test_nan_is_refused_with_its_place() -> None:
    stored = light()
    stored[7, 3, 1] = stored[7, 5, 0] = stored[7, 5, 1] = stored[9, 0, 2] = np.nan
    with pytest.raises(ImageError, match=r"3 of 143 pixels are NaN.*\(the first at x = 3, y = 7\)"):
        decoded(exr_rgb(stored))


def test_nan_of_alpha_is_refused() -> None:
    stored = light(4)
    stored[2, 4, 3] = np.nan
    with pytest.raises(ImageError, match=r"1 of 143 pixels are NaN.*x = 4, y = 2"):
        decoded(exr_rgb(stored), alpha="black")


def test_alpha_is_premultiplied_and_laid_over_in_linear_light() -> None:
    stored = light(4)
    stored[..., :3] *= stored[..., 3:]
    content = exr_rgb(stored)
    with pytest.raises(ImageError, match=r"has transparency \(143 of 143 pixels\)"):
        decoded(content)
    colour, share = stored[..., :3].astype(np.float64), stored[..., 3:].astype(np.float64)
    assert abs(pixels(content, alpha="black") - srgb_of(colour)).max() < 1e-7
    assert abs(pixels(content, alpha="white") - srgb_of(colour + 1 - share)).max() < 1e-7
    dropped = decoded(content, alpha="drop")
    assert abs(np.moveaxis(dropped.values, 0, -1) - srgb_of(colour)).max() < 1e-7
    assert "premultiplied colours taken as stored, as over black" in dropped.notes


def test_opaque_alpha_is_dropped() -> None:
    stored = light(4)
    stored[..., 3] = 1
    assert np.array_equal(pixels(exr_rgb(stored)), pixels(exr_rgb(stored[..., :3])))


def test_primaries_are_converted() -> None:
    stored = light() * 0.5 + 0.2
    found = decoded(exr_rgb(stored, chromaticities=P3))
    expected = srgb_of(stored.astype(np.float64) @ np.transpose(P3_TO_SRGB))
    assert abs(np.moveaxis(found.values, 0, -1) - expected).max() < 1e-3
    assert found.notes == ("converted from linear light of other primaries",)
    with pytest.raises(ImageError, match="converted from linear light of other primaries: refused, as --strict says"):
        decoded(exr_rgb(stored, chromaticities=P3), strict=True)
    ignored = decoded(exr_rgb(stored, chromaticities=P3), space="linear")
    assert np.array_equal(ignored.values, decoded(exr_rgb(stored)).values)
    assert ignored.notes[0] == "read as linear light, as --space says, not as the file says"
    same = decoded(exr_rgb(stored, chromaticities=REC709))
    assert same.notes == ("linear light, encoded as sRGB",)


def test_grey_is_neutral_under_any_primaries() -> None:
    stored = light(1)
    assert np.array_equal(pixels(exr_rgb(stored, chromaticities=P3)), pixels(exr_rgb(stored)))


def test_other_layers_are_left_out_and_said() -> None:
    stored = light()
    names = {
        "R": stored[..., 0],
        "G": stored[..., 1],
        "B": stored[..., 2],
        "Z": stored[..., 0],
        "diffuse.R": stored[..., 0],
    }
    found = decoded(exr(names))
    assert np.array_equal(np.moveaxis(found.values, 0, -1), pixels(exr_rgb(stored)))
    assert found.notes == ("linear light, encoded as sRGB", "other channels left out: Z, diffuse.R")
    with pytest.raises(ImageError, match=r"other channels left out: Z, diffuse\.R: refused"):
        decoded(exr(names), strict=True)


def test_first_of_several_parts() -> None:
    stored = light()
    settings = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    parts = [
        OpenEXR.Part({**settings, "name": name}, {"RGB": array}) for name, array in (("a", stored), ("b", 1 - stored))
    ]
    file = io.BytesIO()
    OpenEXR.File(parts).write(file)
    found = decoded(file.getvalue())
    assert np.array_equal(np.moveaxis(found.values, 0, -1), pixels(exr_rgb(stored)))
    assert found.notes == ("linear light, encoded as sRGB", "first of 2 parts")


@pytest.mark.parametrize("origin", [(0, 0), (-3, 5)])
def test_what_is_shown_is_the_display_window(origin: tuple[int, int]) -> None:
    stored = light()
    x, y = origin
    content = exr_rgb(stored, origin=origin, display=(x + 2, y + 1, x + 8, y + 10))
    assert np.array_equal(pixels(content), pixels(exr_rgb(stored))[1:11, 2:9])


@pytest.mark.parametrize("display", [(-1, 0, 12, 10), (0, 0, 13, 10), (0, 0, 12, 11), (20, 20, 30, 30)])
def test_a_display_window_without_data_is_refused(display: tuple[int, int, int, int]) -> None:
    with pytest.raises(ImageError, match=r"\(0, 0 to 12, 10\) do not cover its display window"):
        decoded(exr_rgb(light(), display=display))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(exr(dict.fromkeys("RGB", np.ones((3, 4), np.uint32))), r"whole numbers \(UINT\)", id="uint"),
        pytest.param(exr({name: light(1)[..., 0] for name in ("Y", "RY", "BY")}), r"luminance and chroma", id="chroma"),
        pytest.param(exr({"Z": light(1)[..., 0]}), r"without the channels R, G and B, or Y \(it has Z\)", id="depth"),
        pytest.param(exr({"R": light(1)[..., 0]}), r"without the channels R, G and B, or Y \(it has R\)", id="red"),
        pytest.param(exr_rgb(light() * 255 // 1), "look like levels of 255.*--white-level 255", id="levels"),
    ],
)
def test_what_is_no_picture_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        decoded(content)


def test_deep_data_are_refused() -> None:
    """(Deep as OpenEXR has it: a list of values for each pixel.)"""
    lists = np.empty((3, 4), object)
    for place in np.ndindex(lists.shape):
        lists[place] = np.ones(2, np.float32)
    content = packed(OpenEXR.ZIPS_COMPRESSION, dict.fromkeys("RGB", lists), type=OpenEXR.deepscanline)
    with pytest.raises(ImageError, match=r"deep OpenEXR .* cannot be read; flatten it"):
        decoded(content)


def test_levels_are_read_where_the_user_says_so() -> None:
    stored = (light() * 255 // 1).astype(np.float32)
    assert abs(pixels(exr_rgb(stored), white_level=255, space="srgb") - stored / 255).max() < 1e-7


def test_size_is_looked_at_before_decoding() -> None:
    with pytest.raises(ImageError, match="30000x30000 is more than the limit of 178956970 pixels"):
        decoded(exr_rgb(light(), size=(30000, 30000)))
    with pytest.raises(ImageError, match="13x11 is more than the limit of 142 pixels"):
        decoded(exr_rgb(light()), max_pixels=142)
    many = exr({f"layer{i}.R": light(1)[..., 0] for i in range(9)} | dict.fromkeys("RGB", light(1)[..., 0]))
    with pytest.raises(ImageError, match="1716 values in all channels are more than 4 for each of 400 pixels"):
        decoded(many, max_pixels=400)


def test_cut_short_it_is_refused() -> None:
    for content in (exr_rgb(light()), packed(OpenEXR.ZIP_COMPRESSION, {"RGB": light()})):
        for length in range(5, len(content), 47):
            with pytest.raises(ImageError, match="OpenEXR is damaged"):
                decoded(content[:length])


def test_mask() -> None:
    inside = light(1)[..., 0] > 0.5
    assert np.array_equal(formats.decode_mask(exr({"Y": inside.astype(np.float32)}), 1000), inside)
    assert np.array_equal(formats.decode_mask(exr_rgb(grey3(inside).astype(np.float16)), 1000), inside)
