"""SSIM: the two means of one map, strips, the float64 reference, scikit-image and piq."""

from __future__ import annotations

import math

import numpy as np
import piq
import pytest
import skimage.metrics
import torch

from relight_eval.errors import ShapeError
from relight_eval.metrics import metric as floor
from relight_eval.metrics import ssim as module
from relight_eval.metrics.metric import strips
from relight_eval.metrics.ssim import WINDOW, padded_and_valid, padded_ssim, ssim
from tests.metrics import references
from tests.metrics.cases import ATOL, CASES, Pair, as_float64, each_case, field_pair, noise, score, to_tensors


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

    def test_result_is_float64_for_float32_images(self) -> None:
        prediction, target = to_tensors(CASES["noise-16x16"])
        assert ssim(prediction, target).dtype == torch.float64
        assert padded_ssim(prediction, target, dtype=torch.float32).dtype == torch.float32

    @pytest.mark.parametrize(
        ("height", "width"), [(10, 20), (20, 10), (10, 10), (5, 40), (1, 1)], ids=lambda side: str(side)
    )
    def test_below_the_window_valid_is_nan_and_padded_still_right(self, height: int, width: int) -> None:
        pair = noise(height, width), noise(height, width, seed=1)
        padded, valid = padded_and_valid(*to_tensors(pair))
        assert math.isnan(valid.item())
        assert padded.item() == pytest.approx(references.ssim_padded(*as_float64(pair)), abs=1e-6)

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


class TestStrips:
    @pytest.mark.parametrize("strip_values", [1, 10_000, 2**17])
    @pytest.mark.parametrize("case", ["noise-64x64", "bright-33x47", "close-48x33", "noise-16x16"])
    def test_the_same_scores_for_every_strip(
        self, case: str, strip_values: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pairs = [CASES[case], CASES[case][::-1]]
        monkeypatch.setattr(floor, "STRIP_VALUES", 2**40)
        whole = padded_and_valid(*to_tensors(*pairs))
        monkeypatch.setattr(floor, "STRIP_VALUES", strip_values)
        for cut, uncut in zip(padded_and_valid(*to_tensors(*pairs)), whole, strict=True):
            np.testing.assert_allclose(cut, uncut, rtol=1e-12)

    def test_every_window_of_rows_comes_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(floor, "STRIP_VALUES", 1)
        rows = torch.arange(64.0).view(1, 1, 64, 1).expand(1, 3, 64, 5)
        cut = list(strips(rows, -rows, dtype=torch.float64, halo=WINDOW - 1))
        assert len(cut) > 2
        windows = []
        for top, prediction, target in cut:
            assert prediction.dtype == torch.float64
            assert torch.equal(prediction, -target)
            assert prediction[0, 0, 0, 0] == top
            windows += [tuple(window) for window in prediction[0, 0, :, 0].unfold(0, WINDOW, 1).tolist()]
        assert windows == [tuple(range(top, top + WINDOW)) for top in range(64 - WINDOW + 1)]


class TestValues:
    @each_case(smallest=11)
    def test_reference(self, pair: Pair) -> None:
        expected = references.ssim(*as_float64(pair))
        assert score(module.metric(), pair) == pytest.approx({"ssim": expected}, abs=ATOL)

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
