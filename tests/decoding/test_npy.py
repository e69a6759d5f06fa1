"""NPY: arrays as they were saved, and none that would have to be unpickled."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from relight_eval.decoding import formats
from relight_eval.errors import ImageError
from tests.decoding.deep import decoded, grey3, npy, pixels, srgb_of

Array = npt.NDArray[Any]


def light(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).random(shape)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"])
@pytest.mark.parametrize("shape", [(7, 5), (7, 5, 1), (7, 5, 3), (1, 1, 3), (3, 3, 3)], ids=str)
def test_floats_are_linear_light(shape: tuple[int, ...], dtype: str, order: Any) -> None:
    stored = light(*shape).astype(dtype, order=order)
    found = decoded(npy(stored))
    expected = srgb_of(stored if len(shape) == 3 else stored[..., None])
    assert abs(np.moveaxis(found.values, 0, -1) - expected).max() < 1e-7
    assert found.notes == ("linear light, encoded as sRGB",)


def test_srgb_floats() -> None:
    stored = light(7, 5, 3)
    found = decoded(npy(stored), space="srgb")
    assert np.array_equal(np.moveaxis(found.values, 0, -1), stored.astype(np.float32))
    assert found.notes == ()


@pytest.mark.parametrize("dtype", ["uint8", "<u2", ">u2"])
def test_whole_numbers_need_a_space(dtype: str) -> None:
    white = 255 if dtype == "uint8" else 65535
    stored = (light(7, 5, 3) * white).astype(dtype)
    with pytest.raises(ImageError, match=r"whole numbers may be sRGB or linear light.*--space srgb or --space linear"):
        decoded(npy(stored))
    found = pixels(npy(stored), space="srgb")
    assert np.array_equal(found, stored if white == 255 else (stored / 65535).astype(np.float32))
    assert abs(pixels(npy(stored), space="linear") - srgb_of(stored / white)).max() < 1e-7


def test_white_level() -> None:
    stored = (light(7, 5, 3) * 4095).astype(np.uint16)
    assert abs(pixels(npy(stored), space="srgb", white_level=4095) - stored / 4095).max() < 1e-7


def test_alpha_is_straight() -> None:
    stored = light(7, 5, 4)
    colour, share = stored[..., :3], stored[..., 3:]
    with pytest.raises(ImageError, match=r"has transparency \(35 of 35 pixels\)"):
        decoded(npy(stored))
    assert abs(pixels(npy(stored), alpha="drop") - srgb_of(colour)).max() < 1e-7
    assert abs(pixels(npy(stored), alpha="black") - srgb_of(colour * share)).max() < 1e-7
    assert abs(pixels(npy(stored), alpha="white") - srgb_of(colour * share + 1 - share)).max() < 1e-7


class Bomb:
    def __reduce__(self) -> Any:
        return pytest.fail, ("unpickled",)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        pytest.param(np.array([[Bomb()]]), "Python objects is a pickle, which is never loaded", id="objects"),
        pytest.param(np.zeros((2, 2), [("a", object)]), "Python objects is a pickle", id="field-of-objects"),
        pytest.param(np.zeros((2, 2), [("a", "f4")]), "cannot be read; save float16, 32 or 64", id="fields"),
        pytest.param(np.zeros((2, 2), bool), "NPY of bool cannot be read", id="bool"),
        pytest.param(np.zeros((2, 2), np.int64), "NPY of int64 cannot be read", id="int64"),
        pytest.param(np.zeros((2, 2), np.complex64), "NPY of complex64 cannot be read", id="complex"),
        pytest.param(np.zeros((2, 2), "U3"), "NPY of <U3 cannot be read", id="text"),
        pytest.param(np.zeros((3, 7, 5)), r"shape \(3, 7, 5\).*channels come last: transpose it", id="channels-first"),
        pytest.param(np.zeros((7, 5, 2)), r"shape \(7, 5, 2\) cannot be read, expected \(H, W\)", id="two-channels"),
        pytest.param(np.zeros(7), r"shape \(7,\) cannot be read", id="one-axis"),
        pytest.param(np.zeros((1, 7, 5, 3)), r"shape \(1, 7, 5, 3\) cannot be read", id="four-axes"),
        pytest.param(np.zeros(()), r"shape \(\) cannot be read", id="number"),
        pytest.param(np.zeros((0, 5, 3)), "5x0 and has no pixels", id="no-rows"),
        pytest.param(np.full((2, 2, 3), 77.0), "whole numbers, up to 77: these look like levels of 255", id="levels"),
        pytest.param(np.full((2, 2), 7000.0), "look like levels of 65535.*--white-level 65535", id="levels-16"),
    ],
)
def test_refused(array: Array, said: str) -> None:
    with pytest.raises(ImageError, match=said):
        decoded(npy(array))


def test_a_header_that_lies_is_refused_before_memory_is_taken() -> None:
    content = npy(np.zeros((7, 5, 3), np.float32))
    with pytest.raises(ImageError, match="the NPY is cut short: 1 bytes are missing"):
        decoded(content[:-1])
    with pytest.raises(ImageError, match="99999x99999 is more than the limit"):
        decoded(content.replace(b"(7, 5, 3), }          ", b"(99999, 99999, 3), }  "))
    for length in range(6, 128, 5):
        with pytest.raises(ImageError, match="NPY"):
            decoded(content[:length])


@pytest.mark.parametrize("version", [(2, 0), (3, 0)])
def test_versions_of_the_format(version: tuple[int, int]) -> None:
    stored, file = light(7, 5, 3), io.BytesIO()
    np.lib.format.write_array(file, stored, version)
    if version == (2, 0):
        assert np.array_equal(pixels(file.getvalue()), pixels(npy(stored)))
        return
    with pytest.raises(ImageError, match=r"NPY of version 3.0 cannot be read"):
        decoded(file.getvalue())


def test_masks() -> None:
    inside = light(7, 5) > 0.5
    for array in (inside, inside.astype(np.int64), inside.astype(np.float16), grey3(inside).astype(np.uint8)):
        assert np.array_equal(formats.decode_mask(npy(array), 35), inside)
    with pytest.raises(ImageError, match="NPY of <U5 cannot be read as a mask"):
        formats.decode_mask(npy(inside.astype(str)), 35)


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big-endian"])
def test_fewer_bits_than_the_type_has_look_like_a_mistake(order: str) -> None:
    stored = np.linspace(0, 4095, 300).reshape(10, 10, 3).astype(f"{order}u2")
    assert decoded(npy(stored), space="srgb").mistakes[0].endswith("say --white-level 4095")
