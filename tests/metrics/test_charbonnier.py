"""Charbonnier: closed forms, the float64 reference, and frame-analytics."""

from __future__ import annotations

import math

import frame_analytics
import numpy as np
import pytest
import torch

from relight_eval import columns
from relight_eval.errors import ShapeError
from relight_eval.metrics import charbonnier as module
from relight_eval.metrics.charbonnier import charbonnier
from relight_eval.metrics.pieces import resources
from tests.metrics import references
from tests.metrics.cases import (
    CASES,
    CHARBONNIER_ATOL,
    Pair,
    as_float64,
    as_stored,
    each_case,
    flat,
    noise,
    score,
    to_tensors,
)


class TestProperties:
    @pytest.mark.parametrize("eps", [1e-3, 1e-6], ids=["code", "paper"])
    def test_identical_gives_eps(self, eps: float) -> None:
        image = torch.rand(2, 3, 9, 7, generator=torch.manual_seed(0))
        assert charbonnier(image, image, eps=eps).tolist() == pytest.approx([eps, eps], rel=1e-12)

    @pytest.mark.parametrize("eps", [1e-3, 0.1], ids=str)
    def test_black_against_white_is_the_top_of_the_range(self, eps: float) -> None:
        computed = score(module.metric(eps), (flat(5, 6, 0), flat(5, 6, 255)))
        (column,) = columns.charbonnier(eps)
        assert computed["charbonnier"] == pytest.approx(math.sqrt(1 + eps**2), abs=CHARBONNIER_ATOL)
        assert (column.low, column.high) == (eps, math.sqrt(1 + eps**2))

    def test_one_pixel(self) -> None:
        prediction, target = torch.tensor([[0.25, 0.5, 0.5]]), torch.tensor([[0.5, 0.5, 0.0]])
        computed = charbonnier(prediction.view(1, 3, 1, 1), target.view(1, 3, 1, 1), eps=0.1)
        expected = (math.sqrt(0.0725) + 0.1 + math.sqrt(0.26)) / 3
        assert computed.tolist() == pytest.approx([expected], abs=CHARBONNIER_ATOL)

    def test_five_levels_are_about_002(self) -> None:
        computed = score(module.metric(1e-3), (flat(8, 8, 100), flat(8, 8, 105)))
        assert computed["charbonnier"] == pytest.approx(0.02, abs=5e-4)

    def test_black_prediction_scores_well_on_a_dark_target(self) -> None:
        """The trap that the docstring names: better than a bright target ten levels off everywhere."""
        black = score(module.metric(1e-3), (flat(16, 16, 0), noise(16, 16, 0, 15)))
        bright = score(module.metric(1e-3), (flat(16, 16, 240), flat(16, 16, 250)))
        assert black["charbonnier"] < bright["charbonnier"]

    def test_below_eps_the_root_turns_into_a_square(self) -> None:
        """Half of a difference far above eps is half as far above eps, far below it a quarter."""
        zero = torch.zeros(1, 1, 1, 2, dtype=torch.float64)

        def above_eps(difference: float) -> float:
            return float(charbonnier(zero + difference, zero, eps=1e-3)) - 1e-3

        assert above_eps(0.25) / above_eps(0.5) == pytest.approx(1 / 2, rel=0.01)
        assert above_eps(0.5e-4) / above_eps(1e-4) == pytest.approx(1 / 4, rel=0.01)

    @pytest.mark.parametrize("piece_values", [1, 500, 2**17])
    def test_pieces_change_nothing(self, piece_values: int) -> None:
        pairs = [CASES["noise-33x47"], CASES["bright-33x47"]]
        whole = np.array([references.charbonnier(*as_float64(pair)) for pair in pairs])
        with resources(piece_values=piece_values):
            computed = charbonnier(*as_stored(*pairs))
        np.testing.assert_allclose(computed, whole, rtol=0, atol=CHARBONNIER_ATOL)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.float16, torch.float32, torch.float64], ids=str)
    def test_result_is_float64(self, dtype: torch.dtype) -> None:
        image = torch.zeros(1, 3, 4, 4, dtype=dtype)
        assert charbonnier(image, image).dtype == torch.float64

    def test_float64_images_are_computed_in_float64(self) -> None:
        zero = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
        expected = math.sqrt(0.1**2 + 1e-6)
        assert charbonnier(zero + 0.1, zero).item() == pytest.approx(expected, rel=1e-14)

    @pytest.mark.parametrize(
        ("prediction", "target"),
        [((1, 3, 8, 8), (1, 3, 8, 9)), ((1, 3, 8, 8), (1, 1, 8, 8)), ((3, 8, 8), (3, 8, 8))],
        ids=["other_width", "would_broadcast", "no_batch"],
    )
    def test_shapes_that_do_not_fit(self, prediction: tuple[int, ...], target: tuple[int, ...]) -> None:
        with pytest.raises(ShapeError, match=rf"(prediction is|the images are) \({prediction[0]}, "):
            charbonnier(torch.zeros(prediction), torch.zeros(target))


class TestValues:
    @each_case()
    @pytest.mark.parametrize("eps", [1e-3, 1e-6], ids=["code", "paper"])
    def test_reference(self, pair: Pair, eps: float) -> None:
        expected = references.charbonnier(*as_float64(pair), eps)
        assert score(module.metric(eps), pair) == pytest.approx({"charbonnier": expected}, abs=CHARBONNIER_ATOL)

    @each_case(largest=48)
    def test_frame_analytics(self, pair: Pair) -> None:
        """frame-analytics 0.7.0, `charbonnier(x, y, eps=1e-3)`, run by this test."""
        prediction, target = (image.double() for image in to_tensors(pair))
        theirs = frame_analytics.charbonnier(prediction, target, eps=1e-3)
        assert charbonnier(prediction, target).item() == pytest.approx(float(theirs), rel=1e-12)
