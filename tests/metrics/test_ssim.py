"""SSIM: the two means of one map, pieces, both programs of it, the float64 reference, scikit-image and piq."""

from __future__ import annotations

import math

import numpy as np
import piq
import pytest
import skimage.metrics
import torch
from torch import Tensor
from torch.nn.functional import pad

from relight_eval.errors import ShapeError
from relight_eval.metrics import ssim as module
from relight_eval.metrics.pieces import resources
from relight_eval.metrics.ssim import C1, C2, HALF, padded_and_valid, padded_ssim, ssim
from relight_eval.metrics.wavelets import even, haar
from tests.metrics import references
from tests.metrics.cases import (
    ATOL,
    CASES,
    FLAT_PARTS,
    SSIM_ATOL,
    Pair,
    as_float64,
    as_stored,
    each_case,
    field_pair,
    flat,
    noise,
    score,
    to_tensors,
    white_where,
)

# But for the hardest.
USUAL = [case for case in CASES if not case.startswith(FLAT_PARTS)]


class TestProperties:
    @pytest.mark.parametrize("case", ["identical-19x17", "black_white-19x17"])
    def test_identical_is_exactly_1(self, case: str) -> None:
        image = CASES[case][1]
        assert score(module.metric(), (image, image)) == {"ssim": 1.0}

    def test_inverted_texture_is_below_0(self) -> None:
        image = noise(32, 32)
        assert score(module.metric(), (image, 255 - image))["ssim"] < -0.5

    def test_one_window_by_hand(self) -> None:
        """At 11x11 the window fits in one place only."""
        image, other = noise(11, 11), noise(11, 11, seed=1)
        w = references.gaussian_window()[..., None]
        x, y = as_float64((image, other))
        mu_x, mu_y = (w * x).sum((0, 1)), (w * y).sum((0, 1))
        var_x, var_y = (w * (x - mu_x) ** 2).sum((0, 1)), (w * (y - mu_y) ** 2).sum((0, 1))
        cov = (w * (x - mu_x) * (y - mu_y)).sum((0, 1))
        luminance = (2 * mu_x * mu_y + 1e-4) / (mu_x**2 + mu_y**2 + 1e-4)
        structure = (2 * cov + 9e-4) / (var_x + var_y + 9e-4)
        expected = float((luminance * structure).mean())
        assert score(module.metric(), (image, other))["ssim"] == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.02, 0.03), (4.0, 3.9)], ids=str)
    def test_two_constants_closed_form(self, a: float, b: float) -> None:
        """Without variance only the luminance term is left. 4 is the largest value of LL2: nothing cancels."""
        luminance = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
        x, y = (torch.full((1, 3, 16, 16), value, dtype=torch.float64) for value in (a, b))
        assert ssim(x, y).item() == pytest.approx(luminance, abs=1e-10)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.float64], ids=str)
    def test_result_is_float64(self, dtype: torch.dtype) -> None:
        image = torch.zeros(1, 3, 16, 16, dtype=dtype)
        assert ssim(image, image).dtype == padded_ssim(image, image).dtype == torch.float64

    @pytest.mark.parametrize(
        ("height", "width"), [(10, 20), (20, 10), (10, 10), (5, 40), (1, 1)], ids=lambda side: str(side)
    )
    def test_below_the_window_valid_is_nan_and_padded_still_right(self, height: int, width: int) -> None:
        pair = noise(height, width), noise(height, width, seed=1)
        padded, valid = padded_and_valid(*to_tensors(pair))
        assert math.isnan(valid.item())
        assert padded.item() == pytest.approx(references.ssim_padded(*as_float64(pair)), abs=5e-6)

    def test_min_side_is_the_window(self) -> None:
        pair = noise(11, 11), noise(11, 11, seed=1)
        assert module.metric().min_side == 11
        assert math.isfinite(score(module.metric(), pair)["ssim"])

    @pytest.mark.parametrize(
        ("prediction", "target"),
        [((1, 3, 16, 16), (1, 3, 16, 17)), ((1, 1, 16, 16), (1, 3, 16, 16)), ((16, 16), (16, 16))],
        ids=["other_width", "would_broadcast", "no_batch"],
    )
    @pytest.mark.parametrize("function", [ssim, padded_ssim])
    def test_shapes_that_do_not_fit(self, function, prediction, target) -> None:
        with pytest.raises(ShapeError, match=rf"(prediction is|the images are) \({prediction[0]}, "):
            function(torch.zeros(prediction), torch.zeros(target))


