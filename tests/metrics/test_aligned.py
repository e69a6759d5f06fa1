"""Aligned scores as metrics: what was fitted, in batches and in masks. (The alignments have a test of their own.)"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relight_eval.alignment import ALIGNMENTS, align
from relight_eval.metrics import Batch, Metric, Settings, build
from relight_eval.metrics.aligned import fitted_columns, metrics
from tests.metrics.cases import CASES, CONTENTS, INVARIANCE, as_stored

CPU = torch.device("cpu")
NAMES = ("charbonnier", "psnr", "ssim")
MIXED = [CASES[f"{content}-48x33"] for content in CONTENTS if content != "identical"]

# SSIM of floating-point images with large flat parts, which an aligned prediction is: 1.4e-6 was seen.
ATOL = 3 * INVARIANCE

each_kind = pytest.mark.parametrize("kind", ALIGNMENTS)


def built(kind: str) -> list[Metric]:
    return metrics(kind, build(NAMES, Settings(), CPU))


def scored(kind: str, batch: Batch) -> np.ndarray:
    """(pairs, columns) of all of them, on one batch, as an engine has it."""
    return torch.cat([metric.score(batch).double() for metric in built(kind)], dim=1).numpy()


def masks(count: int) -> torch.Tensor:
    """Another one for each pair, all wide enough for a window of SSIM."""
    found = torch.zeros(count, 33, 48, dtype=torch.bool)
    for i in range(count):
        found[i, i % 5 : 30, 2 + i : 40] = True
    return found


@each_kind
class TestEveryAlignment:
    def test_names_and_columns(self, kind: str) -> None:
        assert [metric.name for metric in built(kind)] == ["align", *(f"{name}_aligned" for name in NAMES)]
        assert built(kind)[0].columns == fitted_columns(kind)
        batch = Batch(*as_stored(*MIXED[:3]))
        for metric in built(kind):
            assert metric.score(batch).shape == (3, len(metric.columns))

    def test_what_was_fitted_makes_the_rest_of_what_align_gives(self, kind: str) -> None:
        """What stands in no column was left as it is."""
        found = align(kind, *as_stored(*MIXED))
        columns = [column.name for column in fitted_columns(kind)]
        values = built(kind)[0].score(Batch(*as_stored(*MIXED))).numpy()
        for fitted, unfitted in (("gain", 1.0), ("offset", 0.0)):
            for i, channel in enumerate("rgb"):
                expected = getattr(found, fitted)[:, i].numpy()
                name = f"align_{fitted}_{channel}"
                got = values[:, columns.index(name)] if name in columns else np.full(len(MIXED), unfitted)
                np.testing.assert_allclose(got, expected, rtol=0, atol=0)

    @pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
    def test_batch_of_one_is_batch_of_many(self, kind: str, masked: bool) -> None:
        prediction, target = as_stored(*MIXED)
        mask = masks(len(MIXED)) if masked else None
        together = scored(kind, Batch(prediction, target, mask=mask))
        for i in range(len(MIXED)):
            one = slice(i, i + 1)
            alone = scored(kind, Batch(prediction[one], target[one], mask=None if mask is None else mask[one]))
            np.testing.assert_allclose(alone[0], together[i], rtol=1e-9, atol=ATOL)

    def test_of_several_runs_each_is_aligned_by_itself(self, kind: str) -> None:
        """Also where the alignment changes the target."""
        prediction, target = as_stored(*MIXED[:4])
        runs = torch.stack([prediction, prediction.flip(-1)], dim=1).flatten(0, 1)
        targets = target.repeat_interleave(2, dim=0)
        mask = masks(4).repeat_interleave(2, dim=0)
        together = scored(kind, Batch(runs, targets, runs=2, mask=mask))
        for i in range(8):
            one = slice(i, i + 1)
            alone = scored(kind, Batch(runs[one], targets[one], mask=mask[one]))
            np.testing.assert_allclose(alone[0], together[i], rtol=1e-9, atol=ATOL)

    def test_identical_images_stay_identical(self, kind: str) -> None:
        image, _ = as_stored(CASES["noise-48x33"])
        (row,) = scored(kind, Batch(image, image.clone()))
        names = [column.name for metric in built(kind) for column in metric.columns]
        for name, value in zip(names, row, strict=True):
            if name.startswith("align_"):
                assert value == pytest.approx({"gain": 1, "offset": 0}[name.split("_")[1]], abs=1e-9)
        assert row[names.index("charbonnier_aligned")] == pytest.approx(1e-3, abs=1e-6)
        assert row[names.index("psnr_aligned")] > 90
        assert row[names.index("ssim_aligned")] == pytest.approx(1, abs=1e-6)

    def test_the_batch_is_left_alone(self, kind: str) -> None:
        batch = Batch(*as_stored(*MIXED[:2]), mask=masks(2))
        before = batch.prediction.clone(), batch.target.clone(), masks(2)
        scored(kind, batch)
        assert torch.equal(batch.prediction, before[0])
        assert torch.equal(batch.target, before[1])
        assert torch.equal(batch.mask, before[2])


def test_a_mask_that_an_alignment_erodes_away_gives_nothing_and_only_there() -> None:
    mask = masks(2)
    mask[1] = False
    mask[1, 10:14, 5:40] = True  # 4 high: a square of 5 leaves none
    batch = Batch(*as_stored(*MIXED[:2]), mask=mask)
    found = scored("stanford-orb", batch)
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()
    others = scored("gain", Batch(*as_stored(*MIXED[:2]), mask=mask))
    assert np.isfinite(others[1, :5]).all()  # all but SSIM, whose window does not fit


def test_a_fit_is_computed_once_for_all_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    from relight_eval.metrics import aligned

    calls = []

    def counting(*words: object) -> object:
        calls.append(words)
        return align(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(aligned, "align", counting)
    scored("affine", Batch(*as_stored(*MIXED[:2])))
    assert len(calls) == 1
