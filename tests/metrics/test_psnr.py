"""PSNR: closed forms, the float64 reference, scikit-image, and the project's reference number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import skimage.metrics
import torch

from relight_eval.errors import ShapeError
from relight_eval.metrics import psnr as module
from relight_eval.metrics.pieces import resources
from relight_eval.metrics.psnr import psnr
from tests.metrics import references
from tests.metrics.cases import (
    CASES,
    PSNR_ATOL_DB,
    Pair,
    as_float64,
    as_stored,
    each_case,
    field_pair,
    flat,
    noise,
    score,
    to_tensors,
)


class TestProperties:
    def test_identical_is_inf(self) -> None:
        assert score(module.metric(), CASES["identical-19x17"]) == {"psnr": math.inf}

    def test_black_against_white_is_0_db(self) -> None:
        value = score(module.metric(), (flat(5, 6, 0), flat(5, 6, 255)))["psnr"]
        assert (value, math.copysign(1, value)) == (0, 1)  # and is not printed as -0.0

    def test_a_tenth_of_the_range_is_20_db(self) -> None:
        image = torch.full((1, 3, 1, 1), 0.5, dtype=torch.float64)
        assert psnr(image + 0.1, image).tolist() == pytest.approx([20], abs=1e-12)

    def test_1_db_is_a_fifth_of_the_squared_error(self) -> None:
        zero = torch.zeros(1, 3, 4, 4, dtype=torch.float64)
        more, less = psnr(zero + 0.1, zero), psnr(zero + 0.1 * math.sqrt(0.8), zero)
        assert (less - more).item() == pytest.approx(1, abs=0.05)

    def test_black_prediction_reaches_22_9_db_on_a_dark_target(self) -> None:
        assert score(module.metric(), (flat(32, 32, 0), noise(32, 32, 0, 31)))["psnr"] > 22.9

    @pytest.mark.parametrize("piece_values", [1, 500, 2**17])
    def test_pieces_change_nothing(self, piece_values: int) -> None:
        pairs = [CASES["noise-33x47"], CASES["bright-33x47"]]
        whole = np.array([references.psnr(*as_float64(pair)) for pair in pairs])
        with resources(piece_values=piece_values):
            computed = psnr(*as_stored(*pairs))
        np.testing.assert_allclose(computed, whole, rtol=0, atol=PSNR_ATOL_DB)

    @pytest.mark.parametrize(
        ("prediction", "target"),
        [((1, 3, 8, 8), (2, 3, 8, 8)), ((8, 8), (8, 8))],
        ids=["would_broadcast", "no_batch"],
    )
    def test_shapes_that_do_not_fit(self, prediction: tuple[int, ...], target: tuple[int, ...]) -> None:
        with pytest.raises(ShapeError, match=rf"(prediction is|the images are) \({prediction[0]}, "):
            psnr(torch.zeros(prediction), torch.zeros(target))


class TestValues:
    @each_case()
    def test_reference(self, pair: Pair) -> None:
        expected = references.psnr(*as_float64(pair))
        assert score(module.metric(), pair) == pytest.approx({"psnr": expected}, abs=PSNR_ATOL_DB)

    @each_case()
    def test_reference_of_float32_images(self, pair: Pair) -> None:
        expected = references.psnr(*as_float64(pair))
        assert psnr(*to_tensors(pair)).item() == pytest.approx(expected, abs=3e-6)

    @each_case(case for case in CASES if not case.startswith("identical"))
    def test_skimage(self, pair: Pair) -> None:
        """scikit-image 0.26.0, `peak_signal_noise_ratio` of the uint8 images, run by this test."""
        theirs = skimage.metrics.peak_signal_noise_ratio(*pair, data_range=255)
        assert score(module.metric(), pair) == pytest.approx({"psnr": theirs}, abs=PSNR_ATOL_DB)

    def test_field_number(self) -> None:
        """The project's reference number, computed by two programs before this one was written."""
        assert f"{score(module.metric(), field_pair())['psnr']:.6f}" == "9.435309"