class TestPieces:
    @pytest.mark.parametrize("piece_values", [1, 1500, 2**17])
    @pytest.mark.parametrize("case", ["noise-64x64", "bright-33x47", "close-48x33", "noise-16x16"])
    def test_the_same_scores_for_every_piece(self, case: str, piece_values: int) -> None:
        pairs = [CASES[case], CASES[case][::-1]]
        for feed, rtol in ((as_stored, SSIM_ATOL), (lambda *of: [side.double() for side in to_tensors(*of)], 1e-12)):
            with resources(piece_values=2**40):
                whole = padded_and_valid(*feed(*pairs))
            with resources(piece_values=piece_values):
                in_parts = padded_and_valid(*feed(*pairs))
            for cut, uncut in zip(in_parts, whole, strict=True):
                np.testing.assert_allclose(cut, uncut, rtol=rtol)

    @pytest.mark.parametrize("height", [*range(11, 27), 40, 41, 45, 46])
    def test_valid_windows_at_every_seam(self, height: int) -> None:
        """Pieces of 20 rows: the valid windows of one may begin or end in another."""
        pair = noise(height, 12), noise(height, 12, seed=1)
        with resources(piece_values=1):
            padded, valid = padded_and_valid(*as_stored(pair))
        assert valid.item() == pytest.approx(references.ssim(*as_float64(pair)), abs=SSIM_ATOL)
        assert padded.item() == pytest.approx(references.ssim_padded(*as_float64(pair)), abs=SSIM_ATOL)


