"""MPS: the formula over this tool's own SSIM and LPIPS, and the float64 reference."""

from __future__ import annotations

import pytest
import torch

from relight_eval.errors import ShapeError
from relight_eval.metrics import lpips, ssim
from relight_eval.metrics import mps as module
from relight_eval.metrics.mps import combined, mps
from tests.metrics import references
from tests.metrics.cases import (
    CASES,
    LPIPS_ATOL,
    SSIM_ATOL,
    Pair,
    as_float64,
    as_stored,
    each_case,
    noise,
    score,
    to_batch,
)


class TestProperties:
    def test_identical_is_exactly_1(self) -> None:
        assert score(module.metric(), CASES["identical-48x33"]) == {"mps": 1.0}

    def test_formula(self) -> None:
        """The NTIRE 2021 winner's published SSIM and LPIPS give its published MPS."""
        winner = combined(torch.tensor(0.6931).double(), torch.tensor(0.1605).double())
        assert f"{winner.item():.4f}" == "0.7663"

    @pytest.mark.parametrize("case", ["noise-48x33", "dark-33x47"])
    def test_of_the_columns_beside_it(self, case: str) -> None:
        pair = CASES[case]
        both = score(ssim.metric(), pair)["ssim"], score(lpips.metric(), pair)["lpips"]
        assert score(module.metric(), pair)["mps"] == pytest.approx((both[0] + 1 - both[1]) / 2, rel=1e-12)

    def test_function_is_the_metric(self) -> None:
        prediction, target = as_stored(CASES["noise-48x33"])
        assert mps(prediction, target).tolist() == [score(module.metric(), CASES["noise-48x33"])["mps"]]

    def test_uses_what_the_others_computed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In one batch, neither SSIM's map nor LPIPS is computed twice."""
        batch = to_batch(CASES["noise-48x33"])
        alone = module.metric().score(to_batch(CASES["noise-48x33"]))
        ssim.metric().score(batch)
        lpips.metric().score(batch)
        monkeypatch.setattr(batch, "prediction", None)  # nothing is left to compute from
        assert module.metric().score(batch).tolist() == alone.tolist()

    def test_smallest_side(self) -> None:
        pair = noise(32, 32), noise(32, 32, seed=1)
        assert module.metric().min_side == 32
        assert score(module.metric(), pair)["mps"] == pytest.approx(references.mps(*as_float64(pair)), abs=LPIPS_ATOL)

    def test_shapes_that_do_not_fit(self) -> None:
        with pytest.raises(ShapeError, match=r"prediction is \(1, 3, 32, 32\) but target is \(1, 3, 32, 33\)"):
            mps(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 33))


class TestValues:
    @each_case(smallest=32)
    def test_reference(self, pair: Pair) -> None:
        expected = references.mps(*as_float64(pair))
        both = LPIPS_ATOL + SSIM_ATOL
        assert score(module.metric(), pair) == pytest.approx({"mps": expected}, abs=both)