def both_maps(x: Tensor, y: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """What frame-analytics computes, and what the portable program computes in float64."""
    native = module._native_ssim_map(x.float(), y.float(), scale)
    portable = module._portable_ssim_map(x.double(), y.double(), C1 * scale**2, C2 * scale**2)
    assert native.shape == portable.shape
    return native, portable


class TestBothPrograms:
    """frame-analytics' kernel and the portable one: other formulas, other order, one value."""

    @each_case(USUAL)
    @pytest.mark.parametrize("scale", [1.0, 255.0], ids="scale_{:g}".format)
    def test_of_images(self, pair: Pair, scale: float) -> None:
        x, y = (pad(side * (scale / 255), (HALF,) * 4) for side in as_stored(pair))
        native, portable = both_maps(x, y, scale)
        assert native.mean().item() == pytest.approx(portable.mean().item(), abs=SSIM_ATOL)
        float32 = module._portable_ssim_map(x, y, C1 * scale**2, C2 * scale**2)
        assert float32.mean().item() == pytest.approx(portable.mean().item(), abs=SSIM_ATOL)

    @each_case(case for case in CASES if case.startswith(FLAT_PARTS))
    @pytest.mark.parametrize("scale", [1.0, 255.0], ids="scale_{:g}".format)
    def test_of_flat_parts(self, pair: Pair, scale: float) -> None:
        x, y = (pad(side * (scale / 255), (HALF,) * 4) for side in as_stored(pair))
        native, portable = both_maps(x, y, scale)
        assert native.mean().item() == pytest.approx(portable.mean().item(), abs=ATOL)

    @each_case(USUAL, smallest=16)
    def test_of_bands(self, pair: Pair) -> None:
        """Of any sign, around zero, and up to 2."""
        for bands in zip(*(haar(even(side.double() / 255)) for side in as_stored(pair)), strict=True):
            native, portable = both_maps(*(pad(band, (HALF,) * 4) for band in bands), 1.0)
            assert native.mean().item() == pytest.approx(portable.mean().item(), abs=SSIM_ATOL)

    @pytest.mark.parametrize("offset", [-3.0, -0.5, -1e-3, -1e-6, 0.0, 1e-6, 1e-3, 0.5, 3.0], ids="mean_{}".format)
    def test_of_every_mean(self, offset: float) -> None:
        """Also of the smallest, half of which cannot be taken as the kernel's range."""
        x, y = (side - 0.5 + offset for side in to_tensors(CASES["noise-48x33"]))
        native, portable = both_maps(x, y, 1.0)
        torch.testing.assert_close(native.double(), portable, rtol=0, atol=1e-5)
        assert native.mean().item() == pytest.approx(portable.mean().item(), abs=SSIM_ATOL)

    @pytest.mark.parametrize("scale", [1.0, 255.0], ids="scale_{:g}".format)
    @pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
    def test_identical_is_exactly_1_at_every_place(self, level: float, scale: float) -> None:
        for x in (torch.full((1, 3, 16, 16), level * scale), scale * level * to_tensors(CASES["noise-16x16"])[0]):
            native = module._native_ssim_map(x, x.clone(), scale)
            assert native.shape == (1, 3, 6, 6)
            assert torch.equal(native, torch.ones_like(native))
            assert ssim(x / scale, x.clone() / scale).item() == 1.0

    @pytest.mark.parametrize(
        ("dtype", "gradient", "expected"),
        [
            (torch.uint8, False, "native"),
            (torch.float16, False, "native"),
            (torch.float32, False, "native"),
            (torch.float64, False, "portable"),
            (torch.float32, True, "portable"),
        ],
        ids=str,
    )
    def test_which_is_used(
        self, dtype: torch.dtype, gradient: bool, expected: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        used = []
        monkeypatch.setattr(module, "has_kernels", lambda device: True, raising=False)
        for name in ("native", "portable"):
            function = getattr(module, f"_{name}_ssim_map")
            spy = lambda *args, name=name, function=function: (used.append(name), function(*args))[1]  # noqa: E731
            monkeypatch.setattr(module, f"_{name}_ssim_map", spy)
        image, other = (tensor.to(dtype) for tensor in to_tensors(CASES["noise-16x16"]))
        ssim(image.requires_grad_() if gradient else image, other)
        assert set(used) == {expected}
        if gradient:
            used.clear()
            with torch.no_grad():
                ssim(image, other)
            assert set(used) == {"native"}

    @pytest.mark.parametrize("side", [0, 1], ids=["prediction", "target"])
    def test_gradient(self, side: int) -> None:
        """In pieces, for either image, against central differences, and in float32 that of float64."""
        pair = CASES["noise-19x17"]
        gradients = {}
        for dtype in (torch.float32, torch.float64):
            images = [image.to(dtype) for image in to_tensors(pair)]
            images[side].requires_grad_()
            with resources(piece_values=1):
                value = ssim(*images)
            value.sum().backward()
            assert value.item() == pytest.approx(references.ssim(*as_float64(pair)), abs=SSIM_ATOL)
            gradients[dtype] = images[side].grad.double()
        largest = gradients[torch.float64].abs().max().item()
        torch.testing.assert_close(gradients[torch.float32], gradients[torch.float64], rtol=0, atol=1e-5 * largest)
        direction = torch.randn(images[side].shape, generator=torch.manual_seed(5), dtype=torch.float64)
        ahead, behind = (
            ssim(*(image.detach() + sign * 1e-6 * direction * (i == side) for i, image in enumerate(images))).item()
            for sign in (1, -1)
        )
        along = (gradients[torch.float64] * direction).sum().item()
        assert along == pytest.approx((ahead - behind) / 2e-6, rel=1e-6)


FLAT_PAIRS: dict[str, Pair] = {
    "dark_and_bright": (flat(32, 32, 64), flat(32, 32, 200)),
    "two_parts": (
        white_where(32, 64, lambda i, j: j < 32) // 255 * 136 + 64,
        white_where(32, 64, lambda i, j: j >= 32) // 255 * 136 + 64,
    ),
}


@pytest.mark.parametrize("pair", FLAT_PAIRS.values(), ids=FLAT_PAIRS.keys())
def test_flat_against_another_flat(pair: Pair) -> None:
    """C2 is 9e-4, and what is left of E[x²] − E[x]² where there is no variance is compared with it."""
    assert score(module.metric(), pair)["ssim"] == pytest.approx(references.ssim(*as_float64(pair)), abs=ATOL)


class TestValues:
    @each_case(USUAL, smallest=11)
    def test_reference(self, pair: Pair) -> None:
        expected = references.ssim(*as_float64(pair))
        assert score(module.metric(), pair) == pytest.approx({"ssim": expected}, abs=SSIM_ATOL)
        assert ssim(*to_tensors(pair)).item() == pytest.approx(expected, abs=SSIM_ATOL)

    @each_case((case for case in CASES if case.startswith(FLAT_PARTS)), smallest=11)
    def test_reference_of_flat_parts(self, pair: Pair) -> None:
        expected = references.ssim(*as_float64(pair))
        assert score(module.metric(), pair) == pytest.approx({"ssim": expected}, abs=5e-6)

    @each_case(smallest=11)
    def test_skimage(self, pair: Pair) -> None:
        """scikit-image 0.26.0 with the settings that the docstring names, run by this test."""
        theirs = skimage.metrics.structural_similarity(
            *as_float64(pair),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=2,
        )
        assert score(module.metric(), pair) == pytest.approx({"ssim": theirs}, abs=ATOL)

    @each_case(smallest=11)
    def test_piq(self, pair: Pair) -> None:
        """piq 0.8.0, `ssim(..., downsample=False)` in float64, run by this test."""
        prediction, target = (image.double() for image in to_tensors(pair))
        theirs = piq.ssim(prediction, target, downsample=False).item()
        assert score(module.metric(), pair) == pytest.approx({"ssim": theirs}, abs=ATOL)

    def test_field_number(self) -> None:
        """The project's reference number, computed by two programs before this one was written."""
        assert f"{score(module.metric(), field_pair())['ssim']:.6f}" == "0.483496"
